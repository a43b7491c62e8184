"""Did the system kill this worker for want of memory while it loaded blocks? Then the next start takes one less.

An allocation that fails is an error that the worker sees; Linux seldom lets it come to that, and kills. What it killed
is not said to the next process, only how often it did so (`oom_kill` in /proc/vmstat, since Linux 4.13).
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

_FILE = "loading.json"
_VMSTAT = Path("/proc/vmstat")

logger = logging.getLogger(__name__)


def oom_kills() -> int | None:
    """How many processes this system has killed for want of memory since it started; None where it does not tell."""
    try:
        lines = _VMSTAT.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


@contextlib.contextmanager
def loading(data_dir: Path, num_blocks: int, kills: Callable[[], int | None] = oom_kills) -> Iterator[None]:
    """Notes that so many blocks are being loaded, for the next process, if this one does not come to the end."""
    note = data_dir / _FILE
    with contextlib.suppress(OSError):
        note.write_text(json.dumps({"num_blocks": num_blocks, "oom_kills": kills()}))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def most_blocks(data_dir: Path, kills: Callable[[], int | None] = oom_kills) -> int | None:
    """One less than were being loaded when this system killed for want of memory; None if it was not so."""
    try:
        found = json.loads((data_dir / _FILE).read_bytes()[:1000])
        num_blocks, before = int(found["num_blocks"]), int(found["oom_kills"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    now = kills()
    if now is None or now <= before or num_blocks < 2:  # less than before: the machine was started anew
        return None
    return num_blocks - 1
