"""Where this program keeps its files. Standard library and platformdirs only."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

DATA_DIR_VARIABLE = "VOLUNTEER_DATA_DIR"


def default_data_dir() -> Path:
    """The folder of identity, models and everything else, moved as a whole by one environment variable."""
    moved = os.environ.get(DATA_DIR_VARIABLE)
    return Path(moved).expanduser() if moved else Path(platformdirs.user_data_dir("petals-volunteer", appauthor=False))
