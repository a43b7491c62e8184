"""Small files replaced as a whole: whoever reads one, also after a crash, finds the old content or the new one."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import time
from pathlib import Path

_NEW = ".new-"
"""Stands in the name of a file that is being written, after the name that it will have."""
_LEFTOVER_S = 3600.0
"""Nobody writes for so long: what is as old was left by a process that was killed."""


def write_file(path: Path, content: bytes, *, is_private: bool = False) -> None:
    """Replaces what stands at `path`, and has it on the disk before it returns.

    Args:
        is_private: this user alone may read it, from its first byte on.

    Raises:
        OSError: the file is as it was before.
    """
    _clear_leftovers(path)
    beside = path.with_name(f"{path.name}{_NEW}{secrets.token_hex(8)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if is_private else 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def _clear_leftovers(path: Path) -> None:
    for leftover in path.parent.glob(f"{glob.escape(path.name + _NEW)}*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_S:
                leftover.unlink()


def sync_folder(folder: Path) -> None:
    """New names outlive a loss of power only when their folder is on the disk."""
    if os.name != "posix":
        return  # elsewhere folders cannot be opened
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
