"""`volunteer bench`: runs the chosen benchmarks one after another, prints their tables, writes their numbers."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

import torch

from volunteer.bench.checkpoints import open_model
from volunteer.bench.hop import measure_hop
from volunteer.bench.machine import describe_machine
from volunteer.bench.options import BenchOptions
from volunteer.bench.rounds import Benchmark, Result, Stage
from volunteer.bench.single import measure_single
from volunteer.errors import ConfigurationError, ExitCode

BENCHMARK_FUNCTIONS: dict[str, Benchmark] = {"single": measure_single, "hop": measure_hop}
_QUIET_CORES = 0.1
"""More than this of a core taken by others is worth a warning."""


def run_bench(options: BenchOptions, *, out: TextIO, messages: TextIO) -> int:
    """Measures, prints tables to `out` and progress to `messages`; returns the exit code.

    Raises:
        UserError: of the many kinds that the parts raise.
    """

    def say(text: str) -> None:
        print(text, file=messages, flush=True)

    if options.json_file is not None and not options.json_file.parent.is_dir():
        raise ConfigurationError(f"There is no folder {options.json_file.parent} for the results.")
    torch.set_num_threads(1)
    model = open_model(options.model, options.revision, options.data_dir, say)
    machine = describe_machine(options.data_dir)
    started_at = time.time()
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory(prefix="volunteer-bench-") as work_dir:
        for name in options.benchmarks:
            folder = Path(work_dir) / name
            folder.mkdir()
            results[name] = BENCHMARK_FUNCTIONS[name](Stage(options, model, folder, say))
    print(f"{machine['processor']}, {machine['logical_cores']} cores; one torch thread a process", file=out)
    for result in results.values():
        print(f"\n{result.table}", file=out)
    loads = [load for result in results.values() for load in result.loads]
    noisy = sum(load.disturbance_cores > _QUIET_CORES for load in loads)
    if noisy:
        print(
            f"\nOther programs were busy in {noisy} of {len(loads)} rounds: measure again at a quiet moment.", file=out
        )
    if options.json_file is not None:
        summary = _summary(options, machine, started_at, results)
        options.json_file.write_text(json.dumps(summary, indent=1, default=str) + "\n", encoding="utf-8")
    return ExitCode.OK


def _summary(
    options: BenchOptions, machine: dict[str, Any], started_at: float, results: dict[str, Result]
) -> dict[str, Any]:
    return {
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started_at)),
        "machine": machine,
        "options": {
            "model": options.model,
            "rounds": options.rounds,
            "new_tokens": options.new_tokens,
            "prompt_tokens": options.prompt_tokens,
            "servers": options.servers,
        },
        "benchmarks": {name: result.values for name, result in results.items()},
    }
