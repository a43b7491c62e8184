"""What is wrong on this computer and what helps: the doctor's checks, run aside, in words of the window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QObject, Signal

from gui.worker_link import WorkerLink
from gui.worker_words import translated
from volunteer import doctor
from volunteer.doctor import Check, State
from volunteer.verbs import find_worker

translate = QCoreApplication.translate


@dataclass(frozen=True)
class Finding:
    """One row."""

    title: str
    state: State
    text: str
    advice: str

    @property
    def word(self) -> str:
        return {
            State.GOOD: translate("Doctor", "good"),
            State.WARN: translate("Doctor", "look at it"),
            State.BAD: translate("Doctor", "mend it"),
            State.UNKNOWN: translate("Doctor", "cannot tell"),
        }[self.state]

    def in_words(self) -> str:
        return " ".join(part for part in (f"{self.title}: {self.word}.", self.text, self.advice) if part)


_GRAVEST_FIRST = (State.BAD, State.WARN, State.GOOD, State.UNKNOWN)
"""What cannot be told is no reason to worry."""


def findings(checks: list[Check]) -> tuple[Finding, ...]:
    """The gravest first."""
    rows = [
        Finding(title(check.name), check.state, translated(check.text), translated(check.advice)) for check in checks
    ]
    return tuple(sorted(rows, key=lambda row: _GRAVEST_FIRST.index(row.state)))


def title(name: str) -> str:
    """Of a check; those that a newer doctor knows go by its own name."""
    known = {
        "Python": translate("Doctor", "Python"),
        "data folder": translate("Doctor", "Data folder"),
        "secret files": translate("Doctor", "Secret files"),
        "identity": translate("Doctor", "Identity"),
        "settings": translate("Doctor", "Settings"),
        "worker": translate("Doctor", "Worker"),
        "network daemon": translate("Doctor", "Network daemon"),
        "open files": translate("Doctor", "Open files"),
        "blocks": translate("Doctor", "Blocks on the disk"),
        "disk": translate("Doctor", "Room on the disk"),
        "graphics card": translate("Doctor", "Graphics card"),
        "Hub": translate("Doctor", "Model hub"),
        "clock": translate("Doctor", "Clock"),
    }
    return known.get(name) or name[:1].upper() + name[1:]


class DoctorViewModel(QObject):
    """
    Attributes:
        found: None until it was looked for.
        asks_hub: whether the next look goes to the model hub too, over the network.
        saved: where the report was written.
        problem: why something could not be done.
    """

    changed = Signal()

    def __init__(self, link: WorkerLink, parent: QObject) -> None:
        super().__init__(parent)
        self._link = link
        self._checks: list[Check] = []
        self.found: tuple[Finding, ...] | None = None
        self.is_looking = False
        self.is_saving = False
        self.asks_hub = False
        self.saved: Path | None = None
        self.problem = ""

    @property
    def summary(self) -> str:
        if self.found is None:
            return self.tr("Looking at this computer …") if self.is_looking else ""
        bad = sum(row.state is State.BAD for row in self.found)
        warned = sum(row.state is State.WARN for row in self.found)
        if bad == 1:
            return self.tr("One thing has to be mended.")
        if bad:
            return self.tr("%n things have to be mended.", "", bad)
        if warned == 1:
            return self.tr("Nothing is broken; one thing deserves a look.")
        if warned:
            return self.tr("Nothing is broken; %n things deserve a look.", "", warned)
        return self.tr("All is well.")

    @property
    def worst(self) -> State:
        return self.found[0].state if self.found else State.UNKNOWN

    def look(self) -> None:
        if self.is_looking:
            return
        self.is_looking, self.problem = True, ""
        self.changed.emit()
        data_dir, online = self._link.data_dir, self.asks_hub

        def checked() -> list[Check]:
            return doctor.checks(data_dir, online=online, worker_answers=lambda: find_worker(data_dir) is not None)

        self._link.run_aside(checked, self._show, self._miss)

    def save_report(self, path: Path) -> None:
        """All that helps to understand a problem from afar, without names, addresses and secrets."""
        if self.is_saving:
            return
        self.is_saving, self.saved, self.problem = True, None, ""
        self.changed.emit()
        data_dir, checks = self._link.data_dir, self._checks

        def write() -> Path:
            doctor.write_report(doctor.make_report(data_dir, checks), path, replace=True)
            return path

        self._link.run_aside(write, self._written, self._miss)

    def _show(self, checks: list[Check]) -> None:
        self._checks = checks
        self.found = findings(checks)
        self.is_looking = False
        self.changed.emit()

    def _written(self, path: Path) -> None:
        self.saved, self.is_saving = path, False
        self.changed.emit()

    def _miss(self, problem: str) -> None:
        self.is_looking = self.is_saving = False
        self.problem = problem
        self.changed.emit()
