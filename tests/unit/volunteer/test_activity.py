"""What was done is told as rates and as days, and outlives kills, full disks, wrong clocks and damage."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import math
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from volunteer import activity_file
from volunteer.activity import MAX_SAMPLES, Activity, Counts, Now, days_of, thin
from volunteer.activity_file import ACTIVITY_FILE, ActivityFile, Sums
from volunteer.control.messages import Day, GpuSample, History, Sample

NOON = datetime.datetime(2026, 11, 27, 12).timestamp()
TODAY = datetime.date(2026, 11, 27)


class Clock:
    """Both clocks of an `Activity`."""

    def __init__(self) -> None:
        self.now_s = NOON
        self.passed_s = 0.0

    def pass_by(self, seconds: float) -> None:
        self.now_s += seconds
        self.passed_s += seconds


def activity(data_dir: Path, clock: Clock) -> Activity:
    return Activity(data_dir, clock=lambda: clock.now_s, monotonic=lambda: clock.passed_s)


def history_of(data_dir: Path, clock: Clock) -> History:
    async def read() -> History:
        async with activity(data_dir, clock) as opened:
            return await opened.history(0, {})

    return asyncio.run(read())


def test_a_sample_tells_the_mean_since_the_one_before(tmp_path: Path) -> None:
    clock = Clock()

    async def run() -> list[Sample]:
        async with activity(tmp_path, clock) as opened:
            clock.pass_by(10)
            first = await opened.take(Counts(50, 1, 2000, 1000), Now(is_serving=True, open_sessions=2))
            clock.pass_by(5)
            gpu = GpuSample(used_bytes=7, temperature_c=61)
            return [first, await opened.take(Counts(100, 1, 2000, 4000), Now(is_serving=True, gpus=(gpu,)))]

    first, second = asyncio.run(run())
    assert (first.tokens_per_s, first.open_sessions, first.sent_bytes_per_s, first.received_bytes_per_s) == (
        5.0, 2, 200.0, 100.0,
    )  # fmt: skip
    assert (second.tokens_per_s, second.sent_bytes_per_s, second.received_bytes_per_s) == (10.0, 0.0, 600.0)
    assert second.time_s == NOON + 15
    assert history_of(tmp_path, clock).samples == (first, second)


def test_a_sample_is_in_the_history_of_the_same_moment(tmp_path: Path) -> None:
    clock = Clock()

    async def run() -> tuple[Sample, History]:
        async with activity(tmp_path, clock) as opened:
            clock.pass_by(10.06)  # tenths of a second are kept
            return await opened.take(Counts(), Now()), await opened.history(0.0, {})

    sample, history = asyncio.run(run())
    assert history.samples == (sample,)


def test_a_day_adds_up_over_workers_that_are_killed(tmp_path: Path) -> None:
    clock = Clock()

    async def one_worker() -> tuple[int, float | None]:
        opened = activity(tmp_path, clock)
        await opened.__aenter__()
        before = opened.served_tokens_today, opened.last_request_s
        clock.pass_by(10)
        await opened.take(Counts(100, 2, 3000, 500), Now(is_serving=True, last_request_s=clock.now_s - 3))
        return before  # and it is never closed

    assert asyncio.run(one_worker()) == (0, None)
    assert asyncio.run(one_worker()) == (100, NOON + 7)
    assert history_of(tmp_path, clock).days == (
        Day(
            date="2026-11-27",
            served_tokens=200,
            served_sessions=4,
            serving_s=20,
            sent_bytes=6000,
            received_bytes=1000,
        ),
    )


def test_a_new_day_begins_at_midnight_with_nothing(tmp_path: Path) -> None:
    clock = Clock()

    async def run() -> list[int]:
        async with activity(tmp_path, clock) as opened:
            clock.pass_by(10)
            await opened.take(Counts(served_tokens=100), Now())
            today = opened.served_tokens_today
            clock.now_s += 12 * 3600
            tomorrow = opened.served_tokens_today
            clock.pass_by(10)
            await opened.take(Counts(served_tokens=130), Now())
            return [today, tomorrow, opened.served_tokens_today]

    assert asyncio.run(run()) == [100, 0, 30]
    assert [(day.date, day.served_tokens) for day in history_of(tmp_path, clock).days] == [
        ("2026-11-27", 100),
        ("2026-11-28", 30),
    ]


def test_only_time_in_which_it_served_is_time_served(tmp_path: Path) -> None:
    clock = Clock()

    async def run() -> None:
        async with activity(tmp_path, clock) as opened:
            for seconds, is_serving in ((10, True), (10, False), (7200, True)):  # at last the lid was closed
                clock.pass_by(seconds)
                await opened.take(Counts(), Now(is_serving=is_serving))

    asyncio.run(run())
    assert [day.serving_s for day in history_of(tmp_path, clock).days] == [40]


def test_nothing_is_counted_twice_when_a_sample_is_given_up(tmp_path: Path) -> None:
    clock = Clock()

    async def run() -> int:
        async with activity(tmp_path, clock) as opened:
            clock.pass_by(10)
            given_up = asyncio.create_task(opened.take(Counts(served_tokens=100), Now()))
            await asyncio.sleep(0)
            given_up.cancel()
            await opened.take(Counts(served_tokens=100), Now())
            return opened.served_tokens_today

    assert asyncio.run(run()) == 100


def test_what_a_full_disk_does_not_take_is_kept_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    add = ActivityFile.add

    async def run() -> list[int]:
        async with activity(tmp_path, clock) as opened:
            monkeypatch.setattr(ActivityFile, "add", lambda *_: False)
            await opened.take(Counts(served_tokens=100), Now())
            full = opened.served_tokens_today
            monkeypatch.setattr(ActivityFile, "add", add)
            await opened.take(Counts(served_tokens=120), Now())
            return [full, opened.served_tokens_today]

    assert asyncio.run(run()) == [0, 120]


def test_days_bring_work_and_points_together() -> None:
    days = list(
        days_of(
            {TODAY: Sums(served_tokens=5), TODAY - datetime.timedelta(days=400): Sums(served_tokens=9)},
            {"2026-11-26": (1.5, 0.5), "2026-11-27": (2.0, 0.0), "2020-01-01": (7.0, 7.0)},
            TODAY,
        )
    )
    assert [(day.date, day.served_tokens, day.earned, day.spent) for day in days] == [
        ("2026-11-26", 0, 1.5, 0.5),
        ("2026-11-27", 5, 2.0, 0.0),
    ]


def samples(count: int, *, first_s: float = 0.0) -> list[Sample]:
    return [
        Sample(time_s=first_s + 10 * index, tokens_per_s=index % 2, open_sessions=index % 3) for index in range(count)
    ]


@pytest.mark.parametrize("first_s", [0.0, 3.3, NOON])
@pytest.mark.parametrize("count", [1081, 3000, 8640])
def test_a_day_of_samples_is_thinned_to_what_a_plot_can_show(count: int, first_s: float) -> None:
    thinned = thin(samples(count, first_s=first_s), MAX_SAMPLES)
    assert len(thinned) <= MAX_SAMPLES
    assert len(thinned) > MAX_SAMPLES / 2
    assert thinned[-1].time_s == first_s + 10 * (count - 1)
    assert max(sample.open_sessions for sample in thinned) == 2
    assert sum(sample.tokens_per_s for sample in thinned) / len(thinned) == pytest.approx(0.5, abs=0.01)


def test_few_samples_stay_as_they_are() -> None:
    few = samples(MAX_SAMPLES)
    assert thin(few, MAX_SAMPLES) == tuple(few)
    assert thin([], MAX_SAMPLES) == ()


@pytest.fixture
def file(tmp_path: Path) -> ActivityFile:
    return ActivityFile(tmp_path / ACTIVITY_FILE)


def test_the_first_written_go_when_there_are_too_many(file: ActivityFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity_file, "KEPT_SAMPLES", 3)
    monkeypatch.setattr(activity_file, "KEPT_DAYS", 2)
    for number in range(5):
        file.add(Sample(time_s=NOON + number), Sums(served_tokens=1), TODAY + datetime.timedelta(days=number))
    assert [sample.time_s - NOON for sample in file.samples(0, math.inf)] == [2, 3, 4]
    assert [day.day for day in file.days()] == [30, 1]


def test_a_clock_that_is_wrong_for_a_while_loses_nothing(tmp_path: Path) -> None:
    clock = Clock()

    async def run() -> History:
        async with activity(tmp_path, clock) as opened:
            for years in (0, 30, -50, 0):
                clock.now_s = NOON + years * 365 * 86_400 + clock.passed_s
                clock.pass_by(10)
                await opened.take(Counts(served_tokens=int(clock.passed_s)), Now())
            return await opened.history(0, {})

    history = asyncio.run(run())
    assert [sample.time_s - NOON for sample in history.samples] == [10, 40]
    assert [(day.date, day.served_tokens) for day in history.days] == [("2026-11-27", 20)]


def test_a_history_begins_where_it_is_asked_to(tmp_path: Path) -> None:
    clock = Clock()

    async def run() -> History:
        async with activity(tmp_path, clock) as opened:
            for _ in range(3):
                clock.pass_by(10)
                await opened.take(Counts(), Now())
            return await opened.history(NOON + 10, {})

    assert [sample.time_s - NOON for sample in asyncio.run(run()).samples] == [20, 30]


def test_a_day_without_work_is_no_row(file: ActivityFile) -> None:
    file.add(Sample(time_s=NOON), Sums(), TODAY)
    assert file.days() == {}


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    ActivityFile(tmp_path / ACTIVITY_FILE).add(Sample(time_s=NOON), Sums(), TODAY)
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}


def damage(path: Path) -> None:
    path.write_bytes(b"This is no database. " * 1000)


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(("harm", "is_kept"), [(damage, True), (newer, False), (folder, False)])
def test_a_file_that_cannot_be_used_stops_nothing(tmp_path: Path, harm: Callable[[Path], None], is_kept: bool) -> None:
    path = tmp_path / ACTIVITY_FILE
    harm(path)
    before = path.read_bytes() if path.is_file() else b""
    file = ActivityFile(path)
    assert file.add(Sample(time_s=NOON), Sums(served_tokens=3), TODAY)
    assert file.days() == {TODAY: Sums(served_tokens=3)}
    file.close()
    if is_kept:
        assert [each.read_bytes() for each in tmp_path.glob("activity.damaged-*.sqlite")] == [before]
        assert ActivityFile(path).days()
    elif path.is_file():
        assert path.read_bytes() == before


def test_a_number_that_cannot_be_costs_its_row_alone(tmp_path: Path, file: ActivityFile) -> None:
    for number in range(4):
        day = TODAY + datetime.timedelta(days=number)
        file.add(Sample(time_s=NOON + number), Sums(served_tokens=number + 1), day)
    for statement in (
        "UPDATE day SET day = 1099511627776 WHERE served_tokens = 1",
        "UPDATE day SET day = 'never' WHERE served_tokens = 2",
        "UPDATE day SET day = 0 WHERE served_tokens = 3",
        "UPDATE sample SET gpus = '[' WHERE id = 1",
        "UPDATE sample SET open_sessions = 'many' WHERE id = 2",
    ):
        file._connection.execute(statement)
    assert file.days() == {TODAY + datetime.timedelta(days=3): Sums(served_tokens=4)}
    assert [sample.time_s - NOON for sample in file.samples(0, math.inf)] == [2, 3]


def test_a_write_that_fails_is_told_once_and_is_no_error(file: ActivityFile, caplog: pytest.LogCaptureFixture) -> None:
    file._connection.execute("PRAGMA query_only = ON")
    for _ in range(3):
        assert not file.add(Sample(time_s=NOON), Sums(served_tokens=1), TODAY)
    assert [record.name for record in caplog.records].count("volunteer.activity_file") == 1
    file._connection.execute("PRAGMA query_only = OFF")
    assert file.add(Sample(time_s=NOON), Sums(served_tokens=1), TODAY)


def test_sums_name_every_column_of_a_day(file: ActivityFile) -> None:
    sums = Sums(1, 2, 3.5, 4, 5, 6.5)
    file.add(Sample(time_s=NOON), sums, TODAY)
    assert file.days() == {TODAY: sums}
    assert len(dataclasses.fields(Sums)) == 6
