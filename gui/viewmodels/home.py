"""What the first page says: how it is with the worker and why, what can be done about it, and what this computer gives.

Everything here is words and shares made from the worker's status, so that the page only has to show them.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QCoreApplication, QObject, Signal

from gui import words
from gui.viewmodels.history import HistoryViewModel
from gui.viewmodels.machine import MachineViewModel
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.worker import TrayState, WorkerViewModel, served_in_words
from gui.viewmodels.worker_report import report_text
from gui.worker_link import Connection, WorkerLink
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import Day, Download, GpuReading, Sample, Status

HOUR_S = 3600.0
_MORNING_HOUR = 6
_SHORTEST_NIGHT_S = 4 * 3600.0
_SPARK_S = 1800.0
_WARM_SHARE = 0.95
"""Of the temperature at which a limit pauses: from here on the number is marked."""

translate = QCoreApplication.translate


@dataclass(frozen=True)
class Deed:
    """Something that can be asked for now, in the words of its button."""

    text: str
    icon: str
    act: Callable[[], None]
    is_urged: bool = False
    """It is the one thing to press."""


@dataclass(frozen=True)
class Progress:
    """A download. `share` is None where it is not known how much there will be."""

    share: float | None
    text: str


@dataclass(frozen=True)
class Meter:
    """A part of a whole, as a bar and in words."""

    text: str
    share: float


@dataclass(frozen=True)
class GpuFacts:
    name: str
    problem: str = ""
    facts: tuple[str, ...] = ()
    is_warm: bool = False
    """Near the temperature at which its limit pauses; the words then say so."""
    memory: Meter | None = None


@dataclass(frozen=True)
class Amount:
    """A number to be shown large, its unit, and what belongs to it in small lines."""

    number: str
    unit: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlockFacts:
    """`own` is empty while none are chosen."""

    title: str
    in_words: str
    num_blocks: int
    own: range
    are_served: bool
    why: str


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
            what=_listed(status.cannot_tell)
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
            case State.PAUSED:
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


# In words


def facts_of(status: Status, now_s: float) -> tuple[str, ...]:
    if status.state not in (State.SERVING, State.DRAINING):
        return ()
    facts = [
        translate("Home", "no request yet")
        if status.last_request_s is None
        else translate("Home", "last request {ago}").format(ago=words.ago(status.last_request_s, now_s)),
        translate("Home", "not yet seen by others")
        if status.seen_by_others_s is None
        else translate("Home", "seen by others {ago}").format(ago=words.ago(status.seen_by_others_s, now_s)),
    ]
    ways = {
        "direct": translate("Home", "direct connection"),
        "relayed": translate("Home", "reached over a relay"),
        "unreachable": translate("Home", "others cannot reach it"),
    }
    if status.reach in ways:
        facts.append(ways[status.reach])
    if status.mode is Mode.ALWAYS:
        facts.append(
            translate("Home", "limits are put aside")
            if status.mode_until_s is None
            else translate("Home", "limits are put aside until {time}").format(
                time=words.until(status.mode_until_s, now_s)
            )
        )
    return tuple(facts)


def progress_of(download: Download | None) -> Progress:
    if download is None or not download.total_bytes:
        return Progress(None, translate("Home", "Looking up what is needed"))
    parts = [
        translate("Home", "{done} of {total}").format(
            done=words.size(download.done_bytes), total=words.size(download.total_bytes)
        )
    ]
    if download.bytes_per_s > 0:
        parts.append(words.rate(download.bytes_per_s))
    if download.eta_s is not None:
        parts.append(translate("Home", "{duration} left").format(duration=words.rough_duration(download.eta_s)))
    return Progress(min(1.0, download.done_bytes / download.total_bytes), " · ".join(parts))


def now_of(status: Status | None) -> Amount:
    unit = translate("Home", "tokens/s")
    if status is None or status.state not in (State.SERVING, State.DRAINING):
        return Amount("0", unit, (translate("Home", "While this computer serves, its speed shows here."),))
    if status.last_request_s is None:
        waiting = translate("Home", "Waiting for the first request. That can take a while in a small swarm.")
        return Amount("0", unit, (waiting,))
    return Amount(words.decimal(status.tokens_per_s), unit, (chats_in_words(status.open_sessions),))


def chats_in_words(count: int) -> str:
    if count == 0:
        return translate("Home", "no chat at the moment")
    if count == 1:
        return translate("Home", "1 chat")
    return translate("Home", "{count} chats").format(count=words.count(count))


def given_of(status: Status | None) -> Amount:
    unit = translate("Home", "tokens")
    thanks = translate("Home", "Thanks from the swarm. Not money.")
    if status is None:
        return Amount("0", unit, (translate("Home", "What this computer gives is added up here."),))
    lines = []
    points = status.points
    if points is None or points.today == points.total == points.pending == 0:
        lines.append(translate("Home", "Points come as soon as others sign for your work."))
    else:
        today = translate("Home", "{points} points").format(points=words.short_number(points.today))
        if points.pending > 0:
            pending = translate("Home", "(+{points} not signed yet)").format(points=words.short_number(points.pending))
            today = f"{today} {pending}"
        lines += [today, translate("Home", "{points} points in all").format(points=words.short_number(points.total))]
    return Amount(words.count(status.served_tokens_today), unit, (*lines, thanks))


def gpu_facts(gpu: GpuReading, most_c: float | None) -> GpuFacts:
    if gpu.problem is not None:
        return GpuFacts(gpu.name, problem=gpu.problem)
    facts = []
    is_warm = gpu.temperature_c is not None and most_c is not None and gpu.temperature_c >= most_c * _WARM_SHARE
    if gpu.temperature_c is not None:
        facts.append(_temperature(gpu.temperature_c, most_c, is_warm=is_warm))
    if gpu.power_w is not None:
        facts.append(words.power(gpu.power_w))
    if gpu.utilisation_percent is not None:
        busy = words.percent(gpu.utilisation_percent / 100)
        facts.append(translate("Home", "{percent} busy").format(percent=busy))
    memory = None
    if gpu.total_bytes:
        used = gpu.total_bytes - gpu.free_bytes
        memory = memory_meter(translate("Home", "Graphics memory"), used, gpu.total_bytes)
    return GpuFacts(gpu.name, facts=tuple(facts), is_warm=is_warm, memory=memory)


def _temperature(celsius: float, most_c: float | None, *, is_warm: bool) -> str:
    now = words.temperature(celsius)
    if most_c is None:
        return now
    text = translate("Home", "{now} of {most}").format(now=now, most=words.decimal(most_c, 0))
    return translate("Home", "{temperature}, near its limit").format(temperature=text) if is_warm else text


def memory_meter(name: str, used_bytes: int, total_bytes: int) -> Meter:
    used = translate("Home", "{used} of {total}").format(
        used=words.decimal(used_bytes / 2**30), total=words.memory(total_bytes)
    )
    return Meter(f"{name}  {used}", min(1.0, max(0.0, used_bytes / total_bytes)))


def network_of(status: Status | None, today: Day | None) -> Amount:
    sent, received = (status.sent_bytes_per_s, status.received_bytes_per_s) if status is not None else (0.0, 0.0)
    lines = [translate("Home", "{rate} received").format(rate=words.rate(received))]
    if today is not None:
        lines.append(
            translate("Home", "Today {sent} sent, {received} received").format(
                sent=words.size(today.sent_bytes), received=words.size(today.received_bytes)
            )
        )
    number, _, unit = words.rate(sent).rpartition(words.THIN_SPACE)
    return Amount(number, translate("Home", "{unit} sent").format(unit=unit), tuple(lines))


def blocks_of(status: Status) -> BlockFacts | None:
    if status.blocks is None or not status.num_blocks:
        return None
    start, end = status.blocks
    return BlockFacts(
        title=translate("Home", "{own} of the {count} blocks of {model}").format(
            own=words.count(end - start), count=words.count(status.num_blocks), model=words.model(status.model)
        ),
        in_words=served_in_words(status),
        num_blocks=status.num_blocks,
        own=range(start, end),
        are_served=status.state in (State.SERVING, State.DRAINING),
        why=translate("Home", "Chosen {reason}.").format(reason=status.blocks_reason) if status.blocks_reason else "",
    )


def seconds_to_morning(now: datetime.datetime) -> float:
    """To the next morning before which there is a night: at one o'clock that is today's."""
    morning = now.replace(hour=_MORNING_HOUR, minute=0, second=0, microsecond=0)
    while (morning - now).total_seconds() < _SHORTEST_NIGHT_S:
        morning += datetime.timedelta(days=1)
    return morning.timestamp() - now.timestamp()


def _listed(things: Sequence[str]) -> str:
    """One, two and three."""
    *first, last = things
    if not first:
        return last
    return translate("Home", "{first} and {last}").format(first=", ".join(first), last=last)
