"""A worker that is reached through a program: here one that is started as ssh would start it on another computer."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from volunteer import cli
from volunteer.control import channel, elsewhere, supervisor
from volunteer.control.channel import ControlClient, ControlServer, Peer, Unreachable
from volunteer.control.elsewhere import FILE_NAME, command_elsewhere, set_elsewhere
from volunteer.control.lifecycle import State
from volunteer.control.messages import (
    AnyCommand,
    Done,
    GetSettings,
    GetStatus,
    LogLine,
    Message,
    Pause,
    Refused,
    SetSetting,
    Status,
    StatusChanged,
    Subscribe,
    Topic,
)
from volunteer.control.supervisor import Ended, News, Running, Supervisor, Waiting, quit_worker
from volunteer.errors import ConfigurationError, ExitCode, UserError
from volunteer.settings import Limits, Settings, settings_file, settings_text
from volunteer.verbs import change_setting, show_setting

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the worker of the other end is on Linux or macOS")


def bridge_to(folder: Path) -> list[str]:
    return [sys.executable, "-m", "volunteer", "--data-dir", str(folder), "bridge"]


async def answer(peer: Peer, command: AnyCommand) -> Done | Refused:
    match command:
        case SetSetting(name="limits.idle_minutes", text="7"):
            pass
        case GetSettings():
            return Done(id=command.id, result=settings_text(Settings(limits=Limits(idle_minutes=7.0))))
        case Subscribe(topics=topics):
            peer.topics = topics
        case GetStatus():
            return Done(id=command.id, result=Status(state=State.SERVING).model_dump(mode="json"))
        case Pause():
            raise UserError("Not now.")
    return Done(id=command.id)


def run(test: Callable[[ControlServer, Path], Awaitable[Any]], tmp_path: Path) -> Any:
    """With a worker in one folder, and another folder that reaches it through a program."""
    there, here = tmp_path / "there", tmp_path / "here"

    async def with_server() -> Any:
        there.mkdir()
        async with asyncio.timeout(60), ControlServer(there, answer) as server:
            set_elsewhere(here, bridge_to(there))
            return await test(server, here)

    return asyncio.run(with_server())


def test_commands_and_events_pass_in_both_directions(tmp_path: Path) -> None:
    async def test(server: ControlServer, here: Path) -> None:
        events: asyncio.Queue[Message] = asyncio.Queue()
        async with ControlClient(here, "window", on_event=events.put_nowait) as client:
            assert Status.model_validate(await client.request(GetStatus())).state is State.SERVING
            with pytest.raises(channel.CommandRefused, match="Not now"):
                await client.request(Pause())
            await client.request(Subscribe(topics=Topic(status=True, logs=True)))
            line = LogLine(number=1, time_s=0.0, level="INFO", topic="swarm", text="é" * 100_000)
            server.publish(line, lambda topics: topics.logs)
            assert await events.get() == line

    run(test, tmp_path)


def test_a_process_number_of_another_computer_is_none_here(tmp_path: Path) -> None:
    async def test(server: ControlServer, here: Path) -> int:
        async with ControlClient(here) as client:
            return client.welcome.pid

    assert run(test, tmp_path) == 0


def test_the_token_does_not_leave_the_workers_folder(tmp_path: Path) -> None:
    async def test(server: ControlServer, here: Path) -> None:
        async with ControlClient(here) as client:
            await client.request(GetStatus())

    run(test, tmp_path)
    assert [path.name for path in (tmp_path / "here").iterdir()] == [FILE_NAME]


def test_last_words_of_the_worker_arrive(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    set_elsewhere(here, bridge_to(there))

    async def test() -> list[Message]:
        heard: list[Message] = []
        async with asyncio.timeout(60), contextlib.AsyncExitStack() as clients:
            async with ControlServer(there, answer) as server:
                client = await clients.enter_async_context(ControlClient(here, on_event=heard.append))
                await client.request(Subscribe(topics=Topic(status=True)))
                server.publish(StatusChanged(status=Status(state=State.STOPPED)), lambda topics: topics.status)
            await client.closed()
        return heard

    assert asyncio.run(test()) == [StatusChanged(status=Status(state=State.STOPPED))]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            ["no-such-program-anywhere"],
            r"No worker answers through `no-such-program-anywhere`\. Run that in a terminal",
        ),
        (["false"], "No worker answers through `false`"),
        (["echo", "Permission denied"], "No worker answers through"),
        (["echo", '{"type": "welcome", "version": 1}'], "No worker answers through"),
    ],
)
def test_a_program_that_leads_nowhere_is_told(tmp_path: Path, command: list[str], sentence: str) -> None:
    async def enter() -> None:
        async with ControlClient(tmp_path):
            pass

    set_elsewhere(tmp_path, command)
    with pytest.raises(Unreachable, match=sentence) as refusal:
        asyncio.run(enter())
    assert refusal.value.exit_code == ExitCode.NOT_RUNNING


def test_no_worker_at_the_other_end_is_told_by_it(tmp_path: Path) -> None:
    set_elsewhere(tmp_path / "here", bridge_to(tmp_path / "there"))

    async def enter() -> None:
        async with ControlClient(tmp_path / "here"):
            pass

    with pytest.raises(Unreachable, match=r"The other computer says: No worker is running on .*there"):
        asyncio.run(enter())


def test_a_program_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "_CONNECT_ELSEWHERE_S", 0.2)
    monkeypatch.setattr(elsewhere, "_PROGRAM_ENDS_S", 0.1)
    set_elsewhere(tmp_path, ["sleep", "60"])

    async def enter() -> None:
        async with ControlClient(tmp_path):
            pass

    began = time.monotonic()
    with pytest.raises(Unreachable):
        asyncio.run(enter())
    assert time.monotonic() - began < 10  # it was killed and not waited for


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"command": []}', b'{"command": [1]}', b'{"command": ["a\\nb"]}', b'{"command": "ssh lab"}'],
)
def test_a_damaged_file_starts_no_worker_of_this_computer(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigurationError, match="run `volunteer connect` anew"):
        command_elsewhere(tmp_path)
    assert asyncio.run(Supervisor(["false"], tmp_path).run()) == Ended(
        f"{tmp_path / FILE_NAME} does not say how the worker elsewhere is reached: run `volunteer connect` anew."
    )


def test_a_file_that_others_can_write_is_not_gone_by(tmp_path: Path) -> None:
    set_elsewhere(tmp_path, ["true"])
    assert command_elsewhere(tmp_path) == ("true",)
    (tmp_path / FILE_NAME).chmod(0o620)
    with pytest.raises(ConfigurationError, match="run `volunteer connect` anew"):
        command_elsewhere(tmp_path)


def test_a_supervisor_waits_for_a_worker_elsewhere_and_starts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.001)
    started = tmp_path / "started"
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    set_elsewhere(here, bridge_to(there))

    async def supervise() -> tuple[News, News]:
        news: asyncio.Queue[News] = asyncio.Queue()
        watching = asyncio.create_task(Supervisor(["touch", str(started)], here, news.put_nowait).run())
        async with asyncio.timeout(60):
            first = await news.get()
            async with ControlServer(there, answer):
                while isinstance(last := await news.get(), Waiting):
                    pass
        watching.cancel()
        await asyncio.wait((watching,))
        return first, last

    first, last = asyncio.run(supervise())
    assert isinstance(first, Waiting)
    assert isinstance(last, Running) and last.was_found
    assert not started.exists()


def test_closing_a_window_does_not_end_a_worker_elsewhere(tmp_path: Path) -> None:
    set_elsewhere(tmp_path, ["false"])
    assert asyncio.run(quit_worker(tmp_path))


def test_settings_are_those_of_the_worker_elsewhere(tmp_path: Path) -> None:
    said: list[str] = []

    async def test(server: ControlServer, here: Path) -> None:
        await asyncio.to_thread(change_setting, here, "limits.idle_minutes", "7", out=said.append)
        await asyncio.to_thread(show_setting, here, "limits.idle_minutes", as_json=False, out=said.append)

    run(test, tmp_path)
    assert said == ["7", "7"]
    assert not settings_file(tmp_path / "here").exists()


# The verbs


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOLUNTEER_DATA_DIR", str(tmp_path / "here"))
    return tmp_path / "here"


def test_connect_is_set_shown_and_undone(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["connect"]) == ExitCode.OK
    assert capsys.readouterr().out == "The worker is the one of this computer.\n"
    assert cli.main(["connect", "wsl.exe", "--exec", "volunteer", "bridge"]) == ExitCode.NOT_RUNNING
    assert "The worker is the one behind: wsl.exe --exec volunteer bridge" in capsys.readouterr().out
    assert command_elsewhere(data_dir) == ("wsl.exe", "--exec", "volunteer", "bridge")
    assert cli.main(["connect", "--", "-strange"]) == ExitCode.NOT_RUNNING
    assert command_elsewhere(data_dir) == ("-strange",)
    assert cli.main(["connect", "--here"]) == ExitCode.OK
    assert command_elsewhere(data_dir) == ()


def test_no_worker_is_started_for_a_folder_whose_worker_is_elsewhere(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_elsewhere(data_dir, ["ssh", "lab", "volunteer", "bridge"])
    for arguments in (["--no-gui"], ["worker"]):
        assert cli.main(arguments) == ExitCode.BAD_CONFIGURATION
        assert "the one behind `ssh lab volunteer bridge`" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["logs"], ["blocks"], ["points"], ["points", "verify"]])
def test_what_shows_this_computer_says_so_while_the_worker_is_elsewhere(
    data_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert cli.main(arguments) == ExitCode.OK
    assert capsys.readouterr().err == ""
    set_elsewhere(data_dir, ["ssh", "lab", "volunteer", "bridge"])
    assert cli.main(arguments) == ExitCode.OK
    assert capsys.readouterr().err == (
        "The worker is the one behind `ssh lab volunteer bridge`; what this shows is of this computer alone.\n"
    )


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_bridge_without_another_end_does_not_wait_for_ever(tmp_path: Path, stream: str) -> None:
    ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE} | {stream: subprocess.DEVNULL}
    with subprocess.Popen(bridge_to(tmp_path), **ends, stderr=subprocess.PIPE, text=True) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == ExitCode.BAD_CONFIGURATION
    assert said == "This is for a `volunteer connect` at the other end of a pipe, and there is none.\n"


@pytest.mark.parametrize("arguments", [["--no-gui"], ["worker"], ["demo"], ["chat", "Hello"], ["bench"], ["swarm"]])
def test_a_build_without_hivemind_says_what_it_can_do(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(arguments) == ExitCode.BAD_CONFIGURATION
    said = capsys.readouterr().err
    assert "Windows itself cannot be part of a swarm" in said and "WSL2, which is a beta" in said
