"""The command through which the worker of this data folder is reached, where that worker runs on another computer.

Such as `ssh lab volunteer bridge`: the command's standard input and output are the control channel. Who may do that is
for ssh to say; nothing listens on the network for it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from volunteer.errors import ConfigurationError
from volunteer.whole_file import write_file

FILE_NAME = "elsewhere.json"
_MOST_BYTES = 16_384


def command_elsewhere(data_dir: Path) -> tuple[str, ...]:
    """Empty where the worker is one of this computer.

    Raises:
        ConfigurationError: the file is there and makes no sense; a worker here would be the wrong one.
    """
    path = data_dir / FILE_NAME
    try:
        with path.open("rb") as file:
            command = json.loads(file.read(_MOST_BYTES))["command"]
        if not command or not all(isinstance(word, str) and word.isprintable() for word in command):
            raise ValueError
        return tuple(command)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} does not say how the worker elsewhere is reached: run `volunteer connect` anew."
        ) from error


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
        data_dir.mkdir(parents=True, exist_ok=True)
        # Whoever could write it would have this user run a program.
        write_file(path, json.dumps({"command": list(command)}).encode(), is_private=True)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error


def in_words(command: Sequence[str]) -> str:
    return shlex.join(command)
