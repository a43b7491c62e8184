"""What this server has done in each session, claimed from the client and had countersigned.

Stop and wait: half a chunk is claimed as soon as it is done, the next half is computed while the signature is on its
way, and a client that does not sign gets nothing after one chunk. Signing and writing happen beside the answers, in
threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from volunteer.points.ledger import AlreadySettled, Ledger
from volunteer.points.orders import Order
from volunteer.points.receipts import BadReceipt, SignedHalf, Work, from_wire, to_wire, work_units
from volunteer.swarm.rpc import BadMessage, ExpertResponse, PeerLost, Refused, pack_metadata, unpack_metadata

logger = logging.getLogger(__name__)

CHUNK_TOKENS = 256
"""Rows x tokens that a server does at most without a signature, but for a single longer step."""
CLAIM_TOKENS = CHUNK_TOKENS // 2
_SIGNING_TIMEOUT_S = 20.0
_LAST_SIGNATURE_S = 1.0
_WRITE_UNRECEIPTED_S = 30.0

Send = Callable[[Any], Awaitable[None]]


class NotSigned(Refused):
    """The client has not signed for what it was given."""


@dataclass(frozen=True)
class Terms:
    """What is the same in all claims of one span.

    Args:
        server: this peer's id.
        model: DHT prefix.
        revision: commit of the checkpoint; empty for a local folder.
        number_format: of the weights, and of the activations where that is another one.
        block_flops: of one token in one block.
    """

    server: str
    model: str
    revision: str
    number_format: str
    block_flops: int

    def units(self, tokens: int, num_blocks: int) -> int:
        return work_units(tokens, num_blocks, self.block_flops)


class Accounting:
    """All sessions of a server. Use as `async with`: what guests were given is written now and then, and at the end."""

    def __init__(self, ledger: Ledger, terms: Terms):
        self.terms = terms
        self._ledger = ledger
        self._claimed: dict[bytes, Bill] = {}
        """By the hash of the claim that is to be signed."""
        self._guest_tokens = 0
        self._guest_token_blocks = 0
        """Not units: those of single tokens would all be rounded down."""
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Accounting:
        self._writing = asyncio.create_task(self._write_unreceipted())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait((self._writing,))
        await self._write_guests()

    def count_guest(self, tokens: int, num_blocks: int) -> None:
        """Work for somebody who signs nothing."""
        self._guest_tokens += tokens
        self._guest_token_blocks += tokens * num_blocks

    @contextlib.asynccontextmanager
    async def bill(self, order: Order, start: int, end: int, send: Send) -> AsyncIterator[Bill]:
        """The bill of one session.

        Args:
            order: of the account that pays.
            start, end: blocks of the session.
            send: takes the claims, as responses without tensors.
        """
        empty = Work(
            server=self.terms.server,
            client=order.account,
            model=self.terms.model,
            revision=self.terms.revision,
            start=start,
            end=end,
            number_format=self.terms.number_format,
            nonce=order.nonce,
            counter=0,
            tokens=0,
            units=0,
            charged=0,
            price_milli=order.price_milli,
            digest=hashlib.sha256().digest(),
        )
        bill = Bill(self, empty, send)
        try:
            yield bill
        finally:
            await bill.close()

    async def settle(self, metadata: bytes) -> None:
        """Takes a countersignature, whoever brings it.

        Raises:
            BadMessage: it is none, or none that is waited for.
        """
        try:
            half = from_wire(unpack_metadata(metadata).get("countersignature"))
            receipt = await asyncio.to_thread(self._ledger.settle, half)
        except AlreadySettled:
            return
        except BadReceipt as error:
            raise BadMessage(str(error)) from error
        bill = self._claimed.pop(receipt.claim.hash, None)
        if bill is not None:
            bill.note_settled()

    async def claim(self, bill: Bill, work: Work) -> SignedHalf:
        claim = await asyncio.to_thread(self._ledger.claim, work)
        self._claimed[claim.hash] = bill
        return claim

    def forget(self, bill: Bill) -> None:
        self._claimed = {key: other for key, other in self._claimed.items() if other is not bill}

    async def _write_unreceipted(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_UNRECEIPTED_S)
            try:
                await self._write_guests()
            except Exception:
                logger.warning("What guests were given could not be written down", exc_info=True)

    async def _write_guests(self) -> None:
        tokens, token_blocks = self._guest_tokens, self._guest_token_blocks
        if tokens:
            units = self.terms.units(token_blocks, 1)
            await asyncio.to_thread(self._ledger.add_unreceipted, self.terms.model, tokens, units)
            self._guest_tokens -= tokens
            self._guest_token_blocks -= token_blocks


class Bill:
    """What one session was given, and what of it is signed."""

    def __init__(self, accounting: Accounting, empty: Work, send: Send):
        self._accounting = accounting
        self._claimed = empty
        """The last claim; a new one says at least as much."""
        self._send = send
        self._tokens = 0
        self._digest = hashlib.sha256()
        self._signed_tokens = 0
        self._signed_charge = 0
        self._is_waiting = False
        """A claim is out and not signed yet."""
        self._claiming: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()

    @property
    def account(self) -> str:
        return self._claimed.client

    @property
    def charged(self) -> int:
        """Of what is signed, in units."""
        return self._signed_charge

    @property
    def is_unsigned(self) -> bool:
        """Whether a claim is out that the client has not signed."""
        return self._is_waiting

    @property
    def unsigned_tokens(self) -> int:
        return self._tokens - self._signed_tokens

    async def before(self, new_tokens: int) -> None:
        """Waits until so many more may be computed.

        Raises:
            NotSigned: the client does not sign.
        """
        if self.unsigned_tokens == 0 or self.unsigned_tokens + new_tokens <= CHUNK_TOKENS:
            return
        try:
            async with asyncio.timeout(_SIGNING_TIMEOUT_S):
                while self.unsigned_tokens and self.unsigned_tokens + new_tokens > CHUNK_TOKENS:
                    self._settled.clear()
                    self._claim_beside()
                    await self._settled.wait()
        except TimeoutError:
            raise NotSigned(f"{self.unsigned_tokens} tokens are not signed for") from None

    def count(self, tokens: int, outputs: bytes) -> None:
        """One step was computed.

        Args:
            tokens: rows x new tokens.
            outputs: as they are sent.
        """
        self._tokens += tokens
        self._digest.update(outputs)
        if self._tokens - self._claimed.tokens >= CLAIM_TOKENS:
            self._claim_beside()

    async def finish(self) -> None:
        """Claims what is left, and waits a moment for the signature."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SIGNATURE_S):
                while self.unsigned_tokens:
                    self._settled.clear()
                    self._claim_beside()
                    await self._settled.wait()

    async def close(self) -> None:
        if self._claiming is not None:
            await asyncio.wait((self._claiming,))  # it writes: what it has claimed is pending
        self._accounting.forget(self)

    def note_settled(self) -> None:
        self._is_waiting = False
        self._signed_tokens, self._signed_charge = self._claimed.tokens, self._claimed.charged
        self._settled.set()
        if self._tokens - self._claimed.tokens >= CLAIM_TOKENS:
            self._claim_beside()

    def _claim_beside(self) -> None:
        """Claims all that is done, unless a claim is out or there is nothing to claim."""
        is_busy = self._claiming is not None and not self._claiming.done()
        if not is_busy and not self._is_waiting and self._tokens > self._claimed.tokens:
            self._is_waiting = True
            self._claiming = asyncio.create_task(self._claim())

    async def _claim(self) -> None:
        before = self._claimed
        units = self._accounting.terms.units(self._tokens, before.end - before.start)
        work = dataclasses.replace(
            before,
            counter=before.counter + 1,
            tokens=self._tokens,
            units=units,
            charged=units * before.price_milli // 1000,
            digest=self._digest.digest(),
        )
        try:
            claim = await self._accounting.claim(self, work)
            self._claimed = work
            await self._send(ExpertResponse(metadata=pack_metadata({"claim": to_wire(claim)})))
        except PeerLost:
            pass  # the session ends by itself
        except Exception:
            logger.exception("A claim could not be made")
