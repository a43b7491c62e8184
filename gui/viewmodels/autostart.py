"""Starting with the computer: whether it does, what would be written for that, and doing it when it is asked for."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QObject, Signal

from gui.worker_link import WorkerLink
from volunteer.errors import ConfigurationError
from volunteer.service import (
    Kind,
    Places,
    Plan,
    carry_out,
    describe,
    find,
    plan_install,
    plan_remove,
    these_places,
    this_program,
)
from volunteer.settings import DATA_DIR_VARIABLE, default_data_dir

HIDDEN_ARGUMENTS = ("--hidden",)
"""The app starts with its window closed."""

translate = QCoreApplication.translate


@dataclass(frozen=True)
class Autostart:
    """
    Attributes:
        plan: what switching it over would do, word for word.
        problem: why it cannot be switched.
        note: what else starts by itself here.
    """

    is_on: bool = False
    plan: str = ""
    problem: str = ""
    note: str = ""


def app_kind(system: str) -> Kind:
    """How a program with a window starts with the computer: by the desktop, not beside it as a service does.

    Raises:
        ConfigurationError: not in this version.
    """
    if system == "Windows":
        raise ConfigurationError(translate("Autostart", "This version cannot start itself on Windows."))
    return Kind.LAUNCHD if system == "Darwin" else Kind.AUTOSTART


def look(data_dir: Path, places: Places, system: str) -> Autostart:
    """How it is here; blocks."""
    try:
        kind = app_kind(system)
        is_on = bool(find(kind, places))
        plan = planned(data_dir, places, system, on=not is_on)
    except ConfigurationError as error:
        return Autostart(problem=str(error))
    has_service = system == "Linux" and bool(find(Kind.USER, places))
    note = translate("Autostart", "The worker also starts by itself, as a service of systemd.") if has_service else ""
    return Autostart(is_on, describe(plan), note=note)


def planned(data_dir: Path, places: Places, system: str, *, on: bool) -> Plan:
    """Raises ConfigurationError."""
    kind = app_kind(system)
    if not on:
        return plan_remove(kind, places, find(kind, places))
    # What starts it then does not know the variable that moved the folder now.
    is_usual = DATA_DIR_VARIABLE not in os.environ and data_dir.absolute() == default_data_dir().absolute()
    return plan_install(
        kind,
        this_program(),
        places,
        find(kind, places),
        arguments=HIDDEN_ARGUMENTS,
        data_dir=None if is_usual else data_dir,
    )


class AutostartViewModel(QObject):
    """
    Attributes:
        state: None until it was looked for.
    """

    changed = Signal()

    def __init__(self, link: WorkerLink, parent: QObject, *, places: Places | None = None, system: str = "") -> None:
        super().__init__(parent)
        self._link = link
        self._places = places or these_places()
        self._system = system or platform.system()
        self.state: Autostart | None = None
        self.problem = ""

    def refresh(self) -> None:
        self._link.run_aside(self._look, self._show, self._miss)

    def switch(self, on: bool) -> None:
        """Does what the plan says."""
        self.problem = ""

        def act() -> Autostart:
            carry_out(planned(self._link.data_dir, self._places, self._system, on=on))
            return self._look()

        self._link.run_aside(act, self._show, self._miss)

    def _look(self) -> Autostart:
        return look(self._link.data_dir, self._places, self._system)

    def _show(self, state: Autostart) -> None:
        self.state = state
        self.changed.emit()

    def _miss(self, problem: str) -> None:
        self.problem = problem
        self.changed.emit()
