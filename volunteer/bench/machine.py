"""The machine that numbers were measured on, and what else it did meanwhile: a busy one measures nothing."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from volunteer.hardware import detect

_LIBRARIES = ("petals-volunteer", "torch", "transformers", "hivemind")


def describe_machine(data_dir: Path) -> dict[str, Any]:
    """Processor, memory, system and versions, for the report."""
    hardware = detect(data_dir)
    return {
        "system": platform.platform(),
        "processor": hardware.processor.name,
        "logical_cores": hardware.processor.logical_cores,
        "memory_bytes": hardware.memory.total_bytes,
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


@dataclass(frozen=True)
class Load:
    """How busy the machine was while something was measured; 1.0 is one core."""

    ours_cores: float
    """This process and all below it."""
    others_cores: float
    stolen_cores: float
    """Taken by the host of a virtual machine; 0 where the system does not tell."""

    @property
    def disturbance_cores(self) -> float:
        return self.others_cores + self.stolen_cores


class LoadMeter:
    """Measures the `with` block; read `load` afterwards. Processes that end meanwhile count as other programs."""

    load: Load

    def __enter__(self) -> Self:
        self._started = _reading()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        before, after = self._started, _reading()
        seconds = max(1e-9, after.at_s - before.at_s)
        ours_s = max(0.0, after.ours_s - before.ours_s)
        # The system counts in hundredths of a second, so a difference may come out below zero.
        others_s = max(0.0, after.busy_s - before.busy_s - ours_s)
        stolen_s = max(0.0, after.stolen_s - before.stolen_s)
        self.load = Load(ours_s / seconds, others_s / seconds, stolen_s / seconds)


@dataclass(frozen=True)
class _Reading:
    at_s: float
    ours_s: float
    busy_s: float
    stolen_s: float


def _reading() -> _Reading:
    times = psutil.cpu_times()._asdict()
    # A virtual machine's guests are counted within `user` already.
    not_busy = ("idle", "iowait", "steal", "guest", "guest_nice")
    busy_s = sum(seconds for name, seconds in times.items() if name not in not_busy)
    this = psutil.Process()
    ours_s = 0.0
    for process in (this, *this.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            used = process.cpu_times()
            ours_s += used.user + used.system
    return _Reading(time.perf_counter(), ours_s, busy_s, times.get("steal", 0.0))
