"""Small files replaced as a whole: whoever reads one, also after a crash, finds the old content or the new one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

NEW = ".new-"
"""Stands in the name of a file that is being written, after the name that it will have."""


def write_file(path: Path, content: bytes, *, is_private: bool = False) -> None:
    """Replaces what stands at `path`, and has it on the disk before it returns.

    Args:
        is_private: this user alone may read it, from its first byte on.

    Raises:
        OSError: the file is as it was before.
    """
    beside = path.with_name(f"{path.name}{NEW}{secrets.token_hex(8)}")
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


def sync_folder(folder: Path) -> None:
    """New names outlive a loss of power only when their folder is on the disk."""
    if os.name != "posix":
        return  # elsewhere folders cannot be opened
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
