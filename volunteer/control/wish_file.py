"""What the owner asked for last, kept over restarts: who paused finds it paused."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from pathlib import Path

from volunteer.control.lifecycle import Mode, Wish
from volunteer.control.messages import MAX_SECONDS
from volunteer.whole_file import write_file

_FILE = "wish.json"
_MAX_BYTES = 4096

logger = logging.getLogger(__name__)


def load_wish(data_dir: Path) -> Wish:
    """AUTO where there is none that makes sense."""
    try:
        with (data_dir / _FILE).open("rb") as file:
            found = json.loads(file.read(_MAX_BYTES))
        since_s = float(found["since_s"])
        for_s = None if found.get("for_s") is None else float(found["for_s"])
        if not math.isfinite(since_s) or (for_s is not None and not 0 <= for_s <= MAX_SECONDS):
            raise ValueError("a time is no time")
        return Wish(Mode(found["mode"]), since_s, for_s, found.get("finish") is True)
    except FileNotFoundError:
        return Wish()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("What was asked for last cannot be read: %s", error)
        return Wish()


def save_wish(data_dir: Path, wish: Wish) -> None:
    """Replaces the file whole. A full disk costs the memory of it, not the wish."""
    try:
        write_file(data_dir / _FILE, json.dumps(dataclasses.asdict(wish)).encode(), is_private=True)
    except OSError as error:
        logger.warning("What was asked for cannot be written down: %s", error)
