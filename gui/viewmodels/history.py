"""What the machine did over the last hour and day, and day by day over the last year: kept, thinned and put into plots.

Samples arrive one by one and are kept in two lists: every one of the last hour, and one a minute of the last day. So
a window that stays open for weeks holds some two thousand of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import partial
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Signal

from gui.worker_link import Connection, WorkerLink
from volunteer.control.messages import Day, GetHistory, GpuReading, GpuSample, History, Sample, Status

_GIB = 2**30
_DAY_STEP_S = 55.0
"""Between two samples that are kept for the day: with one every 10 s, one a minute."""

translate = QCoreApplication.translate


class Span(Enum):
    """How far a plot looks back, in seconds."""

    HOUR = 3600
    DAY = 86_400

    @property
    def longest_gap_s(self) -> float:
        """Two samples further apart than this have nothing measured between them."""
        return 35.0 if self is Span.HOUR else 240.0


class Quantity(StrEnum):
    """What a plot shows; it decides how its numbers are written."""

    TOKENS = "tokens"
    CHATS = "chats"
    TEMPERATURE = "temperature"
    POWER = "power"
    MEMORY = "memory"
    NETWORK = "network"


@dataclass(frozen=True)
class Line:
    """One curve; its name is empty where a plot has no other."""

    name: str
    points: tuple[tuple[float, float | None], ...]

    @property
    def last(self) -> float | None:
        return self.points[-1][1] if self.points else None


@dataclass(frozen=True)
class Plot:
    """Memory is in GB of 2^30 bytes, all else in its plain unit.

    Attributes:
        ceiling: the most that there can be, where that is known.
    """

    quantity: Quantity
    title: str
    lines: tuple[Line, ...]
    ceiling: float | None = None


class HistoryViewModel(QObject):
    """Asks the worker for what was measured before this window was there, and adds what is measured since."""

    changed = Signal()
    days_changed = Signal()

    def __init__(self, link: WorkerLink, parent: QObject, clock: Callable[[], float] = time.time) -> None:
        super().__init__(parent)
        self._link = link
        self._clock = clock
        self._samples: dict[Span, list[Sample]] = {Span.HOUR: [], Span.DAY: []}
        self._gpus: tuple[GpuReading, ...] = ()
        self.days: tuple[Day, ...] = ()
        self.span = Span.HOUR
        self.is_loaded = False
        """Whether the worker was asked and has answered: until then nobody knows that there is nothing."""
        link.sampled.connect(self._take_sample)
        link.status_changed.connect(self._take_status)
        link.connection_changed.connect(self._take_connection)
        self._take_connection()

    def show_span(self, span: Span) -> None:
        if span is not self.span:
            self.span = span
            self.changed.emit()

    @property
    def window_s(self) -> tuple[float, float]:
        """The first and the last second of what is shown."""
        now = self._clock()
        return now - self.span.value, now

    @property
    def samples(self) -> Sequence[Sample]:
        return self._samples[self.span]

    @property
    def last_hour(self) -> Sequence[Sample]:
        return self._samples[Span.HOUR]

    def plots(self) -> tuple[Plot, ...]:
        return plots_of(self.samples, self._gpus)

    def refresh_days(self) -> None:
        """Asks for the days again: today's grows."""
        self._ask(self._clock(), self._take_days)

    def _take_connection(self) -> None:
        if self._link.connection is Connection.CONNECTED:
            now = self._clock()
            for span in Span:
                self._ask(now - span.value, partial(self._take_past, span))

    def _ask(self, since_s: float, take: Callable[[History], None]) -> None:
        def done(result: Any) -> None:
            take(History.model_validate(result))

        self._link.send(GetHistory(since_s=max(0.0, since_s)), done)

    def _take_past(self, span: Span, history: History) -> None:
        """What came in while the answer was on its way is newer than all of it."""
        last_s = history.samples[-1].time_s if history.samples else 0.0
        newer = [sample for sample in self._samples[span] if sample.time_s > last_s]
        self._samples[span] = [*history.samples, *newer]
        self.is_loaded = True
        self._take_days(history)
        self.changed.emit()

    def _take_days(self, history: History) -> None:
        if history.days != self.days:
            self.days = history.days
            self.days_changed.emit()

    def _take_sample(self, sample: Sample) -> None:
        for span, least_step_s in ((Span.HOUR, 0.0), (Span.DAY, _DAY_STEP_S)):
            kept = self._samples[span]
            while kept and kept[-1].time_s > sample.time_s:  # the clock was set back: those have not happened yet
                kept.pop()
            if not kept or sample.time_s - kept[-1].time_s > least_step_s:
                kept.append(sample)
            _forget_before(kept, sample.time_s - span.value)
        self.changed.emit()

    def _take_status(self, status: Status) -> None:
        if status.gpus:
            self._gpus = status.gpus


def _forget_before(samples: list[Sample], time_s: float) -> None:
    """Leaves the last one before `time_s`, so that a line begins at the edge of its plot."""
    old = 0
    while old + 1 < len(samples) and samples[old + 1].time_s < time_s:
        old += 1
    del samples[:old]


def plots_of(samples: Sequence[Sample], gpus: Sequence[GpuReading]) -> tuple[Plot, ...]:
    """What there is to plot, without plots of what this machine does not have or does not tell."""
    found = [
        Plot(
            Quantity.TOKENS,
            translate("History", "Tokens a second"),
            (_line("", samples, lambda sample: sample.tokens_per_s),),
        ),
        Plot(
            Quantity.CHATS,
            translate("History", "Chats at once"),
            (_line("", samples, lambda sample: sample.open_sessions),),
        ),
        *_gpu_plots(samples, gpus),
        Plot(
            Quantity.NETWORK,
            translate("History", "Network"),
            (
                _line(translate("History", "Sent"), samples, lambda sample: sample.sent_bytes_per_s),
                _line(translate("History", "Received"), samples, lambda sample: sample.received_bytes_per_s),
            ),
        ),
    ]
    return tuple(found)


def _line(name: str, samples: Sequence[Sample], value: Callable[[Sample], float | None]) -> Line:
    return Line(name, tuple((sample.time_s, value(sample)) for sample in samples))


def _gpu_plots(samples: Sequence[Sample], gpus: Sequence[GpuReading]) -> list[Plot]:
    largest = max((gpu.total_bytes for gpu in gpus), default=0) / _GIB or None
    kinds: list[tuple[Quantity, str, Callable[[GpuSample], float | None], float | None]] = [
        (Quantity.TEMPERATURE, translate("History", "GPU temperature"), lambda gpu: gpu.temperature_c, None),
        (Quantity.POWER, translate("History", "GPU power"), lambda gpu: gpu.power_w, None),
        (Quantity.MEMORY, translate("History", "GPU memory in use"), lambda gpu: gpu.used_bytes / _GIB, largest),
    ]
    found = []
    for quantity, title, value, ceiling in kinds:
        lines = _gpu_lines(samples, gpus, value)
        if lines:
            found.append(Plot(quantity, title, lines, ceiling))
    return found


def _gpu_lines(
    samples: Sequence[Sample], gpus: Sequence[GpuReading], value: Callable[[GpuSample], float | None]
) -> tuple[Line, ...]:
    """A line for each GPU that has ever told this value."""
    count = max((len(sample.gpus) for sample in samples), default=0)
    lines = (_gpu_line(number, samples, gpus, value) for number in range(count))
    return tuple(line for line in lines if any(point[1] is not None for point in line.points))


def _gpu_line(
    number: int, samples: Sequence[Sample], gpus: Sequence[GpuReading], value: Callable[[GpuSample], float | None]
) -> Line:
    name = gpus[number].name if number < len(gpus) else translate("History", "GPU {number}").format(number=number)
    return _line(name, samples, lambda sample: value(sample.gpus[number]) if number < len(sample.gpus) else None)
