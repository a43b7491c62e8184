"""The command through which the worker of this data folder is reached, where that worker runs on another computer.

Such as `ssh lab volunteer bridge`: the command's standard input and output are the control channel. Who may do that is
for ssh to say; nothing listens on the network for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from volunteer.errors import ConfigurationError
from volunteer.whole_file import write_file

FILE_NAME = "elsewhere.json"
_MOST_BYTES = 16_384
_PROGRAM_ENDS_S = 2.0


def command_elsewhere(data_dir: Path) -> tuple[str, ...]:
    """Empty where the worker is one of this computer.

    Raises:
        ConfigurationError: the file is there and makes no sense; a worker here would be the wrong one.
    """
    path = data_dir / FILE_NAME
    try:
        with path.open("rb") as file:
            _check_own(os.fstat(file.fileno()))
            command = json.loads(file.read(_MOST_BYTES))["command"]
        words = command if isinstance(command, list) else []
        if not words or not all(isinstance(word, str) and word.isprintable() for word in words):
            raise ValueError
        return tuple(words)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} does not say how the worker elsewhere is reached: run `volunteer connect` anew."
        ) from error


def _check_own(found: os.stat_result) -> None:
    """Raises ValueError: what it says is run as this user, so nobody else may have written it."""
    if os.name == "posix" and (found.st_uid not in (0, os.getuid()) or found.st_mode & 0o022):
        raise ValueError("others can write it")


def set_elsewhere(data_dir: Path, command: Sequence[str]) -> None:
    """From now on the worker of this folder is the one behind the command; none for one of this computer.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    path = data_dir / FILE_NAME
    try:
        if not command:
            path.unlink(missing_ok=True)
            return
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whoever could write it would have this user run a program.
        write_file(path, json.dumps({"command": list(command)}).encode(), is_private=True)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error


def in_words(command: Sequence[str]) -> str:
    return shlex.join(command)


async def open_program(
    command: Sequence[str], stack: contextlib.AsyncExitStack, *, limit: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """What the program writes, and what it reads; `stack` ends it.

    Args:
        limit: bytes of a line.

    Raises:
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # In a terminal, what ssh has to say is for the user to read; a window has none.
        stderr=None if sys.stderr is not None and sys.stderr.isatty() else subprocess.DEVNULL,
        limit=limit,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    stack.push_async_callback(_end_program, process)
    if process.stdin is None or process.stdout is None:
        raise ConnectionError("the program has no pipes")
    return process.stdout, process.stdin


async def _end_program(process: asyncio.subprocess.Process) -> None:
    """It ends by itself when its input has; ssh may wait for a network that has gone."""
    try:
        async with asyncio.timeout(_PROGRAM_ENDS_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
