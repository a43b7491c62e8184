"""Real sockets, real files: who gets in, what is answered, and what a hostile or slow client can do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from volunteer.control import channel
from volunteer.control.channel import (
    CONNECTION_FILE,
    ChannelClosed,
    CommandRefused,
    ControlClient,
    ControlServer,
    NotRunning,
    Peer,
    Place,
    follow,
)
from volunteer.control.lifecycle import State
from volunteer.control.messages import (
    Command,
    Done,
    GetStatus,
    Hello,
    LogLine,
    Message,
    Pause,
    Quit,
    Refused,
    Resume,
    Status,
    StatusChanged,
    Subscribe,
    Topic,
    encode,
)
from volunteer.errors import ExitCode, UserError


async def answer(peer: Peer, command: Command) -> Done | Refused:
    match command:
        case Pause(for_s=for_s):
            return Done(id=command.id, result={"for_s": for_s})
        case Resume():
            raise UserError("Not now.")
        case Quit():
            raise ZeroDivisionError
        case Subscribe(topics=topics):
            peer.topics = topics
    return Done(id=command.id, result=None)


def run(test: Callable[[ControlServer, Path], Awaitable[None]], folder: Path) -> None:
    async def with_server() -> None:
        async with asyncio.timeout(30), ControlServer(folder, answer) as server:
            await test(server, folder)

    asyncio.run(with_server())


@contextlib.asynccontextmanager
async def raw(folder: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that says what the test wants."""
    address = Place.read(folder).address.removeprefix("unix:")
    reader, writer = await asyncio.open_unix_connection(address)
    try:
        yield reader, writer
    finally:
        writer.close()


async def say(folder: Path, *lines: bytes) -> list[dict[str, Any]]:
    """What the worker answers to these lines before it closes."""
    async with raw(folder) as (reader, writer):
        writer.writelines(lines)
        with contextlib.suppress(ConnectionError):
            writer.write_eof()
            return [json.loads(line) for line in (await reader.read()).splitlines()]
        return []


def hello(folder: Path, **changes: Any) -> bytes:
    return encode(Hello(**({"token": Place.read(folder).token, "version": 1} | changes)))


def test_commands_are_answered_each_with_its_own_reply(tmp_path: Path) -> None:
    async def test(server: ControlServer, folder: Path) -> None:
        async with ControlClient(folder) as one, ControlClient(folder) as other:
            answers = await asyncio.gather(
                *(client.request(Pause(for_s=i)) for i in range(50) for client in (one, other))
            )
            assert [each["for_s"] for each in answers] == [i for i in range(50) for _ in range(2)]
            with pytest.raises(CommandRefused, match=r"^Not now\.$"):
                await one.request(Resume())
            with pytest.raises(CommandRefused, match="problem of its own"):
                await one.request(Quit())
            assert await one.request(GetStatus()) is None

    run(test, tmp_path)


def test_events_go_to_those_who_want_them_and_the_last_replaces_others(tmp_path: Path) -> None:
    async def test(server: ControlServer, folder: Path) -> None:
        seen: asyncio.Queue[Message] = asyncio.Queue()
        async with ControlClient(folder, on_event=seen.put_nowait) as wants, ControlClient(folder) as other:
            await wants.request(Subscribe(topics=Topic(status=True)))
            await other.request(GetStatus())
            for tokens in range(1000):
                status = Status(state=State.SERVING, served_tokens=tokens)
                server.publish(StatusChanged(status=status), lambda topics: topics.status)
            got = [await seen.get()]
            while not (isinstance(got[-1], StatusChanged) and got[-1].status.served_tokens == 999):
                got.append(await seen.get())
            assert len(got) <= 2

    run(test, tmp_path)


def test_files_and_folders_are_private_and_gone_afterwards(tmp_path: Path) -> None:
    async def test(server: ControlServer, folder: Path) -> None:
        assert stat.S_IMODE((folder / CONNECTION_FILE).stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "run").stat().st_mode) == 0o700
        assert Place.read(folder).token not in repr(Place.read(folder))

    run(test, tmp_path)
    assert not (tmp_path / CONNECTION_FILE).exists() and not list((tmp_path / "run").iterdir())


def test_a_long_folder_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()

    async def test(server: ControlServer, folder: Path) -> None:
        async with ControlClient(folder) as client:
            assert await client.request(GetStatus()) is None

    run(test, deep)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n\r\n", "no hello"),
        (b'{"type": "pause"}\n', "no hello"),
        (b"[]\n", "no hello"),
        (b"\xff\xfe\n", "no hello"),
        (b"x" * 10_000 + b"\n", "too long"),
    ],
)
def test_whoever_does_not_say_hello_is_refused(tmp_path: Path, first: bytes, words: str) -> None:
    async def test(server: ControlServer, folder: Path) -> None:
        (refusal,) = await say(folder, first)
        assert refusal["type"] == "refused" and words in refusal["message"]
        async with ControlClient(folder) as client:
            assert await client.request(GetStatus()) is None

    run(test, tmp_path)


def test_a_wrong_token_and_another_version_are_refused(tmp_path: Path) -> None:
    async def test(server: ControlServer, folder: Path) -> None:
        (refusal,) = await say(folder, hello(folder, token="x"), encode(Quit()))  # noqa: S106
        assert refusal["message"] == "The token is wrong." and refusal["exit_code"] == ExitCode.NO_PERMISSION
        (refusal,) = await say(folder, hello(folder, version=2))
        assert "version 1" in refusal["message"]

    run(test, tmp_path)


def test_the_token_of_a_killed_worker_is_gone_before_the_next_one_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Place("unix:nowhere", "of the killed one", 1).write(tmp_path)
    listen = channel._listen

    async def look_and_listen(data_dir: Path, *others: Any) -> str:
        assert not (data_dir / CONNECTION_FILE).exists()
        return await listen(data_dir, *others)

    monkeypatch.setattr(channel, "_listen", look_and_listen)

    async def test(server: ControlServer, folder: Path) -> None:
        async with ControlClient(folder) as client:
            assert client.welcome.pid == os.getpid()

    run(test, tmp_path)


def test_whoever_read_the_token_of_a_killed_worker_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: ControlServer, folder: Path) -> None:
        now = Place.read(folder)
        places = [Place(now.address, "of the killed one", 1), now]
        monkeypatch.setattr(Place, "read", lambda data_dir: places.pop(0))
        with pytest.raises(NotRunning):
            async with ControlClient(folder):
                pass
        assert not places

    run(test, tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root may become somebody else")
def test_another_user_is_refused_with_the_right_token_too() -> None:
    connect = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "s.sendall(sys.argv[2].encode()); print(s.makefile().readline())"
    )

    async def as_nobody(folder: Path) -> tuple[str, str]:
        address = Place.read(folder).address.removeprefix("unix:")
        process = await asyncio.create_subprocess_exec(
            "/usr/bin/python3", "-c", connect, address, hello(folder).decode(),
            user=65534, group=65534, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return out.decode(), err.decode()

    async def test(server: ControlServer, folder: Path) -> None:
        out, err = await as_nobody(folder)
        assert not out and "PermissionError" in err
        for path, mode in ((folder, 0o755), (folder / "run", 0o755), (folder / "run" / "control.sock", 0o666)):
            os.chmod(path, mode)  # noqa: PTH101 a pathlib call would be taken for a wait
        out, _ = await as_nobody(folder)
        assert json.loads(out)["message"] == "The worker belongs to another user."

    with tempfile.TemporaryDirectory() as folder:
        run(test, Path(folder))


def test_a_line_of_100_megabytes_ends_its_connection_alone(tmp_path: Path) -> None:
    async def test(server: ControlServer, folder: Path) -> None:
        async with ControlClient(folder) as good, raw(folder) as (reader, writer):
            writer.write(hello(folder))
            assert json.loads(await reader.readline())["type"] == "welcome"
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    writer.write(b"x" * 1024**2)
                    await writer.drain()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            assert await good.request(GetStatus()) is None

    run(test, tmp_path)


def test_bad_commands_are_refused_and_the_connection_goes_on(tmp_path: Path) -> None:
    async def test(server: ControlServer, folder: Path) -> None:
        bad = [b"nonsense\n", b'{"type": "format_disk"}\n', b'{"type": "pause", "for_s": -1}\n', b"[" * 100_000 + b"\n"]
        bad += [b'{"type": "pause", "for_s": NaN}\n', b'{"type": "pause", "for_s": 1e999}\n', b"{}\n"]
        welcome, *refused, done = await say(folder, hello(folder), *bad, encode(Pause(id=7)))
        assert welcome["type"] == "welcome" and done == {"type": "done", "id": 7, "result": {"for_s": None}}
        assert [each["type"] for each in refused] == ["refused"] * len(bad)
        assert all(len(each["message"]) < 600 for each in refused)

    run(test, tmp_path)


def test_whoever_waits_for_the_answer_to_a_bad_command_gets_it(tmp_path: Path) -> None:
    """A window that is newer than the worker asks for what that does not know."""

    class Newer(Command):
        type: str = "dance"

    async def test(server: ControlServer, folder: Path) -> None:
        async with ControlClient(folder) as client:
            with pytest.raises(CommandRefused, match="no message of the control channel"):
                await client.request(Newer())
        _, refused = await say(folder, hello(folder), b'{"type": "pause", "id": 7, "for_s": 1e11}\n')
        assert refused["id"] == 7

    run(test, tmp_path)


def test_what_was_asked_is_done_although_the_client_has_left(tmp_path: Path) -> None:
    async def test() -> None:
        asked, may_go_on, is_done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def slow(peer: Peer, command: Command) -> Done:
            asked.set()
            await may_go_on.wait()
            is_done.set()
            return Done(id=command.id)

        async with asyncio.timeout(10), ControlServer(tmp_path, slow) as server:
            async with raw(tmp_path) as (reader, writer):
                writer.write(hello(tmp_path) + encode(Pause(id=1)))
                await reader.readline()
                await asked.wait()
            while server._peers:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            may_go_on.set()
            await is_done.wait()

    asyncio.run(test())


def test_a_client_that_reads_nothing_is_cut_off_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_SLOW_S", 0.2)

    async def test(server: ControlServer, folder: Path) -> None:
        seen: asyncio.Queue[Message] = asyncio.Queue()
        async with ControlClient(folder, on_event=seen.put_nowait) as good, raw(folder) as (_, writer):
            writer.write(hello(folder) + encode(Subscribe(id=1, topics=Topic(logs=True))))
            await good.request(Subscribe(topics=Topic(logs=True)))
            while len(server._peers) < 2:
                await good.request(GetStatus())
            slow, number = next(iter(server._peers)), 0
            while len(server._peers) == 2:
                server.publish(LogLine(text="x" * 100_000 + str(number)), lambda topics: topics.logs)
                number += 1
                await asyncio.sleep(0)
                assert number < 100_000
            assert await good.request(GetStatus()) is None
            assert len(slow._latest) <= 1, "what is not read is not kept"

    run(test, tmp_path)


def test_many_connections_are_not_many_resources(tmp_path: Path) -> None:
    async def test(server: ControlServer, folder: Path) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(channel._MAX_CLIENTS):
                await stack.enter_async_context(raw(folder))
            await asyncio.sleep(0.05)
            with pytest.raises((NotRunning, ConnectionError)):
                async with ControlClient(folder):
                    pass
        await asyncio.sleep(0.05)
        async with ControlClient(folder) as client:
            assert await client.request(GetStatus()) is None

    run(test, tmp_path)


def test_who_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "_HELLO_S", 0.05)

    async def test(server: ControlServer, folder: Path) -> None:
        async with raw(folder) as (reader, _):
            assert await reader.read() == b""

    run(test, tmp_path)


def test_no_worker_is_said_in_words(tmp_path: Path) -> None:
    async def enter() -> None:
        async with ControlClient(tmp_path):
            pass

    with pytest.raises(NotRunning, match="No worker is running"):
        asyncio.run(enter())
    for damaged in ("", "{}", "[]", '{"address": "unix:/nowhere", "token": "x", "pid": 1}', '{"address": "tcp:x"}'):
        (tmp_path / CONNECTION_FILE).write_text(damaged)
        with pytest.raises(NotRunning):
            asyncio.run(enter())


def test_a_request_under_way_ends_with_the_worker_and_the_client_finds_the_next_one(tmp_path: Path) -> None:
    async def test() -> None:
        asked = asyncio.Event()

        async def never(peer: Peer, command: Command) -> Done:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        connections = follow(tmp_path, "test", retry_s=0.01)
        async with ControlServer(tmp_path, never):
            client, _ = await anext(connections)
            waiting = asyncio.create_task(client.request(GetStatus()))
            await asked.wait()
        with pytest.raises(ChannelClosed):
            await waiting
        await client.closed()
        async with ControlServer(tmp_path, answer):
            client, _ = await anext(connections)
            assert await client.request(GetStatus()) is None
            await connections.aclose()

    asyncio.run(test())


def test_nothing_heavy_is_loaded() -> None:
    import subprocess
    import sys

    code = (
        "import sys, volunteer.control.channel, volunteer.control.lifecycle;"
        "print([m for m in ('torch', 'hivemind', 'transformers', 'PySide6', 'numpy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
