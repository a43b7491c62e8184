"""What the parts of a worker count comes together in its status and its history."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from volunteer.activity import Activity
from volunteer.control.messages import GpuSample, History, Points, Status
from volunteer.done_work import DoneWork, Downloads, Rate
from volunteer.hardware import Gpu
from volunteer.points.ledger_file import LEDGER_FILE
from volunteer.points.receipts import UNITS_PER_POINT
from volunteer.points.wallet import Wallet
from volunteer.server.admission import Served
from volunteer.swarm.traffic import Traffic


def done_work(data_dir: Path, served: Served | None = None, own_traffic: Traffic | None = None) -> DoneWork:
    return DoneWork(Activity(data_dir), served or Served(), own_traffic or Traffic(), Wallet(data_dir))


def test_a_sample_has_the_traffic_of_all_parts(tmp_path: Path) -> None:
    served = Served(traffic=Traffic(sent_bytes=100, received_bytes=10))
    own_traffic = Traffic(sent_bytes=1000, received_bytes=1)

    async def run() -> History:
        async with done_work(tmp_path, served, own_traffic) as done:
            done.note_download(5000, is_over=False)
            done.note_download(7000, is_over=True)
            await done.take_sample((), is_serving=True)
            return await done.history(0)

    (day,) = asyncio.run(run()).days
    assert (day.sent_bytes, day.received_bytes) == (1100, 2011)


def test_gpus_come_in_their_order_with_what_they_tell(tmp_path: Path) -> None:
    gpus = (
        Gpu(0, "RTX", total_bytes=12, free_bytes=3, temperature_c=61, power_w=118.5, utilisation_percent=97),
        Gpu(1, "GT 210", problem="It is too small."),
    )

    async def run() -> tuple[GpuSample, ...]:
        async with done_work(tmp_path) as done:
            return (await done.take_sample(gpus, is_serving=True)).gpus

    assert asyncio.run(run()) == (
        GpuSample(used_bytes=9, temperature_c=61, power_w=118.5, utilisation_percent=97),
        GpuSample(used_bytes=0),
    )


def test_the_status_knows_the_last_request_of_an_earlier_worker(tmp_path: Path) -> None:
    async def run(served: Served) -> Status:
        async with done_work(tmp_path, served) as done:
            await done.take_sample((), is_serving=True)
            return Status.model_validate({"state": "serving", **done.status()})

    first = asyncio.run(run(Served(tokens=40, last_request_at=time.monotonic() - 5)))
    assert first.served_tokens == first.served_tokens_today == 40
    assert first.last_request_s == pytest.approx(time.time() - 5, abs=2)
    second = asyncio.run(run(Served()))
    assert (second.served_tokens, second.served_tokens_today) == (0, 40)
    assert second.last_request_s == first.last_request_s


def test_being_seen_is_told_as_a_time_of_day(tmp_path: Path) -> None:
    served = Served()

    async def run() -> tuple[object, object]:
        async with done_work(tmp_path, served) as done:
            before = done.status()["seen_by_others_s"]
            served.note_seen()
            return before, done.status()["seen_by_others_s"]

    before, after = asyncio.run(run())
    assert before is None
    assert after == pytest.approx(time.time(), abs=2)


def test_points_are_read_without_opening_the_ledger(tmp_path: Path) -> None:
    async def run() -> tuple[Points | None, History]:
        async with done_work(tmp_path) as done:
            return await done.points(), await done.history(0)

    assert asyncio.run(run()) == (None, History())
    assert not (tmp_path / LEDGER_FILE).exists()
    with Wallet(tmp_path) as wallet:
        ledger = wallet.open().ledger
        with ledger._writing() as connection:
            connection.execute(
                "INSERT INTO total (peer, day, model, earned, spent) VALUES (1, ?, 'bloom', ?, ?)",
                (ledger._today().toordinal(), 3 * UNITS_PER_POINT, UNITS_PER_POINT),
            )
    points, history = asyncio.run(run())
    assert points == Points(today=3, total=3, spent_today=1, spent=1)
    assert [(day.earned, day.spent) for day in history.days] == [(3, 1)]


def test_a_ledger_that_cannot_be_read_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / LEDGER_FILE).write_bytes(b"This is no database. " * 1000)
    (tmp_path / LEDGER_FILE).chmod(0o600)

    async def run() -> tuple[Points | None, History]:
        async with done_work(tmp_path, Served(tokens=7)) as done:
            await done.take_sample((), is_serving=False)
            return await done.points(), await done.history(0)

    points, history = asyncio.run(run())
    assert points is None
    assert [day.served_tokens for day in history.days] == [7]


def test_what_was_there_before_a_download_was_not_brought_by_it() -> None:
    downloads = Downloads()
    downloads.note(1000, is_over=False)
    downloads.note(1500, is_over=False)
    downloads.note(2000, is_over=True)
    downloads.note(9000, is_over=True)  # all of another model was here
    downloads.note(0, is_over=False)
    downloads.note(300, is_over=False)
    downloads.note(250, is_over=False)  # it goes on after a failure, from what was whole
    downloads.note(400, is_over=True)
    assert downloads.received_bytes == 1000 + 300 + 150


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate(window_s=10)
    assert rate.of(0, 0) == 0
    assert rate.of(50, 10) == 5
    assert rate.of(50, 15) == pytest.approx(3.3)
    assert rate.of(50, 30) == 0
