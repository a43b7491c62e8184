"""Limits on what one account, or one network, may take of a server: open sessions, tokens per minute, unpaid work,
receipts for next to nothing.

Knows neither sessions nor sockets. A heavy client slows itself only: who has more than its rate waits behind its
equals, and only while they wait. Networks count for those whose identities are free to make: guests, and contributors
who are such on the word of another.
"""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Callable, Iterator

from volunteer.server.fair_queue import Rank, Standing
from volunteer.swarm.levels import Levels

ACCOUNT_SESSIONS = 128
"""Open ones: a batch of as many rows, of which a client of Petals' opens one each."""
PREFIX_SESSIONS = 256
"""Of the guests of a network, which may be a house, a school or a provider's customers behind one address."""
ACCOUNT_TOKENS_PER_S = 50.0
"""Several chats at reading speed, all day."""
PREFIX_TOKENS_PER_S = 4 * ACCOUNT_TOKENS_PER_S
BURST_S = 120.0
"""So much of the rate may be taken at once: a long prompt and its answer."""
UNPAID_CLAIMS = 8
"""Receipts left unsigned in an hour, after which a network's guests are refused: a lost connection leaves one."""
UNPAID_S = 3600.0
SHORT_BILLS = 256
"""Sessions of a network's guests that ended before anything had to be claimed in them. After so many at once the next
ones are written to no ledger: a kilobyte on the disk, for ever, for one token each."""
SHORT_BILLS_PER_S = 0.2
_MAX_NAMES = 4096


class UnfairUse(Exception):
    """A caller has more of this server than its share; its text may be sent."""


class FairUse:
    """Counts what accounts and networks take. For the event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._sessions: collections.Counter[tuple[str, str]] = collections.Counter()
        self._tokens = Levels(_rate, clock=clock)
        self._short_bills = Levels[str](lambda prefix: SHORT_BILLS_PER_S, clock=clock)
        """By network. All unknown ones share one name."""
        self._unpaid: dict[tuple[str, str], collections.deque[float]] = {}

    @contextlib.contextmanager
    def session(self, standing: Standing) -> Iterator[None]:
        """Counts an open session.

        Raises:
            UnfairUse: there are as many already as the account or its network may have, or too much work of theirs
                was never signed for.
        """
        names = [] if standing.rank is Rank.OWNER else _names(standing)
        for name in names:
            if self._sessions[name] >= (ACCOUNT_SESSIONS if name[0] == "account" else PREFIX_SESSIONS):
                raise UnfairUse(f"Too many open sessions of this {_WORDS[name[0]]}")
            if self._unpaid_of(name) >= UNPAID_CLAIMS:
                raise UnfairUse(f"Too many receipts were left unsigned by this {_WORDS[name[0]]}; try again later")
        self._sessions.update(names)
        try:
            yield
        finally:
            self._sessions.subtract(names)
            for name in names:
                if not self._sessions[name]:
                    del self._sessions[name]

    def note_tokens(self, standing: Standing, tokens: int) -> None:
        """Counts rows x tokens that were computed."""
        if standing.rank is Rank.OWNER:
            return
        for name in _names(standing):
            self._tokens.add(name, tokens)

    def is_over(self, standing: Standing) -> bool:
        """Whether the account, or its network, had more tokens of late than its rate: what `Scheduler` asks."""
        if standing.rank is Rank.OWNER:
            return False
        return any(self._tokens.of(name) > BURST_S * _rate(name) for name in _names(standing))

    def may_be_billed(self, standing: Standing) -> bool:
        """Whether a session is worth its place in the ledger; else it is served without receipts."""
        return standing.rank is not Rank.GUEST or self._short_bills.of(standing.prefix) < SHORT_BILLS

    def note_short_bill(self, standing: Standing) -> None:
        """Counts a session that stands in the ledger, and in which hardly anything was done."""
        self._short_bills.add(standing.prefix, 1)

    def note_unpaid(self, standing: Standing) -> None:
        """Counts a claim that its client did not sign."""
        now = self._clock()
        for name in _names(standing):
            # The newest are enough to refuse; more would let a stranger fill the memory.
            self._unpaid.setdefault(name, collections.deque(maxlen=UNPAID_CLAIMS)).append(now)
        if len(self._unpaid) > _MAX_NAMES:
            latest = sorted(self._unpaid, key=lambda name: self._unpaid[name][-1])[-_MAX_NAMES // 2 :]
            self._unpaid = {name: self._unpaid[name] for name in latest}

    def _unpaid_of(self, name: tuple[str, str]) -> int:
        since = self._clock() - UNPAID_S
        return sum(at > since for at in self._unpaid.get(name, ()))


_WORDS = {"account": "account", "prefix": "network"}


def _names(standing: Standing) -> list[tuple[str, str]]:
    """An unknown network ("": a relay's) is everybody's, and so nobody's to be limited by."""
    names = [("account", standing.account)]
    is_free_to_make = standing.rank is Rank.GUEST or bool(standing.payer)
    if is_free_to_make and standing.prefix:
        names.append(("prefix", standing.prefix))
    return names


def _rate(name: tuple[str, str]) -> float:
    return ACCOUNT_TOKENS_PER_S if name[0] == "account" else PREFIX_TOKENS_PER_S
