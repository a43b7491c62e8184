"""What a volunteer sends along when asking for help: without names, addresses and secrets. QtCore only."""

from __future__ import annotations

from pathlib import Path


def report_text(data_dir: Path) -> str:
    """Takes a second or two, and longer with a driver that hangs: to be run aside."""
    from volunteer.doctor import checks, make_report

    return make_report(data_dir, checks(data_dir)).text
