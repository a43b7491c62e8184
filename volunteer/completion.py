"""What a shell completes after `volunteer`, written by shtab from the parser. Loads shtab only when asked."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Literal, get_args

Shell = Literal["bash", "zsh", "fish"]
SHELLS: tuple[Shell, ...] = get_args(Shell)

_FILES = ("FILE",)
_FOLDERS = ("DIR", "FOLDER")


def completion_script(parser: argparse.ArgumentParser, shell: Shell) -> str:
    """For the shell to read at its start: all commands, options and choices, without starting this program again.

    Commands without a help text are not offered. Values that the help calls FILE, DIR or FOLDER are completed as such.
    """
    import shtab

    for action in _actions(parser):
        if action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
