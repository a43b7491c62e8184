"""Who is let in, as whom, and what it is given: brings standing, fair use and accounting together for the RPC handlers.

Knows neither tensors nor streams.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from volunteer.points.orders import Order
from volunteer.server.accounting import Accounting, Bill, Send
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
        is_owners = credit.standing.rank is Rank.OWNER
        async with contextlib.AsyncExitStack() as stack:
            try:
                stack.enter_context(self.fair_use.session(credit.standing))
            except UnfairUse as error:
                raise TooBusy(str(error)) from error
            bill = None
            if self.books is not None and order is not None and not is_owners:
                billed = self.books.accounting.bill(order, blocks.start, blocks.stop, send)
                bill = await stack.enter_async_context(billed)
            self.served.sessions += not is_owners
            self.served.open_sessions += 1
            try:
                yield ServedSession(self, len(blocks), credit, bill)
            finally:
                self.served.open_sessions -= 1
                if bill is not None and bill.is_unsigned:
                    self.fair_use.note_unpaid(credit.standing)

    def count_guest(self, tokens: int, num_blocks: int) -> None:
        """Work that nobody signs for."""
        if self.books is not None:
            self.books.accounting.count_guest(tokens, num_blocks)

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
        self._paid_units = 0
        """What of the bill has come off the credit."""

    @property
    def standing(self) -> Standing:
        """A contributor's becomes a guest's when what it is owed is used up."""
        return self._credit.standing

    async def before(self, tokens: int) -> None:
        """Waits until so many more may be computed. Raises NotSigned."""
        if self._bill is not None:
            await self._bill.before(tokens)

    async def count(self, tokens: int, outputs: bytes) -> None:
        """One step was computed and sent.

        Args:
            tokens: rows x new tokens.
            outputs: as they were sent.
        """
        admission, standing = self._admission, self.standing
        admission.fair_use.note_tokens(standing, tokens)
        if standing.rank is not Rank.OWNER:
            admission.served.tokens += tokens
            admission.served.last_request_at = time.monotonic()
        if self._bill is not None:
            self._bill.count(tokens, outputs)
            await self._note_paid(self._bill)
        elif standing.rank is not Rank.OWNER:
            admission.count_guest(tokens, self._num_blocks)

    async def finish(self) -> None:
        """The client has what it wanted: claims what is left, and waits a moment for the signature."""
        if self._bill is not None:
            await self._bill.finish()
            await self._note_paid(self._bill)

    async def _note_paid(self, bill: Bill) -> None:
        if bill.charged > self._paid_units:
            paid, self._paid_units = bill.charged - self._paid_units, bill.charged
            await self._credit.note_paid(paid)
