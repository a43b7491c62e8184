"""Both ends of the local channel between the worker and its clients: who may connect, lines of JSON, their limits.

The worker listens on a Unix socket in its data folder (a named pipe on Windows; loopback TCP where neither is to be
had) and writes where, with a random token, in a file that only its user can read. A client says the token first. A
worker on another computer is reached through the standard input and output of a program (`elsewhere.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import importlib.metadata
import json
import logging
import os
import secrets
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from volunteer.control.elsewhere import command_elsewhere, in_words, open_program
from volunteer.control.messages import (
    PROTOCOL_VERSION,
    AnyCommand,
    BadLine,
    Command,
    Done,
    Hello,
    Message,
    Refused,
    Topic,
    Welcome,
    decode_command,
    decode_hello,
    decode_reply,
    encode,
)
from volunteer.errors import ExitCode, UserError
from volunteer.whole_file import write_file

CONNECTION_FILE = "control.json"
MAX_COMMAND_BYTES = 1024**2
MAX_REPLY_BYTES = 64 * 1024**2
MAX_HELLO_BYTES = 4096
_HELLO_S = 5.0
_SLOW_S = 20.0
"""A client that takes nothing for so long is cut off."""
_LAST_WORDS_S = 0.5
"""For what was posted to be sent before the worker ends."""
_MAX_CLIENTS = 32
_MAX_UNANSWERED = 64
"""Commands of one client that are being worked on; it is not read further meanwhile."""
_UNSENT_BYTES = 256 * 1024
_MAX_SOCKET_PATH = 100
"""Bytes; the kernels' bounds are 104 and 108."""
_CONNECT_S = 5.0
_CONNECT_ELSEWHERE_S = 30.0
"""ssh knocks at a door far away, and WSL may have to start Linux first."""
_RETRY_ELSEWHERE_S = 5.0

logger = logging.getLogger(__name__)


class NotRunning(UserError):
    """There is no worker on this data folder."""

    exit_code = ExitCode.NOT_RUNNING


class Unreachable(UserError):
    """The worker is on another computer, and cannot be reached."""

    exit_code = ExitCode.NOT_RUNNING


class ChannelClosed(UserError):
    """The worker ended, or closed this connection."""

    exit_code = ExitCode.NOT_RUNNING


class CommandRefused(UserError):
    """The worker's own words."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = ExitCode(exit_code) if exit_code in set(ExitCode) else ExitCode.FAILURE


@dataclass(frozen=True)
class Place:
    """Where a worker listens, as its connection file says.

    Attributes:
        address: `unix:PATH`, `pipe:NAME`, `tcp:PORT` (on 127.0.0.1), or `program:WORDS` as JSON.
    """

    address: str
    token: str = field(repr=False)
    pid: int = 0

    @classmethod
    def read(cls, data_dir: Path) -> Place:
        """Where the worker of this folder is to be found, here or elsewhere.

        Raises:
            NotRunning: there is no file, or none that makes sense.
            ConfigurationError: it is elsewhere, and nothing says how it is reached.
        """
        if command := command_elsewhere(data_dir):
            return cls(f"program:{json.dumps(command)}", token="")
        return cls.read_here(data_dir)

    @classmethod
    def read_here(cls, data_dir: Path) -> Place:
        """Raises NotRunning: there is no file, or none that makes sense."""
        path = data_dir / CONNECTION_FILE
        try:
            with path.open("rb") as file:
                found = json.loads(file.read(MAX_HELLO_BYTES))
            return cls(str(found["address"]), str(found["token"]), int(found["pid"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotRunning(f"No worker is running on {data_dir}.") from error

    @property
    def is_elsewhere(self) -> bool:
        return self.address.startswith("program:")

    def write(self, data_dir: Path) -> None:
        """Replaces the file, readable by this user alone."""
        write_file(data_dir / CONNECTION_FILE, json.dumps(asdict(self)).encode(), is_private=True)


class Peer:
    """One connected client, as the worker sees it."""

    def __init__(self, writer: asyncio.StreamWriter):
        self.topics = Topic()
        self._tasks: set[asyncio.Task[Any]] = set()
        """What goes on for this client alone."""
        self._writer = writer
        self._lock = asyncio.Lock()
        self._latest: dict[type[Message], Message] = {}
        self._wake = asyncio.Event()

    async def send(self, message: Message) -> None:
        """Writes a line; waits while the client is behind, and cuts it off when it stands still.

        Raises:
            ConnectionError: it is gone.
        """
        async with self._lock:
            self._writer.write(encode(message))
            try:
                async with asyncio.timeout(_SLOW_S):
                    await self._writer.drain()
            except TimeoutError:
                self._writer.transport.abort()
                raise ConnectionResetError("the client reads nothing") from None

    def post(self, message: Message) -> None:
        """Sends soon, without waiting; of several messages of a type that were not sent yet, the last."""
        self._latest[type(message)] = message
        self._wake.set()

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine for as long as the client is there, or until `cancel_work`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel_work(self) -> None:
        """Ends what `do` began."""
        for task in tuple(self._tasks):
            task.cancel()

    async def send_posted(self) -> None:
        """Sends what was posted, until cancelled or the client is gone."""
        with contextlib.suppress(ConnectionError):  # whoever reads from it finds out, too
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self.flush()

    async def flush(self) -> None:
        """Sends what was posted so far."""
        while self._latest:
            kind = next(iter(self._latest))
            await self.send(self._latest.pop(kind))


Handler = Callable[[Peer, AnyCommand], Awaitable[Done | Refused]]


class ControlServer:
    """The worker's end. Use as `async with`.

    Args:
        data_dir: gets the socket and the connection file.
        handler: answers commands; a UserError that it raises goes to the client as it stands.
    """

    def __init__(self, data_dir: Path, handler: Handler):
        self._data_dir = data_dir
        self._handler = handler
        self._token = secrets.token_urlsafe(32)
        self._peers: set[Peer] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            # Of a worker that was killed: its token would be taken for this one's.
            (self._data_dir / CONNECTION_FILE).unlink(missing_ok=True)
            address = await _listen(self._data_dir, self._connected, stack)
            Place(address, self._token, os.getpid()).write(self._data_dir)
            stack.callback((self._data_dir / CONNECTION_FILE).unlink, missing_ok=True)
            stack.push_async_callback(self._close_connections)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    def publish(self, message: Message, wanted: Callable[[Topic], bool]) -> None:
        """Posts a message to all clients that want it."""
        for peer in self._peers:
            if wanted(peer.topics):
                peer.post(message)

    async def _close_connections(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await asyncio.gather(*(peer.flush() for peer in self._peers), return_exceptions=True)
        for task in tuple(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(tuple(self._connections), timeout=1.0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= _MAX_CLIENTS:
            writer.transport.abort()
            return
        self._connections.add(task)
        writer.transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError) as error:
            logger.debug("A client of the control channel left: %s", error)
        except asyncio.CancelledError:
            pass  # the worker stops; asyncio would log it as an error
        except Exception:
            logger.warning("A client of the control channel was dropped", exc_info=True)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(writer)
        if (refusal := await self._refusal(reader, writer)) is not None:
            logger.warning("A client of the control channel was refused: %s", refusal.message)
            await peer.send(refusal)
            return
        version = importlib.metadata.version("petals-volunteer")
        await peer.send(Welcome(version=PROTOCOL_VERSION, program_version=version, pid=os.getpid()))
        self._peers.add(peer)
        room = asyncio.Semaphore(_MAX_UNANSWERED)
        sending = asyncio.create_task(peer.send_posted())
        answering: set[asyncio.Task[None]] = set()
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):  # it left
                while line := await _read_line(reader, MAX_COMMAND_BYTES):
                    try:
                        command = decode_command(line)
                    except BadLine as error:
                        await peer.send(Refused(id=error.id, message=str(error), exit_code=ExitCode.USAGE))
                        continue
                    await room.acquire()
                    task = asyncio.create_task(self._answer(peer, command, room))
                    answering.add(task)
                    task.add_done_callback(answering.discard)
            self._forget(peer)
            while answering:  # what was asked is done to its end, although nobody waits for the answer any more
                await asyncio.wait(tuple(answering))
        except BadLine as error:
            await peer.send(Refused(message=str(error), exit_code=ExitCode.USAGE))
        finally:
            self._forget(peer)
            for task in (sending, *answering):
                task.cancel()

    def _forget(self, peer: Peer) -> None:
        self._peers.discard(peer)
        peer.cancel_work()

    async def _refusal(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Refused | None:
        try:
            async with asyncio.timeout(_HELLO_S):
                hello = decode_hello(await _read_line(reader, MAX_HELLO_BYTES))
        except BadLine as error:
            return Refused(message=str(error), exit_code=ExitCode.USAGE)
        if _is_another_user(writer.get_extra_info("socket")):
            return Refused(message="The worker belongs to another user.", exit_code=ExitCode.NO_PERMISSION)
        if not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            return Refused(message="The token is wrong.", exit_code=ExitCode.NO_PERMISSION)
        if hello.version != PROTOCOL_VERSION:
            return Refused(
                message=f"The worker speaks version {PROTOCOL_VERSION} of the control channel, this client "
                f"{hello.version}. Restart the worker.",
            )
        return None

    async def _answer(self, peer: Peer, command: AnyCommand, room: asyncio.Semaphore) -> None:
        try:
            reply = await self._handler(peer, command)
        except UserError as error:
            reply = Refused(id=command.id, message=str(error), exit_code=error.exit_code)
        except Exception:
            logger.exception("A command of the control channel failed: %s", type(command).__name__)
            reply = Refused(id=command.id, message="The worker has met a problem of its own; its log tells more.")
        finally:
            room.release()
        with contextlib.suppress(ConnectionError):
            await peer.send(reply)


class ControlClient:
    """A client's end. Use as `async with ControlClient(data_dir) as client`.

    Raises (on entering):
        NotRunning: nobody listens.
        CommandRefused: the worker does not take this client.
    """

    def __init__(self, data_dir: Path, name: str = "", *, on_event: Callable[[Message], None] = lambda message: None):
        self._data_dir = data_dir
        self._name = name
        self._on_event = on_event
        self._waiting: dict[int, asyncio.Future[Done]] = {}
        self._next_id = 1
        self._reader_task: asyncio.Task[None] | None = None
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        place = Place.read(self._data_dir)
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_CONNECT_ELSEWHERE_S if place.is_elsewhere else _CONNECT_S):
                    reader, self._writer = await open_channel(place.address, stack)
                    stack.push_async_callback(_close, self._writer)
                    self._writer.write(encode(Hello(token=place.token, version=PROTOCOL_VERSION, client=self._name)))
                    line = await _read_line(reader, MAX_REPLY_BYTES)
                first = decode_reply(line) if line else None
            except (OSError, TimeoutError, asyncio.IncompleteReadError, BadLine) as error:
                raise self._no_answer(place) from error
            if isinstance(first, Refused):
                if place.is_elsewhere and first.exit_code == ExitCode.NOT_RUNNING:
                    raise Unreachable(f"The other computer says: {first.message}")
                if Place.read(self._data_dir) != place:  # meanwhile another worker has taken the place of that one
                    raise self._no_answer(place)
                raise CommandRefused(first.message, first.exit_code)
            if not isinstance(first, Welcome):
                raise self._no_answer(place)
            # A process number of another computer is somebody else's here.
            self.welcome = first.model_copy(update={"pid": 0}) if place.is_elsewhere else first
            self._reader_task = asyncio.create_task(self._read(reader))
            stack.push_async_callback(_end_task, self._reader_task)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    def _no_answer(self, place: Place) -> UserError:
        if place.is_elsewhere:
            command = in_words(command_elsewhere(self._data_dir))
            return Unreachable(f"No worker answers through `{command}`. Run that in a terminal to see why.")
        return NotRunning(f"No worker answers on {self._data_dir}.")

    async def request(self, command: Command) -> Any:
        """Sends a command and returns its result, plain JSON.

        Raises:
            CommandRefused, ChannelClosed.
        """
        numbered = command.model_copy(update={"id": self._next_id})
        self._next_id += 1
        answer: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting[numbered.id] = answer
        try:
            if self._reader_task is None or self._reader_task.done():
                raise ChannelClosed("The worker has ended.")
            self._writer.write(encode(numbered))
            with contextlib.suppress(ConnectionError):  # the reader says so, too
                await self._writer.drain()
            return (await answer).result
        finally:
            self._waiting.pop(numbered.id, None)

    async def closed(self) -> None:
        """Returns when the worker has gone."""
        if self._reader_task is not None:
            await asyncio.wait((self._reader_task,))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await _read_line(reader, MAX_REPLY_BYTES):
                with contextlib.suppress(BadLine):  # a newer worker says what this client does not know
                    self._take(decode_reply(line))
        except (OSError, asyncio.IncompleteReadError, BadLine) as error:
            logger.debug("The control channel broke: %s", error)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ChannelClosed("The worker has ended."))

    def _take(self, message: Message) -> None:
        if not isinstance(message, Done | Refused) or message.id not in self._waiting:
            self._on_event(message)
            return
        answer = self._waiting[message.id]
        if answer.done():  # its caller has given up
            return
        if isinstance(message, Done):
            answer.set_result(message)
        else:
            answer.set_exception(CommandRefused(message.message, message.exit_code))


# Sockets


Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _listen(data_dir: Path, connected: Connected, stack: contextlib.AsyncExitStack) -> str:
    """Starts to listen, and has `stack` end it; returns the address."""
    if sys.platform == "win32":
        return await _listen_on_pipe(connected, stack)
    if not hasattr(socket, "AF_UNIX"):
        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=MAX_COMMAND_BYTES)
        stack.callback(server.close)
        return f"tcp:{server.sockets[0].getsockname()[1]}"
    folder = data_dir / "run"
    if len(os.fsencode(folder / "control.sock")) > _MAX_SOCKET_PATH:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="volunteer-")))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # others cannot even see the socket
    path = folder / "control.sock"
    path.unlink(missing_ok=True)  # of a worker that was killed: this one holds the lock of the data folder
    server = await asyncio.start_unix_server(connected, path, limit=MAX_COMMAND_BYTES)
    path.chmod(0o600)
    stack.callback(path.unlink, missing_ok=True)
    stack.callback(server.close)
    return f"unix:{path}"


async def _listen_on_pipe(connected: Connected, stack: contextlib.AsyncExitStack) -> str:
    """A named pipe of Windows, which its user alone may open. Never run so far."""
    name = rf"\\.\pipe\volunteer-{secrets.token_hex(16)}"
    loop: Any = asyncio.get_running_loop()  # a ProactorEventLoop

    def protocol() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=MAX_COMMAND_BYTES)
        return asyncio.StreamReaderProtocol(reader, connected)

    for server in await loop.start_serving_pipe(protocol, name):
        stack.callback(server.close)
    return f"pipe:{name}"


async def open_channel(
    address: str, stack: contextlib.AsyncExitStack
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Reaches the worker at this address; `stack` ends what was started for that."""
    kind, _, where = address.partition(":")
    match kind:
        case "unix":
            return await asyncio.open_unix_connection(where, limit=MAX_REPLY_BYTES)
        case "tcp":
            return await asyncio.open_connection("127.0.0.1", int(where), limit=MAX_REPLY_BYTES)
        case "pipe":
            loop: Any = asyncio.get_running_loop()
            reader = asyncio.StreamReader(limit=MAX_REPLY_BYTES)
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await loop.create_pipe_connection(lambda: protocol, where)
            return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        case "program":
            return await open_program(json.loads(where), stack, limit=MAX_REPLY_BYTES)
    raise ConnectionError(f"{kind!r} is no kind of address")


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _end_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


async def _read_line(reader: asyncio.StreamReader, limit: int) -> bytes:
    """The next line; empty at the end. Raises BadLine when it is longer than `limit` bytes."""
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise
        return b""
    except asyncio.LimitOverrunError:
        raise BadLine("The line is too long.") from None
    if len(line) > limit:
        raise BadLine("The line is too long.")
    return line


def _is_another_user(connection: Any) -> bool:
    """Whether the other end of a Unix socket belongs to another user, as Linux knows."""
    if connection is None or not hasattr(socket, "SO_PEERCRED") or connection.family != socket.AF_UNIX:
        return False
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid not in (0, os.getuid())


async def follow(
    data_dir: Path, client_name: str, *, retry_s: float = 1.0
) -> AsyncIterator[tuple[ControlClient, asyncio.Queue[Message]]]:
    """Connections to the workers of a data folder, one after the other, for as long as the caller goes on.

    Each comes with the queue of its events. What the caller does with one ends with `client.closed()`.
    """
    while True:
        events: asyncio.Queue[Message] = asyncio.Queue()
        try:
            async with ControlClient(data_dir, client_name, on_event=events.put_nowait) as client:
                yield client, events
        except (NotRunning, ChannelClosed):
            pass
        except Unreachable:
            await asyncio.sleep(_RETRY_ELSEWHERE_S)
        await asyncio.sleep(retry_s)
