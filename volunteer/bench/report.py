"""From what each round measured to a table, numbers for JSON, and bars for a plot: the form all benchmarks share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from volunteer.bench.machine import Load
from volunteer.bench.statistics import NEAR_TIE, Agreement, Spread, spread
from volunteer.bench.table import Table


@dataclass(frozen=True)
class Column:
    """One number that every round has."""

    key: str
    """Its name in JSON."""
    label: str
    decimals: int = 2
    factor: float = 1.0
    """From the unit of JSON to that of the table: 1000 for seconds shown as milliseconds."""

    def text(self, value: float) -> str:
        return f"{self.factor * value:.{self.decimals}f}"


@dataclass(frozen=True)
class Bar:
    label: str
    spread: Spread


@dataclass(frozen=True)
class Chart:
    """Bars of one unit, and lines to see them against."""

    title: str
    unit: str
    bars: Sequence[Bar]
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Label -> value: what the machine allows, or what is aimed at."""


@dataclass(frozen=True)
class Result:
    """What each benchmark gives back."""

    table: Table
    values: dict[str, Any]
    """The same and more, for JSON."""
    loads: Sequence[Load]
    """Of each round."""
    chart: Chart


def summarise(rows: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """The spread of every number that all rounds have."""
    return {key: spread([row[key] for row in rows]) for key in rows[0]}


def round_table(
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, float]],
    loads: Sequence[Load],
    notes: Sequence[str],
    *,
    words: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """A line a round, then median, lowest and highest of each column.

    Args:
        words: more columns, label -> a text for each round; they have no median.
    """
    words = words or {}
    spreads = summarise(rows)
    lines = [
        (
            str(number),
            *(column.text(row[column.key]) for column in columns),
            *(texts[number - 1] for texts in words.values()),
            f"{100 * load.disturbance_cores:.0f} %",
        )
        for number, (row, load) in enumerate(zip(rows, loads, strict=True), start=1)
    ]
    empty = ("",) * (len(words) + 1)
    picks: dict[str, Callable[[Spread], float]] = {
        "median": lambda each: each.median,
        "lowest": lambda each: each.low,
        "highest": lambda each: each.high,
    }
    lines += [
        (name, *(column.text(pick(spreads[column.key])) for column in columns), *empty) for name, pick in picks.items()
    ]
    return Table(title, ("round", *(column.label for column in columns), *words, "other load"), lines, notes)


def round_values(rows: Sequence[Mapping[str, float]], loads: Sequence[Load]) -> dict[str, Any]:
    """Spreads and rounds for JSON."""
    return {
        "summary": {name: dataclasses.asdict(each) for name, each in summarise(rows).items()},
        "rounds": [{**row, "load": dataclasses.asdict(load)} for row, load in zip(rows, loads, strict=True)],
    }


def exactness_notes(agreements: Mapping[str, Agreement]) -> list[str]:
    """How many answers are token by token those of the local model, and where the others part from them.

    Args:
        agreements: by what the answer is called.
    """
    equal = sum(agreed.is_equal for agreed in agreements.values())
    notes = [
        f"Greedy answers equal to local transformers: {equal} of {len(agreements)}. Places where two logits lie within "
        f"{NEAR_TIE:g} and rounding may decide: {sum(agreed.near_ties for agreed in agreements.values())}; smallest "
        f"gap {min(agreed.smallest_gap for agreed in agreements.values()):.2g}."
    ]
    notes += [
        f"{name}: other tokens from {agreed.first_difference} on; the two largest logits lie {_gap(agreed)} there."
        for name, agreed in agreements.items()
        if not agreed.is_equal
    ]
    return notes


def exactness_values(agreements: Mapping[str, Agreement]) -> dict[str, Any]:
    """The same for JSON; an answer that parts where rounding may decide is counted by itself."""
    different = [agreed for agreed in agreements.values() if not agreed.is_equal]
    excused = sum(agreed.gap_there is not None and agreed.gap_there < NEAR_TIE for agreed in different)
    return {
        "answers": len(agreements),
        "equal": len(agreements) - len(different),
        "different_at_near_ties": excused,
        "different": len(different) - excused,
        "near_ties": sum(agreed.near_ties for agreed in agreements.values()),
        "each": {name: dataclasses.asdict(agreed) for name, agreed in agreements.items()},
    }


def _gap(agreed: Agreement) -> str:
    if agreed.gap_there is None:
        return "unknown"
    return f"{agreed.gap_there:.2g} apart" + (" (rounding decides)" if agreed.gap_there < NEAR_TIE else "")
