"""A supervisor and its worker, killed again and again: one restart each, nothing damaged, nothing left over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import psutil
import pytest

from volunteer.control import supervisor
from volunteer.control.lifecycle import State
from volunteer.control.supervisor import Ended, News, Running, Supervisor, quit_worker, running_pid
from volunteer.local_swarm import program_command
from volunteer.verbs import worker_status

KILLS = int(os.environ.get("VOLUNTEER_TEST_KILLS", "6"))
"""50 by hand; a start takes four seconds."""


def test_a_worker_that_is_killed_comes_back_each_time(
    random_bloom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(supervisor, "HEALTHY_S", 0.0)
    for name, value in (("MODEL", str(random_bloom)), ("BLOCKS", "0:6"), ("NEW_SWARM", "1")):
        monkeypatch.setenv(f"VOLUNTEER_{name}", value)
    monkeypatch.setenv("VOLUNTEER_HOST_MADDRS", "/ip4/127.0.0.1/tcp/0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    chance = random.Random(3)
    data_dir = tmp_path / "worker"

    async def run() -> None:
        news: asyncio.Queue[News] = asyncio.Queue()
        keeper = Supervisor([*program_command(), "worker", "--data-dir", str(data_dir)], data_dir, news.put_nowait)
        running = asyncio.create_task(keeper.run())
        seen: set[int] = set()
        for _ in range(KILLS):
            started = await next_running(news)
            assert started.pid not in seen and not started.was_found
            seen.add(started.pid)
            # At any moment: while it imports, joins, loads, serves.
            await asyncio.sleep(chance.uniform(0.1, 5.0))
            family = [started.pid, *(child.pid for child in psutil.Process(started.pid).children(recursive=True))]
            os.kill(started.pid, signal.SIGKILL)
            await until_gone(family)
        last = await next_running(news)
        async with asyncio.timeout(60):
            while await running_pid(data_dir) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            while (await asyncio.to_thread(worker_status, data_dir)).state is not State.SERVING:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert keeper.restarts == KILLS
        family = [last.pid, *(child.pid for child in psutil.Process(last.pid).children(recursive=True))]
        assert len(family) == 2, "the worker and p2pd"
        assert await quit_worker(data_dir)
        assert await running == Ended(None)
        await until_gone(family)

    asyncio.run(run())


async def next_running(news: asyncio.Queue[News]) -> Running:
    async with asyncio.timeout(60):
        while True:
            if isinstance(each := await news.get(), Running):
                return each


async def until_gone(pids: list[int]) -> None:
    """A p2pd that was just starting waits 10 s for the worker to claim it."""
    async with asyncio.timeout(15):
        for pid in pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
