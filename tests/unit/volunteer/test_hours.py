from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunteer.hours import ALWAYS, DAYS, WeekHours

EVERY_HOUR = range(24)
MONDAY = datetime(2026, 11, 23)


def allowed(text: str) -> dict[str, list[int]]:
    hours = WeekHours.from_text(text)
    days = {
        day: [hour for hour in EVERY_HOUR if hours.allow(MONDAY.replace(day=MONDAY.day + number, hour=hour))]
        for number, day in enumerate(DAYS)
    }
    return {day: cells for day, cells in days.items() if cells}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tue 8-10", {"tue": [8, 9]}),
        ("TUESDAY 08:00-10:00", {"tue": [8, 9]}),
        ("tue 8-9 20-21", {"tue": [8, 20]}),
        ("tue 8-9, tue 20-21", {"tue": [8, 20]}),
        ("fri 22-2", {"fri": [22, 23], "sat": [0, 1]}),
        ("sun 23-1", {"sun": [23], "mon": [0]}),
        ("sat-mon 5-6", {"sat": [5], "sun": [5], "mon": [5]}),
        ("0-1", {day: [0] for day in DAYS}),
        ("daily 22-24", {day: [22, 23] for day in DAYS}),
        ("sat 0-24", {"sat": list(EVERY_HOUR)}),
        ("sat 22-0", {"sat": [22, 23]}),
        ("never", {}),
        ("Always", {day: list(EVERY_HOUR) for day in DAYS}),
    ],
)
def test_hours_are_read_as_people_write_them(text: str, expected: dict[str, list[int]]) -> None:
    assert allowed(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "mon",
        "mon 8",
        "mon 8-8",
        "mon 24-3",
        "mon 3-25",
        "mon 8:30-9",
        "mo 3-4",
        "monkey 3-4",
        "mon- 3-4x",
        "²-3",
    ],
)
def test_what_is_not_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        WeekHours.from_text(text)


@pytest.mark.parametrize("text", ["always", "never", "mon-fri 0-7 22-24, sat-sun 0-24", "wed 3-4", "mon-sun 1-2"])
def test_hours_are_written_in_their_shortest_form(text: str) -> None:
    assert str(WeekHours.from_text(text)) == text


@given(st.tuples(*[st.integers(0, 2**24 - 1)] * 7))
def test_what_is_written_reads_back_as_the_same_hours(days: tuple[int, ...]) -> None:
    assert WeekHours.from_text(str(WeekHours(days))) == WeekHours(days)


def test_the_owner_who_chose_nothing_serves_always() -> None:
    assert ALWAYS == WeekHours() == WeekHours.from_text("mon-sun 0-24")
