"""What to measure, as the command line says it. Light: imported before the role is chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BENCHMARKS: Mapping[str, int] = {
    "single": 2,
    "concurrent": 1,
    "prefill": 2,
    "hop": 3,
    "delay": 3,
    "speculation": 3,
    "kv": 1,
    "receipts": 2,
}
"""All there are, in the order in which they run, and the servers of each unless others are asked for."""

BLOOM_560M_SHAPE = "bloom-560m-shape"
SMOLLM2 = "smollm2"


@dataclass(frozen=True)
class BenchOptions:
    """One run of one or more benchmarks."""

    data_dir: Path
    benchmarks: tuple[str, ...] = tuple(BENCHMARKS)
    model: str = BLOOM_560M_SHAPE
    """One of the names above, a folder, or a Hub name."""
    revision: str | None = None
    quantization: str = "none"
    """Of the workers' weights; what they are compared with is always float32."""
    rounds: int = 4
    new_tokens: int = 32
    prompt_tokens: int = 16
    servers: int | None = None
    chats: tuple[int, ...] = (8, 16)
    """At once, in `concurrent`."""
    prefill_tokens: int = 1024
    one_way_s: float = 0.05
    """Between all peers, in `delay` and `speculation`."""
    lookup_tokens: int = 10
    """Drafted at a time, in `speculation`."""
    kv_tokens: int = 8192
    """KV room of the worker in `kv`, in tokens of each block."""

    def servers_of(self, benchmark: str) -> int:
        return self.servers or BENCHMARKS[benchmark]


@dataclass(frozen=True)
class Outputs:
    """Files for what was measured; the folders exist."""

    text: Path | None = None
    json: Path | None = None
    plot: Path | None = None


def judged(options: BenchOptions) -> list[BenchOptions]:
    """Every run of the chosen benchmarks that a goal of the project is stated for, with the sizes of `options`."""
    bloom = dataclasses.replace(options, model=BLOOM_560M_SHAPE, revision=None, quantization="none", servers=None)
    smollm2 = dataclasses.replace(bloom, model=SMOLLM2)
    runs = [
        dataclasses.replace(bloom, benchmarks=("single",)),
        dataclasses.replace(smollm2, benchmarks=("single",)),
        dataclasses.replace(smollm2, benchmarks=("single",), quantization="int8"),
        dataclasses.replace(bloom, benchmarks=("concurrent",)),
        dataclasses.replace(bloom, benchmarks=("concurrent",), servers=2, chats=options.chats[:1]),
        dataclasses.replace(bloom, benchmarks=("prefill",)),
        dataclasses.replace(bloom, benchmarks=("hop",)),
        dataclasses.replace(bloom, benchmarks=("delay",)),
        dataclasses.replace(smollm2, benchmarks=("delay",)),
        # As long as most of the passage that is to be repeated.
        dataclasses.replace(smollm2, benchmarks=("speculation",), new_tokens=2 * options.new_tokens),
        dataclasses.replace(smollm2, benchmarks=("kv",)),
        # Long enough that receipts come in the midst of an answer as well.
        dataclasses.replace(smollm2, benchmarks=("receipts",), new_tokens=16 * options.new_tokens),
    ]
    return [run for run in runs if run.benchmarks[0] in options.benchmarks]
