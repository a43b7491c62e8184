"""What the first page says: how it is with the worker and why, what can be done about it, and what this computer gives.

Everything here is words and shares made from the worker's status, so that the page only has to show them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, Signal

from gui import words
from gui.viewmodels.history import HistoryViewModel
from gui.viewmodels.home_words import (
    Amount,
    BlockFacts,
    GpuFacts,
    Progress,
    blocks_of,
    facts_of,
    given_of,
    gpu_facts,
    listed,
    network_of,
    now_of,
    progress_of,
)
from gui.viewmodels.machine import MachineViewModel
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.worker import TrayState, WorkerViewModel
from gui.viewmodels.worker_report import report_text
from gui.worker_link import Connection, WorkerLink
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import Sample, Status

HOUR_S = 3600.0
_MORNING_HOUR = 6
_SHORTEST_NIGHT_S = 4 * 3600.0
_SPARK_S = 1800.0


@dataclass(frozen=True)
class Deed:
    """Something that can be asked for now, in the words of its button."""

    text: str
    icon: str
    act: Callable[[], None]
    is_urged: bool = False
    """It is the one thing to press."""


class HomeViewModel(QObject):
    """
    Signals:
        report_made: its text, to be put where it can be pasted from.
        report_failed: why there is none.
    """

    changed = Signal()
    report_made = Signal(str)
    report_failed = Signal(str)

    def __init__(
        self,
        link: WorkerLink,
        worker: WorkerViewModel,
        history: HistoryViewModel,
        settings: SettingsViewModel,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._link, self.worker, self._history, self._settings = link, worker, history, settings
        self.machine = MachineViewModel(link, self)
        self.is_making_report = False
        worker.changed.connect(self.changed)
        worker.sample_added.connect(self.changed)
        history.changed.connect(self.changed)
        history.days_changed.connect(self.changed)
        settings.changed.connect(self.changed)
        self.machine.changed.connect(self.changed)

    @property
    def _status(self) -> Status | None:
        """None while there is no worker that could have said it: what it said before is over."""
        return self.worker.status if self.worker.is_connected else None

    # How it is

    @property
    def tray_state(self) -> TrayState:
        return self.worker.tray_state

    @property
    def is_off(self) -> bool:
        return self.worker.connection in (Connection.OFF, Connection.ENDED)

    @property
    def headline(self) -> str:
        return self.worker.headline

    @property
    def reason(self) -> str:
        if self.worker.connection is Connection.OFF:
            return self.tr("Nothing runs, and nothing of this computer is used.")
        return self.worker.why

    @property
    def facts(self) -> tuple[str, ...]:
        """Whether it really helps: who asked last, who sees it, how others get here."""
        status = self._status
        return () if status is None else facts_of(status, self.worker.now_s)

    @property
    def advice(self) -> str:
        """What would make it easier to reach; empty where that is no trouble."""
        status = self._status
        return status.advice if status is not None and status.reach in ("relayed", "unreachable") else ""

    @property
    def tried(self) -> str:
        """What was done about a failure so far."""
        if self.worker.connection is Connection.RESTARTING:
            delay_s = self.worker.restart_delay_s
            if delay_s is None:
                return self.tr("It is started again.")
            return self.tr("It is started again in {duration}.").format(duration=words.duration(delay_s))
        if self._status is not None and self._status.state is State.FAILED:
            return self.tr("The worker has left the swarm, gave the memory back and waits for you.")
        return ""

    @property
    def cannot_tell(self) -> str:
        status = self._status
        if status is None or not status.cannot_tell:
            return ""
        return self.tr("This computer does not tell {what}. Limits that need to know it do not work here.").format(
            what=listed(status.cannot_tell)
        )

    @property
    def progress(self) -> Progress | None:
        status = self._status
        if status is None or status.state is not State.DOWNLOADING:
            return None
        return progress_of(status.download)

    # What can be done

    @property
    def ways_to_pause(self) -> tuple[Deed, ...]:
        """The first is the plain one; empty while there is nothing to pause."""
        worker = self.worker
        if not worker.can_pause:
            return ()
        morning_s = seconds_to_morning(datetime.datetime.now())
        deeds = [
            Deed(self.tr("Pause"), "pause", worker.pause),
            Deed(self.tr("Pause for 1 hour"), "snooze", partial(worker.pause, HOUR_S)),
            Deed(self.tr("Pause until tomorrow morning"), "snooze", partial(worker.pause, morning_s)),
        ]
        if worker.can_finish:
            deeds.append(Deed(self.tr("Finish running chats, then pause"), "finish", worker.finish))
        if self._is_overriding:
            deeds.append(Deed(self.tr("Follow the limits again"), "retry", worker.resume))
        return tuple(deeds)

    @property
    def remedies(self) -> tuple[Deed, ...]:
        """What ends the state that is told."""
        worker, status = self.worker, self._status
        if worker.can_start:
            if worker.connection is Connection.GAVE_UP:
                return (self._retry, self._report)
            return (Deed(self.tr("Start"), "play", worker.start, is_urged=True),)
        if status is None:
            return ()
        match status.state:
            case State.FAILED:
                return (self._retry, self._report)
            case State.DRAINING if worker.can_resume:
                return (
                    Deed(self.tr("Go on serving"), "play", worker.resume, is_urged=True),
                    Deed(self.tr("Pause now"), "pause", worker.pause),
                )
            case State.PAUSED if worker.can_override:
                override = partial(worker.override_limits, HOUR_S)
                return (Deed(self.tr("Serve all the same for 1 hour"), "play", override),)
            case State.PAUSED if worker.can_resume:
                return (Deed(self.tr("Resume"), "play", worker.resume, is_urged=True),)
            case State.DOWNLOADING:
                return (Deed(self.tr("Cancel"), "close", worker.pause),)
        return ()

    @property
    def _retry(self) -> Deed:
        return Deed(self.tr("Try again"), "retry", self.worker.retry, is_urged=True)

    @property
    def _report(self) -> Deed:
        text = self.tr("Gathering the report …") if self.is_making_report else self.tr("Copy report")
        return Deed(text, "copy", self.make_report)

    @property
    def _is_overriding(self) -> bool:
        return self._status is not None and self._status.mode is Mode.ALWAYS

    def make_report(self) -> None:
        """Takes some seconds; told once if it is asked for twice."""
        if self.is_making_report:
            return
        self.is_making_report = True
        self.changed.emit()
        data_dir = self._link.data_dir
        self._link.run_aside(lambda: report_text(data_dir), self._report_made, self._report_failed)

    def _report_made(self, text: str) -> None:
        self.is_making_report = False
        self.report_made.emit(text)
        self.changed.emit()

    def _report_failed(self, problem: str) -> None:
        self.is_making_report = False
        self.report_failed.emit(problem)
        self.changed.emit()

    # What is given

    @property
    def now(self) -> Amount:
        return now_of(self._status)

    @property
    def spark(self) -> tuple[Sequence[tuple[float, float | None]], tuple[float, float]]:
        """Tokens a second over the last half hour, and when that began and ends."""
        now_s = self.worker.now_s
        # Those that the history knows reach back to before this window was opened.
        samples: Sequence[Sample] = self._history.last_hour or tuple(self.worker.samples)
        begin_s = now_s - _SPARK_S
        return [(each.time_s, each.tokens_per_s) for each in samples if each.time_s >= begin_s], (begin_s, now_s)

    @property
    def given(self) -> Amount:
        return given_of(self.worker.status)

    @property
    def gpus(self) -> tuple[GpuFacts, ...]:
        status = self._status
        most_c = self._settings.settings.limits.max_gpu_temperature_c
        return () if status is None else tuple(gpu_facts(gpu, most_c) for gpu in status.gpus)

    @property
    def network(self) -> Amount:
        today = datetime.date.today().isoformat()
        day = next((day for day in self._history.days if day.date == today), None)
        return network_of(self._status, day)

    @property
    def blocks(self) -> BlockFacts | None:
        """None while none are chosen."""
        status = self._status
        return None if status is None else blocks_of(status)


def seconds_to_morning(now: datetime.datetime) -> float:
    """To the next morning before which there is a night: at one o'clock that is today's."""
    morning = now.replace(hour=_MORNING_HOUR, minute=0, second=0, microsecond=0)
    while (morning - now).total_seconds() < _SHORTEST_NIGHT_S:
        morning += datetime.timedelta(days=1)
    return morning.timestamp() - now.timestamp()
