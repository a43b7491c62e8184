"""May the worker serve now, and if not why: a pure function of the owner's limits, readings of the machine, and clocks.

A limit whose reading is missing is named in `cannot_tell`. Nothing is guessed then: what forbids must have been seen
(battery, programs, a busy processor), and so must what allows ("only when idle"). A GPU that was too hot stays so until
it is seen to have cooled down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from volunteer.hardware import Gpu
from volunteer.settings import Limits

# Pausing gives memory back and says goodbye to the swarm; coming back costs loading. So what ends is believed to have
# ended only after a while: games start through launchers, people look something up, plugs are loose.
_PROGRAM_GONE_S = 60.0
_FULL_SCREEN_S = 10.0
_FULL_SCREEN_GONE_S = 60.0
_UNKNOWN_IDLE_S = 60.0
"""For which a person who was seen to be away is believed to be, without another sign."""
_PLUGGED_IN_S = 30.0
_COOL_S = 60.0
_BUSY_S = 60.0
_QUIET_S = 60.0

_UNKNOWN_SENT_S = 60.0

_CHARGE_BAND_PERCENT = 3.0
_QUIET_SHARE = 2 / 3
"""Of the load at which the processor counts as busy: below this it is quiet, between them it stays what it was."""

_STEP = timedelta(minutes=15)
"""All offsets from UTC in use are multiples of it, so local hours and days begin at one of its steps."""
_LONGEST_SEARCH = timedelta(days=8)

_LAUNCHERS = frozenset({"steam", "lutris", "heroic", "epicgameslauncher", "battle.net", "galaxyclient", "gamescope"})
"""Programs whose users play."""


@dataclass(frozen=True)
class Power:
    on_battery: bool | None
    """None where the machine does not tell. A machine without a battery is not on it."""
    charge_percent: float | None = None


@dataclass(frozen=True)
class Readings:
    """What was read from this machine. None: the machine does not tell, or nobody asked it."""

    idle_s: float | None = None
    """Since the last key or mouse."""
    power: Power | None = None
    gpus: tuple[Gpu, ...] | None = None
    """Those that the worker might use: () if it computes on the processor."""
    programs: frozenset[str] | None = None
    """Names of running programs, at least of those that the limits name, as `program_key` makes them."""
    full_screen: bool | None = None
    others_cpu_percent: float | None = None
    """Of all processors together, without the worker and its children."""
    free_ram_bytes: int | None = None
    free_disk_bytes: int | None = None
    sent_today_bytes: int | None = None


@dataclass(frozen=True)
class Moment:
    """Now, by two clocks: for hours and days the one on the wall, which jumps; for durations one that does not."""

    wall: datetime
    """With a time zone that knows its daylight saving time."""
    monotonic_s: float

    def __post_init__(self) -> None:
        if self.wall.utcoffset() is None:
            raise ValueError("a moment needs a time zone")


class Cause(StrEnum):
    """Why the worker pauses; the first that applies is told first."""

    PROGRAM = "program"
    FULL_SCREEN = "full_screen"
    IN_USE = "in_use"
    BATTERY = "battery"
    HEAT = "heat"
    HOURS = "hours"
    BUSY = "busy"
    UPLOAD = "upload"


@dataclass(frozen=True)
class Pause:
    cause: Cause
    reason: str
    """In words, for the owner: "Paused while you play (Steam)"."""
    until: datetime | None = None
    """When it ends if nothing new happens; None where that is not known."""


@dataclass(frozen=True)
class Budgets:
    """How much of the machine may be taken while serving. None: no limit of the owner's."""

    threads: int | None = None
    nice: int = 0
    ram_bytes: int | None = None
    vram_bytes: int | None = None
    disk_bytes: int | None = None
    upload_bytes_per_s: int | None = None


@dataclass(frozen=True)
class CauseState:
    """What the next decision has to know of this one."""

    paused: bool
    words: str
    contrary_since_s: float | None = None
    """Since when the readings say the opposite."""


@dataclass(frozen=True)
class Verdict:
    pauses: tuple[Pause, ...] = ()
    cannot_tell: tuple[str, ...] = ()
    """What the owner's limits ask for and this machine does not tell, to be read after "cannot tell"."""
    budgets: Budgets = Budgets()
    states: Mapping[Cause, CauseState] = field(default_factory=dict)
    """Only for the next decision."""

    @property
    def may_serve(self) -> bool:
        return not self.pauses

    @property
    def reason(self) -> str:
        """Empty if and only if the worker may serve."""
        return self.pauses[0].reason if self.pauses else ""

    @property
    def danger(self) -> str:
        """The reason of a pause that protects the machine, which its owner cannot override; empty if there is none."""
        return next((pause.reason for pause in self.pauses if pause.cause is Cause.HEAT), "")

    @property
    def until(self) -> datetime | None:
        """When the last of the pauses ends; None if that is not known of all, or there are none."""
        ends = [pause.until for pause in self.pauses if pause.until is not None]
        return max(ends) if ends and len(ends) == len(self.pauses) else None


def decide(limits: Limits, readings: Readings, now: Moment, previous: Verdict | None = None) -> Verdict:
    """Where there is no previous verdict on a limit, the first reading counts at once."""
    pauses: list[Pause] = []
    cannot_tell: list[str] = []
    states: dict[Cause, CauseState] = {}
    for cause, rule in _RULES.items():
        signal = rule(limits, readings, now.wall)
        if signal is None:
            continue
        before = previous.states.get(cause) if previous is not None else None
        state = states[cause] = _settle(before, signal, now.monotonic_s)
        if signal.cannot_tell is not None:
            cannot_tell.append(signal.cannot_tell)
        if state.paused:
            pauses.append(Pause(cause, state.words, _end(state, signal, now)))
    return Verdict(tuple(pauses), tuple(cannot_tell), budgets(limits), states)


def budgets(limits: Limits) -> Budgets:
    return Budgets(
        threads=limits.threads,
        nice=limits.nice,
        ram_bytes=_whole(limits.ram_gb, 2**30),
        vram_bytes=_whole(limits.vram_gb, 2**30),
        disk_bytes=_whole(limits.disk_gb, 10**9),
        upload_bytes_per_s=_whole(limits.upload_mbit_per_s, 10**6 / 8),
    )


def program_key(name: str) -> str:
    """What names of programs are compared by: Steam, steam and steam.exe are one."""
    return name.strip().casefold().removesuffix(".exe")


def _whole(value: float | None, unit: float) -> int | None:
    return None if value is None else int(value * unit)


# How a limit comes to pause, and to end.


@dataclass(frozen=True)
class _Signal:
    """What one limit says to the readings."""

    forbidden: bool | None
    """None: neither yes nor no, so it stays as it was."""
    words: str = ""
    """Of the pause; the last ones are kept while it ends. Never empty where something is forbidden."""
    cannot_tell: str | None = None
    pause_after_s: float = 0.0
    resume_after_s: float = 0.0
    until: datetime | None = None


def _settle(before: CauseState | None, signal: _Signal, now_s: float) -> CauseState:
    """A limit changes its mind once the readings have said the opposite for long enough, without a break."""
    if before is None:
        return CauseState(bool(signal.forbidden), signal.words)
    words = signal.words or before.words
    if signal.forbidden is None or signal.forbidden == before.paused:
        return CauseState(before.paused, words)
    since_s = before.contrary_since_s
    if since_s is None or since_s > now_s:  # a clock of another start
        since_s = now_s
    wait_s = signal.pause_after_s if signal.forbidden else signal.resume_after_s
    if now_s - since_s >= wait_s:
        return CauseState(signal.forbidden, words)
    return CauseState(before.paused, words, since_s)


def _end(state: CauseState, signal: _Signal, now: Moment) -> datetime | None:
    if state.contrary_since_s is None:
        return signal.until
    left_s = signal.resume_after_s - (now.monotonic_s - state.contrary_since_s)
    try:
        return (now.wall.astimezone(UTC) + timedelta(seconds=left_s)).astimezone(now.wall.tzinfo)
    except OverflowError:
        return None


# The limits. Each answers None where the owner has switched it off.


def _program(limits: Limits, readings: Readings, now: datetime) -> _Signal | None:
    if not limits.exclusive_programs:
        return None
    if readings.programs is None:
        return _Signal(False, cannot_tell="which programs run", resume_after_s=_PROGRAM_GONE_S)
    running = [name for name in limits.exclusive_programs if program_key(name) in readings.programs]
    if not running:
        return _Signal(False, resume_after_s=_PROGRAM_GONE_S)
    name = running[0]
    plays = program_key(name) in _LAUNCHERS
    return _Signal(True, f"Paused while you play ({name})" if plays else f"Paused while {name} runs")


def _full_screen(limits: Limits, readings: Readings, now: datetime) -> _Signal | None:
    if not limits.pause_in_full_screen:
        return None
    if readings.full_screen:
        return _Signal(True, "Paused while an app fills the screen", pause_after_s=_FULL_SCREEN_S)
    # Under Wayland some apps can be seen to fill the screen and none not to, so no sign of one ends the pause as well.
    unknown = None if readings.full_screen is False else "whether an app fills the screen"
    return _Signal(False, cannot_tell=unknown, resume_after_s=_FULL_SCREEN_GONE_S)


def _in_use(limits: Limits, readings: Readings, now: datetime) -> _Signal | None:
    if not limits.only_when_idle:
        return None
    if readings.idle_s is None:
        return _Signal(
            True,
            "Paused because this computer does not tell whether you are away",
            cannot_tell="whether you are away",
            pause_after_s=_UNKNOWN_IDLE_S,
        )
    if readings.idle_s >= limits.idle_minutes * 60:
        return _Signal(False)
    minutes = "a minute" if limits.idle_minutes == 1 else f"{limits.idle_minutes:g} minutes"
    return _Signal(True, f"Paused until you have been away for {minutes}")


def _battery(limits: Limits, readings: Readings, now: datetime) -> _Signal | None:
    power = readings.power
    if power is None or power.on_battery is None:
        unknown = "whether this computer runs on its battery"
        return _Signal(False, cannot_tell=unknown, resume_after_s=_PLUGGED_IN_S)
    if not power.on_battery:
        return _Signal(False, resume_after_s=_PLUGGED_IN_S)
    if not limits.serve_on_battery:
        return _Signal(True, "Paused while this computer runs on its battery")
    if power.charge_percent is None:
        return _Signal(None, cannot_tell="how full the battery is")
    words = f"Paused because the battery is down to {power.charge_percent:.0f} %"
    if power.charge_percent < limits.min_charge_percent:
        return _Signal(True, words)
    in_band = power.charge_percent < limits.min_charge_percent + _CHARGE_BAND_PERCENT
    return _Signal(None if in_band else False, words, resume_after_s=_PLUGGED_IN_S)


def _heat(limits: Limits, readings: Readings, now: datetime) -> _Signal | None:
    most = limits.max_gpu_temperature_c
    if most is None:
        return None
    if readings.gpus is None:
        return _Signal(None, cannot_tell="how hot the GPU is")
    usable = [gpu for gpu in readings.gpus if gpu.problem is None]
    if not usable:
        return _Signal(False)
    silent = next((gpu.name for gpu in usable if gpu.temperature_c is None), None)
    unknown = None if silent is None else f"how hot the GPU is ({silent})"
    told = [(gpu.temperature_c, gpu.name) for gpu in usable if gpu.temperature_c is not None]
    if not told:
        return _Signal(None, cannot_tell=unknown)
    temperature_c, name = max(told)
    cool = most - limits.gpu_cooling_c
    words = f"Paused while {name} cools down ({temperature_c} °C, goes on at {cool:g} °C)"
    if temperature_c >= most:
        return _Signal(True, words, cannot_tell=unknown)
    if temperature_c > cool or silent is not None:  # it may be the silent one that was too hot
        return _Signal(None, words, cannot_tell=unknown)
    return _Signal(False, cannot_tell=unknown, resume_after_s=_COOL_S)


def _hours(limits: Limits, readings: Readings, now: datetime) -> _Signal | None:
    if limits.hours.allow(now):
        return _Signal(False)
    return _Signal(True, "Paused outside of the hours that you chose", until=_next(now, limits.hours.allow))


def _busy(limits: Limits, readings: Readings, now: datetime) -> _Signal | None:
    most = limits.max_others_cpu_percent
    if most is None:
        return None
    percent = readings.others_cpu_percent
    if percent is None:
        return _Signal(False, cannot_tell="how busy other programs keep the processor", resume_after_s=_QUIET_S)
    words = f"Paused while other programs need the processor ({percent:.0f} %)"
    if percent > most:
        return _Signal(True, words, pause_after_s=_BUSY_S)
    return _Signal(None if percent > most * _QUIET_SHARE else False, words, resume_after_s=_QUIET_S)


def _upload(limits: Limits, readings: Readings, now: datetime) -> _Signal | None:
    if limits.upload_gb_per_day is None:
        return None
    if readings.sent_today_bytes is None:
        return _Signal(False, cannot_tell="how much was sent today", resume_after_s=_UNKNOWN_SENT_S)
    if readings.sent_today_bytes < limits.upload_gb_per_day * 10**9:
        return _Signal(False)
    today = now.date()
    return _Signal(
        True,
        f"Paused until tomorrow: {limits.upload_gb_per_day:g} GB were sent today",
        until=_next(now, lambda local: local.date() != today),
    )


_RULES: dict[Cause, Callable[[Limits, Readings, datetime], _Signal | None]] = {
    Cause.PROGRAM: _program,
    Cause.FULL_SCREEN: _full_screen,
    Cause.IN_USE: _in_use,
    Cause.BATTERY: _battery,
    Cause.HEAT: _heat,
    Cause.HOURS: _hours,
    Cause.BUSY: _busy,
    Cause.UPLOAD: _upload,
}


def _next(now: datetime, holds: Callable[[datetime], bool]) -> datetime | None:
    """The next local hour or day of which this holds, in the zone of `now`.

    Steps through UTC, where no time is missing or comes twice, and asks the zone at each step.
    """
    try:
        utc = now.astimezone(UTC)
        utc = utc.replace(minute=utc.minute // 15 * 15, second=0, microsecond=0)
        for step in range(1, _LONGEST_SEARCH // _STEP + 1):
            local = (utc + step * _STEP).astimezone(now.tzinfo)
            if holds(local):
                return local
    except OverflowError:  # a clock at the end of all years
        pass
    return None
