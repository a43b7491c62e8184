from __future__ import annotations

import math
import time

import pytest
from PySide6.QtCore import QLocale

from gui import words

THIN = words.THIN_SPACE


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.84, "0.8 s"),
        (59.6, "60 s"),
        (90, "1 min 30 s"),
        (600, "10 min"),
        (3599, "60 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (26 * 3600, "1 d 2 h"),
        (math.inf, "unknown time"),
    ],
)
def test_durations_as_people_say_them(seconds: float, said: str) -> None:
    assert words.duration(seconds).replace(THIN, " ") == said


@pytest.mark.parametrize(
    ("passed", "said"), [(-5, "just now"), (1, "just now"), (3, "3 s ago"), (80, "1 min ago"), (7200, "2 h ago")]
)
def test_how_long_ago(passed: float, said: str) -> None:
    assert words.ago(1000.0, 1000.0 + passed).replace(THIN, " ") == said


@pytest.mark.parametrize(
    ("num_bytes", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_600, "1.0 MB"), (9_100_000_000, "9.1 GB"), (123e9, "123 GB")],
)
def test_sizes_as_on_disks(num_bytes: float, said: str) -> None:
    assert words.size(num_bytes).replace(THIN, " ") == said


def test_numbers_follow_the_language() -> None:
    assert words.count(182400) == "182,400"
    QLocale.setDefault(QLocale(QLocale.Language.German, QLocale.Country.Germany))
    assert words.count(182400) == "182.400"
    assert words.size(9.1e9) == f"9,1{THIN}GB"


def test_short_numbers_keep_the_figures_that_matter() -> None:
    assert [words.short_number(each) for each in (0, 0.0004, 0.04, 8.24, 310.4, 182400)] == [
        "0",
        f"<{THIN}0.01",
        "0.04",
        "8.2",
        "310",
        "182,400",
    ]


def test_blocks_are_named_as_people_count_them() -> None:
    assert words.blocks(12, 16) == "blocks 12–15"
    assert words.blocks(7, 8) == "block 7"


def test_a_model_goes_by_its_own_name() -> None:
    assert words.model("bigscience/bloom") == "bloom"
    assert words.model("/data/models/SmolLM2-135M-Instruct") == "SmolLM2-135M-Instruct"


def test_an_end_on_another_day_is_told_with_its_day() -> None:
    now_s = time.mktime((2026, 11, 27, 12, 0, 0, 0, 0, -1))
    assert "27" not in words.until(now_s + 3600, now_s)
    assert "28" in words.until(now_s + 86_400, now_s)


def test_what_is_no_date_stays_as_it_is() -> None:
    assert words.day("yesterday") == "yesterday"
    assert "11/27/26" in words.day("2026-11-27")
