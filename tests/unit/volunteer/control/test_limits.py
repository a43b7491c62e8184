"""What the owner's limits say: tables of cases, and what must hold for all of them."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunteer.control.limits import Budgets, Cause, Moment, Power, Readings, Verdict, budgets, decide, program_key
from volunteer.hardware import Gpu
from volunteer.hours import ALWAYS, WeekHours
from volunteer.settings import Limits

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=BERLIN)  # a Wednesday
AT_HOME = Power(on_battery=False)
NO_LIMITS = Limits(serve_on_battery=True, min_charge_percent=0, max_gpu_temperature_c=None)


def gpu(temperature_c: int | None = 60, **changes: Any) -> Gpu:
    return dataclasses.replace(Gpu(index=0, name="RTX 3060", temperature_c=temperature_c), **changes)


def readings(**changes: Any) -> Readings:
    """A machine that tells everything, and that nobody uses."""
    quiet = Readings(
        idle_s=3600.0,
        power=AT_HOME,
        gpus=(gpu(),),
        programs=frozenset({"systemd"}),
        full_screen=False,
        others_cpu_percent=3.0,
        free_ram_bytes=2**33,
        free_disk_bytes=10**11,
        sent_today_bytes=0,
    )
    return dataclasses.replace(quiet, **changes)


def moment(seconds: float = 0.0, wall: datetime = NOON) -> Moment:
    return Moment((wall.astimezone(UTC) + timedelta(seconds=seconds)).astimezone(wall.tzinfo), 1000.0 + seconds)


class Machine:
    """Decides again and again, as the worker does; `after(5, idle_s=1)` is five seconds later."""

    def __init__(self, limits: Limits, **first: Any) -> None:
        self.limits = limits
        self.seconds = 0.0
        self.verdict = decide(limits, readings(**first), moment())

    def after(self, seconds: float, **changes: Any) -> Verdict:
        self.seconds += seconds
        self.verdict = decide(self.limits, readings(**changes), moment(self.seconds), self.verdict)
        return self.verdict

    def serves_after(self, seconds: float, **changes: Any) -> bool:
        return self.after(seconds, **changes).may_serve


# One limit at a time: what the first reading says.


@pytest.mark.parametrize(
    ("limits", "seen", "reason"),
    [
        (Limits(), {}, ""),
        (Limits(), {"idle_s": 0.0, "programs": None, "full_screen": True, "others_cpu_percent": 100.0}, ""),
        (Limits(), {"power": Power(True, 100.0)}, "Paused while this computer runs on its battery"),
        (Limits(serve_on_battery=True), {"power": Power(True, 50.0)}, ""),
        (Limits(serve_on_battery=True), {"power": Power(True, 49.0)}, "Paused because the battery is down to 49 %"),
        (Limits(serve_on_battery=True), {"power": Power(False, 5.0)}, ""),
        (Limits(), {"gpus": (gpu(82),)}, ""),
        (Limits(), {"gpus": (gpu(83),)}, "Paused while RTX 3060 cools down (83 °C, goes on at 75 °C)"),
        (
            Limits(),
            {"gpus": (gpu(50), gpu(90, name="A4000", index=1))},
            "Paused while A4000 cools down (90 °C, goes on at 75 °C)",
        ),
        (Limits(), {"gpus": (gpu(99, problem="GPU is lost."),)}, ""),
        (Limits(max_gpu_temperature_c=None), {"gpus": (gpu(120),)}, ""),
        (Limits(only_when_idle=True), {"idle_s": 299.0}, "Paused until you have been away for 5 minutes"),
        (Limits(only_when_idle=True), {"idle_s": 300.0}, ""),
        (Limits(only_when_idle=True, idle_minutes=1), {"idle_s": 0.0}, "Paused until you have been away for a minute"),
        (Limits(exclusive_programs=("Steam",)), {"programs": frozenset({"steam"})}, "Paused while you play (Steam)"),
        (
            Limits(exclusive_programs=("Premiere", "Blender.exe")),
            {"programs": frozenset({"blender"})},
            "Paused while Blender.exe runs",
        ),
        (Limits(exclusive_programs=("steam",)), {"programs": frozenset({"steamwebhelper"})}, ""),
        (Limits(pause_in_full_screen=True), {"full_screen": True}, "Paused while an app fills the screen"),
        (Limits(hours=WeekHours.from_text("wed 0-12")), {}, "Paused outside of the hours that you chose"),
        (Limits(hours=WeekHours.from_text("wed 12-13")), {}, ""),
        (
            Limits(max_others_cpu_percent=50),
            {"others_cpu_percent": 51.0},
            "Paused while other programs need the processor (51 %)",
        ),
        (Limits(max_others_cpu_percent=50), {"others_cpu_percent": 50.0}, ""),
        (
            Limits(upload_gb_per_day=5),
            {"sent_today_bytes": 5 * 10**9},
            "Paused until tomorrow: 5 GB were sent today",
        ),
        (Limits(upload_gb_per_day=5), {"sent_today_bytes": 5 * 10**9 - 1}, ""),
    ],
)
def test_a_limit_pauses_and_says_why(limits: Limits, seen: dict[str, Any], reason: str) -> None:
    verdict = decide(limits, readings(**seen), moment())
    assert (verdict.reason, verdict.may_serve) == (reason, reason == "")
    assert verdict.cannot_tell == ()


@pytest.mark.parametrize(
    ("limits", "seen", "may_serve", "cannot_tell"),
    [
        (Limits(), {"power": None}, True, "whether this computer runs on its battery"),
        (Limits(), {"power": Power(None, 80.0)}, True, "whether this computer runs on its battery"),
        (Limits(serve_on_battery=True), {"power": Power(True)}, True, "how full the battery is"),
        (Limits(), {"gpus": None}, True, "how hot the GPU is"),
        (Limits(), {"gpus": (gpu(50), gpu(None, name="A4000"))}, True, "how hot the GPU is (A4000)"),
        (Limits(), {"gpus": (gpu(90), gpu(None, name="A4000"))}, False, "how hot the GPU is (A4000)"),
        (Limits(only_when_idle=True), {"idle_s": None}, False, "whether you are away"),
        (Limits(exclusive_programs=("steam",)), {"programs": None}, True, "which programs run"),
        (Limits(pause_in_full_screen=True), {"full_screen": None}, True, "whether an app fills the screen"),
        (
            Limits(max_others_cpu_percent=50),
            {"others_cpu_percent": None},
            True,
            "how busy other programs keep the processor",
        ),
        (Limits(upload_gb_per_day=1), {"sent_today_bytes": None}, True, "how much was sent today"),
    ],
)
def test_what_this_machine_does_not_tell_is_said(
    limits: Limits, seen: dict[str, Any], may_serve: bool, cannot_tell: str
) -> None:
    verdict = decide(limits, readings(**seen), moment())
    assert (verdict.may_serve, verdict.cannot_tell) == (may_serve, (cannot_tell,))


def test_what_no_limit_asks_for_is_not_missed() -> None:
    assert decide(NO_LIMITS, Readings(power=AT_HOME), moment()).cannot_tell == ()


def test_a_machine_that_computes_on_its_processor_has_no_gpu_to_watch() -> None:
    assert decide(Limits(), readings(gpus=()), moment()).cannot_tell == ()


def test_the_first_of_several_reasons_is_told_and_all_are_known() -> None:
    limits = Limits(only_when_idle=True, exclusive_programs=("Blender",))
    seen = readings(idle_s=0.0, programs=frozenset({"blender"}), power=Power(True))
    verdict = decide(limits, seen, moment())
    assert verdict.reason == "Paused while Blender runs"
    assert [pause.cause for pause in verdict.pauses] == [Cause.PROGRAM, Cause.IN_USE, Cause.BATTERY]


def test_names_of_programs_are_compared_as_people_write_them() -> None:
    assert program_key(" Steam.EXE ") == program_key("steam") == "steam"


# Over time: hysteresis, and waiting before something is believed to have ended.


def test_a_hot_gpu_pauses_at_once_and_goes_on_when_it_stayed_cool() -> None:
    machine = Machine(Limits())
    assert not machine.serves_after(10, gpus=(gpu(83),))
    assert not machine.serves_after(10, gpus=(gpu(76),))
    assert not machine.serves_after(10, gpus=(gpu(75),))
    assert machine.verdict.until == moment(90).wall
    assert not machine.serves_after(59, gpus=(gpu(74),))
    assert not machine.serves_after(0.5, gpus=(gpu(76),))  # warm again: the wait begins anew
    assert not machine.serves_after(10, gpus=(gpu(75),))
    assert machine.serves_after(60, gpus=(gpu(75),))
    assert machine.serves_after(10, gpus=(gpu(82),))


def test_a_hot_gpu_that_falls_silent_stays_paused() -> None:
    machine = Machine(Limits(), gpus=(gpu(90),))
    for silent in (None, (gpu(None),), (gpu(None), gpu(40))):
        verdict = machine.after(1000, gpus=silent)
        assert not verdict.may_serve
        assert verdict.cannot_tell
    machine.after(10, gpus=(gpu(40),))
    assert machine.serves_after(60, gpus=(gpu(40),))


def test_only_heat_is_a_danger_and_is_told_behind_other_causes_too() -> None:
    limits = Limits(exclusive_programs=("Steam",))
    machine = Machine(limits, programs=frozenset({"steam"}))
    assert not machine.verdict.may_serve and not machine.verdict.danger
    machine.after(1, programs=frozenset({"steam"}), gpus=(gpu(90),))
    assert machine.verdict.reason == "Paused while you play (Steam)"
    assert machine.verdict.danger.startswith("Paused while RTX")


def test_a_person_who_comes_back_pauses_at_once() -> None:
    machine = Machine(Limits(only_when_idle=True))
    assert not machine.serves_after(1, idle_s=0.5)
    assert not machine.serves_after(250, idle_s=250.5)
    assert machine.serves_after(50, idle_s=300.5)


def test_a_desktop_that_does_not_answer_once_does_not_pause() -> None:
    machine = Machine(Limits(only_when_idle=True))
    assert machine.serves_after(10, idle_s=None)
    assert machine.verdict.cannot_tell == ("whether you are away",)
    assert machine.serves_after(10)
    assert machine.serves_after(55, idle_s=None)
    assert not machine.serves_after(60, idle_s=None)
    assert machine.serves_after(1)


def test_a_person_who_comes_back_after_a_silence_pauses_at_once() -> None:
    machine = Machine(Limits(only_when_idle=True))
    assert machine.serves_after(10, idle_s=None)
    assert not machine.serves_after(1, idle_s=0.0)


def test_a_game_that_ends_is_believed_to_have_ended_after_a_minute() -> None:
    machine = Machine(Limits(exclusive_programs=("Steam", "Blender")), programs=frozenset({"steam"}))
    assert not machine.serves_after(10)
    assert machine.verdict.reason == "Paused while you play (Steam)"
    assert machine.verdict.until == moment(70).wall
    assert not machine.serves_after(30, programs=frozenset({"blender"}))
    assert machine.verdict.reason == "Paused while Blender runs"
    assert machine.verdict.until is None
    assert not machine.serves_after(10)
    assert not machine.serves_after(59)
    assert machine.serves_after(1)


def test_an_app_that_fills_the_screen_for_a_moment_does_not_pause() -> None:
    machine = Machine(Limits(pause_in_full_screen=True))
    assert machine.serves_after(1, full_screen=True)
    assert machine.serves_after(5)
    assert machine.serves_after(5, full_screen=True)
    assert not machine.serves_after(10, full_screen=True)
    assert not machine.serves_after(10, full_screen=None)
    assert machine.serves_after(60, full_screen=None)


def test_a_loose_plug_does_not_flap() -> None:
    machine = Machine(Limits())
    assert not machine.serves_after(1, power=Power(True))
    for plugged_in in (True, False, True, False):
        assert not machine.serves_after(10, power=Power(not plugged_in))
    machine.after(1)
    assert machine.serves_after(30)


def test_the_charge_of_a_battery_is_judged_with_a_band() -> None:
    machine = Machine(Limits(serve_on_battery=True), power=Power(True, 49.0))
    assert not machine.serves_after(100, power=Power(True, 52.0))
    assert machine.verdict.reason == "Paused because the battery is down to 52 %"
    machine.after(100, power=Power(True, 53.0))
    assert machine.serves_after(100, power=Power(True, 53.0))
    assert machine.serves_after(100, power=Power(True, 51.0))


def test_a_busy_processor_pauses_when_it_stays_busy() -> None:
    machine = Machine(Limits(max_others_cpu_percent=60))
    assert machine.serves_after(10, others_cpu_percent=90.0)
    assert machine.serves_after(59, others_cpu_percent=90.0)
    assert not machine.serves_after(1, others_cpu_percent=90.0)
    assert not machine.serves_after(1000, others_cpu_percent=41.0)
    assert not machine.serves_after(10, others_cpu_percent=39.0)
    assert not machine.serves_after(59, others_cpu_percent=39.0)
    assert machine.serves_after(1, others_cpu_percent=39.0)
    assert machine.serves_after(1000, others_cpu_percent=59.0)


def test_a_limit_that_is_switched_off_ends_its_pause_at_once() -> None:
    machine = Machine(Limits(exclusive_programs=("Steam",)), programs=frozenset({"steam"}))
    machine.limits = Limits()
    assert machine.serves_after(0, programs=frozenset({"steam"}))


def test_a_limit_that_is_switched_on_counts_at_once() -> None:
    machine = Machine(Limits())
    machine.limits = Limits(max_others_cpu_percent=50)
    assert not machine.serves_after(0, others_cpu_percent=90.0)


# Hours and days, by a clock on the wall that people and laws change.


def local(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("wed 22-24", "2026-11-25T12:07:08", "2026-11-25T22:00+01:00"),
        ("mon 8-9", "2026-11-25T12:00", "2026-11-30T08:00+01:00"),
        ("wed 11-12", "2026-11-25T12:00", "2026-12-02T11:00+01:00"),
        # 2026-03-29, clocks go from 2:00 to 3:00: the cell of two o'clock does not come that day, nor the next Sundays'
        # until it does.
        ("sun 3-4", "2026-03-29T01:59:59", "2026-03-29T03:00+02:00"),
        ("sun 2-3", "2026-03-29T01:30", "2026-04-05T02:00+02:00"),
        ("sun 2-4", "2026-03-29T01:30", "2026-03-29T03:00+02:00"),
        ("sun 5-6", "2026-03-28T23:00", "2026-03-29T05:00+02:00"),
        # 2026-10-25, clocks go from 3:00 back to 2:00.
        ("sun 3-4", "2026-10-25T02:30", "2026-10-25T03:00+01:00"),
        ("sun 2-3", "2026-10-25T01:30", "2026-10-25T02:00+02:00"),
        ("never", "2026-11-25T12:00", None),
    ],
)
def test_the_end_of_hours_without_serving_is_known(hours: str, now: str, until: str | None) -> None:
    verdict = decide(Limits(hours=WeekHours.from_text(hours)), readings(), moment(wall=local(now)))
    assert not verdict.may_serve
    assert (verdict.until.isoformat(timespec="minutes") if verdict.until else None) == until


def test_an_hour_that_comes_twice_counts_twice() -> None:
    limits = Limits(hours=WeekHours.from_text("sun 2-3"))
    start = local("2026-10-25T02:00")
    served = [decide(limits, readings(), moment(900 * step, start)).may_serve for step in range(-1, 10)]
    assert served == [False] + 8 * [True] + [False, False]


@pytest.mark.parametrize(
    ("zone", "now", "until"),
    [
        ("Europe/Berlin", "2026-11-25T12:00", "2026-11-26T00:00+01:00"),
        ("Europe/Berlin", "2026-03-29T00:30", "2026-03-30T00:00+02:00"),
        ("Asia/Kathmandu", "2026-11-25T12:00", "2026-11-26T00:00+05:45"),
        ("Australia/Lord_Howe", "2026-04-05T00:30", "2026-04-06T00:00+10:30"),
        # Clocks went from 0:00 to 1:00: the day began at one.
        ("America/Sao_Paulo", "2018-11-03T12:00", "2018-11-04T01:00-02:00"),
        # Samoa left out the 30th of December 2011.
        ("Pacific/Apia", "2011-12-29T23:00", "2011-12-31T00:00+14:00"),
    ],
)
def test_the_day_s_upload_ends_at_local_midnight(zone: str, now: str, until: str) -> None:
    seen = readings(sent_today_bytes=10**12)
    verdict = decide(Limits(upload_gb_per_day=1), seen, moment(wall=local(now, ZoneInfo(zone))))
    assert verdict.until is not None
    assert verdict.until.isoformat(timespec="minutes") == until


def test_the_end_is_told_only_if_that_of_every_pause_is_known() -> None:
    limits = Limits(hours=WeekHours.from_text("wed 22-24"), upload_gb_per_day=1)
    both = decide(limits, readings(sent_today_bytes=10**9), moment())
    assert both.until == local("2026-11-26T00:00")
    assert decide(limits, readings(power=Power(True)), moment()).until is None
    assert decide(Limits(), readings(), moment()).until is None


def test_a_clock_at_the_end_of_all_years_is_only_a_clock() -> None:
    end = Moment(datetime.max.replace(tzinfo=UTC), 0.0)
    limits = Limits(hours=WeekHours.from_text("mon 0-1"), upload_gb_per_day=1, exclusive_programs=("steam",))
    paused = decide(limits, readings(sent_today_bytes=10**9, programs=frozenset({"steam"})), end)
    assert not decide(limits, readings(), end, paused).may_serve


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Moment(datetime(2026, 11, 25), 0.0)


# Budgets.


def test_budgets_are_in_bytes_whether_or_not_the_worker_may_serve() -> None:
    limits = Limits(threads=2, nice=5, ram_gb=1.5, vram_gb=2, disk_gb=3, upload_mbit_per_s=8)
    expected = Budgets(2, 5, 3 * 2**29, 2**31, 3 * 10**9, 10**6)
    assert budgets(limits) == expected
    assert decide(limits, readings(power=Power(True)), moment()).budgets == expected
    assert budgets(Limits()) == Budgets(nice=10)


# What must hold for all limits, readings and clocks.

HOURS = st.just(ALWAYS) | st.tuples(*[st.integers(0, 2**24 - 1)] * 7).map(WeekHours)
LIMITS = st.builds(
    Limits,
    only_when_idle=st.booleans(),
    idle_minutes=st.floats(1, 1440),
    pause_in_full_screen=st.booleans(),
    exclusive_programs=st.lists(st.sampled_from(["Steam", "blender"])).map(tuple),
    hours=HOURS,
    serve_on_battery=st.booleans(),
    min_charge_percent=st.floats(0, 100),
    max_gpu_temperature_c=st.none() | st.floats(40, 110),
    gpu_cooling_c=st.floats(1, 40),
    max_others_cpu_percent=st.none() | st.floats(1, 100),
    upload_gb_per_day=st.none() | st.floats(0.01, 100),
)
GPUS = st.lists(st.builds(gpu, st.none() | st.integers(-20, 150), problem=st.sampled_from([None, "GPU is lost."])))
READINGS = st.builds(
    Readings,
    idle_s=st.none() | st.floats(0, 10**6),
    power=st.none() | st.builds(Power, st.none() | st.booleans(), st.none() | st.floats(0, 100)),
    gpus=st.none() | GPUS.map(tuple),
    programs=st.none() | st.frozensets(st.sampled_from(["steam", "blender", "systemd"])),
    full_screen=st.none() | st.booleans(),
    others_cpu_percent=st.none() | st.floats(0, 100),
    sent_today_bytes=st.none() | st.integers(0, 10**12),
)
ZONES = st.sampled_from([BERLIN, ZoneInfo("America/Sao_Paulo"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")])
MOMENTS = st.builds(Moment, st.datetimes(timezones=ZONES), st.floats(-1e9, 1e9))


@given(LIMITS, st.lists(st.tuples(READINGS, MOMENTS), min_size=1, max_size=8))
def test_there_is_a_reason_if_and_only_if_the_worker_pauses(
    limits: Limits, course: list[tuple[Readings, Moment]]
) -> None:
    verdict = None
    for seen, now in course:
        verdict = decide(limits, seen, now, verdict)
        assert verdict.may_serve == (verdict.reason == "") == (verdict.pauses == ())
        assert all(pause.reason.startswith("Paused ") for pause in verdict.pauses)
        assert len(set(verdict.cannot_tell)) == len(verdict.cannot_tell)
        if verdict.until is not None and verdict.pauses:
            assert verdict.until >= now.wall


@given(LIMITS, st.lists(st.tuples(READINGS, MOMENTS), min_size=1, max_size=4), MOMENTS)
def test_however_clocks_jumped_a_quiet_machine_serves_in_the_end(
    limits: Limits, course: list[tuple[Readings, Moment]], last: Moment
) -> None:
    verdict = None
    for seen, now in course:
        verdict = decide(limits, seen, now, verdict)
    quiet = readings(idle_s=10.0**6, gpus=(gpu(-20),), others_cpu_percent=0.0)
    for seconds in (0, 61):  # the longest wait
        verdict = decide(limits, quiet, Moment(last.wall, last.monotonic_s + seconds), verdict)
    assert [pause.cause for pause in verdict.pauses] == ([] if limits.hours.allow(last.wall) else [Cause.HOURS])


@given(LIMITS, READINGS, MOMENTS, st.integers(-(10**6), 10**6))
def test_a_jump_of_the_clock_on_the_wall_changes_nothing_but_hours(
    limits: Limits, seen: Readings, now: Moment, jump_s: int
) -> None:
    before = decide(limits, seen, now)
    jumped = Moment(datetime(2026, 1, 1, tzinfo=BERLIN) + timedelta(seconds=jump_s), now.monotonic_s)
    after = decide(limits, seen, jumped, before)
    causes = [{pause.cause for pause in verdict.pauses} - {Cause.HOURS} for verdict in (before, after)]
    assert causes[0] == causes[1]


@given(st.booleans(), st.lists(st.tuples(st.integers(76, 82), st.floats(0, 10**4)), min_size=1))
def test_inside_the_band_of_heat_nothing_flips(hot: bool, course: list[tuple[int, float]]) -> None:
    machine = Machine(Limits(), gpus=(gpu(83 if hot else 75),))
    for temperature_c, seconds in course:
        assert machine.serves_after(seconds, gpus=(gpu(temperature_c),)) is not hot


@given(st.booleans(), st.lists(st.tuples(st.floats(60.1, 90), st.floats(0, 10**4)), min_size=1))
def test_inside_the_band_of_a_busy_processor_nothing_flips(busy: bool, course: list[tuple[float, float]]) -> None:
    machine = Machine(Limits(max_others_cpu_percent=90), others_cpu_percent=95.0 if busy else 20.0)
    for percent, seconds in course:
        assert machine.serves_after(seconds, others_cpu_percent=percent) is not busy


@given(st.lists(st.tuples(READINGS, st.floats(0.5, 20)), min_size=2, max_size=40))
def test_what_waits_before_it_resumes_does_not_flap(course: list[tuple[Readings, float]]) -> None:
    limits = Limits(exclusive_programs=("Steam",), max_others_cpu_percent=50, pause_in_full_screen=True)
    verdict, now_s = None, 0.0
    paused_at: dict[Cause, float] = {}
    shortest = {Cause.PROGRAM: 60, Cause.FULL_SCREEN: 60, Cause.BUSY: 60, Cause.HEAT: 60, Cause.BATTERY: 30}
    for seen, seconds in course:
        now_s += seconds
        verdict = decide(limits, seen, moment(now_s), verdict)
        causes = {pause.cause for pause in verdict.pauses}
        for cause in causes - paused_at.keys():
            paused_at[cause] = now_s
        for cause in paused_at.keys() - causes:
            # A GPU that is gone, or lost, has nothing to cool down.
            assert now_s - paused_at.pop(cause) >= shortest[cause] or cause is Cause.HEAT


@given(LIMITS, READINGS, MOMENTS)
def test_the_same_again_decides_the_same(limits: Limits, seen: Readings, now: Moment) -> None:
    first = decide(limits, seen, now)
    again = decide(limits, seen, now, first)
    assert again.may_serve or not first.may_serve
    assert [pause.cause for pause in again.pauses] == [pause.cause for pause in first.pauses]
    assert again.cannot_tell == first.cannot_tell
