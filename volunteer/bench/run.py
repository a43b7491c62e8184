"""`volunteer bench`: runs the chosen benchmarks one after another, prints their tables, writes their numbers."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import torch

from volunteer.bench.checkpoints import open_model
from volunteer.bench.concurrent import measure_concurrent
from volunteer.bench.delay import measure_delay
from volunteer.bench.hop import measure_hop
from volunteer.bench.kv import measure_kv
from volunteer.bench.machine import describe_machine
from volunteer.bench.options import BenchOptions, Outputs
from volunteer.bench.plot import need_matplotlib, save_plot
from volunteer.bench.prefill import measure_prefill
from volunteer.bench.receipts import measure_receipts
from volunteer.bench.report import Result
from volunteer.bench.rounds import Benchmark, Stage
from volunteer.bench.single import measure_single
from volunteer.bench.speculation import measure_speculation
from volunteer.errors import ConfigurationError, ExitCode

BENCHMARK_FUNCTIONS: dict[str, Benchmark] = {
    "single": measure_single,
    "concurrent": measure_concurrent,
    "prefill": measure_prefill,
    "hop": measure_hop,
    "delay": measure_delay,
    "speculation": measure_speculation,
    "kv": measure_kv,
    "receipts": measure_receipts,
}
_QUIET_CORES = 0.1
"""More than this of a core taken by others is worth a warning."""


@dataclasses.dataclass(frozen=True)
class Done:
    """One benchmark of one run."""

    benchmark: str
    options: BenchOptions
    result: Result

    @property
    def title(self) -> str:
        # A folder by its name: where it lies is nobody's business in a published result.
        return f"{Path(self.options.model).name}, {self.result.table.title}"


def run_bench(runs: Sequence[BenchOptions], outputs: Outputs, *, out: TextIO, messages: TextIO) -> int:
    """Measures, prints tables to `out` and progress to `messages`; returns the exit code.

    What is measured is written after each benchmark: a later one that fails takes nothing with it.

    Raises:
        UserError: of the many kinds that the parts raise.
    """

    def say(text: str) -> None:
        print(text, file=messages, flush=True)

    for file in (outputs.text, outputs.json, outputs.plot):
        if file is not None and not file.parent.is_dir():
            raise ConfigurationError(f"There is no folder {file.parent} for the results.")
    if outputs.plot is not None:
        need_matplotlib()
    torch.set_num_threads(1)
    machine = describe_machine(runs[0].data_dir)
    heading = f"{machine['processor']}, {machine['logical_cores']} cores; one torch thread a process"
    print(heading, file=out)
    started_at = time.time()
    all_done: list[Done] = []
    for options in runs:
        for each in _run(options, say):
            all_done.append(each)
            print(f"\n{_text(each)}", file=out, flush=True)
            _write(outputs, heading, machine, started_at, all_done)
    warning = _warning(all_done)
    if warning:
        print(f"\n{warning}", file=out)
    return ExitCode.OK


def _run(options: BenchOptions, say: Callable[[str], None]) -> Any:
    model = open_model(options.model, options.revision, options.data_dir, say)
    for name in options.benchmarks:
        with tempfile.TemporaryDirectory(prefix="volunteer-bench-") as work_dir:
            yield Done(name, options, BENCHMARK_FUNCTIONS[name](Stage(options, model, Path(work_dir), say)))


def _text(done: Done) -> str:
    return str(dataclasses.replace(done.result.table, title=done.title))


def _warning(all_done: Sequence[Done]) -> str:
    loads = [load for done in all_done for load in done.result.loads]
    noisy = sum(load.disturbance_cores > _QUIET_CORES for load in loads)
    return f"Other programs were busy in {noisy} of {len(loads)} rounds: measure again at a quiet moment." * (noisy > 0)


def _write(
    outputs: Outputs, heading: str, machine: dict[str, Any], started_at: float, all_done: Sequence[Done]
) -> None:
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started_at))
    if outputs.text is not None:
        libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
        about = f"{heading}; {machine['system']}; {libraries}; {started}"
        parts = [about, *map(_text, all_done), _warning(all_done)]
        outputs.text.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    if outputs.json is not None:
        summary = {
            "started_at": started,
            "machine": machine,
            "runs": [
                {
                    "benchmark": done.benchmark,
                    "title": done.title,
                    "options": _options(done),
                    **done.result.values,
                }
                for done in all_done
            ],
        }
        outputs.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    if outputs.plot is not None:
        charts = [dataclasses.replace(done.result.chart, title=done.title) for done in all_done]
        save_plot(charts, outputs.plot, heading)


def _options(done: Done) -> dict[str, Any]:
    given = dataclasses.asdict(done.options)
    del given["data_dir"], given["benchmarks"]
    return given | {"model": Path(done.options.model).name, "servers": done.options.servers_of(done.benchmark)}
