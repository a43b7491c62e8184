"""Keeps a fault of PySide6 6.12.0 from ending the program: before Python 3.12, True has to be counted like all else."""

from __future__ import annotations

import ctypes
import sys

_MANY = 2**40


def make_true_last() -> None:
    """To be called before the first signal.

    `Signal.emit` of PySide6 6.12.0 returns True and does not count that reference (6.10 and 6.11 do). At none the
    interpreter aborts, which a window that runs for an hour comes to. From Python 3.12 on True is not counted any more.
    """
    if sys.version_info < (3, 12):
        # The count is the first word of every object of CPython.
        ctypes.c_ssize_t.from_address(id(True)).value += _MANY
