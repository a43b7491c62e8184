"""Who goes first when more is asked of a server than it can do: ranks, and fairness within them.

Knows no sessions, tensors or clocks. Within a rank every account (a guest's: every network prefix, and every account in
it) has a counter of the work that was done for it, and the lowest goes first: virtual token counters (Sheng et al.,
"Fairness in Serving Large Language Models", OSDI 2024), with the virtual time of start-time fair queueing (Goyal et
al., SIGCOMM 1996) in the place of the least active counter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Rank(IntEnum):
    """Who goes first on a busy server."""

    OWNER = 0
    CONTRIBUTOR = 1
    GUEST = 2


@dataclass(frozen=True)
class Standing:
    """As whom a session is served.

    Args:
        account: whose service it is counted as: the peer id of the account, or that of the caller.
        prefix: of a guest's network: /24 of IPv4, /48 of IPv6; all unknown ones ("") share one.
        weight: points offered for each point of work.
        payer: of a contributor who is one on the word of another: that other one, whose turns they are. An account that
            vouches for a hundred names would otherwise have as many shares.
    """

    rank: Rank = Rank.GUEST
    account: str = ""
    prefix: str = ""
    weight: float = 1.0
    payer: str = ""

    @property
    def competitor(self) -> tuple[Rank, str]:
        """With whom it shares its turns: a guest's network, whose identities are free to make, else who pays."""
        return self.rank, self.prefix if self.rank is Rank.GUEST else self.payer or self.account


GUEST = Standing()

GUEST_SHARE = 0.15
"""Of the work of a busy server, at least, goes to guests while any of them waits."""
_AIM = 0.16
"""What is aimed at: a debt is only paid in the tick after it was made."""
PROMPT_QUANTUM_TOKENS = 2048
"""Prompts go in order of arrival until one account is so far ahead: taking turns with each piece would make two prompts
as slow as the slower one."""
_LAG_TOKENS = 8
"""So much of its share may be saved up by who misses a tick: a chat sends its next token only after the last one came.
More would let a trickle of tokens pay for a flood."""
_MAX_OWED_TOKENS = 1024
_MAX_FLOWS = 4096


@dataclass(frozen=True)
class Claim:
    """What the queue knows of a step: whose it is, what it costs, and whether its account had more than its rate."""

    standing: Standing
    units: int
    """Rows x tokens x blocks."""
    blocks: int
    is_over: bool = False


class FairQueue:
    """Counters of work, and what is owed to guests.

    Single tokens and prompts are counted apart: a long prompt does not cost its client the turns of its answer.
    """

    def __init__(self) -> None:
        self._counters: dict[tuple[str, ...], float] = {}
        self._virtual: dict[tuple[str, ...], float] = {}
        self._had_turn_at: dict[tuple[Rank, str], float] = {}  # the latest last
        self.owed_to_guests = 0.0
        """Units that guests had less than their share while they waited."""

    def order(self, claims: Sequence[Claim], *, are_prompts: bool) -> list[int]:
        """The indices of the claims of one rank, given in order of arrival, in the order of their turns."""
        if len({(each.standing, each.is_over) for each in claims}) <= 1:
            return list(range(len(claims)))
        tags: list[list[float]] = [[] for _ in claims]
        by_turn = list(range(len(claims)))
        # From accounts to prefixes: what an account gets first counts first for its prefix.
        for level in reversed(range(max(len(_flows(each.standing, are_prompts)) for each in claims))):
            before: dict[tuple[str, ...], float] = {}
            for index in by_turn:
                claim = claims[index]
                flow = _flows(claim.standing, are_prompts)[level]
                start = before.get(flow)
                if start is None:
                    start = self._counter(flow, claim.blocks)
                before[flow] = start + claim.units / _weight(claim.standing)
                if are_prompts:
                    quantum = PROMPT_QUANTUM_TOKENS * claim.blocks
                    start = max(0.0, (start - self._virtual.get(flow[:-1], 0.0)) // quantum)
                tags[index] = [start, *tags[index]]
            by_turn.sort(key=lambda index: (claims[index].is_over, *tags[index], index))
        return by_turn

    def charge(self, claim: Claim, *, are_prompts: bool) -> None:
        """Counts work as done for its account, and its prefix."""
        for flow in _flows(claim.standing, are_prompts):
            start = self._counter(flow, claim.blocks)
            self._virtual[flow[:-1]] = max(start, self._virtual.get(flow[:-1], 0.0))
            self._counters[flow] = start + claim.units / _weight(claim.standing)
        if len(self._counters) > _MAX_FLOWS or len(self._virtual) > _MAX_FLOWS:
            self._forget()

    def note_turn(self, standing: Standing, now_s: float) -> None:
        self._had_turn_at.pop(standing.competitor, None)
        self._had_turn_at[standing.competitor] = now_s
        if len(self._had_turn_at) > _MAX_FLOWS:
            del self._had_turn_at[next(iter(self._had_turn_at))]

    def starved_since(self, standing: Standing, arrived_at: float) -> float:
        """Since when a step that arrived then has had no turn, nor has any other step of its competitor.

        A crowd of one network does not age by being a crowd.
        """
        return max(arrived_at, self._had_turn_at.get(standing.competitor, arrived_at))

    def note_tick(self, *, guest_units: int, units: int, blocks: int, guests_wait: bool) -> None:
        """What a tick did for guests and in all, and whether guests had to wait for another one."""
        if not guests_wait:
            self.owed_to_guests = 0.0
            return
        owed = self.owed_to_guests + _AIM * units - guest_units
        self.owed_to_guests = min(max(0.0, owed), float(_MAX_OWED_TOKENS * blocks))

    def _counter(self, flow: tuple[str, ...], blocks: int) -> float:
        virtual = self._virtual.get(flow[:-1], 0.0)
        return max(self._counters.get(flow, virtual), virtual - _LAG_TOKENS * blocks)

    def _forget(self) -> None:
        """Drops all that are not ahead, and the oldest if that is not enough: identities are free to make."""
        ahead = {flow: each for flow, each in self._counters.items() if each > self._virtual.get(flow[:-1], 0.0)}
        self._counters = dict(list(ahead.items())[-_MAX_FLOWS // 2 :])
        levels = {flow[:-1] for flow in self._counters}
        self._virtual = {level: each for level, each in self._virtual.items() if level in levels or len(level) < 3}


def _flows(standing: Standing, are_prompts: bool) -> tuple[tuple[str, ...], ...]:
    """Whose counters a step counts in, the outermost first; all but the last word of each name its competition."""
    kind = "prompts" if are_prompts else "tokens"
    if standing.rank is Rank.GUEST:
        return (kind, "guests", standing.prefix), (kind, "guests", standing.prefix, standing.account)
    return ((kind, standing.rank.name, standing.competitor[1]),)


def _weight(standing: Standing) -> float:
    return max(1.0, standing.weight) if standing.rank is Rank.CONTRIBUTOR else 1.0
