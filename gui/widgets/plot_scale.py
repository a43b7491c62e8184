"""Where a plot's axes have their ticks, and which of its points are worth drawing: arithmetic without Qt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

Point = tuple[float, float | None]
"""A time and a value; None where there was no reading."""

ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
MEMORY_STEPS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
"""Memory comes in sizes that these divide: 8, 12, 16, 24, 40, 80."""
_MINUTE_S = 60
_TIME_STEPS_MINUTES = (5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)


@dataclass(frozen=True)
class Scale:
    """A value axis from its lowest tick to its highest."""

    ticks: tuple[float, ...]

    @property
    def low(self) -> float:
        return self.ticks[0]

    @property
    def high(self) -> float:
        return self.ticks[-1]

    def fraction(self, value: float) -> float:
        """0 at the lowest tick, 1 at the highest; what lies beyond them is drawn at the edge."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def value_scale(
    low: float,
    high: float,
    *,
    most_steps: int = 4,
    least_step: float = 0.0,
    steps: Sequence[float] = ROUND_STEPS,
) -> Scale:
    """Round numbers around `low` and `high`, at most `most_steps` steps apart.

    Args:
        least_step: 1 for what is counted, so that no tick stands at half a chat.
        steps: from 1 to 10; ticks are multiples of one of them, or of ten or a tenth of it.
    """
    high = max(high, low + max(least_step, 1e-9))
    step = max(_nice_step((high - low) / most_steps, steps), least_step)
    # Rounding both ends outwards may add a step: the next larger one then fits.
    while math.ceil(high / step) - math.floor(low / step) > most_steps:
        step = _nice_step(step * 1.01, steps)
    first, last = math.floor(low / step), math.ceil(high / step)
    return Scale(tuple(number * step for number in range(first, last + 1)))


def _nice_step(least: float, steps: Sequence[float]) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    # Sums of fractions come out a hair too large; that must not cost the next larger step.
    return next(step * power for step in steps if step * power >= least * (1 - 1e-9))


def time_ticks(start_s: float, end_s: float, *, most: int, zone: tzinfo | None = None) -> tuple[float, ...]:
    """Times between `start_s` and `end_s` at which the clock on the wall shows a round time.

    Args:
        zone: None for this computer's.
    """
    minutes = _minutes(start_s, end_s, zone)
    for step in _TIME_STEPS_MINUTES:
        ticks = tuple(time_s for time_s, minute in minutes if minute % step == 0)
        if len(ticks) <= most:
            return ticks
    return ()


def _minutes(start_s: float, end_s: float, zone: tzinfo | None) -> list[tuple[float, int]]:
    """Every fifth minute with its number in the local day. Asked one by one: the offset may change in between."""
    first = math.ceil(start_s / (5 * _MINUTE_S)) * 5 * _MINUTE_S
    found = []
    for time_s in range(first, math.floor(end_s) + 1, 5 * _MINUTE_S):
        local = datetime.fromtimestamp(time_s, zone)
        found.append((float(time_s), local.hour * 60 + local.minute))
    return found


def runs(points: Sequence[Point], longest_gap_s: float) -> Iterator[list[tuple[float, float]]]:
    """The stretches without a gap: a line across an hour in which nobody measured would be made up."""
    run: list[tuple[float, float]] = []
    for time_s, value in points:
        if run and (value is None or time_s - run[-1][0] > longest_gap_s):
            yield run
            run = []
        if value is not None:
            run.append((time_s, value))
    if run:
        yield run


@dataclass(frozen=True)
class Column:
    """What a few pixels can show of the readings that fall upon them."""

    time_s: float
    low: float
    mean: float
    high: float


def columns(run: Sequence[tuple[float, float]], width_s: float) -> list[Column]:
    """A stretch in columns of `width_s`, so that a line through hundreds of readings does not become a smear."""
    found: list[Column] = []
    column: list[tuple[float, float]] = []
    for point in run:
        if column and point[0] - column[0][0] >= width_s:
            found.append(_column(column))
            column = []
        column.append(point)
    return [*found, _column(column)] if column else found


def _column(points: list[tuple[float, float]]) -> Column:
    values = [value for _, value in points]
    return Column((points[0][0] + points[-1][0]) / 2, min(values), sum(values) / len(values), max(values))


def nearest(points: Sequence[Point], time_s: float, within_s: float) -> Point | None:
    """The reading closest to a time, if one is close enough; points are in the order of time."""
    best: Point | None = None
    for point in points:
        if point[1] is None:
            continue
        if best is None or abs(point[0] - time_s) < abs(best[0] - time_s):
            best = point
        elif point[0] > time_s:
            break
    return best if best is not None and abs(best[0] - time_s) <= within_s else None
