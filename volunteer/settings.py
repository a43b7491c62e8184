"""Where this program keeps its files. Standard library and platformdirs only."""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

DATA_DIR_VARIABLE = "VOLUNTEER_DATA_DIR"


def default_data_dir() -> Path:
    """The folder of identity, models and everything else, moved as a whole by one environment variable."""
    moved = os.environ.get(DATA_DIR_VARIABLE)
    return Path(moved).expanduser() if moved else Path(platformdirs.user_data_dir("petals-volunteer", appauthor=False))


def peers_folder(data_dir: Path) -> Path:
    """Where the servers of each swarm that was joined are remembered."""
    return data_dir / "peers"


def peers_file(data_dir: Path, dht_prefix: str) -> Path:
    """For the swarm of one model: `dht_prefix` is any text."""
    return peers_folder(data_dir) / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', dht_prefix)[:100]}.json"
