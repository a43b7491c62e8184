"""A real worker process, told what to do over its control channel."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from volunteer.cli import main
from volunteer.client.model import SwarmForCausalLM
from volunteer.control.channel import CommandRefused, ControlClient, NotRunning, Place
from volunteer.control.lifecycle import Mode, State, Wish
from volunteer.control.messages import (
    Command,
    Finish,
    GetStatus,
    Hello,
    LogLine,
    Pause,
    Quit,
    Resume,
    SetMode,
    SetSetting,
    Status,
    StatusChanged,
    Subscribe,
    SwarmChanged,
    Topic,
    encode,
)
from volunteer.control.wish_file import save_wish
from volunteer.local_swarm import Worker
from volunteer.settings import Limits, Settings, load_settings, save_settings
from volunteer.worker import run_worker

LOOPBACK = ["--host-maddrs", "/ip4/127.0.0.1/tcp/0"]


@pytest.fixture
def worker(random_bloom: Path, tmp_path: Path) -> Iterator[Worker]:
    arguments = ["--model", str(random_bloom), "--blocks", "0:6", "--new-swarm", *LOOPBACK]
    with Worker(arguments, tmp_path / "worker") as started:
        started.wait_for("ready")
        yield started


def ask(data_dir: Path, *commands: Command) -> Status:
    """The status after the last of these commands."""

    async def run() -> Any:
        async with ControlClient(data_dir) as client:
            for command in commands:
                result = await client.request(command)
            return result

    return Status.model_validate(asyncio.run(run()))


def tomorrow() -> str:
    """Hours that are not now."""
    return (datetime.datetime.now() + datetime.timedelta(days=1)).strftime("%a").lower() + " 10-11"


def wait_until(data_dir: Path, *states: State, timeout_s: float = 60.0) -> Status:
    deadline = time.monotonic() + timeout_s
    while (status := ask(data_dir, GetStatus())).state not in states:
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    return status


def test_pause_and_resume(worker: Worker, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"
    serving = ask(data_dir, GetStatus())
    assert (serving.state, serving.blocks, serving.pid, serving.reason) == (State.SERVING, (0, 6), worker.pid, "")
    ask(data_dir, Pause(), Pause())
    paused = wait_until(data_dir, State.PAUSED)
    assert paused.reason == "Paused by you" and paused.blocks is None
    assert worker.wait_for("paused")["reason"] == "Paused by you"
    assert not psutil.Process(worker.pid).children(), "it has left the network, too"
    ask(data_dir, Resume(), Resume())
    resumed = wait_until(data_dir, State.SERVING)
    assert resumed.peer_id == serving.peer_id and resumed.blocks == (0, 6)
    worker.wait_for("resumed")


def test_a_pause_outlives_the_worker_and_a_snooze_ends(worker: Worker, random_bloom: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"
    ask(data_dir, Pause())
    wait_until(data_dir, State.PAUSED)
    ask(data_dir, Quit())
    assert worker.wait() == 0
    with pytest.raises(NotRunning):
        ask(data_dir, GetStatus())
    arguments = ["--model", str(random_bloom), "--blocks", "0:6", "--new-swarm", *LOOPBACK]
    with Worker(arguments, data_dir) as again:
        assert again.wait_for("paused")["reason"] == "Paused by you"
        snoozed = ask(data_dir, Pause(for_s=1.0))
        assert snoozed.until_s is not None
        wait_until(data_dir, State.SERVING)
        assert ask(data_dir, GetStatus()).mode is Mode.AUTO


def test_finish_lets_a_session_end_and_then_pauses(worker: Worker, random_bloom: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"
    maddrs = ask(data_dir, GetStatus()).maddrs
    with SwarmForCausalLM.from_pretrained(str(random_bloom), initial_peers=maddrs) as model:
        with model.session(max_length=16) as session:
            import torch

            session.step(torch.randn(1, 2, 64))
            assert ask(data_dir, GetStatus()).open_sessions == 1
            finishing = ask(data_dir, Finish(), Finish())
            assert finishing.reason == "Finished, as you asked"
            wait_until(data_dir, State.DRAINING)
            session.step(torch.randn(1, 1, 64))
            assert ask(data_dir, GetStatus()).state is State.DRAINING
        wait_until(data_dir, State.PAUSED, timeout_s=10.0)


def test_status_is_pushed(worker: Worker, tmp_path: Path) -> None:
    async def run() -> list[State]:
        states: list[State] = []
        paused = asyncio.Event()

        def see(message: Any) -> None:
            assert isinstance(message, StatusChanged)
            states.append(message.status.state)
            if states[-1] is State.PAUSED:
                paused.set()

        async with ControlClient(tmp_path / "worker", on_event=see) as client:
            await client.request(Subscribe(topics=Topic(status=True)))
            await client.request(Pause())
            async with asyncio.timeout(20):
                await paused.wait()
        return states

    states = asyncio.run(run())
    assert states[0] is State.SERVING and states[-1] is State.PAUSED


def test_what_the_stay_tells_is_pushed_too(random_bloom: Path, tmp_path: Path) -> None:
    async def run() -> list[Status]:
        seen: list[Status] = []
        serving = asyncio.Event()

        def see(message: Any) -> None:
            seen.append(message.status)
            if message.status.state is State.SERVING:
                serving.set()

        async with ControlClient(tmp_path / "worker", on_event=see) as client:
            await client.request(Subscribe(topics=Topic(status=True)))
            await client.request(Resume())
            async with asyncio.timeout(60):
                await serving.wait()
        return seen

    (tmp_path / "worker").mkdir(mode=0o700)
    save_wish(tmp_path / "worker", Wish(Mode.NEVER))
    with Worker(["--model", str(random_bloom), "--new-swarm", *LOOPBACK], tmp_path / "worker") as started:
        started.wait_for("paused")
        statuses = asyncio.run(run())
    assert statuses[0].peer_id is None and statuses[-1].maddrs and statuses[-1].num_blocks == 6
    states = list(dict.fromkeys(status.state for status in statuses))
    assert states[0] is State.PAUSED and states[-1] is State.SERVING
    assert any(status.blocks == (0, 6) and status.state is not State.SERVING for status in statuses)


def test_pause_frees_the_memory_and_resume_is_quick(smollm2: Path, tmp_path: Path) -> None:
    arguments = ["--model", str(smollm2), "--blocks", "0:30", "--new-swarm", *LOOPBACK]
    data_dir = tmp_path / "worker"
    with Worker(arguments, data_dir) as worker:
        process = psutil.Process(worker.pid)
        worker.wait_for("listening")
        weights = worker.wait_for("download")["total_bytes"] * 2  # bfloat16 on the disk, float32 in memory
        worker.wait_for("ready")
        serving = process.memory_full_info().uss
        started = time.monotonic()
        ask(data_dir, Pause())
        wait_until(data_dir, State.PAUSED)
        paused_s = time.monotonic() - started
        paused = process.memory_full_info().uss
        started = time.monotonic()
        ask(data_dir, Resume())
        wait_until(data_dir, State.SERVING)
        resumed_s = time.monotonic() - started
    freed = (serving - paused) / weights
    print(f"freed {freed:.1%} of {weights / 1e6:.0f} MB in {paused_s:.2f} s, back in {resumed_s:.2f} s")
    assert freed >= 0.95 and paused_s <= 3.0 and resumed_s <= 10.0


VERBS: list[Callable[[random.Random], Command]] = [
    lambda chance: Pause(),
    lambda chance: Pause(for_s=chance.choice([0.0, 0.2, 1.0])),
    lambda chance: Resume(),
    lambda chance: Finish(),
    lambda chance: SetMode(mode=chance.choice(list(Mode)), for_s=chance.choice([None, 0.3])),
    # What the limits say changes as well.
    lambda chance: SetSetting(name="limits.hours", text=chance.choice([None, None, tomorrow()])),
]


class JumpingClock:
    """Stands where the worker finds the module `time`; its clock on the wall jumps."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def time(self) -> float:
        return time.time() + self.ahead_s

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def daemons() -> set[int]:
    """The p2pd of this process's own peers; other tests may have left some running for the next ones."""
    return {child.pid for child in psutil.Process().children() if child.name() == "p2pd"}


@pytest.mark.long
def test_random_verbs_limits_and_clocks_never_confuse_a_worker(
    random_bloom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """50 sequences on one worker, in this process for the sake of its clock; then it serves and leaves as it should."""
    data_dir = tmp_path / "worker"
    save_settings(data_dir, Settings(limits=Limits(nice=0)))  # the other tests are not to stand back
    others = daemons()
    clock = JumpingClock()
    monkeypatch.setattr("volunteer.worker.time", clock)
    chance = random.Random(5)
    chosen = {"model": str(random_bloom), "blocks": "0:6", "new_swarm": True}

    async def until(client: ControlClient, state: State) -> Status:
        async with asyncio.timeout(60):
            while True:
                status = Status.model_validate(await client.request(GetStatus()))
                if status.state is state:
                    return status
                await asyncio.sleep(0.05)

    async def play() -> None:
        async with asyncio.timeout(60):
            while not (data_dir / "control.json").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        async with ControlClient(data_dir) as client:
            for _ in range(50):
                for _ in range(chance.randint(1, 5)):
                    clock.ahead_s += chance.choice([0.0, 0.0, 0.0, 3600.0, -3600.0, 1e8, -1e8])
                    status = Status.model_validate(await client.request(chance.choice(VERBS)(chance)))
                    if status.state in (State.PAUSED, State.FAILED):
                        assert status.reason
                    await asyncio.sleep(chance.choice([0.0, 0.0, 0.05, 0.3]))
            await client.request(SetSetting(name="limits.hours", text=None))
            await client.request(Resume())
            assert (await until(client, State.SERVING)).blocks == (0, 6)
            await client.request(Pause())
            await until(client, State.PAUSED)
            assert daemons() == others, "it has left the network, too"
            await client.request(Quit())

    async def run() -> int:
        options = chosen | {"host_maddrs": ("/ip4/127.0.0.1/tcp/0",)}
        worker = asyncio.create_task(run_worker(data_dir, options, lambda event: None))
        await play()
        return await worker

    assert asyncio.run(run()) == 0


def test_a_worker_that_has_failed_ends_as_asked_when_it_is_told_to_quit(tmp_path: Path) -> None:
    """Any other code and its supervisor would start it again."""
    data_dir = tmp_path / "worker"
    save_settings(data_dir, Settings(limits=Limits(nice=0)))  # the other tests are not to stand back
    chosen = {"model": str(tmp_path / "nowhere"), "new_swarm": True}

    async def quit_when_failed() -> None:
        while not (data_dir / "control.json").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        async with ControlClient(data_dir) as client:
            status = Status(state=State.STARTING)
            while status.state is not State.FAILED:
                status = Status.model_validate(await client.request(GetStatus()))
            await client.request(Quit())

    async def run() -> int:
        async with asyncio.timeout(60):
            worker = asyncio.create_task(run_worker(data_dir, chosen, lambda event: None, waits_when_failed=True))
            await quit_when_failed()
            return await worker

    assert asyncio.run(run()) == 0


def test_kill_leaves_a_folder_that_the_next_worker_takes(worker: Worker, random_bloom: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert json.loads((data_dir / "control.json").read_text())["pid"] == worker.pid
    with pytest.raises(NotRunning):
        ask(data_dir, GetStatus())
    arguments = ["--model", str(random_bloom), "--blocks", "0:6", "--new-swarm", *LOOPBACK]
    with Worker(arguments, data_dir) as again:
        again.wait_for("ready")
        assert ask(data_dir, GetStatus()).state is State.SERVING


def test_the_swarm_is_shown(worker: Worker, tmp_path: Path) -> None:
    async def run() -> SwarmChanged:
        seen: asyncio.Queue[Any] = asyncio.Queue()
        async with ControlClient(tmp_path / "worker", on_event=seen.put_nowait) as client:
            await client.request(Subscribe(topics=Topic(swarm=True)))
            async with asyncio.timeout(60):  # what it saw before it was online does not name itself yet
                while not (changed := await seen.get()).servers:
                    pass
        return changed

    changed = asyncio.run(run())
    (server,) = changed.servers
    assert (server.start, server.end, changed.num_blocks) == (0, 6, 6)
    assert server.state in ("joining", "online"), "as it was seen last, which may be before it was online"
    assert server.peer_id == ask(tmp_path / "worker", GetStatus()).peer_id


def test_the_log_is_in_a_file_and_follows_a_client(worker: Worker, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"

    async def run() -> list[LogLine]:
        lines: asyncio.Queue[Any] = asyncio.Queue()
        async with ControlClient(data_dir, on_event=lines.put_nowait) as client:
            await client.request(Subscribe(topics=Topic(logs=True)))
            reader, writer = await asyncio.open_unix_connection(Place.read(data_dir).address.removeprefix("unix:"))
            writer.write(encode(Hello(token="wrong", version=1)))  # noqa: S106
            await reader.read()
            writer.close()
            async with asyncio.timeout(20):
                while True:
                    line = await lines.get()
                    if "wrong" in line.text:
                        return [line]

    (line,) = asyncio.run(run())
    assert (line.level, line.topic) == ("WARNING", "control") and line.number > 0
    assert "The token is wrong" in (data_dir / "logs" / "worker.log").read_text()


def test_settings_take_effect_at_once(worker: Worker, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"
    before = ask(data_dir, SetSetting(name="app.theme", text="dark"))
    assert before.state is State.SERVING, "what concerns the window alone disturbs no session"
    assert load_settings(data_dir).settings.app.theme == "dark"
    ask(data_dir, SetSetting(name="limits.hours", text=tomorrow()))
    paused = wait_until(data_dir, State.PAUSED)
    assert paused.reason == "Paused outside of the hours that you chose"
    assert paused.until_s is not None and paused.until_s > time.time()
    assert load_settings(data_dir).settings.limits.hours != Settings().limits.hours
    ask(data_dir, SetMode(mode=Mode.ALWAYS))
    wait_until(data_dir, State.SERVING)
    ask(data_dir, Resume())
    wait_until(data_dir, State.PAUSED)
    ask(data_dir, SetSetting(name="limits.hours", text=None))
    wait_until(data_dir, State.SERVING)
    with pytest.raises(CommandRefused, match="There is no setting"):
        ask(data_dir, SetSetting(name="limits.nonsense", text="1"))


def test_other_blocks_are_served_after_the_setting_has_changed(random_bloom: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"
    with Worker(["--model", str(random_bloom), "--new-swarm", *LOOPBACK], data_dir) as started:
        started.wait_for("ready")
        assert ask(data_dir, GetStatus()).blocks == (0, 6)
        ask(data_dir, SetSetting(name="serving.blocks", text="2:4"))
        assert started.wait_for("ready")["blocks"] == [2, 4]
        assert ask(data_dir, GetStatus()).blocks == (2, 4)


def test_the_command_line_asks_the_worker(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        code = main([*arguments, "--data-dir", str(tmp_path / "worker")])
        return code, capsys.readouterr().out

    monkeypatch.setenv("VOLUNTEER_DATA_DIR", "")
    code, out = run("status", "--json")
    assert code == 0 and json.loads(out)["pid"] == worker.pid
    code, out = run("pause", "--for", "1h30m", "--json")
    paused = json.loads(out)
    assert code == 0 and paused["state"] == "paused" and paused["until_s"] > time.time() + 5000
    assert run("pause") == (0, run("status")[1])
    assert run("config", "set", "limits.nice", "12") == (0, "12\n")
    assert json.loads(run("config", "get", "limits.nice", "--json")[1]) == "12"
    assert run("resume")[0] == 0
    wait_until(tmp_path / "worker", State.SERVING)
    assert run("quit") == (0, "The worker has ended.\n")
    assert worker.wait() == 0
    assert run("quit") == (0, "No worker is running.\n")
    assert run("status")[0] == 3 and run("pause")[0] == 3
