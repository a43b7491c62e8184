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

from volunteer.errors import UserError
from volunteer.points.ledger import AlreadySettled, Ledger
from volunteer.points.orders import Order
from volunteer.points.receipts import (
    BadReceipt,
    SignedHalf,
    Work,
    from_wire,
    parse_countersignature,
    to_wire,
    work_units,
)
from volunteer.swarm.rpc import BadMessage, ExpertResponse, PeerLost, Refused, pack_metadata, unpack_metadata

logger = logging.getLogger(__name__)

CHUNK_TOKENS = 256
"""Rows x tokens that a server does at most without a signature, but for a single longer step."""
CLAIM_TOKENS = CHUNK_TOKENS // 2
_SIGNING_TIMEOUT_S = 20.0
_LAST_SIGNATURE_S = 1.0
_LATE_SIGNATURE_S = 30.0
"""After the end of a session its last claim may still be signed, as over slow lines; then it counts as unpaid."""
_MAX_LATE = 16
"""Signatures at a time that no open session waits for: anybody may send such."""
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
        self._settling: set[bytes] = set()
        """Hashes of claims whose signatures are being written."""
        self._open: set[tuple[str, bytes]] = set()
        """Accounts and nonces of open sessions."""
        self._guest_tokens = 0
        self._guest_token_blocks = 0
        """Not units: those of single tokens would all be rounded down."""
        self._writing: asyncio.Task[None] | None = None
        self._is_ending = asyncio.Event()

    async def __aenter__(self) -> Accounting:
        self._writing = asyncio.create_task(self._write_unreceipted())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_ending.set()
        if self._writing is not None:
            await self._writing  # not cut off: what its thread has written would be written once more
        await self._write_guests()

    def count_guest(self, tokens: int, num_blocks: int) -> None:
        """Work for somebody who signs nothing."""
        self._guest_tokens += tokens
        self._guest_token_blocks += tokens * num_blocks

    @contextlib.asynccontextmanager
    async def bill(
        self, order: Order, start: int, end: int, send: Send, on_unpaid: Callable[[], None] = lambda: None
    ) -> AsyncIterator[Bill]:
        """The bill of one session. At its end what is left is claimed, whether or not the client still listens.

        Args:
            order: of the account that pays.
            start, end: blocks of the session.
            send: takes the claims, as responses without tensors.
            on_unpaid: called some time after the end if the client has still not signed.

        Raises:
            BadMessage: the order was used before.
        """
        name = order.account, order.nonce
        if name in self._open:
            raise BadMessage("an order that is being used")
        self._open.add(name)
        try:
            if await asyncio.to_thread(self._ledger.has_session, *name):
                raise BadMessage("an order that was used before")
            bill = Bill(self, self._empty_work(order, start, end), send)
            try:
                yield bill
            finally:
                await bill.close()
                asyncio.get_running_loop().call_later(_LATE_SIGNATURE_S, self._give_up, bill, on_unpaid)
        finally:
            self._open.discard(name)

    def _empty_work(self, order: Order, start: int, end: int) -> Work:
        return Work(
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

    async def settle(self, metadata: bytes) -> None:
        """Takes a countersignature, whoever brings it.

        Raises:
            BadMessage: it is none, or none that is waited for.
            Refused: there are too many that no session waits for.
            LedgerFailed: it cannot be written down; its session goes on without signatures.
        """
        try:
            half = from_wire(unpack_metadata(metadata).get("countersignature"))
            claim_hash = parse_countersignature(half.body).claim_hash
            is_late = claim_hash not in self._claimed
            if claim_hash in self._settling or (is_late and len(self._settling - self._claimed.keys()) >= _MAX_LATE):
                raise Refused("This server is busy with other signatures")
            self._settling.add(claim_hash)
            try:
                await asyncio.to_thread(self._ledger.settle, half)
            finally:
                self._settling.discard(claim_hash)
        except AlreadySettled:
            pass  # whoever brought it may have hung up before this server had taken note of it
        except UserError:
            bill = self._claimed.pop(claim_hash, None)
            if bill is not None:
                bill.note_unwritten()
            raise
        except BadReceipt as error:
            raise BadMessage(str(error)) from error
        bill = self._claimed.pop(claim_hash, None)
        if bill is not None:
            bill.note_settled()

    async def claim(self, bill: Bill, work: Work) -> SignedHalf:
        claim = await asyncio.to_thread(self._ledger.claim, work)
        self._claimed[claim.hash] = bill
        return claim

    def _give_up(self, bill: Bill, on_unpaid: Callable[[], None]) -> None:
        """Its last signature has not come in time, if one was asked for."""
        for claim_hash in [key for key, other in self._claimed.items() if other is bill]:
            del self._claimed[claim_hash]
        if bill.is_unpaid:
            on_unpaid()

    async def _write_unreceipted(self) -> None:
        while not self._is_ending.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WRITE_UNRECEIPTED_S):
                    await self._is_ending.wait()
            await self._write_guests()

    async def _write_guests(self) -> None:
        tokens, token_blocks = self._guest_tokens, self._guest_token_blocks
        if not tokens:
            return
        try:
            units = self.terms.units(token_blocks, 1)
            await asyncio.to_thread(self._ledger.add_unreceipted, self.terms.model, tokens, units)
        except Exception:
            logger.warning("What guests were given could not be written down", exc_info=True)
            return
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
        self._sent = 0, self._digest.digest()
        """Tokens and digest of what the client has, or what is on its way to it in front of any claim."""
        self._signed_tokens = 0
        self._is_waiting = False
        """A claim is out, or about to be, and not signed yet."""
        self._is_free = False
        """This server cannot write claims or signatures down, and does not ask for any more."""
        self._is_excused = False
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()
        self._claiming: set[asyncio.Task[None]] = set()

    @property
    def claimed_charge(self) -> int:
        """Of what is claimed, in units."""
        return self._claimed.charged

    @property
    def is_unpaid(self) -> bool:
        """Whether the client has left a claim unsigned that it was sent."""
        return self._is_waiting and not self._is_excused and not self._is_free

    @property
    def unsigned_tokens(self) -> int:
        return self._tokens - self._signed_tokens

    def charge(self, tokens: int) -> int:
        """For so many tokens since the session began, in units."""
        return self._units(tokens) * self._claimed.price_milli // 1000

    def excuse(self) -> None:
        """The session ends by this server's doing: what is not signed by then is not held against the client."""
        self._is_excused = True

    async def before(self, new_tokens: int) -> None:
        """Waits until so many more may be computed.

        Raises:
            NotSigned: the client does not sign.
        """
        try:
            async with asyncio.timeout(_SIGNING_TIMEOUT_S):
                while self.unsigned_tokens and self.unsigned_tokens + new_tokens > CHUNK_TOKENS and not self._is_free:
                    self._changed.clear()
                    self._claim_beside()
                    await self._changed.wait()
        except TimeoutError:
            raise NotSigned(f"{self.unsigned_tokens} tokens are not signed for") from None

    def count(self, tokens: int, outputs: bytes) -> None:
        """One step was computed, and is about to be sent.

        Args:
            tokens: rows x new tokens.
            outputs: as they are sent.
        """
        self._tokens += tokens
        self._digest.update(outputs)

    def note_sent(self) -> None:
        """What was counted is sent, and may be claimed."""
        self._sent = self._tokens, self._digest.digest()
        if self._tokens - self._claimed.tokens >= CLAIM_TOKENS:
            self._claim_beside()

    async def finish(self) -> None:
        """Claims what is left, and waits a moment for the signature."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SIGNATURE_S):
                while self.unsigned_tokens and not self._is_free:
                    self._changed.clear()
                    self._claim_beside()
                    await self._changed.wait()

    async def close(self) -> None:
        """Writes a claim of what is left: it is pending, and comes off what is owed to the account."""
        self._sent = self._tokens, self._digest.digest()
        await self._write()
        for task in self._claiming:  # its client has stopped to read
            task.cancel()
        if self._claiming:
            await asyncio.wait(tuple(self._claiming))

    def note_settled(self) -> None:
        self._is_waiting = False
        self._signed_tokens = self._claimed.tokens
        self._changed.set()
        if self._sent[0] - self._claimed.tokens >= CLAIM_TOKENS:
            self._claim_beside()

    def note_unwritten(self) -> None:
        """A full disk here is not the client's fault, and others are better served for nothing than not at all."""
        self._is_free = True
        self._changed.set()

    def _claim_beside(self) -> None:
        """Claims all that is sent, unless a claim is out or there is nothing to claim."""
        if not self._is_waiting and not self._is_free and self._sent[0] > self._claimed.tokens:
            self._is_waiting = True
            task = asyncio.create_task(self._claim())
            self._claiming.add(task)
            task.add_done_callback(self._claiming.discard)

    async def _claim(self) -> None:
        claim = await self._write()
        if claim is not None:
            with contextlib.suppress(PeerLost):  # the session ends by itself
                await self._send(ExpertResponse(metadata=pack_metadata({"claim": to_wire(claim)})))

    async def _write(self) -> SignedHalf | None:
        """A claim of all that is sent; None where there is nothing to claim, or it cannot be written."""
        async with self._writing:
            tokens, digest = self._sent
            if self._is_free or tokens <= self._claimed.tokens:
                return None
            work = dataclasses.replace(
                self._claimed,
                counter=self._claimed.counter + 1,
                tokens=tokens,
                units=self._units(tokens),
                charged=self.charge(tokens),
                digest=digest,
            )
            try:
                claim = await self._accounting.claim(self, work)
            except Exception as error:
                logger.warning(
                    "A claim could not be written: %s", error, exc_info=None if isinstance(error, UserError) else error
                )
                self.note_unwritten()
                return None
            self._claimed = work
            return claim

    def _units(self, tokens: int) -> int:
        return self._accounting.terms.units(tokens, self._claimed.end - self._claimed.start)
