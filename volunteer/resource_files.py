"""Where the files lie that come with the program and are no code: icons, translations, model cards, the changelog."""

from __future__ import annotations

import sys
from pathlib import Path


def resource(*names: str) -> Path:
    """A file or folder of `resources/`; in a built program PyInstaller's folder stands for the repository."""
    unpacked = getattr(sys, "_MEIPASS", None)
    root = Path(__file__).resolve().parent.parent if unpacked is None else Path(unpacked)
    return root.joinpath("resources", *names)
