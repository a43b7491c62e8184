"""What the worker does, in the words of the window: one headline, why, and what can be asked of it. QtCore only."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Signal

from gui import words
from gui.worker_link import Connection, WorkerLink
from gui.worker_words import translated, translated_status
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import Command, Finish, Pause, Resume, Sample, SetMode, Status

translate = QCoreApplication.translate

_KEPT_SAMPLES = 720
"""Two hours of one every ten seconds."""
_STAYS = frozenset({State.STARTING, State.DOWNLOADING, State.LOADING, State.JOINING, State.SERVING})


class TrayState(StrEnum):
    """How the flower is painted."""

    SERVING = "serving"
    PAUSED = "paused"
    DOWNLOADING = "downloading"
    PROBLEM = "problem"
    BUSY = "busy"
    """On the way to another state."""


def served_in_words(status: Status) -> str:
    """As in blocks 12–15 of BLOOM; empty where none are chosen yet."""
    if status.blocks is None:
        return ""
    blocks = words.blocks(*status.blocks)
    return (
        translate("Worker", "{blocks} of {model}").format(blocks=blocks, model=words.model(status.model))
        if status.model
        else blocks
    )


def headline(status: Status) -> str:
    """What it does, without a full stop."""
    what = served_in_words(status)
    match status.state:
        case State.SERVING:
            return (
                translate("Worker", "Serving {blocks}").format(blocks=what) if what else translate("Worker", "Serving")
            )
        case State.DOWNLOADING:
            return (
                translate("Worker", "Downloading {blocks}").format(blocks=what)
                if what
                else translate("Worker", "Downloading")
            )
        case State.LOADING:
            return (
                translate("Worker", "Loading {blocks}").format(blocks=what) if what else translate("Worker", "Loading")
            )
        case State.JOINING:
            return translate("Worker", "Joining the swarm")
        case State.STARTING:
            return translate("Worker", "Getting ready")
        case State.DRAINING:
            return translate("Worker", "Letting running chats end")
        case State.PAUSED:
            return status.reason.removesuffix(".") or translate("Worker", "Paused")
        case State.FAILED:
            return translate("Worker", "Stopped by a problem")
        case State.STOPPED:
            return translate("Worker", "Stopped")


def why(status: Status, now_s: float) -> str:
    """The line below the headline; empty where nothing is to be said."""
    match status.state:
        case State.SERVING | State.LOADING | State.DOWNLOADING | State.JOINING:
            return status.blocks_reason
        case State.PAUSED if status.until_s is not None and status.until_s > now_s:
            return translate("Worker", "Until {time}").format(time=words.until(status.until_s, now_s))
        case State.DRAINING | State.FAILED:
            return status.reason
    return ""


def tray_state(connection: Connection, status: Status | None) -> TrayState:
    match connection:
        case Connection.GAVE_UP | Connection.RESTARTING:
            return TrayState.PROBLEM
        case Connection.OFF | Connection.ENDED:
            return TrayState.PAUSED
    if connection is Connection.STARTING or status is None:
        return TrayState.BUSY
    match status.state:
        case State.SERVING:
            return TrayState.SERVING
        case State.DOWNLOADING:
            return TrayState.DOWNLOADING
        case State.PAUSED | State.STOPPED:
            return TrayState.PAUSED
        case State.FAILED:
            return TrayState.PROBLEM
    return TrayState.BUSY


def word(connection: Connection, status: Status | None) -> str:
    """One word for the foot of the rail."""
    match connection:
        case Connection.OFF | Connection.ENDED:
            return translate("Worker", "Off")
        case Connection.GAVE_UP:
            return translate("Worker", "Problem")
        case Connection.RESTARTING:
            return translate("Worker", "Restarting")
    if connection is Connection.STARTING or status is None:
        return translate("Worker", "Starting")
    said = {
        State.STARTING: translate("Worker", "Starting"),
        State.DOWNLOADING: translate("Worker", "Downloading"),
        State.LOADING: translate("Worker", "Loading"),
        State.JOINING: translate("Worker", "Joining"),
        State.SERVING: translate("Worker", "Serving"),
        State.DRAINING: translate("Worker", "Finishing"),
        State.PAUSED: translate("Worker", "Paused"),
        State.FAILED: translate("Worker", "Problem"),
        State.STOPPED: translate("Worker", "Off"),
    }
    return said[status.state]


def is_paused_by_owner(status: Status) -> bool:
    return status.mode is Mode.NEVER


class WorkerViewModel(QObject):
    """
    Attributes:
        status: the last there was, also while the connection is gone: a page shows it greyed, not empty. None before
            the first.
        samples: of the last two hours at most, the oldest first.
    """

    changed = Signal()
    sample_added = Signal(object)
    refused = Signal(str)

    def __init__(self, link: WorkerLink, parent: QObject | None, *, clock: Callable[[], float] = time.time):
        super().__init__(parent)
        self._link = link
        self._clock = clock
        self.status: Status | None = None
        self.samples: deque[Sample] = deque(maxlen=_KEPT_SAMPLES)
        link.status_changed.connect(self._take_status)
        link.sampled.connect(self._take_sample)
        link.connection_changed.connect(self.changed)

    @property
    def connection(self) -> Connection:
        return self._link.connection

    @property
    def connection_reason(self) -> str:
        return translated(self._link.connection_reason)

    @property
    def restart_delay_s(self) -> float | None:
        return self._link.restart_delay_s

    @property
    def is_connected(self) -> bool:
        return self.connection is Connection.CONNECTED

    @property
    def now_s(self) -> float:
        """Seconds since the epoch, by the clock that times of the status are compared with."""
        return self._clock()

    @property
    def headline(self) -> str:
        match self.connection:
            case Connection.OFF:
                return translate("Worker", "Not serving")
            case Connection.ENDED:
                return translate("Worker", "The worker has ended")
            case Connection.GAVE_UP:
                return translate("Worker", "The worker does not run")
            case Connection.RESTARTING:
                return translate("Worker", "Starting the worker again")
        if self.connection is Connection.STARTING or self.status is None:
            return translate("Worker", "Starting the worker")
        return headline(self.status)

    @property
    def why(self) -> str:
        if not self.is_connected:
            return self.connection_reason
        return why(self.status, self.now_s) if self.status is not None else ""

    @property
    def tray_state(self) -> TrayState:
        return tray_state(self.connection, self.status)

    @property
    def word(self) -> str:
        return word(self.connection, self.status)

    @property
    def download_share(self) -> float | None:
        """How much of the download is done, 0 to 1; None while there is none."""
        if not self.is_connected or self.status is None or self.status.state is not State.DOWNLOADING:
            return None
        download = self.status.download
        return download.done_bytes / download.total_bytes if download and download.total_bytes else 0.0

    # What can be asked now.

    @property
    def can_pause(self) -> bool:
        """Also while a limit holds it back: then it stays away when that limit goes."""
        status = self._now
        return (
            status is not None and status.state not in (State.STOPPED, State.FAILED) and not is_paused_by_owner(status)
        )

    @property
    def can_resume(self) -> bool:
        """It rests because its owner said so, or because something failed."""
        status = self._now
        return status is not None and (status.state is State.FAILED or is_paused_by_owner(status))

    @property
    def can_finish(self) -> bool:
        status = self._now
        return status is not None and status.state in _STAYS and not is_paused_by_owner(status)

    @property
    def can_override(self) -> bool:
        """A limit holds it back, and its owner may serve all the same."""
        status = self._now
        if status is None or status.state is not State.PAUSED:
            return False
        return status.may_override and not is_paused_by_owner(status)

    @property
    def can_start(self) -> bool:
        """There is no worker, and one can be started."""
        return self.connection in (Connection.OFF, Connection.ENDED, Connection.GAVE_UP)

    @property
    def _now(self) -> Status | None:
        return self.status if self.is_connected else None

    # What is asked.

    def start(self) -> None:
        """Wants a worker from now on."""
        self._link.start()

    def pause(self, for_s: float | None = None) -> None:
        self._ask(Pause(for_s=for_s))

    def resume(self) -> None:
        self._ask(Resume())

    def retry(self) -> None:
        """After a failure, of the worker or in it."""
        if self.can_start:
            self.start()
        else:
            self.resume()

    def finish(self) -> None:
        self._ask(Finish())

    def override_limits(self, for_s: float | None) -> None:
        """Serves whatever the limits say, for a time or for good."""
        self._ask(SetMode(mode=Mode.ALWAYS, for_s=for_s))

    def quit(self, done: Callable[[], None]) -> None:
        """Ends the worker; `done` is called when it is gone."""
        self._link.quit_worker(done)

    def _ask(self, command: Command) -> None:
        self._link.send(command, self._take_answer, lambda text: self.refused.emit(translated(text)))

    def _take_answer(self, result: Any) -> None:
        """Each of these is answered with the status that it led to."""
        self._take_status(Status.model_validate(result))

    def _take_status(self, status: Status) -> None:
        self.status = translated_status(status)
        self.changed.emit()

    def _take_sample(self, sample: Sample) -> None:
        self.samples.append(sample)
        self.sample_added.emit(sample)
