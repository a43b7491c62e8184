"""What to measure, as the command line says it. Light: imported before the role is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BENCHMARKS = ("single", "hop")
"""All there are, in the order in which they run."""

BLOOM_560M_SHAPE = "bloom-560m-shape"
SMOLLM2 = "smollm2"


@dataclass(frozen=True)
class BenchOptions:
    data_dir: Path
    benchmarks: tuple[str, ...] = BENCHMARKS
    model: str = BLOOM_560M_SHAPE
    """One of the names above, a folder, or a Hub name."""
    revision: str | None = None
    rounds: int = 4
    new_tokens: int = 32
    prompt_tokens: int = 16
    servers: int = 3
    json_file: Path | None = None
