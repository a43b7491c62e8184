"""What a client pays and what it does not sign, with the ledgers of both peers and a node that only carries calls."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from volunteer.client.account import Account, Offer, Payment, Purse
from volunteer.points.ledger import Ledger
from volunteer.points.ledger_file import LedgerFailed
from volunteer.points.orders import read_order
from volunteer.points.receipts import (
    NONCE_BYTES,
    Receipt,
    SignedHalf,
    Work,
    from_wire,
    make_claim,
    open_receipt,
    to_wire,
)
from volunteer.swarm.rpc import BadMessage, Method, PeerLost, RemoteError, unpack_metadata

NewPeer = Callable[..., Any]
BLOCKS, FLOPS = (2, 5), 10**6
UNITS_PER_TOKEN = 3


class Node:
    """Brings signatures to a server, unless it fails."""

    peer_id = "12D3KooWClient"

    def __init__(self, server: Any):
        self._server = server
        self.failure: Exception | None = None
        self.receipts: list[Receipt] = []

    async def call(self, peer_id: str, method: Method, request: Any, response_type: Any, *, timeout_s: float) -> Any:
        assert (peer_id, method) == (self._server.id, Method.SETTLE)
        if self.failure is not None:
            raise self.failure
        half = from_wire(unpack_metadata(request.metadata)["countersignature"])
        self.receipts.append(self._server.ledger.settle(half))
        return response_type()


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Talk:
    """A session: answers that came, and what the server says of them."""

    def __init__(self, new_peer: NewPeer, offer: Offer | None = None, make_ledger: type[Ledger] = Ledger):
        self.client, self.server = new_peer(make_ledger), new_peer()
        self.node, self.clock = Node(self.server), Clock()
        self.account = Account(self.client.identity, self.client.ledger, clock=self.clock)
        self.purse = Purse(self.account, FLOPS, offer)
        payment = self.pay()
        assert payment is not None
        self.payment: Payment = payment
        self.order: Any = None
        self._digest = hashlib.sha256()
        self._tokens = self._counter = 0

    def pay(self, server: str = "") -> Payment | None:
        return self.purse.payment(self.node, server or self.server.id, "model", BLOCKS)  # type: ignore[arg-type]

    async def open(self) -> None:
        metadata = await self.payment.opening()
        self.order = read_order(metadata["order"], client=Node.peer_id, server=self.server.id)

    def answer(self, tokens: int) -> None:
        outputs = b"outputs %d" % self._tokens
        self._tokens += tokens
        self._digest.update(outputs)
        self.payment.note_answer(tokens, outputs)

    def work(self, **changes: Any) -> Work:
        fields: dict[str, Any] = {
            "server": self.server.id,
            "client": self.client.id,
            "model": "model",
            "revision": "c" * 40,
            "start": BLOCKS[0],
            "end": BLOCKS[1],
            "number_format": "int8/float32",
            "nonce": self.order.nonce,
            "counter": self._counter + 1,
            "tokens": self._tokens,
            "units": UNITS_PER_TOKEN * self._tokens,
            "price_milli": self.order.price_milli,
            "digest": self._digest.digest(),
        } | changes
        return Work(charged=fields["units"] * fields["price_milli"] // 1000, **fields)

    def claim(self, **changes: Any) -> SignedHalf:
        half: SignedHalf = self.server.ledger.claim(self.work(**changes))
        self._counter += 1
        return half

    async def sign(self, half: SignedHalf) -> None:
        self.payment.sign_beside({"claim": to_wire(half)})
        await self.payment.wait_signed()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


def test_an_offer_is_in_thousandths_of_a_point() -> None:
    assert Offer.of(1.5) == Offer(1500) and Offer() == Offer(1000)


def test_what_came_is_signed_and_the_server_is_told(new_peer: NewPeer) -> None:
    async def test() -> None:
        talk = Talk(new_peer, Offer.of(2.0))
        await talk.open()
        assert (talk.order.account, talk.order.price_milli) == (talk.client.id, 2000)
        for tokens in (100, 1, 27):
            talk.answer(tokens)
        assert not talk.payment.is_settled
        await talk.sign(talk.claim())
        talk.answer(5)
        await talk.sign(talk.claim())
        assert talk.payment.is_settled
        assert [open_receipt(each)[0].work.tokens for each in talk.node.receipts] == [128, 133]
        assert talk.payment.charged == talk.purse.charged == 2 * UNITS_PER_TOKEN * 133
        assert talk.client.ledger.balance(talk.server.id).received == talk.purse.charged
        assert talk.server.ledger.balance(talk.client.id).given == talk.purse.charged
        assert talk.client.ledger.verify() == talk.server.ledger.verify() == []

    run(test)


def test_a_claim_may_be_of_the_first_of_several_answers(new_peer: NewPeer) -> None:
    async def test() -> None:
        talk = Talk(new_peer)
        await talk.open()
        talk.answer(100)
        half = talk.claim()
        talk.answer(28)
        await talk.sign(half)
        assert talk.purse.charged == 100 * UNITS_PER_TOKEN and not talk.payment.is_settled
        await talk.sign(talk.claim())
        assert talk.payment.is_settled

    run(test)


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": 101},
        {"tokens": 50, "units": 50 * UNITS_PER_TOKEN},
        {"units": 100 * UNITS_PER_TOKEN + 1},
        {"units": 0},
        {"digest": bytes(32)},
        {"price_milli": 10_000},
        {"start": 1},
        {"end": 6},
        {"model": "another"},
        {"nonce": bytes(NONCE_BYTES)},
    ],
    ids=str,
)
def test_a_claim_of_anything_but_what_came_is_not_signed(new_peer: NewPeer, changes: dict[str, Any]) -> None:
    async def test() -> None:
        talk = Talk(new_peer)
        await talk.open()
        talk.answer(100)
        with pytest.raises(BadMessage, match="cannot be signed"):
            await talk.sign(talk.claim(**changes))
        assert talk.purse.charged == 0 and not talk.node.receipts
        assert talk.client.ledger.balances() == {}

    run(test)


@pytest.mark.parametrize("changes", [{"revision": "d" * 40}, {"number_format": "float32"}, {"counter": 1}], ids=str)
def test_later_claims_have_the_terms_of_the_first(new_peer: NewPeer, changes: dict[str, Any]) -> None:
    async def test() -> None:
        talk = Talk(new_peer)
        await talk.open()
        talk.answer(100)
        await talk.sign(talk.claim())
        talk.answer(100)
        # Its own ledger would not let it.
        forged = make_claim(talk.server.identity, talk.work(**changes), 2, bytes([1]) * 32)
        with pytest.raises(BadMessage):
            await talk.sign(forged)
        assert talk.purse.charged == 100 * UNITS_PER_TOKEN

    run(test)


@pytest.mark.parametrize("claim", [None, 5, (1, 2, 3), (b"", b"", b"")], ids=str)
def test_what_is_no_claim_is_a_bad_message(new_peer: NewPeer, claim: Any) -> None:
    async def test() -> None:
        talk = Talk(new_peer)
        await talk.open()
        talk.answer(1)
        with pytest.raises(BadMessage):
            talk.payment.sign_beside({"claim": claim})

    run(test)


def test_what_others_signed_is_shown_and_read_again_after_a_while(new_peer: NewPeer) -> None:
    async def test() -> None:
        talk = Talk(new_peer)
        assert "vouchers" not in await talk.payment.opening()
        receipt = talk.client.works_for(new_peer(), 5)
        assert "vouchers" not in await talk.payment.opening()
        talk.clock.now_s += 61
        shown = (await talk.payment.opening())["vouchers"]
        assert [Receipt(from_wire(claim), from_wire(half)) for claim, half in shown] == [receipt]

    run(test)


def test_a_server_that_takes_no_signature_is_a_guests_for_a_while(new_peer: NewPeer) -> None:
    async def test() -> None:
        talk = Talk(new_peer)
        await talk.open()
        talk.answer(10)
        talk.node.failure = RemoteError("the peer has signed something else in this place of its chain")
        await talk.sign(talk.claim())
        assert talk.pay() is None and talk.pay(new_peer().id) is not None
        talk.clock.now_s += 301
        assert talk.pay() is not None

    run(test)


def test_a_server_that_was_out_of_reach_is_still_paid(new_peer: NewPeer) -> None:
    async def test() -> None:
        talk = Talk(new_peer)
        await talk.open()
        talk.answer(10)
        talk.node.failure = PeerLost("gone")
        await talk.sign(talk.claim())
        assert talk.pay() is not None
        assert talk.purse.charged == 10 * UNITS_PER_TOKEN  # it is signed, and may still come to it

    run(test)


def test_a_signature_that_was_lost_comes_with_the_next_session(new_peer: NewPeer) -> None:
    async def test() -> None:
        talk = Talk(new_peer)
        await talk.open()
        talk.answer(10)
        talk.node.failure = PeerLost("gone")
        await talk.sign(talk.claim())
        for failure, count in ((PeerLost("still gone"), 0), (None, 1), (None, 1)):
            talk.node.failure = failure
            again = talk.pay()
            assert again is not None
            await again.opening()
            await again.wait_signed()
            assert len(talk.node.receipts) == count
        assert talk.server.ledger.balance(talk.client.id).given == 10 * UNITS_PER_TOKEN

    run(test)


def test_a_late_signature_that_is_not_taken_is_no_reason_to_be_a_guest(new_peer: NewPeer) -> None:
    async def test() -> None:
        talk = Talk(new_peer)
        await talk.open()
        talk.answer(10)
        talk.node.failure = PeerLost("gone")
        await talk.sign(talk.claim())
        talk.node.failure = RemoteError("a countersignature of a claim that a later one stands for")
        again = talk.pay()
        assert again is not None
        await again.opening()
        await again.wait_signed()
        assert talk.pay() is not None

    run(test)


def test_a_server_that_lost_its_ledger_is_a_guests(new_peer: NewPeer, tmp_path: Any) -> None:
    async def test() -> None:
        talk = Talk(new_peer)
        await talk.open()
        talk.server.works_for(talk.client, 5)
        with Ledger(tmp_path / "anew.sqlite", talk.server.identity) as anew:
            talk.answer(10)
            await talk.sign(anew.claim(talk.work()))
        assert talk.pay() is None and talk.purse.charged == 0

    run(test)


class FullDisk(Ledger):
    def countersign(self, claim: SignedHalf, expected: Work) -> SignedHalf:
        raise LedgerFailed("The disk is full")

    def vouchers(self, limit: int) -> list[Receipt]:
        raise LedgerFailed("The disk is full")


def test_a_client_that_cannot_write_is_a_guest_everywhere(new_peer: NewPeer) -> None:
    async def test() -> None:
        talk = Talk(new_peer, make_ledger=FullDisk)
        await talk.open()
        talk.answer(10)
        await talk.sign(talk.claim())
        assert talk.pay() is None and talk.pay(new_peer().id) is None
        assert talk.purse.charged == 0 and not talk.node.receipts

    run(test)
