"""What measured numbers say: medians, ranges, ratios within a round, where two answers part. Pure arithmetic."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

NEAR_TIE = 1e-4
"""Two logits closer than this may change places by rounding, which differs with the order of sums."""


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one thing."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Raises ValueError for no values."""
    if not values:
        raise ValueError("nothing was measured")
    return Spread(statistics.median(values), min(values), max(values))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed, linear between the two nearest.

    Raises:
        ValueError: there are no values, or `share` is out of range.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError(f"no {share} quantile of {len(values)} values")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = math.ceil(place)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def first_difference(left: Sequence[int], right: Sequence[int]) -> int | None:
    """Where two answers part; None when they are equal. The shorter of two that agree parts at its end."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return None if len(left) == len(right) else min(len(left), len(right))


@dataclass(frozen=True)
class Agreement:
    """Two greedy answers to the same prompt."""

    first_difference: int | None
    gap_there: float | None
    """Between the two largest logits of the reference where the answers part; None while they do not."""
    near_ties: int
    """Places where rounding alone may decide, up to where the answers part."""
    smallest_gap: float

    @property
    def is_equal(self) -> bool:
        return self.first_difference is None


def agreement(reference: Sequence[int], other: Sequence[int], gaps: Sequence[float]) -> Agreement:
    """Compares two answers.

    Args:
        gaps: between the two largest logits at each token of the reference.
    """
    parting = first_difference(reference, other)
    compared = gaps if parting is None else gaps[: parting + 1]
    return Agreement(
        first_difference=parting,
        gap_there=gaps[parting] if parting is not None and parting < len(gaps) else None,
        near_ties=sum(gap < NEAR_TIE for gap in compared),
        smallest_gap=min(compared, default=math.inf),
    )
