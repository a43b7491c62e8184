"""Who is let in, as whom, and what is counted of it: real ledgers and limits, no streams."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from volunteer.points.orders import Order, sign_order
from volunteer.points.receipts import NONCE_BYTES, from_wire, read_claim, to_wire
from volunteer.server import accounting
from volunteer.server.accounting import CHUNK_TOKENS, CLAIM_TOKENS, Accounting, NotSigned, Terms
from volunteer.server.admission import Admission, Books, NotListed, ServedSession, TooBusy
from volunteer.server.fair_queue import Rank, Standing
from volunteer.server.fair_use import ACCOUNT_SESSIONS, SHORT_BILLS, UNPAID_CLAIMS, FairUse
from volunteer.server.standing import Standings
from volunteer.swarm.peer_lists import PeerLists
from volunteer.swarm.rpc import BadMessage, PeerLost, Refused, pack_metadata, unpack_metadata

NewPeer = Callable[..., Any]
CLIENT = "12D3KooWClient"
FLOPS = 10**6
BLOCKS = range(0, 2)


class Server:
    def __init__(self, peer: Any, **options: Any):
        self.peer = peer
        self.accounting = Accounting(peer.ledger, Terms(peer.id, "model", "", "float32", FLOPS))
        books = Books(Standings(peer.ledger, peer.id, self._network_of), self.accounting)
        self.admission = Admission(books=books, **options)
        self._claims: asyncio.Queue[Any] = asyncio.Queue()

    async def _network_of(self, peer_id: str) -> str:
        return "10.0.0.0/24"

    async def _send(self, response: Any) -> None:
        self._claims.put_nowait(from_wire(unpack_metadata(response.metadata)["claim"]))

    def session(self, account: Any = None, caller: str = CLIENT) -> contextlib.AbstractAsyncContextManager[Any]:
        metadata: dict[str, Any] = {}
        if account is not None:
            order = Order(account.id, caller, self.peer.id, secrets.token_bytes(NONCE_BYTES), 1000)
            metadata["order"] = sign_order(account.identity, order)
        return self.admission.session(caller, metadata, BLOCKS, self._send)

    async def next_claim(self) -> Any:
        return await self._claims.get()

    async def sign(self, account: Any) -> None:
        """What is claimed next, once it is."""
        claim = await self.next_claim()
        half = account.ledger.countersign(claim, read_claim(claim))
        await self.accounting.settle(pack_metadata({"countersignature": to_wire(half)}))


async def give(session: ServedSession, tokens: int) -> Rank:
    await session.before(tokens)
    session.count(tokens, b"outputs")
    await session.note_sent()
    return session.standing.rank


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


def test_without_books_all_but_the_owner_are_guests() -> None:
    async def send(response: Any) -> None:
        raise AssertionError

    async def test() -> None:
        admission = Admission()
        admission.served.note_owner("me")
        for caller, rank in (("me", Rank.OWNER), ("other", Rank.GUEST)):
            async with admission.session(caller, {}, BLOCKS, send) as session:
                assert await give(session, 300) is rank
                await session.finish()
        assert (admission.served.tokens, admission.served.sessions, admission.served.open_sessions) == (300, 1, 0)

    run(test)


def test_the_owner_of_this_machine_is_neither_counted_nor_claimed_from(new_peer: NewPeer) -> None:
    server = Server(new_peer())
    server.admission.served.note_owner("me")

    async def test() -> None:
        for session in (server.session(caller="me"), server.session(server.peer)):
            async with session as served:
                assert await give(served, 1000) is Rank.OWNER
                assert await give(served, 1000) is Rank.OWNER
        await server.accounting.__aexit__()
        summary = server.peer.ledger.points()
        assert (summary.pending, summary.unreceipted_total, server.admission.served.tokens) == (0, 0, 0)

    run(test)


def test_whom_the_owner_has_not_listed_is_refused_by_peer_and_by_account(new_peer: NewPeer) -> None:
    friend, enemy = new_peer(), new_peer()
    only_friends = Server(new_peer(), peers=PeerLists(allow=frozenset({friend.id})))
    no_enemies = Server(new_peer(), peers=PeerLists(deny=frozenset({enemy.id, "enemy's client"})))

    async def is_in(server: Server, account: Any = None, caller: str = CLIENT) -> bool:
        try:
            async with server.session(account, caller):
                return True
        except NotListed:
            return False

    async def test() -> None:
        assert await is_in(only_friends, friend)
        assert not await is_in(only_friends, enemy) and not await is_in(only_friends)
        assert await is_in(no_enemies, friend) and await is_in(no_enemies)
        assert not await is_in(no_enemies, enemy) and not await is_in(no_enemies, friend, "enemy's client")
        only_friends.admission.served.note_owner("me")
        assert await is_in(only_friends, caller="me")

    run(test)


def test_a_contributor_becomes_a_guest_when_what_it_is_owed_is_used_up(new_peer: NewPeer) -> None:
    server, client = Server(new_peer()), new_peer()
    client.works_for(server.peer, 100)

    async def test() -> None:
        async with server.session(client) as session:
            assert session.standing.rank is Rank.CONTRIBUTOR
            assert [await give(session, 25) for _ in range(3)] == [Rank.CONTRIBUTOR] * 2 + [Rank.GUEST]
            await asyncio.gather(session.finish(), server.sign(client))
        assert server.peer.ledger.balance(client.id).given == 150
        assert server.peer.ledger.verify() == client.ledger.verify() == []

    run(test)


def test_a_long_step_has_to_be_owed_as_a_whole(new_peer: NewPeer) -> None:
    server, client = Server(new_peer()), new_peer()
    client.works_for(server.peer, 1000 * len(BLOCKS))

    async def test() -> None:
        async with server.session(client) as session:
            assert session.standing_for(1000).rank is Rank.CONTRIBUTOR
            assert session.standing_for(1001).rank is Rank.GUEST
            assert await give(session, 900) is Rank.CONTRIBUTOR
            await server.sign(client)
            assert session.standing_for(CHUNK_TOKENS + 1).rank is Rank.GUEST
            assert await give(session, CHUNK_TOKENS) is Rank.CONTRIBUTOR
            assert session.standing_for(1).rank is Rank.GUEST

    run(test)


def test_two_sessions_do_not_use_the_same_credit(new_peer: NewPeer) -> None:
    server, client = Server(new_peer()), new_peer()
    client.works_for(server.peer, 100)

    async def test() -> None:
        async with server.session(client) as one, server.session(client) as other:
            assert await give(one, 50) is Rank.CONTRIBUTOR
            assert await give(other, 50) is Rank.GUEST

    run(test)


def test_short_sessions_that_are_never_signed_for_use_credit_up(new_peer: NewPeer) -> None:
    server, client = Server(new_peer()), new_peer()
    client.works_for(server.peer, 100)

    async def test() -> None:
        ranks = []
        for _ in range(4):
            with contextlib.suppress(PeerLost):
                async with server.session(client) as session:
                    ranks.append(await give(session, 25))
                    raise PeerLost("gone")
        assert ranks == [Rank.CONTRIBUTOR] * 2 + [Rank.GUEST] * 2
        assert server.peer.ledger.balance(client.id).pending == 200

    run(test)


def test_a_step_that_was_not_computed_costs_nothing(new_peer: NewPeer) -> None:
    server, client = Server(new_peer()), new_peer()
    client.works_for(server.peer, 100)

    async def test() -> None:
        for _ in range(3):
            with pytest.raises(BadMessage):
                async with server.session(client) as session:
                    await session.before(CHUNK_TOKENS)
                    assert session.standing.rank is Rank.CONTRIBUTOR
                    raise BadMessage("beyond the end")
        assert server.peer.ledger.balance(client.id).pending == 0

    run(test)


def test_an_account_has_no_more_sessions_than_its_share(new_peer: NewPeer) -> None:
    server, client = Server(new_peer()), new_peer()

    async def test() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(ACCOUNT_SESSIONS):
                await stack.enter_async_context(server.session(client))
            assert server.admission.served.open_sessions == ACCOUNT_SESSIONS
            with pytest.raises(TooBusy, match="open sessions"):
                await stack.enter_async_context(server.session(client, "12D3Another"))
            await stack.enter_async_context(server.session(new_peer()))
        assert server.admission.served.open_sessions == 0

    run(test)


@pytest.mark.parametrize(
    ("error", "is_refused"),
    [(PeerLost("gone"), True), (NotSigned("not signed for"), True), (Refused("evicted"), False)],
)
def test_work_left_unpaid_closes_the_server_to_that_network(
    new_peer: NewPeer, monkeypatch: pytest.MonkeyPatch, error: Exception, is_refused: bool
) -> None:
    monkeypatch.setattr(accounting, "_LATE_SIGNATURE_S", 0.01)
    server = Server(new_peer())

    async def test() -> None:
        for _ in range(UNPAID_CLAIMS):
            with contextlib.suppress(type(error)):
                async with server.session(new_peer()) as session:
                    await give(session, CLAIM_TOKENS)
                    await server.next_claim()
                    raise error
        await asyncio.sleep(0.1)
        entering = server.session(new_peer())
        if is_refused:
            with pytest.raises(TooBusy, match="unsigned"):
                await entering.__aenter__()
        else:
            async with entering:
                pass

    run(test)


def test_sessions_of_single_tokens_do_not_fill_the_ledger(new_peer: NewPeer) -> None:
    fair_use = FairUse(clock=lambda: 1000.0)
    server, worker, stranger = Server(new_peer(), fair_use=fair_use), new_peer(), new_peer()
    worker.works_for(server.peer, 100)
    for _ in range(SHORT_BILLS - 1):
        fair_use.note_short_bill(Standing(Rank.GUEST, "another of this network", "10.0.0.0/24"))

    async def test() -> None:
        for tokens in (0, CLAIM_TOKENS, 1, 1, 1):
            async with server.session(stranger) as session:
                await give(session, tokens)
        async with server.session(stranger) as session:
            await give(session, 1)
            stranger.works_for(server.peer, 1000)
            async with server.session(stranger) as other:
                assert other.standing.rank is Rank.CONTRIBUTOR
                assert await give(session, 1) is Rank.GUEST  # nothing would come off what it is owed
        async with server.session(worker) as session:
            await give(session, 1)
        await server.accounting.__aexit__()
        ledger = server.peer.ledger
        assert ledger.balance(stranger.id).pending == (CLAIM_TOKENS + 1) * len(BLOCKS)
        assert ledger.balance(worker.id).pending == len(BLOCKS)
        assert ledger.points().unreceipted_total == 4 * len(BLOCKS)

    run(test)


def test_guests_are_counted_apart(new_peer: NewPeer) -> None:
    server = Server(new_peer())

    async def test() -> None:
        async with server.accounting:
            async with server.session() as session:
                assert await give(session, 7) is Rank.GUEST
                await session.finish()
            server.admission.count_guest(3, 1)
        summary = server.peer.ledger.points()
        assert (summary.unreceipted_total, summary.pending) == (7 * len(BLOCKS) + 3, 0)
        assert server.admission.served.tokens == 7

    run(test)
