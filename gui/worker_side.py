"""What the window does about the worker in a thread of its own: keeps it running, talks to it, sees it end. No Qt."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from volunteer.control.channel import ChannelClosed, ControlClient, follow
from volunteer.control.elsewhere import command_elsewhere
from volunteer.control.lifecycle import State
from volunteer.control.messages import Command, LogLine, Message, StatusChanged, Subscribe, SwarmChanged, Topic
from volunteer.control.supervisor import Ended, News, Running, Supervisor, Waiting, quit_worker, running_pid
from volunteer.errors import UserError

_LOOK_AGAIN_S = 0.25
"""How soon a worker that has just been started is found."""
_LAST_ACTS_S = 10.0
"""For a worker to end its process once it has said goodbye."""
_POLL_S = 0.05
NO_WORKER = "No worker is running."
ENDED_UNEXPECTEDLY = "The worker ended unexpectedly."
CANNOT_START = "The worker cannot be started: {why}."

_FAILED = re.compile(r"The worker failed \d+ times in a row\. ")
_LOGGED = re.compile(r"^[\d-]+ [\d:,]+ [A-Z]+ [\w.]+: ")
"""How the worker's logging begins a line."""

logger = logging.getLogger(__name__)


class Connection(StrEnum):
    OFF = "off"
    """No worker is wanted."""
    STARTING = "starting"
    CONNECTED = "connected"
    RESTARTING = "restarting"
    """It ended by itself, and is started again after a while."""
    GAVE_UP = "gave_up"
    """It failed again and again, or cannot be used; there is a reason."""
    ENDED = "ended"
    """It was told to end, by this window or another program."""


@dataclass(frozen=True)
class Became:
    """How it stands with the worker now.

    Attributes:
        reason: in a sentence, where that is not as it should be.
        restart_delay_s: from now until the next try.
    """

    connection: Connection
    reason: str = ""
    restart_delay_s: float | None = None


Call = Callable[[], None]
Happening = Message | Became | Call
Post = Callable[[Happening], None]


def newest(happenings: Sequence[Happening]) -> list[Happening | list[LogLine]]:
    """What the window has to hear of a batch: the last of what replaces what was before, lines of the log together.

    A connection that was lost and is there again stays both: what was asked on the first gets no answer any more.
    """
    heard: list[Happening | list[LogLine]] = []
    lines: list[LogLine] = []
    seen: set[type] = set()
    for happening in reversed(happenings):
        if isinstance(happening, LogLine):
            lines.append(happening)
            continue
        if isinstance(happening, StatusChanged | SwarmChanged):
            if type(happening) in seen:
                continue
            seen.add(type(happening))
        heard.append(happening)
    heard.reverse()
    return [*heard, lines[::-1]] if lines else heard


class WorkerSide:
    """All coroutines run in one event loop.

    Args:
        command: starts the worker in the foreground of a process.
        post: tells the window, from any thread.
        environment: of the worker; None for this process's own.
    """

    def __init__(
        self, command: Sequence[str], data_dir: Path, post: Post, environment: Mapping[str, str] | None = None
    ):
        self._command = command
        self._environment = environment
        self._data_dir = data_dir
        self._post = post
        self._client: ControlClient | None = None
        self._loss_is_told = asyncio.Event()
        """The window knows that there is no connection; a new event for each connection."""
        self._tasks: list[asyncio.Task[None]] = []
        self._wants_logs = False
        self._process: psutil.Process | None = None
        self._crash: str | None = None
        """Why the worker has to be started again, until it answers."""
        self._last_state: State | None = None

    async def start(self) -> None:
        """Keeps a worker running from now on, until it is told to end or fails again and again."""
        await self.let_go()
        self._crash = None
        self._tasks = [asyncio.create_task(self._supervise()), asyncio.create_task(self._talk())]

    async def send(self, command: Command, done: Callable[[Any], None], refused: Callable[[str], None]) -> None:
        """Asks the worker, and posts the call of one of the two."""
        if self._client is None:
            self._post(partial(refused, NO_WORKER))
            return
        loss_is_told = self._loss_is_told
        try:
            result = await self._client.request(command)
        except ChannelClosed as error:
            await loss_is_told.wait()  # else whoever asked would take this for the worker's own answer
            self._post(partial(refused, str(error)))
        except UserError as error:
            self._post(partial(refused, str(error)))
        else:
            self._post(partial(done, result))

    async def subscribe(self, *, wants_logs: bool) -> None:
        """Lines of the log come from now on, or no more."""
        self._wants_logs = wants_logs
        if self._client is not None:
            with contextlib.suppress(UserError):
                await self._client.request(self._wanted())

    async def quit(self, done: Call) -> None:
        """Has the worker say goodbye and sees that its process ends; whoever quits wants nothing left behind."""
        try:
            await self._see_it_end()
        finally:
            self._process = None
            self._post(Became(Connection.ENDED))
            self._post(done)

    def hurry(self) -> None:
        """Ends the worker without a goodbye; others' sessions go on elsewhere."""
        if self._process is not None:
            with contextlib.suppress(psutil.Error):
                self._process.kill()

    async def _see_it_end(self) -> None:
        can_hear = self._client is not None
        await self.let_go()
        if not can_hear:
            self._terminate()
            await self._find_unmet()
        if not await quit_worker(self._data_dir):
            self.hurry()
        if self._process is not None and not await _has_ended(self._process, _LAST_ACTS_S):
            self.hurry()
            await _has_ended(self._process, _LAST_ACTS_S)

    def _terminate(self) -> None:
        """For a worker that has only just been started: it hears signals before it listens."""
        if self._process is not None:
            with contextlib.suppress(psutil.Error):
                self._process.terminate()

    async def _find_unmet(self) -> None:
        """A worker that an earlier window left answers here, perhaps, and this one has not come to it yet."""
        with contextlib.suppress(UserError):
            if not command_elsewhere(self._data_dir) and (pid := await running_pid(self._data_dir)) is not None:
                self._process = _process(pid)

    async def let_go(self) -> None:
        """Neither talks to the worker any more nor watches over it; it goes on."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []

    async def _supervise(self) -> None:
        try:
            await Supervisor(self._command, self._data_dir, self._hear, self._environment).run()
        except OSError as error:  # a folder that cannot be written to, a full disk, a program that is not there
            logger.warning("The worker cannot be started", exc_info=True)
            self._end(Became(Connection.GAVE_UP, CANNOT_START.format(why=error.strerror or error)))

    def _hear(self, news: News) -> None:
        match news:
            case Running(pid=pid):
                self._process = _process(pid)
                if self._crash is not None:
                    self._post(Became(Connection.RESTARTING, self._crash))
            case Waiting(delay_s=delay_s, reason=reason):
                self._crash = reason
                self._post(Became(Connection.RESTARTING, reason, delay_s))
            case Ended(reason=reason):
                self._end(Became(Connection.GAVE_UP if reason else Connection.ENDED, in_short(reason or "")))

    async def _talk(self) -> None:
        try:
            async for client, events in follow(self._data_dir, "window", retry_s=_LOOK_AGAIN_S):
                await self._converse(client, events)
        except UserError as error:  # a worker of another version, or of another user
            self._end(Became(Connection.GAVE_UP, str(error)))

    async def _converse(self, client: ControlClient, events: asyncio.Queue[Message]) -> None:
        forwarding = asyncio.create_task(self._forward(events))
        self._loss_is_told = loss_is_told = asyncio.Event()
        self._client = client
        self._process = _process(client.welcome.pid)
        self._crash = self._last_state = None
        try:
            self._post(Became(Connection.CONNECTED))
            with contextlib.suppress(UserError):
                await client.request(self._wanted())
            await client.closed()
        finally:
            self._client = None
            forwarding.cancel()
            while not events.empty():  # its last words
                self._tell(events.get_nowait())
            loss_is_told.set()  # heeded once this task has said so below
        self._note_loss()

    def _note_loss(self) -> None:
        """The worker is gone. If that was not meant and nobody has told why, this is all that is known for now."""
        if self._last_state is State.STOPPED:
            self._post(Became(Connection.STARTING))
        elif self._crash is None:
            self._crash = ENDED_UNEXPECTEDLY
            self._post(Became(Connection.RESTARTING, self._crash))

    async def _forward(self, events: asyncio.Queue[Message]) -> None:
        while True:
            self._tell(await events.get())

    def _tell(self, message: Message) -> None:
        if isinstance(message, StatusChanged):
            self._last_state = message.status.state
        self._post(message)

    def _wanted(self) -> Subscribe:
        return Subscribe(topics=Topic(status=True, swarm=True, chats=True, samples=True, logs=self._wants_logs))

    def _end(self, became: Became) -> None:
        """Posts how it ended, and leaves both tasks."""
        self._post(became)
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()


def in_short(reason: str) -> str:
    """Why a worker was given up, in a line: of its last words the last. A report has them all."""
    failed = _FAILED.match(reason)
    words = reason[failed.end() :] if failed else reason
    last = next((line.strip() for line in reversed(words.splitlines()) if line.strip()), "")
    return f"{failed[0] if failed else ''}{_LOGGED.sub('', last)}"


def _process(pid: int) -> psutil.Process | None:
    """Remembered with the time of its start, so that nobody else with its number is ever ended in its place."""
    if pid in (0, os.getpid()):  # 0 is a worker of another computer
        return None
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


async def _has_ended(process: psutil.Process, timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:  # between the two questions
            return True
        await asyncio.sleep(_POLL_S)
    return False
