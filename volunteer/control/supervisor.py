"""Keeps a worker running for a window: starts it, or finds the one that is there, and starts it again when it dies.

The worker is a process of its own and outlives its supervisor, so a window that crashes takes no session with it; the
next one finds the worker by its control channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from volunteer.control.channel import ControlClient
from volunteer.control.elsewhere import command_elsewhere
from volunteer.control.lifecycle import State
from volunteer.control.messages import Message, Quit, StatusChanged, Subscribe, Topic
from volunteer.errors import (
    ENDED_AS_ASKED,
    NO_USE_TO_RESTART,
    WAITS_FOR_OTHERS,
    ConfigurationError,
    ExitCode,
    UserError,
)

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0
MAX_WAIT_S = 300.0
"""Between tries of a worker that misses a network or the like."""
HEALTHY_S = 600.0
"""Whoever ran for so long starts anew: its failures before do not count."""
MAX_FAILURES = 5
_POLL_S = 0.2
_APPEARS_S = 120.0
"""A worker says where it listens as one of its first acts, but Python may be slow from a cold disk."""
_QUIT_S = 40.0
_LAST_WORDS_BYTES = 2000


@dataclass(frozen=True)
class Restart:
    delay_s: float


@dataclass(frozen=True)
class GiveUp:
    reason: str


@dataclass(frozen=True)
class End:
    """It was told to end."""


def after_exit(code: int, *, ran_s: float, failures: int, last_words: str) -> Restart | GiveUp | End:
    """What to do about a worker that ended.

    Args:
        code: of its exit; negative for the signal that killed it.
        failures: in a row before this one, and of its kind: what waits for others is never given up.
        last_words: the end of its standard error.
    """
    if code in (ExitCode.OK, *ENDED_AS_ASKED):
        return End()
    why = last_words.strip() or f"It ended with {in_words(code)}."
    if code in NO_USE_TO_RESTART:
        return GiveUp(why)
    failures = failures_in_a_row(failures, ran_s)
    waits = code in WAITS_FOR_OTHERS
    if failures >= MAX_FAILURES and not waits:
        return GiveUp(f"The worker failed {MAX_FAILURES} times in a row. {why}")
    return Restart(min(FIRST_DELAY_S * 2 ** min(failures - 1, 10), MAX_WAIT_S if waits else MAX_DELAY_S))


def failures_in_a_row(before: int, ran_s: float) -> int:
    """With the one that ended a run of `ran_s`."""
    return 1 if ran_s >= HEALTHY_S else before + 1


def in_words(code: int) -> str:
    """An exit code for people."""
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


@dataclass(frozen=True)
class Running:
    """A worker is there, started by this supervisor or found."""

    pid: int
    was_found: bool


@dataclass(frozen=True)
class Waiting:
    """It ended by itself and is started again soon."""

    delay_s: float
    reason: str


@dataclass(frozen=True)
class Ended:
    """The worker was told to end, or this supervisor gave up: then there is a reason."""

    reason: str | None


News = Running | Waiting | Ended


class Supervisor:
    """Watches over the worker of one data folder.

    Args:
        command: starts the worker in the foreground of a process.
        on_news: told what happens, in the event loop.
        environment: of the worker; None for this process's own.
    """

    def __init__(
        self,
        command: Sequence[str],
        data_dir: Path,
        on_news: Callable[[News], None] = lambda news: None,
        environment: Mapping[str, str] | None = None,
    ):
        self._command = list(command)
        self._data_dir = data_dir
        self._on_news = on_news
        self._environment = environment
        self._failures = {True: 0, False: 0}
        """In a row: of those that wait for others, and of all else."""
        self._unanswered = 0
        self.restarts = 0

    async def run(self) -> Ended:
        """Returns when the worker was told to end, or when it fails again and again."""
        while True:
            if (pid := await running_pid(self._data_dir)) is not None:
                self._on_news(Running(pid, was_found=True))
                ended = Ended(None) if await _was_told_to_end(self._data_dir) else None
                self._unanswered = 0
            else:
                ended = await self._start_or_wait()
            if ended is not None:
                self._on_news(ended)
                return ended

    async def _start_or_wait(self) -> Ended | None:
        """A worker of another computer is not for us to start: it is asked for again, ever more rarely."""
        try:
            if not command_elsewhere(self._data_dir):
                return await self._run_once()
        except ConfigurationError as error:
            return Ended(str(error))
        except OSError as error:  # a full disk, or a program that was removed while its window was open
            return Ended(f"The worker cannot be started: {error.strerror or error}.")
        delay_s = min(FIRST_DELAY_S * 2 ** min(self._unanswered, 10), MAX_DELAY_S)
        self._unanswered += 1
        self._on_news(Waiting(delay_s, "The worker on the other computer does not answer."))
        await asyncio.sleep(delay_s)
        return None

    async def _run_once(self) -> Ended | None:
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = self._data_dir / "worker-stderr.txt"
        started = time.monotonic()
        with _private_file(words) as stderr:
            # In a file and not a pipe: a worker whose supervisor has died can go on writing.
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=self._environment,
                start_new_session=True,
            )
        self._on_news(Running(process.pid, was_found=False))
        code = await process.wait()
        if code == ExitCode.ALREADY_RUNNING:
            await _until_appears(self._data_dir)
            return None
        ran_s = time.monotonic() - started
        waits = code in WAITS_FOR_OTHERS
        last_words = _end_of(words)
        decision = after_exit(code, ran_s=ran_s, failures=self._failures[waits], last_words=last_words)
        match decision:
            case End():
                return Ended(None)
            case GiveUp(reason=reason):
                return Ended(reason)
            case Restart(delay_s=delay_s):
                self._failures[waits] = failures_in_a_row(self._failures[waits], ran_s)
                self.restarts += 1
                what_is_missing = last_words.strip().rpartition("\n")[2] if waits else ""
                self._on_news(Waiting(delay_s, what_is_missing or f"The worker ended with {in_words(code)}."))
                await asyncio.sleep(delay_s)
        return None


async def running_pid(data_dir: Path) -> int | None:
    """The process of the worker that answers on this folder, if one does."""
    try:
        async with ControlClient(data_dir, "supervisor") as client:
            return client.welcome.pid
    except UserError:
        return None


async def quit_worker(data_dir: Path, timeout_s: float = _QUIT_S) -> bool:
    """Asks the worker to end; returns whether it has, or was not there. One of another computer goes on."""
    try:
        if command_elsewhere(data_dir):
            return True
        async with ControlClient(data_dir, "supervisor") as client:
            await client.request(Quit())
            async with asyncio.timeout(timeout_s):
                await client.closed()
    except UserError:
        return True
    except TimeoutError:
        return False
    return True


async def _was_told_to_end(data_dir: Path) -> bool:
    """Waits until a worker that others started has gone; whether that was meant. It may also have been killed."""
    last: list[State] = []

    def see(message: Message) -> None:
        if isinstance(message, StatusChanged):
            last[:] = [message.status.state]

    with contextlib.suppress(UserError):
        async with ControlClient(data_dir, "supervisor", on_event=see) as client:
            await client.request(Subscribe(topics=Topic(status=True)))
            await client.closed()
    return last == [State.STOPPED]


async def _until_appears(data_dir: Path) -> None:
    """Another worker holds the folder: waits until it answers, or long enough."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_APPEARS_S):
            while await running_pid(data_dir) is None:  # noqa: ASYNC110 nothing of another process can be awaited
                await asyncio.sleep(_POLL_S)


def _private_file(path: Path) -> IO[bytes]:
    """Made anew: one that an older version left may be for others to read."""
    path.unlink(missing_ok=True)
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))


def _end_of(path: Path) -> str:
    """The last lines of a file, without a half one at the beginning."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LAST_WORDS_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[2] if size > _LAST_WORDS_BYTES else text
