"""What runs in the next call of the blocks, and when it starts. Pure functions of what waits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from volunteer.server.fair_queue import GUEST, Claim, FairQueue, Rank, Standing

DECODE_TOKENS = 32
"""Rows x new tokens of a step that is not cut: a word or two, or some drafted tokens. A single token of each row never
is. The rest of a long step is not such a one: 64 tokens of BLOOM-560m held others up for 140 ms."""
PREFILL_TOKENS = 512
"""Rows x new tokens in a tick when nobody else waits for tokens."""
FULL_BATCH_ROWS = 16
"""From so many rows on, another row costs about as much again: there is nothing left to share."""
GPU_FULL_BATCH_ROWS = 256
"""Of a GPU: its rows are nearly free for long. Not measured."""
AGED_S = 30.0
"""Whoever had no turn for so long has one before all others: a guest's network, or another account."""
_GUEST_SHARE_OF_ROWS = 3
"""Of 16. With 4, contributors waited 0.249 of what guests do on a worker with twice the chats that it can take, with 3
0.147; fewer would leave guests less than their share of the work, since their ticks are short."""
_MIN_PIECE_TOKENS = 16
_LINGER_SHARE = 0.3
"""Of a tick's time, at most, is waited for sessions that are about to send their next token: being late for a tick
costs them and the server a whole one."""


@dataclass(frozen=True)
class Waiting:
    """A step that waits, as far as planning looks at it."""

    rows: int
    whole: int
    """Tokens of each row in the whole step."""
    left: int
    """Those of them that are still to be computed."""
    blocks: tuple[int, int]
    standing: Standing = GUEST
    starved_s: float = 0.0
    """How long neither it nor another step of its competitor had a turn."""
    is_over: bool = False
    """Its account or prefix had more tokens of late than its rate: it goes after its equals."""

    def claim(self, tokens: int | None = None) -> Claim:
        """What so many tokens of each row cost, all that are left by default; none cost as one, for they may move all
        that is cached of the row."""
        blocks = self.blocks[1] - self.blocks[0]
        units = self.rows * max(1, self.left if tokens is None else tokens) * blocks
        return Claim(self.standing, units, blocks, self.is_over)

    @property
    def is_decode(self) -> bool:
        return self.whole <= 1 or self.rows * self.whole <= DECODE_TOKENS


@dataclass(frozen=True)
class Bounds:
    """How many rows of short steps a tick takes, in all and of guests."""

    rows: float = math.inf
    guest_rows: float = math.inf


def bounds_of(waiting: Sequence[Waiting], *, others_are_near: bool, full_rows: int = FULL_BATCH_ROWS) -> Bounds:
    """None while a tick takes all that waits cheaply, or while all that waits is of one account.

    Args:
        others_are_near: sessions of a higher rank than guests were served of late: they will come again, and wait for
            what runs then.
        full_rows: beyond these, another row costs about as much again.
    """
    short = [step for step in waiting if step.is_decode]
    if sum(step.rows for step in short) <= full_rows:
        return Bounds()
    if others_are_near or any(step.standing.rank is not Rank.GUEST for step in short):
        return Bounds(full_rows, max(1, _GUEST_SHARE_OF_ROWS * full_rows // 16))
    if len({step.standing for step in short}) == 1:
        return Bounds()
    return Bounds(2 * full_rows)


def plan_tick(
    waiting: Sequence[Waiting], *, prefill_tokens: int, queue: FairQueue | None = None, bounds: Bounds | None = None
) -> dict[int, int]:
    """Which of the steps, given in order of arrival, run in the next tick, and how many tokens of each row.

    Short steps go first, as many as `bounds` allows. Long ones get `prefill_tokens`, and a quarter of it in a tick that
    somebody waits for: whoever comes while a long prompt is computed waits for the rest of one tick, not for another as
    long. All steps of a tick run through the same blocks: those of the first to go.

    The owner of this machine goes before all others, whose prompts then get what is left of the tick; contributors go
    before guests, and `queue` says who goes first among equals. Before all goes one step of everybody who had no turn
    for too long, in half of the tick, and what is owed to guests.
    """
    queue, bounds = queue or FairQueue(), bounds or Bounds()
    plan = _Plan(waiting, prefill_tokens, bounds)
    aged: dict[tuple[Rank, str], int] = {}
    for index in sorted(range(len(waiting)), key=lambda index: -waiting[index].starved_s):
        if waiting[index].starved_s >= AGED_S:
            aged.setdefault(waiting[index].standing.competitor, index)
    for index in aged.values():
        if plan.rows < bounds.rows / 2:
            plan.take(index)

    def turns(rank: Rank, is_decode: bool) -> list[int]:
        indices = [i for i, step in enumerate(waiting) if step.standing.rank is rank and step.is_decode == is_decode]
        order = queue.order([waiting[index].claim() for index in indices], are_prompts=not is_decode)
        return [indices[at] for at in order]

    guests_short, guests_long = turns(Rank.GUEST, True), turns(Rank.GUEST, False)
    owed = queue.owed_to_guests
    for index in guests_short + guests_long:
        if owed <= 0:
            break
        step = waiting[index]
        per_token = step.rows * (step.blocks[1] - step.blocks[0])
        owed -= per_token * plan.take(index, max_tokens=max(_MIN_PIECE_TOKENS, math.ceil(owed / per_token)))
    for is_decode in (True, False):
        for index in turns(Rank.OWNER, is_decode):
            plan.take(index)
    for index in turns(Rank.CONTRIBUTOR, True):
        plan.take(index)
    for index in guests_short:
        if plan.guest_rows + waiting[index].rows <= bounds.guest_rows or not plan.guest_rows:
            plan.take(index)
    if owed <= 0:  # else prompts would go on taking more than the short steps of guests can catch up with
        for index in turns(Rank.CONTRIBUTOR, False):
            plan.take(index)
    for index in guests_long:
        plan.take(index)
    if not plan.planned:
        for index in turns(Rank.CONTRIBUTOR, False):
            plan.take(index)
    return plan.planned


class _Plan:
    """A tick as it fills."""

    def __init__(self, waiting: Sequence[Waiting], prefill_tokens: int, bounds: Bounds):
        self.planned: dict[int, int] = {}
        self.rows = self.guest_rows = 0
        self._waiting = waiting
        self._prefill_tokens = self._budget = prefill_tokens
        self._bounds = bounds
        self._blocks: tuple[int, int] | None = None

    def take(self, index: int, max_tokens: int | None = None) -> int:
        """Adds what fits of a step that is not in yet; how many tokens of each row."""
        step = self._waiting[index]
        if index in self.planned or self._blocks not in (None, step.blocks):
            return 0
        if step.is_decode:
            if self.rows and self.rows + step.rows > self._bounds.rows:
                return 0
            tokens = step.left
            self.rows += step.rows
            self.guest_rows += step.rows * (step.standing.rank is Rank.GUEST)
            self._budget = min(self._budget, self._prefill_tokens // 4)
        else:
            if self._budget <= 0:
                return 0
            tokens = min(step.left, max(1, self._budget // step.rows))
            tokens = tokens if max_tokens is None else min(tokens, max_tokens)
            self._budget -= tokens * step.rows
        self._blocks = step.blocks
        self.planned[index] = tokens
        return tokens


def linger_s(
    now: float, *, ready_at: float, expected: Sequence[float], tick_s: float, share: float = _LINGER_SHARE
) -> float:
    """How long to wait before the next tick for sessions whose next step is about to come; 0 to start now.

    Args:
        ready_at: since when there are steps that wait and nothing that runs.
        expected: when each other session that was served of late is expected to send its next step.
        tick_s: what a tick takes.

    All times are in seconds of one clock.
    """
    slack = share * tick_s
    latest = ready_at + slack
    # Whoever is overdue by more than a tick's share is not waited for: it may have come to its end.
    near = [arrival for arrival in expected if now - slack < arrival <= latest]
    if not near or now >= latest:
        return 0.0
    return min(latest, max(now, *near) + 0.1 * slack) - now
