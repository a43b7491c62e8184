"""Where each of many rows lies, of which few were measured. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Place:
    """So many pixels below the top of a row."""

    row: int
    offset: float


class RowHeights:
    """Sums are made when they are asked for: 30,000 rows take a millisecond."""

    def __init__(self) -> None:
        self._heights: list[float] = []
        self._tops: list[float] | None = None

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, row: int) -> float:
        return self._heights[row]

    def __setitem__(self, row: int, height: float) -> None:
        if self._heights[row] != height:
            self._heights[row] = height
            self._tops = None

    def splice(self, start: int, end: int, heights: Sequence[float]) -> None:
        """Puts rows of these heights in the place of rows start:end."""
        self._heights[start:end] = heights
        self._tops = None

    @property
    def total(self) -> float:
        return self.top(len(self._heights))

    def top(self, row: int) -> float:
        """Of a row, or of what would follow the last."""
        if self._tops is None:
            self._tops = list(accumulate(self._heights, initial=0.0))
        return self._tops[row]

    def place_at(self, y: float) -> Place:
        """What lies there; the first or the last row beyond the ends."""
        self.top(0)
        tops = self._tops or [0.0]
        row = min(max(0, bisect_right(tops, y) - 1), max(0, len(self._heights) - 1))
        return Place(row, y - tops[row])

    def y_of(self, place: Place) -> float:
        return self.top(place.row) + place.offset
