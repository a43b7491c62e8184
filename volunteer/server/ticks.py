"""What runs in the next call of the blocks, and when it starts. Pure functions of what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from volunteer.server.fair_queue import GUEST, Rank, Standing

DECODE_TOKENS = 32
"""Rows x new tokens of a step that is not cut: a word or two, or some drafted tokens. A single token of each row never
is. The rest of a long step is not such a one: 64 tokens of BLOOM-560m held others up for 140 ms."""
PREFILL_TOKENS = 512
"""Rows x new tokens in a tick when nobody else waits for tokens."""
FULL_BATCH_ROWS = 16
"""From so many rows on, another row costs about as much again: there is nothing left to share."""
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

    @property
    def is_decode(self) -> bool:
        return self.whole <= 1 or self.rows * self.whole <= DECODE_TOKENS


def plan_tick(waiting: Sequence[Waiting], *, prefill_tokens: int) -> dict[int, int]:
    """Which of the steps, in order of arrival, run in the next tick, and how many tokens of each row.

    Short steps go first, all of them. Long ones get `prefill_tokens` in their order, and a quarter of it in a tick that
    somebody waits for: whoever comes while a long prompt is computed waits for the rest of one tick, not for another as
    long. All steps of a tick run through the same blocks: those of the first to go. The owner of this machine goes
    before all others, whose prompts then get what is left of the tick.
    """
    by_urgency = sorted(
        range(len(waiting)),
        key=lambda index: (waiting[index].standing.rank is not Rank.OWNER, not waiting[index].is_decode),
    )
    planned: dict[int, int] = {}
    budget = prefill_tokens
    for index in by_urgency:
        step = waiting[index]
        if step.blocks != waiting[by_urgency[0]].blocks:
            continue
        if step.is_decode:
            planned[index] = step.left
            budget = min(budget, prefill_tokens // 4)
            continue
        if budget <= 0:
            continue
        tokens = min(step.left, max(1, budget // step.rows))
        planned[index] = tokens
        budget -= tokens * step.rows
    return planned


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
