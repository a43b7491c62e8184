"""Reads from this machine what the owner's limits ask for, each thing as often as it is worth.

`Machine.read` blocks, for some seconds where a desktop hangs: call it in a thread. Nothing is read that no limit asks
for, except temperatures, battery and free memory. What cannot be read is None, and is logged once.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Generic, TypeVar

from volunteer.control import desktop
from volunteer.control.limits import Moment, Power, Readings, program_key
from volunteer.hardware import Gpu, detect, only_devices_have_batteries
from volunteer.settings import Limits
from volunteer.whole_file import write_file

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds between two readings. Processor time of each, on a Xeon with 90 processes, in ms: idle 0.5 by X, 10 where
# another program is asked; full screen 0.2, programs 2.4, load 1.1, others 0.03; GPUs 140, as a process is started.
_IDLE_EVERY_S = 5.0
_FULL_SCREEN_EVERY_S = 5.0
_POWER_EVERY_S = 10.0
_PROGRAMS_EVERY_S = 10.0
_CPU_EVERY_S = 10.0
_MEMORY_EVERY_S = 30.0
_SENT_EVERY_S = 5.0
_GPUS_EVERY_S = 30.0
_WARM_GPUS_EVERY_S = 10.0

_WARM_C = 10.0
"""Below the temperature that is too hot: from here on a GPU is watched more closely."""
_GPUS_FIRST_WAIT_S = 3.0
_GPUS_OVERDUE_S = 30.0
_SAVE_SENT_EVERY_S = 60.0


@dataclass(frozen=True)
class CpuTimes:
    """Seconds since the machine started, of all processors together."""

    total_s: float
    busy_s: float
    own_s: Mapping[tuple[int, float], float]
    """Of each process of the worker's, named by its number and start."""


@dataclass(frozen=True)
class Probes:
    """How things are read, each once: None where this machine does not tell. Whatever is raised counts as None."""

    # Lambdas where the function comes further down in this file.
    idle_s: Callable[[], float | None] = desktop.idle_s
    full_screen: Callable[[], bool | None] = desktop.full_screen
    power: Callable[[], Power | None] = lambda: read_power()
    gpus: Callable[[Path], tuple[Gpu, ...] | None] = lambda data_dir: detect(data_dir).gpus or None
    programs: Callable[[], frozenset[str]] = lambda: running_programs()
    cpu_times: Callable[[], CpuTimes] = lambda: read_cpu_times()
    free_ram_bytes: Callable[[], int] = lambda: _free_ram_bytes()
    free_disk_bytes: Callable[[Path], int] = lambda data_dir: _free_disk_bytes(data_dir)
    sent_bytes: Callable[[], int] = lambda: machine_sent_bytes()
    today: Callable[[], date] = date.today
    monotonic_s: Callable[[], float] = time.monotonic


class Machine:
    """This machine's readings. One thread at a time may call `read`."""

    def __init__(self, data_dir: Path, *, uses_gpu: bool, probes: Probes | None = None) -> None:
        self._uses_gpu = uses_gpu
        self._probes = probes = probes or Probes()
        self._idle = _Sampled("whether somebody is here", probes.idle_s)
        self._full_screen = _Sampled("whether an app fills the screen", probes.full_screen)
        self._power = _Sampled("the battery", probes.power)
        self._gpus = _InBackground("the GPUs", lambda: probes.gpus(data_dir))
        self._programs = _Sampled("the running programs", probes.programs)
        self._others = _OthersCpu(probes.cpu_times)
        self._others_cpu = _Sampled("the load of the processor", self._others)
        self._free_ram = _Sampled("the free memory", probes.free_ram_bytes)
        self._free_disk = _Sampled("the free disk space", lambda: probes.free_disk_bytes(data_dir))
        self._sent = _Sampled("what was sent", _SentToday(data_dir, probes))

    def read(self, limits: Limits, *, serving: bool = True) -> Readings:
        """While not serving, a GPU that is cool is left asleep: asking it would wake it."""
        now_s = self._probes.monotonic_s()
        return Readings(
            idle_s=self._idle.at(now_s, _IDLE_EVERY_S) if limits.only_when_idle else None,
            power=self._power.at(now_s, _POWER_EVERY_S),
            gpus=self._gpus.at(now_s, self._gpus_every_s(limits, serving)) if self._uses_gpu else (),
            programs=self._exclusive_programs(limits, now_s),
            full_screen=self._full_screen.at(now_s, _FULL_SCREEN_EVERY_S) if limits.pause_in_full_screen else None,
            others_cpu_percent=self._others_cpu_percent(limits, now_s),
            free_ram_bytes=self._free_ram.at(now_s, _MEMORY_EVERY_S),
            free_disk_bytes=self._free_disk.at(now_s, _MEMORY_EVERY_S),
            sent_today_bytes=self._sent.at(now_s, _SENT_EVERY_S) if limits.upload_gb_per_day is not None else None,
        )

    def _exclusive_programs(self, limits: Limits, now_s: float) -> frozenset[str] | None:
        """Of the running programs those that the owner named; what else runs here is nobody's business."""
        if not limits.exclusive_programs:
            return None
        running = self._programs.at(now_s, _PROGRAMS_EVERY_S)
        return None if running is None else running & {program_key(name) for name in limits.exclusive_programs}

    def _others_cpu_percent(self, limits: Limits, now_s: float) -> float | None:
        if limits.max_others_cpu_percent is None:
            self._others.forget()  # or the next answer would be an average since then
            return None
        return self._others_cpu.at(now_s, _CPU_EVERY_S)

    def _gpus_every_s(self, limits: Limits, serving: bool) -> float:
        temperatures_c = [gpu.temperature_c for gpu in self._gpus.last or () if gpu.problem is None]
        hottest_c = max((each for each in temperatures_c if each is not None), default=None)
        most_c = limits.max_gpu_temperature_c
        if most_c is None:
            return _GPUS_EVERY_S if serving else math.inf
        if hottest_c is not None and hottest_c > most_c - max(_WARM_C, limits.gpu_cooling_c):
            return _WARM_GPUS_EVERY_S
        # One that does not tell may be the one that was too hot.
        is_cool = hottest_c is not None and None not in temperatures_c
        return math.inf if is_cool and not serving else _GPUS_EVERY_S


class _Sampled(Generic[T]):
    """A reading that is kept until it is old."""

    def __init__(self, what: str, read: Callable[[], T | None]) -> None:
        self._what = what
        self._read = read
        self._read_s: float | None = None
        self._has_failed = False
        self.last: T | None = None

    def at(self, now_s: float, every_s: float) -> T | None:
        if self._is_due(now_s, every_s):
            self._read_s = now_s
            self.last = self._try()
        return self.last

    def _is_due(self, now_s: float, every_s: float) -> bool:
        return self._read_s is None or not 0 <= now_s - self._read_s < every_s

    def _try(self) -> T | None:
        try:
            return self._read()
        except Exception:
            # Whatever is wrong with one reading, the others are needed; and it may well fail every few seconds.
            if not self._has_failed:
                logger.warning("This machine does not tell %s", self._what, exc_info=True)
            self._has_failed = True
            return None


class _InBackground(_Sampled[T]):
    """A reading that may take long, on a thread of its own: until it comes, the last one counts, but not for ever."""

    def __init__(self, what: str, read: Callable[[], T | None]) -> None:
        super().__init__(what, read)
        self._thread: threading.Thread | None = None

    def at(self, now_s: float, every_s: float) -> T | None:
        if self._thread is None or not self._thread.is_alive():
            if not self._is_due(now_s, every_s):
                return self.last
            is_first = self._read_s is None
            self._read_s = now_s
            self._thread = threading.Thread(target=self._keep, name=f"reading {self._what}", daemon=True)
            self._thread.start()
            if is_first:
                self._thread.join(_GPUS_FIRST_WAIT_S)
        elif self._read_s is not None and now_s - self._read_s > _GPUS_OVERDUE_S:
            return None
        return self.last

    def _keep(self) -> None:
        self.last = self._try()


# The processor.


class _OthersCpu:
    """Percent of the processors that all but the worker used between two calls; None at the first."""

    def __init__(self, cpu_times: Callable[[], CpuTimes]) -> None:
        self._cpu_times = cpu_times
        self._before: CpuTimes | None = None

    def forget(self) -> None:
        self._before = None

    def __call__(self) -> float | None:
        before, self._before = self._before, self._cpu_times()
        return None if before is None else others_percent(before, self._before)


def others_percent(before: CpuTimes, after: CpuTimes) -> float | None:
    total_s = after.total_s - before.total_s
    if total_s <= 0:
        return None
    # What a process did that ended in between is not known, and counts for the others: little, and rarely.
    own_s = sum(max(0.0, used_s - before.own_s.get(process, 0.0)) for process, used_s in after.own_s.items())
    return min(100.0, max(0.0, 100 * (after.busy_s - before.busy_s - own_s) / total_s))


def read_cpu_times(pid: int | None = None) -> CpuTimes:
    """With the process `pid` (this one if None) and all below it as the worker's own."""
    import psutil

    times = psutil.cpu_times()
    # Guests are part of user and nice; stolen is what this machine's host gave to other machines.
    total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    waiting_s = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "steal", 0.0)
    root = psutil.Process(pid or os.getpid())
    own_s = {}
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.Error):
            used = process.cpu_times()
            own_s[process.pid, process.create_time()] = used.user + used.system
    return CpuTimes(total_s, total_s - waiting_s, own_s)


def running_programs() -> frozenset[str]:
    """Of all users, as `program_key` makes their names."""
    import psutil

    names = (process.info["name"] for process in psutil.process_iter(["name"]))
    return frozenset(program_key(name) for name in names if name)


# Battery, memory, disk.


def read_power(power_supplies: Path = Path("/sys/class/power_supply")) -> Power | None:
    import psutil

    if only_devices_have_batteries(power_supplies):
        return Power(on_battery=False)
    if not hasattr(psutil, "sensors_battery"):  # not every system has it
        return None
    battery = psutil.sensors_battery()
    if battery is None:
        return Power(on_battery=False)
    plugged_in = battery.power_plugged
    if plugged_in is None and _has_power(power_supplies):
        plugged_in = True  # a battery that rests at its charge limit neither charges nor discharges
    charge_percent = min(100.0, max(0.0, float(battery.percent)))
    return Power(None if plugged_in is None else not plugged_in, charge_percent)


def _has_power(power_supplies: Path) -> bool:
    """Linux: whether a charger of any kind is connected, and gives power."""
    for online in power_supplies.glob("*/online"):
        with suppress(OSError):
            if online.with_name("type").read_text().strip() != "Battery" and online.read_text().strip() != "0":
                return True
    return False


def _free_ram_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def _free_disk_bytes(data_dir: Path) -> int:
    import psutil

    return int(psutil.disk_usage(str(data_dir)).free)


# What was sent.


def machine_sent_bytes() -> int:
    """By all programs of this machine over all its networks: a daily cap may come too soon by this, never too late."""
    import psutil

    counters = psutil.net_io_counters(pernic=True)
    return sum(counter.bytes_sent for name, counter in counters.items() if not _is_loopback(name))


def _is_loopback(interface: str) -> bool:
    name = interface.lower()
    return name == "lo" or name.removeprefix("lo").isdecimal() or "loopback" in name


@dataclass(frozen=True)
class SentOn:
    """Bytes that were sent on one day of the owner's calendar."""

    day: date
    sent_bytes: int
    counter: int
    """What the counter showed then; it only grows, but for new starts."""

    def counted(self, today: date, counter: int) -> SentOn:
        grown = counter - self.counter if counter >= self.counter else counter
        # Any other day, so that a clock which was once wrong by years does not hold the cap for as long.
        return SentOn(today, grown + (self.sent_bytes if today == self.day else 0), counter)


class _SentToday:
    """Remembers the day's bytes over restarts; what the machine sends while no worker runs does not count."""

    def __init__(self, data_dir: Path, probes: Probes) -> None:
        self._file = data_dir / "sent-today.json"
        self._probes = probes
        self._sent: SentOn | None = None
        self._saved_s: float | None = None

    def __call__(self) -> int:
        today, counter = self._probes.today(), self._probes.sent_bytes()
        before = self._sent or self._load(today, counter)
        self._sent = before.counted(today, counter)
        now_s = self._probes.monotonic_s()
        if self._saved_s is None or not 0 <= now_s - self._saved_s < _SAVE_SENT_EVERY_S:
            self._saved_s = now_s
            self._save(self._sent)
        return self._sent.sent_bytes

    def _load(self, today: date, counter: int) -> SentOn:
        with suppress(OSError, ValueError, TypeError, KeyError):
            raw = json.loads(self._file.read_bytes()[:1000])
            day, sent_bytes = date.fromisoformat(raw["day"]), raw["sent_bytes"]
            if type(sent_bytes) is int and sent_bytes >= 0:
                return SentOn(day, sent_bytes, counter)
        return SentOn(today, 0, counter)

    def _save(self, sent: SentOn) -> None:
        with suppress(OSError):  # a full disk: it is counted all the same
            write_file(self._file, json.dumps({"day": sent.day.isoformat(), "sent_bytes": sent.sent_bytes}).encode())


# Clocks.


class SystemZone(tzinfo):
    """The time zone of this system, with its daylight saving time, by the system's own rules: Windows has no others."""

    def fromutc(self, dt: datetime) -> datetime:
        return datetime.fromtimestamp(dt.replace(tzinfo=UTC).timestamp()).replace(tzinfo=self)

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, dt: datetime | None) -> timedelta | None:
        return None  # not told apart from the rest of the offset

    def tzname(self, dt: datetime | None) -> str | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()


def current_moment() -> Moment:
    """By this machine's clocks; in the zone in which it is now, also after a journey."""
    if sys.platform != "win32":
        time.tzset()
    return Moment(datetime.now(SystemZone()), time.monotonic())
