"""What this computer has to compute with; and of one without a GPU, how busy its processor is, how full its memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from gui.worker_link import WorkerLink
from volunteer.control.readings import CpuTimes, read_cpu_times
from volunteer.hardware import Hardware, detect, processor_name
from volunteer.installed_torch import has_cuda, within_reach


def usable_hardware(data_dir: Path) -> Hardware:
    """All of it, with the reason at each GPU that the PyTorch of this program cannot use; blocks for seconds."""
    return within_reach(detect(data_dir), has_cuda=has_cuda())


@dataclass(frozen=True)
class MachineReading:
    """`busy_share` is None at the first look: it is known between two of them."""

    processor: str
    busy_share: float | None
    used_bytes: int
    total_bytes: int


class MachineViewModel(QObject):
    """
    Attributes:
        reading: None until there is one.
    """

    changed = Signal()

    def __init__(self, link: WorkerLink, parent: QObject) -> None:
        super().__init__(parent)
        self._link = link
        self._is_looking = False
        self._times: CpuTimes | None = None
        self._processor = ""
        self.reading: MachineReading | None = None

    def look(self) -> None:
        """Reads the machine aside; to be called now and then while it is shown."""
        if self._is_looking:
            return
        self._is_looking = True
        self._link.run_aside(self._read, self._take, self._miss)

    def _read(self) -> MachineReading:
        import psutil

        self._processor = self._processor or processor_name()
        memory = psutil.virtual_memory()
        # Not psutil.cpu_percent: it remembers the last look for each thread, and these are never the same.
        before, self._times = self._times, read_cpu_times()
        return MachineReading(
            self._processor, busy_share(before, self._times), memory.total - memory.available, memory.total
        )

    def _take(self, reading: MachineReading) -> None:
        self._is_looking = False
        self.reading = reading
        self.changed.emit()

    def _miss(self, problem: str) -> None:
        self._is_looking = False


def busy_share(before: CpuTimes | None, after: CpuTimes) -> float | None:
    """Of all processors together, between two looks."""
    if before is None or after.total_s <= before.total_s:
        return None
    return min(1.0, max(0.0, (after.busy_s - before.busy_s) / (after.total_s - before.total_s)))
