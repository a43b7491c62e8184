"""The key that programs show to be let in: a file of its owner's."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

from volunteer.errors import ConfigurationError
from volunteer.whole_file import write_file

KEY_FILE = "endpoint.key"
"""In the data folder."""
_PREFIX = "sk-volunteer-"
"""Some programs refuse keys that do not begin like OpenAI's."""
_RANDOM_BYTES = 32
_KEY = re.compile(r"[\x21-\x7e]{16,200}")
"""Whatever a header can carry; a key that was chosen by hand must not be guessed."""


def load_or_create_key(path: Path) -> str:
    """The key in this file, which is made, for its owner alone, if it is not there.

    Raises:
        ConfigurationError: others can read the file, there is no key in it, or it can be neither read nor made.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            return _load(path)
        return _make(path)
    except OSError as error:
        raise ConfigurationError(f"The API key in {path} cannot be had: {error.strerror}.") from error


def _make(path: Path) -> str:
    key = _new_key()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key + "\n")
        # Unlike `os.replace` it fails where there is one: two programs that start at once agree on a key.
        os.link(beside, path)
    except FileExistsError:
        return _load(path)
    finally:
        beside.unlink()
    return key


def renew_key(path: Path) -> str:
    """Puts a new key in the place of whatever is there; an endpoint that is open goes by the old one until it is
    opened again.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    key = _new_key()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, f"{key}\n".encode("ascii"), is_private=True)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error
    return key


def _new_key() -> str:
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def _load(path: Path) -> str:
    with path.open(encoding="ascii", errors="replace") as file:
        if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise ConfigurationError(f"Others can read the API key in {path}. Remove it, and a new one is made.")
        key = file.read(4096).strip()
    if not _KEY.fullmatch(key):
        raise ConfigurationError(f"There is no API key in {path}. Remove it, and a new one is made.")
    return key
