"""Who is let in, as whom, and what it is given: brings standing, fair use and accounting together for the RPC handlers.

Knows neither tensors nor streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from volunteer.points.orders import Order
from volunteer.server.accounting import CHUNK_TOKENS, CLAIM_TOKENS, Accounting, Bill, NotSigned, Send
from volunteer.server.fair_queue import Rank, Standing
from volunteer.server.fair_use import FairUse, UnfairUse
from volunteer.server.standing import Credit, Standings
from volunteer.swarm.peer_lists import PeerLists
from volunteer.swarm.rpc import Refused
from volunteer.swarm.traffic import Traffic


class TooBusy(Refused):
    """This server has as many open calls, in all or of this peer, as it takes."""


class NotListed(Refused):
    """The owner of this server has chosen whom to serve."""

    def __init__(self) -> None:
        super().__init__("This server is not for everybody")


@dataclass
class Served:
    """What this server has done for others since it started, and when they last saw it."""

    tokens: int = 0
    """Rows x new tokens of all inference steps, each counted once for the whole span."""
    sessions: int = 0
    open_sessions: int = 0
    last_request_at: float | None = None
    """`time.monotonic()` of the end of the last one."""
    seen_at: float | None = None
    """`time.monotonic()` of when another peer last gave this server's record back, or dialled it."""
    traffic: Traffic = field(default_factory=Traffic)
    owner: str | None = None
    """The peer id under which this machine's own questions come; they are no service to others."""

    def note_owner(self, peer_id: str) -> None:
        self.owner = peer_id

    def note_seen(self) -> None:
        self.seen_at = time.monotonic()


@dataclass(frozen=True)
class Books:
    """Who goes first on this server, and what is claimed for its work."""

    standings: Standings
    accounting: Accounting


@dataclass(frozen=True)
class Admission:
    """Args:
    served: what was done so far, to be added to.
    books: without them everybody but the owner is a guest, and nothing is written.
    peers: who is served, by peer id or account; the owner always is.
    fair_use: what the scheduler asks, too; limits hold without it as well, but do not order.
    """

    served: Served = field(default_factory=Served)
    books: Books | None = None
    peers: PeerLists = PeerLists()  # noqa: RUF009
    fair_use: FairUse = field(default_factory=FairUse)

    def check_listed(self, caller: str, *account: str) -> None:
        """Raises NotListed for whom the owner does not serve."""
        if caller != self.served.owner and not self.peers.admits(caller, *account):
            raise NotListed

    @contextlib.asynccontextmanager
    async def session(
        self, caller: str, metadata: dict[str, Any], blocks: range, send: Send
    ) -> AsyncIterator[ServedSession]:
        """A session that is let in, and what is counted of it.

        Args:
            metadata: of its first request.
            send: takes claims, as responses without tensors.

        Raises:
            BadMessage: its order is not good.
            NotListed, TooBusy: it is not let in.
        """
        order, credit = await self._credit(caller, metadata)
        standing = credit.standing
        is_owners = standing.rank is Rank.OWNER
        async with contextlib.AsyncExitStack() as stack:
            try:
                stack.enter_context(self.fair_use.session(standing))
            except UnfairUse as error:
                raise TooBusy(str(error)) from error
            bill = None
            if order is not None and not self.fair_use.may_be_billed(standing):
                order, credit = None, Credit(standing)  # a guest's to its end: nothing is drawn without a bill
            if self.books is not None and order is not None and not is_owners:
                note_unpaid = functools.partial(self.fair_use.note_unpaid, standing)
                billed = self.books.accounting.bill(order, blocks.start, blocks.stop, send, note_unpaid)
                bill = await stack.enter_async_context(billed)
            served = ServedSession(self, len(blocks), credit, bill)
            self.served.sessions += not is_owners
            self.served.open_sessions += 1
            try:
                yield served
            except (Refused, asyncio.CancelledError) as error:
                if bill is not None and not isinstance(error, NotSigned):
                    bill.excuse()
                raise
            finally:
                self.served.open_sessions -= 1
                await served.close()
                if bill is not None and 0 < served.tokens < CLAIM_TOKENS:
                    self.fair_use.note_short_bill(standing)

    def count_guest(self, tokens: int, num_blocks: int) -> None:
        """Work that nobody signs for."""
        if self.books is not None:
            self.books.accounting.count_guest(tokens, num_blocks)

    async def network_of(self, caller: str) -> str:
        """The network that a peer calls from, as text; empty where it is unknown."""
        return "" if self.books is None else await self.books.standings.prefix_of(caller)

    async def _credit(self, caller: str, metadata: dict[str, Any]) -> tuple[Order | None, Credit]:
        is_owners = caller == self.served.owner
        if self.books is None:
            self.check_listed(caller)
            return None, Credit(Standing(Rank.OWNER if is_owners else Rank.GUEST, caller))
        standings = self.books.standings
        order = standings.order(metadata, caller)
        self.check_listed(caller, *(() if order is None else (order.account,)))
        return order, await standings.credit(caller, order, metadata, is_owners=is_owners)


class ServedSession:
    """One session as far as it is counted, claimed and paid for."""

    def __init__(self, admission: Admission, num_blocks: int, credit: Credit, bill: Bill | None):
        self._admission = admission
        self._num_blocks = num_blocks
        self._credit = credit
        self._bill = bill
        """None where nobody signs: for guests without an account, and for the owner."""
        self.tokens = 0
        """Rows x tokens of all steps, the one under way with them."""
        self._drawn_units = self._claimed_units = 0
        """Of the bill, what has come off the credit, and what of that stands in the ledger."""
        self.standing = credit.standing
        """A contributor's becomes a guest's when what it is owed is used up."""

    def standing_for(self, tokens: int) -> Standing:
        """As whom a step of so many is served. More than a chunk has to be owed; so nobody gets a book for a word."""
        if self._bill is None or tokens <= CHUNK_TOKENS:
            return self._credit.standing
        return self._credit.standing_for(self._bill.charge(self.tokens + tokens) - self._drawn_units)

    async def before(self, tokens: int) -> None:
        """Waits until so many more may be computed, and takes them off what is owed to the account.

        Raises:
            NotSigned: what was computed before is not signed for.
        """
        bill = self._bill
        if bill is not None:
            await bill.before(tokens)
        self.standing = self.standing_for(tokens)
        self.tokens += tokens
        if bill is not None:
            units, self._drawn_units = bill.charge(self.tokens) - self._drawn_units, bill.charge(self.tokens)
            self._credit.draw(units)

    def count(self, tokens: int, outputs: bytes) -> None:
        """One step was computed, and is about to be sent.

        Args:
            tokens: rows x new tokens.
            outputs: as they are sent.
        """
        admission, standing = self._admission, self.standing
        admission.fair_use.note_tokens(standing, tokens)
        if standing.rank is not Rank.OWNER:
            admission.served.tokens += tokens
            admission.served.last_request_at = time.monotonic()
        if self._bill is not None:
            self._bill.count(tokens, outputs)
        elif standing.rank is not Rank.OWNER:
            admission.count_guest(tokens, self._num_blocks)

    async def note_sent(self) -> None:
        """What was counted is sent: it may be claimed."""
        if self._bill is not None:
            self._bill.note_sent()
            await self._note_claimed(self._bill)

    async def finish(self) -> None:
        """The client has what it wanted: claims what is left, and waits a moment for the signature."""
        if self._bill is not None:
            await self._bill.finish()

    async def close(self) -> None:
        """Claims what is left, whatever has ended the session, and gives back what was drawn and not done."""
        try:
            if self._bill is not None:
                await self._bill.close()
                await self._note_claimed(self._bill)
        finally:
            self._credit.close()

    async def _note_claimed(self, bill: Bill) -> None:
        units = bill.claimed_charge - self._claimed_units
        if units:
            self._claimed_units += units
            await self._credit.note_claimed(units)
