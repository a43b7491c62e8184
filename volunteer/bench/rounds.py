"""The runner that benchmarks share: contestants take turns, so that a machine that slows down slows all of them.

Knows nothing of models. A benchmark is one function that takes a `Stage` and returns a `Result`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from volunteer.bench.machine import Load, LoadMeter
from volunteer.bench.options import BenchOptions
from volunteer.bench.report import Result
from volunteer.swarm_model import SwarmModel

Measured = TypeVar("Measured")

Turn = Callable[[int], Measured]
"""One contestant's turn in the round of that number; the warm-up round is number 0."""


@dataclass(frozen=True)
class Stage:
    """What each benchmark is given."""

    options: BenchOptions
    model: SwarmModel
    work_dir: Path
    """For files that nobody needs afterwards."""
    say: Callable[[str], None]
    """Tells the person what is going on."""


Benchmark = Callable[[Stage], Result]


@dataclass(frozen=True)
class Round(Generic[Measured]):
    """What every contestant measured in one round, by name, and how busy the machine was."""

    number: int
    measured: Mapping[str, Measured]
    load: Load

    def __getitem__(self, name: str) -> Measured:
        return self.measured[name]


def run_rounds(
    contestants: Mapping[str, Turn[Measured]], *, rounds: int, on_round: Callable[[Round[Measured]], None]
) -> list[Round[Measured]]:
    """Every contestant once a round, in their order; a first round warms up and does not count."""
    counted = []
    for number in range(rounds + 1):
        with LoadMeter() as meter:
            measured = {name: turn(number) for name, turn in contestants.items()}
        if number > 0:
            done = Round(number, measured, meter.load)
            counted.append(done)
            on_round(done)
    return counted
