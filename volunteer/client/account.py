"""Who pays for this client's sessions, and how: orders before a session, countersignatures while it runs.

Signing and writing happen in threads, beside the answers. Knows nothing of hidden states.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from volunteer.errors import UserError
from volunteer.points.identity import Identity
from volunteer.points.ledger import Ledger
from volunteer.points.orders import Order, sign_order
from volunteer.points.receipts import (
    NONCE_BYTES,
    PRICES_MILLI,
    BadReceipt,
    SignedHalf,
    Work,
    from_wire,
    read_claim,
    to_wire,
    work_units,
)
from volunteer.swarm.node import SwarmNode
from volunteer.swarm.rpc import BadMessage, ExpertRequest, ExpertResponse, Method, PeerLost, RemoteError, pack_metadata

logger = logging.getLogger(__name__)

_MAX_VOUCHERS = 4
"""Receipts that go with an order; a kilobyte each."""
_VOUCHERS_AGE_S = 60.0
_SETTLE_TIMEOUT_S = 10.0
_MAX_UNHEARD = 8
"""Signatures that a server was not reached with, the last ones, until it is spoken to again."""
_GUEST_S = 300.0
"""So long a server is spoken to as by a guest after it could not be paid: better than a session that ends with each
chunk."""


@dataclass(frozen=True)
class Offer:
    """What is offered for each point of work, in thousandths of a point."""

    price_milli: int = PRICES_MILLI.start

    @classmethod
    def of(cls, points: float) -> Offer:
        """Args: points: for each point of work, from 1 to 10."""
        return cls(round(1000 * points))


class Account:
    """The owner's account, as all sessions of a client use it.

    Args:
        identity: signs; its peer id is the account.
        ledger: where what was signed stands.
        offer: for sessions that make none of their own, asked for at the start of each.
        clock: seconds.
    """

    def __init__(
        self,
        identity: Identity,
        ledger: Ledger,
        offer: Callable[[], Offer] = Offer,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.identity = identity
        self.ledger = ledger
        self.offer = offer
        self._clock = clock
        self._vouchers: tuple[Any, ...] = ()
        self._vouchers_read_at = float("-inf")
        self._not_paid_at: dict[str, float] = {}
        """When a server, or with an empty name any of them, could not be paid."""
        self._unheard: dict[str, collections.deque[Any]] = {}

    async def vouchers(self) -> tuple[Any, ...]:
        """What others have signed that we did for them, as an opening shows it to servers that know those others."""
        now = self._clock()
        if now - self._vouchers_read_at > _VOUCHERS_AGE_S:
            self._vouchers_read_at = now
            try:
                receipts = await asyncio.to_thread(self.ledger.vouchers, _MAX_VOUCHERS)
            except UserError as error:
                logger.warning("Nothing can be shown of what this account has done: %s", error)
                receipts = []
            self._vouchers = tuple((to_wire(each.claim), to_wire(each.countersignature)) for each in receipts)
        return self._vouchers

    def can_pay(self, server: str) -> bool:
        """Whether there is no reason to think that a claim of this server could not be signed."""
        since = self._clock() - _GUEST_S
        return all(self._not_paid_at.get(name, since) <= since for name in ("", server))

    def note_not_paid(self, server: str = "") -> None:
        """A server could not be paid; no server at all, if it is not named."""
        self._not_paid_at[server] = self._clock()

    def note_unheard(self, server: str, signature: Any) -> None:
        """A server was not reached with a signature (`ExpertRequest`): it gets it when it is spoken to again."""
        self._unheard.setdefault(server, collections.deque(maxlen=_MAX_UNHEARD)).append(signature)

    def take_unheard(self, server: str) -> tuple[Any, ...]:
        return tuple(self._unheard.pop(server, ()))


class Purse:
    """What one session is allowed to pay, and has paid, to all of its servers.

    Args:
        account: who pays.
        block_flops: of one token in one block of the model.
        offer: for this session; the account's by default.
    """

    def __init__(self, account: Account, block_flops: int, offer: Offer | None = None):
        self.account = account
        self.offer = offer or account.offer()
        self._block_flops = block_flops
        self._payments: list[Payment] = []

    @property
    def charged(self) -> int:
        """Of what was signed, in units."""
        return sum(payment.charged for payment in self._payments)

    def payment(self, node: SwarmNode, server: str, model: str, blocks: tuple[int, int]) -> Payment | None:
        """For one call of a server; None where that cannot be paid at present."""
        if not self.account.can_pay(server):
            return None
        payment = Payment(
            self.account, node, server, model=model, blocks=blocks, block_flops=self._block_flops, offer=self.offer
        )
        self._payments.append(payment)
        return payment


class Payment:
    """What is signed for one call of `rpc_inference`.

    Args:
        account: who pays.
        server: who does the work.
        model: DHT prefix.
        blocks: `start:end` of the session.
        block_flops: of one token in one block.
        offer: for this session.
    """

    def __init__(
        self,
        account: Account,
        node: SwarmNode,
        server: str,
        *,
        model: str,
        blocks: tuple[int, int],
        block_flops: int,
        offer: Offer,
    ):
        self._account = account
        self._node = node
        self._server = server
        self._model = model
        self._blocks = blocks
        self._block_flops = block_flops
        self._offer = offer
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._digest = hashlib.sha256()
        self._tokens = 0
        self._unclaimed: collections.deque[tuple[int, bytes]] = collections.deque()
        """Tokens and digest after each answer since the last claim."""
        self._checked: Work | None = None
        """The last claim that was found to be true."""
        self._signing: set[asyncio.Task[None]] = set()
        self.charged = 0
        """Of what was signed, in units."""

    @property
    def is_settled(self) -> bool:
        """Whether all that came was claimed and signed, and the server told."""
        return not self._unclaimed and not self._signing

    async def opening(self) -> dict[str, Any]:
        """For the metadata of the first request. What the server was not reached with before is brought beside it."""
        for signature in self._account.take_unheard(self._server):
            self._start(self._bring_late(signature))
        order = Order(
            self._account.identity.peer_id, self._node.peer_id, self._server, self._nonce, self._offer.price_milli
        )
        metadata: dict[str, Any] = {
            "order": sign_order(self._account.identity, order),
            "points": self._offer.price_milli / 1000,
        }
        if vouchers := await self._account.vouchers():
            metadata["vouchers"] = vouchers
        return metadata

    def note_answer(self, tokens: int, outputs: bytes) -> None:
        """Args: tokens: rows x new; outputs: as they came."""
        self._tokens += tokens
        self._digest.update(outputs)
        if tokens:
            self._unclaimed.append((self._tokens, self._digest.digest()))

    def sign_beside(self, metadata: dict[str, Any]) -> None:
        """Looks at a claim, and signs it while the session goes on.

        Raises:
            BadMessage: it does not say what was done.
        """
        try:
            claim = from_wire(metadata.get("claim"))
            expected = self._expected(read_claim(claim))
        except BadReceipt as error:
            raise BadMessage(f"a claim that cannot be signed: {error}") from error
        self._start(self._sign(claim, expected))

    async def wait_signed(self) -> None:
        """Returns once every claim that came is signed, and its server told."""
        while self._signing:
            await asyncio.wait(tuple(self._signing))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._signing.add(task)
        task.add_done_callback(self._signing.discard)

    def _expected(self, claimed: Work) -> Work:
        """What a true claim says at this point; takes the answers off that it is about."""
        digest = None
        while self._unclaimed and self._unclaimed[0][0] <= claimed.tokens:
            tokens, digest_then = self._unclaimed.popleft()
            digest = digest_then if tokens == claimed.tokens else None
        if digest is None:
            raise BadReceipt(f"{claimed.tokens} tokens, which is not what came")
        before = self._checked
        start, end = self._blocks
        units = work_units(claimed.tokens, end - start, self._block_flops)
        expected = Work(
            server=self._server,
            client=self._account.identity.peer_id,
            model=self._model,
            # These are the server's own word, and have to stay what they are.
            revision=claimed.revision if before is None else before.revision,
            number_format=claimed.number_format if before is None else before.number_format,
            start=start,
            end=end,
            nonce=self._nonce,
            counter=1 if before is None else before.counter + 1,
            tokens=claimed.tokens,
            units=units,
            charged=units * self._offer.price_milli // 1000,
            price_milli=self._offer.price_milli,
            digest=digest,
        )
        if expected != claimed:
            wrong = [
                field.name
                for field in dataclasses.fields(Work)
                if getattr(expected, field.name) != getattr(claimed, field.name)
            ]
            raise BadReceipt(f"{', '.join(wrong)} are not as they were")
        self._checked = expected
        return expected

    async def _sign(self, claim: SignedHalf, expected: Work) -> None:
        try:
            half = await asyncio.to_thread(self._account.ledger.countersign, claim, expected)
            self.charged = max(self.charged, expected.charged)
            await self._bring(ExpertRequest(metadata=pack_metadata({"countersignature": to_wire(half)})))
        except RemoteError as error:
            self._account.note_not_paid(self._server)
            logger.info("%s did not take a signature: %s", self._server, error)
        except BadReceipt as error:
            self._account.note_not_paid(self._server)
            logger.warning("A claim of %s is not signed: %s", self._server, error)
        except UserError as error:
            self._account.note_not_paid()
            logger.warning("Nothing can be signed: %s", error)
        except Exception:
            self._account.note_not_paid(self._server)
            logger.exception("A claim of %s could not be signed", self._server)

    async def _bring(self, signature: Any) -> None:
        """Raises RemoteError: the server does not take it."""
        try:
            await self._node.call(self._server, Method.SETTLE, signature, ExpertResponse, timeout_s=_SETTLE_TIMEOUT_S)
        except PeerLost as error:
            self._account.note_unheard(self._server, signature)
            logger.info("%s was not reached with a signature: %s", self._server, error)

    async def _bring_late(self, signature: Any) -> None:
        try:
            await self._bring(signature)
        except RemoteError as error:  # it had it before, or has a later one: no reason not to go on with it
            logger.info("%s did not take an earlier signature: %s", self._server, error)
