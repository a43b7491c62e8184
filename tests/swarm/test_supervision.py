"""A supervisor and its worker, killed again and again: one restart each, nothing damaged, nothing left over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from volunteer.control import supervisor
from volunteer.control.channel import follow
from volunteer.control.lifecycle import State
from volunteer.control.messages import ChatCommand, SetSetting
from volunteer.control.supervisor import Ended, News, Running, Supervisor, quit_worker, running_pid
from volunteer.errors import UserError
from volunteer.local_swarm import program_command
from volunteer.models.stored_parts import stored_parts
from volunteer.owner_services import CONVERSATIONS_FILE
from volunteer.settings import load_settings
from volunteer.verbs import worker_status

KILLS = int(os.environ.get("VOLUNTEER_TEST_KILLS", "6"))
"""50 by hand; a start takes four seconds."""
CHAT_KILLS = max(4, KILLS // 2)
DOWNLOAD_BYTES_PER_S = 20e6
"""So that 212 MB take longer than most workers live."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Of a worker, which outlives a test that fails unless it is ended here."""
    folder = tmp_path / "worker"
    yield folder
    if (pid := asyncio.run(running_pid(folder))) is not None:
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def serve_by_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Says in the environment what a supervised worker serves; restarts are quick and never given up."""

    def choose(model: str, blocks: str) -> None:
        monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.01)
        monkeypatch.setattr(supervisor, "HEALTHY_S", 0.0)
        monkeypatch.setenv("VOLUNTEER_MODEL", model)
        monkeypatch.setenv("VOLUNTEER_BLOCKS", blocks)
        monkeypatch.setenv("VOLUNTEER_NEW_SWARM", "1")
        monkeypatch.setenv("VOLUNTEER_HOST_MADDRS", "/ip4/127.0.0.1/tcp/0")
        monkeypatch.setenv("OMP_NUM_THREADS", "1")

    return choose


async def kill_again_and_again(data_dir: Path, *, kills: int, most_s: float) -> Supervisor:
    """Each time at any moment: while it imports, joins, loads, serves. Then it serves, and is told to quit."""
    chance = random.Random(3)
    news: asyncio.Queue[News] = asyncio.Queue()
    keeper = Supervisor([*program_command(), "worker", "--data-dir", str(data_dir)], data_dir, news.put_nowait)
    running = asyncio.create_task(keeper.run())
    seen: set[int] = set()
    for _ in range(kills):
        started = await next_running(news)
        assert started.pid not in seen and not started.was_found
        seen.add(started.pid)
        await asyncio.sleep(chance.uniform(0.1, most_s))
        family = family_of(started.pid)
        os.kill(started.pid, signal.SIGKILL)
        await until_gone(family)
    last = await next_running(news)
    async with asyncio.timeout(90):
        while await running_pid(data_dir) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        while (await asyncio.to_thread(worker_status, data_dir)).state is not State.SERVING:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    family = family_of(last.pid)
    assert await quit_worker(data_dir)
    assert await running == Ended(None)
    await until_gone(family)
    return keeper


def test_a_worker_that_is_killed_comes_back_each_time(
    random_bloom: Path, data_dir: Path, serve_by_environment: Callable[[str, str], None]
) -> None:
    serve_by_environment(str(random_bloom), "0:6")
    keeper = asyncio.run(kill_again_and_again(data_dir, kills=KILLS, most_s=5.0))
    assert keeper.restarts == KILLS


@pytest.mark.long
def test_downloads_chats_and_settings_are_whole_after_kills_in_their_midst(
    smollm2: Path,
    data_dir: Path,
    hub: Any,
    serve_by_environment: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.add_model("somebody/smollm2", smollm2)
    hub.faults.bytes_per_s = DOWNLOAD_BYTES_PER_S
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    serve_by_environment("somebody/smollm2", "0:30")
    acknowledged: dict[str, int] = {}

    async def run() -> None:
        owner = asyncio.create_task(use(data_dir, acknowledged))
        keeper = await kill_again_and_again(data_dir, kills=CHAT_KILLS, most_s=12.0)
        owner.cancel()
        assert keeper.restarts == CHAT_KILLS

    asyncio.run(run())
    assert acknowledged.get("asked", 0) > 0 and acknowledged.get("nice", 0) > 0, acknowledged
    with contextlib.closing(sqlite3.connect(data_dir / CONVERSATIONS_FILE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (asked,) = database.execute("SELECT count(*) FROM message WHERE role = 'user'").fetchone()
    assert asked >= acknowledged["asked"], "what was acknowledged is there"
    stored = stored_parts(data_dir / "models")
    assert len([part for part in stored if part.part.startswith("block")]) == 30
    assert all(part.is_whole and part.file.is_unchanged() for part in stored)
    loaded = load_settings(data_dir)
    assert loaded.notes == () and loaded.settings.limits.nice >= acknowledged["nice"]


async def use(data_dir: Path, acknowledged: dict[str, int]) -> None:
    """An owner who asks and changes settings all the time, through one worker after the other."""
    async for client, _ in follow(data_dir, "owner", retry_s=0.05):
        with contextlib.suppress(UserError):
            conversation = await client.request(ChatCommand(action="create", arguments={"model": "any"}))
            while True:
                question = {"conversation_id": conversation["id"], "text": "Tell me a story."}
                await client.request(ChatCommand(action="ask", arguments=question))
                acknowledged["asked"] = acknowledged.get("asked", 0) + 1
                await asyncio.sleep(0.5)
                nice = min(19, acknowledged.get("nice", 0) + 1)
                await client.request(SetSetting(name="limits.nice", text=str(nice)))
                acknowledged["nice"] = nice
                await client.request(ChatCommand(action="stop", arguments={"conversation_id": conversation["id"]}))


def family_of(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


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
