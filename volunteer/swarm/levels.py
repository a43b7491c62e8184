"""What peers had of late beyond a steady rate: leaky buckets with names. Knows neither peers nor what is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)

MAX_NAMES = 4096
"""That are remembered; names are free to make."""


class Levels(Generic[Name]):
    """Args:
    rate_of: how much a second flows away of a name's level.
    clock: seconds that never go back.
    """

    def __init__(self, rate_of: Callable[[Name], float], *, clock: Callable[[], float] = time.monotonic):
        self._rate_of = rate_of
        self._clock = clock
        self._levels: dict[Name, tuple[float, float]] = {}
        """What was there, and when that was so."""

    def of(self, name: Name) -> float:
        level, at = self._levels.get(name, (0.0, 0.0))
        return max(0.0, level - self._rate_of(name) * (self._clock() - at)) if level else 0.0

    def add(self, name: Name, amount: float) -> None:
        self._levels[name] = self.of(name) + amount, self._clock()
        if len(self._levels) > MAX_NAMES:
            self._forget()

    def _forget(self) -> None:
        """Drops the empty ones, and the lowest if that is not enough."""
        now = self._clock()
        levels = {name: self.of(name) for name in self._levels}
        fullest = sorted((name for name, level in levels.items() if level), key=lambda name: levels[name])
        self._levels = {name: (levels[name], now) for name in fullest[-MAX_NAMES // 2 :]}
