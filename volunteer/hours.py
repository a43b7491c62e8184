"""The hours of the week in which the owner lets the worker serve: 168 cells, and how they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS_A_DAY = 24
_ALL_DAY = (1 << HOURS_A_DAY) - 1

_FULL_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SPAN_PATTERN = re.compile(r"(\d{1,2})(?::00)?-(\d{1,2})(?::00)?")


@dataclass(frozen=True)
class WeekHours:
    """Whole hours of the clock on the wall, so daylight saving time needs no rule of its own.

    When clocks go forward a cell does not come that day; when they go back it counts for both of its hours.
    """

    days: tuple[int, ...] = (_ALL_DAY,) * len(DAYS)
    """From Monday on, a bit for each hour, midnight the lowest."""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Reads "mon-fri 22-7, sat-sun 0-24"; hours that end before they start reach into the next day.

        Raises:
            ValueError: this is not such a text.
        """
        words = text.strip().lower()
        if words == "always":
            return cls()
        if words == "never":
            return cls((0,) * len(DAYS))
        days = [0] * len(DAYS)
        for item in words.split(","):
            names, *spans = _with_days(item.split())
            for day in _days(names):
                for start, end in map(_span, spans):
                    for hour in range(start, end if start < end else end + HOURS_A_DAY):
                        days[(day + hour // HOURS_A_DAY) % len(DAYS)] |= 1 << hour % HOURS_A_DAY
        return cls(tuple(days))

    def __str__(self) -> str:
        """Reads back as the same hours."""
        if self == WeekHours():
            return "always"
        if not any(self.days):
            return "never"
        items = []
        first = 0
        for day in range(1, len(DAYS) + 1):
            if day < len(DAYS) and self.days[day] == self.days[first]:
                continue
            if self.days[first]:
                names = DAYS[first] if day - first == 1 else f"{DAYS[first]}-{DAYS[day - 1]}"
                items.append(" ".join([names, *_spans(self.days[first])]))
            first = day
        return ", ".join(items)

    def allow(self, local: datetime) -> bool:
        """Whether the cell of this local time is one of them."""
        return bool(self.days[local.weekday()] >> local.hour & 1)


ALWAYS = WeekHours()


def _with_days(words: list[str]) -> list[str]:
    if not words:
        raise ValueError("an item without hours")
    if words[0][0].isdigit():
        return ["daily", *words]
    if len(words) == 1:
        raise ValueError(f"{words[0]} has no hours")
    return words


def _days(names: str) -> list[int]:
    if names == "daily":
        return list(range(len(DAYS)))
    first, _, last = names.partition("-")
    start = _day(first)
    end = _day(last) if last else start
    return [(start + step) % len(DAYS) for step in range((end - start) % len(DAYS) + 1)]


def _day(name: str) -> int:
    for day, full in enumerate(_FULL_NAMES):
        if len(name) >= len(DAYS[day]) and full.startswith(name):
            return day
    raise ValueError(f"{name} is not a day")


def _span(text: str) -> tuple[int, int]:
    found = _SPAN_PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is not a span of whole hours")
    start, end = int(found[1]), int(found[2])
    if start >= HOURS_A_DAY or end > HOURS_A_DAY or start == end:
        raise ValueError(f"{text} is not a span of hours between 0 and 24")
    return start, end


def _spans(hours: int) -> list[str]:
    spans = []
    hour = 0
    while hour < HOURS_A_DAY:
        end = hour
        while end < HOURS_A_DAY and hours >> end & 1:
            end += 1
        if end > hour:
            spans.append(f"{hour}-{end}")
        hour = end + 1
    return spans
