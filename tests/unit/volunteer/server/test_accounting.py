"""What a server claims of a session and when it goes on, with the ledgers of both peers and no network."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from volunteer.points.ledger import Ledger
from volunteer.points.ledger_file import LedgerFailed
from volunteer.points.orders import Order
from volunteer.points.receipts import (
    NONCE_BYTES,
    Receipt,
    SignedHalf,
    Work,
    from_wire,
    make_countersignature,
    read_claim,
    to_wire,
)
from volunteer.server import accounting
from volunteer.server.accounting import CHUNK_TOKENS, CLAIM_TOKENS, Accounting, Bill, NotSigned, Terms
from volunteer.swarm.rpc import BadMessage, PeerLost, Refused, pack_metadata, unpack_metadata

NewPeer = Callable[..., Any]
BLOCKS, FLOPS = 2, 10**6
UNITS_PER_TOKEN = 2


class Client:
    """The other end of a session: has what was sent, and signs for it."""

    def __init__(self, peer: Any):
        self.peer = peer
        self.claims: list[SignedHalf] = []
        self.is_gone = False
        self.came = asyncio.Event()
        self.outputs = hashlib.sha256()

    async def receive(self, response: Any) -> None:
        if self.is_gone:
            raise PeerLost("gone")
        self.claims.append(from_wire(unpack_metadata(response.metadata)["claim"]))
        self.came.set()

    async def next_claim(self) -> Work:
        await self.came.wait()
        self.came.clear()
        return read_claim(self.claims[-1])

    def signature(self) -> bytes:
        claim = self.claims[-1]
        return countersignature(self.peer.ledger.countersign(claim, read_claim(claim)))


class Server:
    def __init__(self, peer: Any):
        self.peer = peer
        terms = Terms(peer.id, "model", "", "float32", FLOPS)
        self.accounting = Accounting(peer.ledger, terms)

    def order(self, client: Client, **changes: Any) -> Order:
        fields: dict[str, Any] = {"nonce": secrets.token_bytes(NONCE_BYTES), "price_milli": 1000} | changes
        return Order(client.peer.id, "12D3KooWClient", self.peer.id, **fields)

    def bill(self, client: Client, order: Order | None = None, **options: Any) -> Any:
        return self.accounting.bill(order or self.order(client), 0, BLOCKS, client.receive, **options)


def countersignature(half: SignedHalf) -> bytes:
    return pack_metadata({"countersignature": to_wire(half)})


async def give(bill: Bill, client: Client, tokens: int) -> None:
    await bill.before(tokens)
    outputs = secrets.token_bytes(8)
    bill.count(tokens, outputs)
    client.outputs.update(outputs)
    bill.note_sent()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


@pytest.fixture
def server(new_peer: NewPeer) -> Server:
    return Server(new_peer())


@pytest.fixture
def client(new_peer: NewPeer) -> Client:
    return Client(new_peer())


def test_half_a_chunk_is_claimed_and_the_next_half_goes_on_meanwhile(server: Server, client: Client) -> None:
    async def test() -> None:
        async with server.bill(client) as bill:
            await give(bill, client, CLAIM_TOKENS - 1)
            await asyncio.sleep(0)
            assert not client.claims
            await give(bill, client, 1)
            digest = client.outputs.digest()
            await asyncio.sleep(0)
            await give(bill, client, CHUNK_TOKENS - CLAIM_TOKENS)
            work = await client.next_claim()
            assert (work.counter, work.tokens, work.digest) == (1, CLAIM_TOKENS, digest)
            assert (work.units, work.charged) == (UNITS_PER_TOKEN * CLAIM_TOKENS,) * 2
            assert len(client.claims) == 1  # one is out at a time
            await server.accounting.settle(client.signature())
            work = await client.next_claim()
            assert (work.counter, work.tokens, work.digest) == (2, CHUNK_TOKENS, client.outputs.digest())
            await server.accounting.settle(client.signature())
            assert bill.unsigned_tokens == 0
        assert server.peer.ledger.balance(client.peer.id).given == UNITS_PER_TOKEN * CHUNK_TOKENS
        assert client.peer.ledger.balance(server.peer.id).received == UNITS_PER_TOKEN * CHUNK_TOKENS
        assert server.peer.ledger.verify() == client.peer.ledger.verify() == []

    run(test)


def test_a_step_waits_for_the_signature_that_it_needs(server: Server, client: Client) -> None:
    async def test() -> None:
        async with server.bill(client) as bill:
            await give(bill, client, CHUNK_TOKENS)
            step = asyncio.create_task(give(bill, client, 1))
            await client.next_claim()
            assert not step.done()
            await server.accounting.settle(client.signature())
            await step

    run(test)


def test_a_client_that_does_not_sign_gets_no_more_than_a_chunk(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "_SIGNING_TIMEOUT_S", 0.05)

    async def test() -> None:
        given = 0
        with pytest.raises(NotSigned, match="256 tokens"):
            async with server.bill(client) as bill:
                while True:
                    await give(bill, client, 1)
                    given += 1
        assert given == CHUNK_TOKENS
        assert server.peer.ledger.balance(client.peer.id).pending == UNITS_PER_TOKEN * CHUNK_TOKENS

    run(test)


def test_a_longer_step_is_computed_when_all_before_it_is_signed(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "_SIGNING_TIMEOUT_S", 0.05)

    async def test() -> None:
        async with server.bill(client) as bill:
            await give(bill, client, 2000)
            with pytest.raises(NotSigned):
                await bill.before(2000)
            await server.accounting.settle(client.signature())
            await give(bill, client, 2000)

    run(test)


def test_the_rest_is_claimed_at_the_end(server: Server, client: Client) -> None:
    async def test() -> None:
        async with server.bill(client) as bill:
            await give(bill, client, 3)
            finishing = asyncio.create_task(bill.finish())
            assert (await client.next_claim()).tokens == 3
            await server.accounting.settle(client.signature())
            await finishing
            assert not bill.is_unpaid

    run(test)


@pytest.mark.parametrize("tokens", [5, CLAIM_TOKENS - 1, CLAIM_TOKENS + 5])
def test_whoever_hangs_up_has_it_on_the_bill_all_the_same(server: Server, client: Client, tokens: int) -> None:
    async def test() -> None:
        with pytest.raises(PeerLost):
            async with server.bill(client) as bill:
                for _ in range(tokens - 1):
                    await give(bill, client, 1)
                bill.count(1, b"never sent")
                client.is_gone = True
                raise PeerLost("gone")
        assert server.peer.ledger.balance(client.peer.id).pending == UNITS_PER_TOKEN * tokens
        assert server.peer.ledger.verify() == []

    run(test)


def test_nothing_is_claimed_before_it_is_sent(server: Server, client: Client) -> None:
    async def test() -> None:
        async with server.bill(client) as bill:
            await give(bill, client, CLAIM_TOKENS)
            await client.next_claim()
            await bill.before(CLAIM_TOKENS)
            bill.count(CLAIM_TOKENS, b"on its way")
            await server.accounting.settle(client.signature())
            await asyncio.sleep(0.05)
            assert len(client.claims) == 1
            bill.note_sent()
            assert (await client.next_claim()).tokens == 2 * CLAIM_TOKENS

    run(test)


def test_a_client_that_does_not_read_holds_no_session_open(server: Server, client: Client) -> None:
    is_stuck = asyncio.Event()

    async def stuck(response: Any) -> None:
        is_stuck.set()
        await asyncio.Event().wait()

    async def test() -> None:
        async with server.accounting.bill(server.order(client), 0, BLOCKS, stuck) as bill:
            await give(bill, client, CLAIM_TOKENS)
            await is_stuck.wait()

    run(test)


def test_an_order_is_good_for_one_session(server: Server, client: Client) -> None:
    order = server.order(client)

    async def test() -> None:
        async with server.bill(client, order) as bill:
            with pytest.raises(BadMessage, match="being used"):
                async with server.bill(client, order):
                    pass
            async with server.bill(client, server.order(client)):
                await give(bill, client, 1)
        with pytest.raises(BadMessage, match="used before"):
            async with server.bill(client, order):
                pass
        assert not server.accounting._open

    run(test)


class SlowLedger(Ledger):
    """Writes signatures once it is let."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.is_asked, self.may_write, self.has_written = (threading.Event() for _ in range(3))

    def settle(self, countersignature: SignedHalf) -> Any:
        self.is_asked.set()
        assert self.may_write.wait(20)
        receipt = super().settle(countersignature)
        self.has_written.set()
        return receipt


def test_a_signature_whose_bringer_hung_up_counts_when_it_comes_again(new_peer: NewPeer, client: Client) -> None:
    server = Server(new_peer(SlowLedger))

    async def test() -> None:
        async with server.bill(client) as bill:
            await give(bill, client, CLAIM_TOKENS)
            await client.next_claim()
            signature = client.signature()
            first = asyncio.create_task(server.accounting.settle(signature))
            await asyncio.to_thread(server.peer.ledger.is_asked.wait)
            first.cancel()
            await asyncio.wait((first,))
            server.peer.ledger.may_write.set()
            await asyncio.to_thread(server.peer.ledger.has_written.wait)
            await server.accounting.settle(signature)
            assert bill.unsigned_tokens == 0

    run(test)


@pytest.mark.parametrize("signs_late", [True, False])
def test_a_signature_may_come_somewhat_late(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch, signs_late: bool
) -> None:
    monkeypatch.setattr(accounting, "_LAST_SIGNATURE_S", 0.02)
    monkeypatch.setattr(accounting, "_LATE_SIGNATURE_S", 0.2)
    unpaid: list[bool] = []

    async def test() -> None:
        async with server.bill(client, on_unpaid=lambda: unpaid.append(True)) as bill:
            await give(bill, client, 3)
            await bill.finish()
        assert unpaid == []
        if signs_late:
            await server.accounting.settle(client.signature())
        await asyncio.sleep(0.3)
        assert unpaid == ([] if signs_late else [True])
        assert not server.accounting._claimed

    run(test)


@pytest.mark.parametrize("is_our_doing", [True, False])
def test_a_session_that_this_server_ends_is_not_held_against_the_client(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch, is_our_doing: bool
) -> None:
    monkeypatch.setattr(accounting, "_LATE_SIGNATURE_S", 0.02)
    unpaid: list[bool] = []

    async def test() -> None:
        async with server.bill(client, on_unpaid=lambda: unpaid.append(True)) as bill:
            await give(bill, client, CLAIM_TOKENS)
            await client.next_claim()
            if is_our_doing:
                bill.excuse()
        await asyncio.sleep(0.1)
        assert unpaid == ([] if is_our_doing else [True])

    run(test)


class FullDisk(Ledger):
    def claim(self, work: Work) -> SignedHalf:
        raise LedgerFailed("The disk is full")


def test_a_server_that_cannot_write_serves_for_nothing(
    new_peer: NewPeer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "_LATE_SIGNATURE_S", 0.02)
    server = Server(new_peer(FullDisk))
    unpaid: list[bool] = []

    async def test() -> None:
        async with server.bill(client, on_unpaid=lambda: unpaid.append(True)) as bill:
            for _ in range(4):
                await give(bill, client, CLAIM_TOKENS)
            await bill.finish()
        await asyncio.sleep(0.1)
        assert not unpaid and not client.claims

    run(test)


class NoRoomForSignatures(Ledger):
    def settle(self, countersignature: SignedHalf) -> Receipt:
        raise LedgerFailed("The disk is full")


def test_a_signature_that_cannot_be_written_is_not_held_against_the_client(
    new_peer: NewPeer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "_LATE_SIGNATURE_S", 0.02)
    monkeypatch.setattr(accounting, "_SIGNING_TIMEOUT_S", 0.1)
    server = Server(new_peer(NoRoomForSignatures))
    unpaid: list[bool] = []

    async def test() -> None:
        async with server.bill(client, on_unpaid=lambda: unpaid.append(True)) as bill:
            await give(bill, client, CLAIM_TOKENS)
            await client.next_claim()
            with pytest.raises(LedgerFailed):
                await server.accounting.settle(client.signature())
            for _ in range(4):
                await give(bill, client, CLAIM_TOKENS)
            await bill.finish()
        await asyncio.sleep(0.1)
        assert not unpaid and len(client.claims) == 1

    run(test)


def test_signatures_of_strangers_do_not_keep_those_that_are_waited_for_out(new_peer: NewPeer, client: Client) -> None:
    server, stranger = Server(new_peer(SlowLedger)), new_peer()

    def made_up() -> bytes:
        claim = SignedHalf(secrets.token_bytes(16), b"", b"")
        return countersignature(make_countersignature(stranger.identity, claim, 2, bytes([1]) * 32))

    async def test() -> None:
        async with server.bill(client) as bill:
            await give(bill, client, CLAIM_TOKENS)
            await client.next_claim()
            flood = [asyncio.create_task(server.accounting.settle(made_up())) for _ in range(500)]
            wanted = asyncio.create_task(server.accounting.settle(client.signature()))
            await asyncio.sleep(0.05)
            refused = [task for task in flood if task.done()]
            assert len(refused) > 480 and all(isinstance(task.exception(), Refused) for task in refused)
            assert not wanted.done()
            server.peer.ledger.may_write.set()
            await wanted
            assert bill.unsigned_tokens == 0
            errors = await asyncio.gather(*flood, return_exceptions=True)
            assert all(isinstance(error, Refused | BadMessage) for error in errors)

    run(test)


def test_the_work_of_guests_is_written_at_the_end(server: Server) -> None:
    async def test() -> None:
        async with server.accounting:
            for _ in range(3):
                server.accounting.count_guest(5, BLOCKS)
        days = server.peer.ledger.days()
        assert [(day.unreceipted_tokens, day.unreceipted) for day in days.values()] == [(15, 15 * UNITS_PER_TOKEN)]

    run(test)


class NoRoomForGuests(Ledger):
    def add_unreceipted(self, model: str, tokens: int, units: int) -> None:
        raise LedgerFailed("The disk is full")


def test_a_server_ends_in_order_when_the_work_of_guests_cannot_be_written(
    new_peer: NewPeer, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(new_peer(NoRoomForGuests))

    async def test() -> None:
        async with server.accounting:
            server.accounting.count_guest(5, BLOCKS)

    run(test)
    assert "could not be written down" in caplog.text


class SlowForGuests(Ledger):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.is_writing, self.may_return = threading.Event(), threading.Event()

    def add_unreceipted(self, model: str, tokens: int, units: int) -> None:
        super().add_unreceipted(model, tokens, units)
        self.is_writing.set()
        assert self.may_return.wait(20)


def test_the_work_of_guests_that_is_being_written_at_the_end_is_written_once(
    new_peer: NewPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "_WRITE_UNRECEIPTED_S", 0.01)
    server = Server(new_peer(SlowForGuests))
    ledger = server.peer.ledger

    async def test() -> None:
        async with server.accounting:
            server.accounting.count_guest(5, BLOCKS)
            await asyncio.to_thread(ledger.is_writing.wait, 20)
            asyncio.get_running_loop().call_later(0.1, ledger.may_return.set)
        assert ledger.points().unreceipted_total == 5 * UNITS_PER_TOKEN

    run(test)
