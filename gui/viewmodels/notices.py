"""What deserves a notification of the desktop: each cause once, until it has been gone for long. QtCore only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import QCoreApplication, QObject, Signal

from gui.viewmodels.worker import WorkerViewModel
from gui.worker_link import Connection
from volunteer.control.lifecycle import State
from volunteer.control.supervisor import HEALTHY_S

translate = QCoreApplication.translate


class Cause(StrEnum):
    RESTARTING = "restarting"
    GAVE_UP = "gave_up"
    FAILED = "failed"
    FIRST_SERVED = "first_served"
    NEWER_VERSION = "newer_version"


@dataclass(frozen=True)
class Notice:
    cause: Cause
    title: str
    text: str
    is_problem: bool = True


def notice_of(worker: WorkerViewModel, *, was_downloading: bool) -> Notice | None:
    """What there is to say of a worker that is like this.

    Args:
        was_downloading: since this window opened: whoever waited for that wants to know that it is over.
    """
    match worker.connection:
        case Connection.RESTARTING:
            return Notice(Cause.RESTARTING, translate("Notices", "Starting the worker again"), worker.why)
        case Connection.GAVE_UP:
            return Notice(Cause.GAVE_UP, translate("Notices", "The worker does not run"), worker.why)
    if not worker.is_connected or worker.status is None:
        return None
    if worker.status.state is State.FAILED:
        return Notice(Cause.FAILED, translate("Notices", "Serving was stopped by a problem"), worker.why)
    if worker.status.state is State.SERVING and was_downloading:
        text = translate("Notices", "Everything is downloaded. Thank you for helping.")
        return Notice(Cause.FIRST_SERVED, worker.headline, text, is_problem=False)
    return None


class Notices(QObject):
    """
    Args:
        wanted: whether notifications are wanted now.
        clock: seconds; never goes back.
    """

    noticed = Signal(object)

    def __init__(
        self, worker: WorkerViewModel, wanted: Callable[[], bool], clock: Callable[[], float], parent: QObject | None
    ):
        super().__init__(parent)
        self._worker = worker
        self._wanted = wanted
        self._clock = clock
        self._last_seen_s: dict[Cause, float] = {}
        self._was_downloading = False
        worker.changed.connect(self._look)

    def _look(self) -> None:
        status = self._worker.status
        if self._worker.is_connected and status is not None and status.state is State.DOWNLOADING:
            self._was_downloading = True
        notice = notice_of(self._worker, was_downloading=self._was_downloading)
        if notice is None:
            return
        if notice.cause is Cause.FIRST_SERVED:
            self._was_downloading = False
        now_s = self._clock()
        # A worker that fails again and again has one cause for it, not twenty.
        is_new = now_s - self._last_seen_s.get(notice.cause, -HEALTHY_S) >= HEALTHY_S
        self._last_seen_s[notice.cause] = now_s
        if is_new and self._wanted():
            self.noticed.emit(notice)
