"""Who is served before others, by real ledgers: what is owed is used once, whatever names it is used under."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from volunteer.points.orders import Order, sign_order
from volunteer.points.receipts import NONCE_BYTES, Receipt, to_wire
from volunteer.server.fair_queue import Rank, Standing
from volunteer.server.standing import Credit, Standings
from volunteer.swarm.rpc import BadMessage

NewPeer = Callable[..., Any]
CLIENT = "12D3KooWClient"
STEP = 10
"""Units of one step in these tests."""


class Server:
    """A peer as others find it when they open sessions there."""

    def __init__(self, peer: Any):
        self.peer = peer
        self.standings = Standings(peer.ledger, peer.id, self._network_of)

    async def _network_of(self, peer_id: str) -> str:
        return "10.0.0.0/24"

    async def open(self, client: Any, vouchers: Sequence[Receipt] = (), price_milli: int = 1000) -> Session:
        nonce = secrets.token_bytes(NONCE_BYTES)
        signed = sign_order(client.identity, Order(client.id, CLIENT, self.peer.id, nonce, price_milli))
        metadata = {
            "order": signed,
            "vouchers": tuple((to_wire(each.claim), to_wire(each.countersignature)) for each in vouchers),
        }
        order = self.standings.order(metadata, CLIENT)
        credit = await self.standings.credit(CLIENT, order, metadata, is_owners=False)
        return Session(self, client, nonce, price_milli, credit)


class Session:
    """Takes steps, and is claimed from as a session is; signs for them or not."""

    def __init__(self, server: Server, client: Any, nonce: bytes, price_milli: int, credit: Credit):
        self.credit = credit
        self._server, self._client = server, client
        self._fields = {"nonce": nonce, "price_milli": price_milli}
        self._counter = self._units = self._claimed = 0

    @property
    def rank(self) -> Rank:
        return self.credit.standing.rank

    def take(self, units: int = STEP) -> Rank:
        """As whom the step is served."""
        rank = self.rank
        self.credit.draw(units)
        self._units += units
        return rank

    async def claim(self, *, sign: bool = True) -> None:
        if self._units == self._claimed:
            return
        self._counter += 1
        server, client = self._server.peer, self._client
        work = server.work_for(client, self._units, counter=self._counter, **self._fields)
        claim = server.ledger.claim(work)
        if sign:
            server.ledger.settle(client.ledger.countersign(claim, work))
        await self.credit.note_claimed(self._units - self._claimed)
        self._claimed = self._units

    async def close(self, *, sign: bool = True) -> None:
        await self.claim(sign=sign)
        self.credit.close()

    async def take_while_first(self, *, sign: bool = True, most: int = 1000) -> int:
        """What it is given before others, to its end."""
        given = 0
        while given < most and self.take() is not Rank.GUEST:
            given += STEP
        await self.close(sign=sign)
        return given


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


def test_a_newcomer_is_a_guest_of_its_network(new_peer: NewPeer) -> None:
    us, client = new_peer(), new_peer()

    async def test() -> None:
        server = Server(us)
        session = await server.open(client, price_milli=2500)
        assert session.credit.standing == Standing(Rank.GUEST, client.id, "10.0.0.0/24", 2.5)
        without = await server.standings.credit(CLIENT, None, {}, is_owners=False)
        assert without.standing == Standing(Rank.GUEST, CLIENT, "10.0.0.0/24")

    run(test)


def test_this_machine_and_whoever_has_its_key_are_the_owner(new_peer: NewPeer) -> None:
    us = new_peer()

    async def test() -> None:
        server = Server(us)
        assert (await server.open(us)).rank is Rank.OWNER
        credit = await server.standings.credit(CLIENT, None, {}, is_owners=True)
        assert credit.standing.rank is Rank.OWNER
        credit.draw(10**9)
        assert credit.standing.rank is Rank.OWNER

    run(test)


def test_whoever_is_owed_work_goes_first_until_it_has_had_it(new_peer: NewPeer) -> None:
    us, client = new_peer(), new_peer()
    client.works_for(us, 5 * STEP)

    async def test() -> None:
        session = await Server(us).open(client)
        assert [session.take() for _ in range(6)] == [Rank.CONTRIBUTOR] * 5 + [Rank.GUEST]
        await session.close()
        assert (await Server(us).open(client)).rank is Rank.GUEST

    run(test)


def test_what_is_offered_is_taken_off(new_peer: NewPeer) -> None:
    us, client = new_peer(), new_peer()
    client.works_for(us, 100)

    async def test() -> None:
        server = Server(us)
        session = await server.open(client, price_milli=5000)
        session.take(50)
        session.credit.close()
        us.ledger.claim(us.work_for(client, 20, price_milli=5000))
        assert (await server.open(client)).rank is Rank.GUEST

    run(test)


def test_sessions_at_once_share_what_is_owed(new_peer: NewPeer) -> None:
    us, client = new_peer(), new_peer()
    client.works_for(us, 5 * STEP)

    async def test() -> None:
        server = Server(us)
        sessions = [await server.open(client) for _ in range(100)]
        ranks = [session.take() for session in sessions]
        assert ranks.count(Rank.CONTRIBUTOR) == 5
        for session in sessions:
            await session.close()
        assert (await server.open(client)).rank is Rank.GUEST

    run(test)


@pytest.mark.parametrize("is_closed_between", [True, False])
def test_work_that_is_never_signed_for_is_used_up_as_well(new_peer: NewPeer, is_closed_between: bool) -> None:
    us, client = new_peer(), new_peer()
    client.works_for(us, 5 * STEP)

    async def test() -> None:
        server = Server(us)
        given, sessions = 0, []
        for _ in range(20):
            session = await server.open(client)
            given += STEP * (session.take() is Rank.CONTRIBUTOR)
            if is_closed_between:
                await session.close(sign=False)
            sessions.append(session)
        assert given == 5 * STEP

    run(test)


def test_what_was_never_done_is_given_back(new_peer: NewPeer) -> None:
    us, client, friend = new_peer(), new_peer(), new_peer()
    client.works_for(us, STEP)
    shown = [friend.works_for(client, STEP)]

    async def test() -> None:
        server = Server(us)
        for _ in range(5):
            for session in (await server.open(client), await server.open(friend, shown)):
                assert session.take() is Rank.CONTRIBUTOR
                session.credit.close()

    run(test)


def test_new_work_for_this_server_counts_in_a_session_that_is_open(new_peer: NewPeer) -> None:
    us, client = new_peer(), new_peer()

    async def test() -> None:
        session = await Server(us).open(client)
        assert session.take() is Rank.GUEST
        client.works_for(us, 100)
        await session.claim()
        assert session.take() is Rank.CONTRIBUTOR
        await session.close()

    run(test)


def test_a_peer_that_is_owed_answers_for_what_it_owes_others(new_peer: NewPeer) -> None:
    us, voucher, friend = new_peer(), new_peer(), new_peer()
    voucher.works_for(us, 8 * STEP)
    shown = [friend.works_for(voucher, 3 * STEP), friend.works_for(voucher, 2 * STEP)]

    async def test() -> None:
        server = Server(us)
        session = await server.open(friend, shown)
        standing = session.credit.standing
        assert (standing.account, standing.payer) == (friend.id, voucher.id)
        assert standing.competitor == (Rank.CONTRIBUTOR, voucher.id)
        assert await session.take_while_first() == 5 * STEP
        assert await (await server.open(voucher)).take_while_first() == 3 * STEP

    run(test)


def test_own_credit_goes_before_that_of_others(new_peer: NewPeer) -> None:
    us, voucher, friend = new_peer(), new_peer(), new_peer()
    voucher.works_for(us, 100)
    friend.works_for(us, STEP)
    shown = [friend.works_for(voucher, 100)]

    async def test() -> None:
        session = await Server(us).open(friend, shown)
        assert session.credit.standing.payer == ""
        session.take()
        assert session.credit.standing.payer == voucher.id
        await session.close()
        assert us.ledger.balance(voucher.id).vouched == 0

    run(test)


def test_a_debt_is_paid_once_however_often_it_is_shown(new_peer: NewPeer) -> None:
    us, voucher, friend = new_peer(), new_peer(), new_peer()
    shown = [friend.works_for(voucher, 3 * STEP)]

    async def test() -> None:
        server, given = Server(us), 0
        for _ in range(4):
            voucher.works_for(us, 2 * STEP)  # so there always is something to be had
            sessions = [await server.open(friend, shown) for _ in range(3)]
            given += sum([await session.take_while_first() for session in sessions])
        assert given == 3 * STEP
        assert await (await server.open(voucher)).take_while_first() == 5 * STEP

    run(test)


@pytest.mark.parametrize("sign", [True, False])
@pytest.mark.parametrize("are_at_once", [True, False])
def test_names_that_one_peer_vouches_for_share_what_it_is_owed(
    new_peer: NewPeer, sign: bool, are_at_once: bool
) -> None:
    us, voucher = new_peer(), new_peer()
    names = [new_peer() for _ in range(10)]
    voucher.works_for(us, 5 * STEP)
    shown = {name.id: [name.works_for(voucher, 10**9)] for name in names}

    async def test() -> None:
        server, given = Server(us), 0
        if are_at_once:
            sessions = [await server.open(name, shown[name.id]) for name in names]
            given = sum(STEP * (session.take() is Rank.CONTRIBUTOR) for _ in range(3) for session in sessions)
            for session in sessions:
                await session.close(sign=sign)
        else:
            for name in names:
                given += await (await server.open(name, shown[name.id])).take_while_first(sign=sign)
        assert given == 5 * STEP
        assert (await server.open(voucher)).rank is Rank.GUEST

    run(test)


def test_a_client_and_a_server_of_one_owner_gain_nothing_at_a_third_peer_by_paying_each_other(
    new_peer: NewPeer,
) -> None:
    third, client, server = new_peer(), new_peer(), new_peer()
    for _ in range(3):  # as much as they like, in both directions, at the highest price
        server.works_for(client, 10**12, price_milli=10_000)
        client.works_for(server, 10**12, price_milli=10_000)
    shown = {each.id: each.ledger.vouchers(8) for each in (client, server)}
    assert all(shown.values()) and client.ledger.verify() == server.ledger.verify() == []

    async def test() -> None:
        them = Server(third)
        newcomer = (await them.open(new_peer())).credit.standing
        for each in (client, server):
            standing = (await them.open(each, shown[each.id])).credit.standing
            assert (standing.rank, standing.weight) == (newcomer.rank, newcomer.weight) == (Rank.GUEST, 1.0)
        # Nor once one of them has worked for the third: both together get that back, and no more.
        server.works_for(third, 4 * STEP)
        given = 0
        for _ in range(3):
            for each in (client, server):
                session = await them.open(each, each.ledger.vouchers(8))
                given += await session.take_while_first(most=3 * STEP)
        assert given == 4 * STEP
        assert third.ledger.verify() == []

    run(test)


def test_orders_of_others_and_forged_vouchers_are_refused(new_peer: NewPeer) -> None:
    us, client, voucher = new_peer(), new_peer(), new_peer()
    good, other = client.works_for(voucher, 5), client.works_for(voucher, 50)

    async def test() -> None:
        server = Server(us)
        nonce = bytes(NONCE_BYTES)
        bad_orders: list[Mapping[str, Any]] = [
            {"order": sign_order(client.identity, Order(client.id, "12D3Other", us.id, nonce, 1000))},
            {"order": sign_order(client.identity, Order(client.id, CLIENT, client.id, nonce, 1000))},
            {"order": sign_order(voucher.identity, Order(client.id, CLIENT, us.id, nonce, 1000))},
            {"order": b""},
        ]
        for metadata in bad_orders:
            with pytest.raises(BadMessage):
                server.standings.order(metadata, CLIENT)
        with pytest.raises(BadMessage, match="forged"):
            await server.open(client, [Receipt(other.claim, good.countersignature)])
        order = Order(client.id, CLIENT, us.id, nonce, 1000)
        for vouchers in (1, (1,), ((b"", b""),), (to_wire(good.claim),) * 9):
            with pytest.raises(BadMessage):
                await server.standings.credit(CLIENT, order, {"vouchers": vouchers}, is_owners=False)

    run(test)


def test_nothing_is_kept_of_accounts_without_open_sessions(new_peer: NewPeer) -> None:
    us, voucher, client = new_peer(), new_peer(), new_peer()
    shown = [client.works_for(voucher, 5)]

    async def test() -> None:
        server = Server(us)
        session = await server.open(client, shown)
        assert len(server.standings._open) == 3
        await session.close()
        del session
        assert not server.standings._open

    run(test)
