"""The private swarms that this computer is in: made, joined by an invitation, shared, given a new key, left.

What takes files or a worker runs aside; what is typed is checked here and now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QCoreApplication, QObject, Signal

from gui import words
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.worker_link import WorkerLink
from volunteer.errors import ConfigurationError
from volunteer.private_swarms import load_swarm, swarm_names
from volunteer.swarm.swarm_key import (
    INVITATION_SCHEME,
    BadInvitation,
    Invitation,
    check_name,
    read_invitation,
    write_invitation,
)
from volunteer.swarm_verbs import create, invite, join, leave, rekey, serve, served_swarm

T = TypeVar("T")
translate = QCoreApplication.translate


@dataclass(frozen=True)
class PrivateSwarm:
    """One that this computer is a member of."""

    name: str
    is_served: bool
    model: str | None = None
    """None: each member's own choice."""
    problem: str = ""
    """Why its key cannot be used."""


@dataclass(frozen=True)
class ShownInvitation:
    """To be copied; as good as a key."""

    swarm: str
    text: str
    has_ways_in: bool
    """Without the address of a member, whoever joins has nobody to go to."""
    is_new_key: bool = False


class Reading(StrEnum):
    EMPTY = "empty"
    PARTIAL = "partial"
    """It may become one: nothing is wrong so far."""
    BAD = "bad"
    WEAK = "weak"
    """It may be used, and leads to nobody."""
    GOOD = "good"


@dataclass(frozen=True)
class ReadInvitation:
    """What a pasted text is."""

    reading: Reading
    text: str = ""
    """A sentence for whoever has pasted it."""


def read(text: str) -> ReadInvitation:
    """Looks at what was typed so far."""
    word = "".join(text.split())
    if not word:
        return ReadInvitation(Reading.EMPTY)
    if INVITATION_SCHEME.startswith(word):
        return ReadInvitation(Reading.PARTIAL)
    try:
        found = read_invitation(text)
    except BadInvitation as error:
        return ReadInvitation(Reading.BAD, str(error))
    return ReadInvitation(Reading.GOOD if found.addresses else Reading.WEAK, _described(found))


def name_problem(name: str) -> str:
    """Why a swarm cannot be called this; empty for a name that can be taken, and for none so far."""
    try:
        check_name(name or "x")
    except ConfigurationError as error:
        return str(error)
    return ""


def find_swarms(data_dir: Path) -> tuple[PrivateSwarm, ...]:
    """Those whose key this computer has; blocks."""
    served = served_swarm(data_dir)
    found = []
    for name in swarm_names(data_dir):
        try:
            found.append(PrivateSwarm(name, name == served, load_swarm(data_dir, name).model))
        except ConfigurationError as error:
            found.append(PrivateSwarm(name, name == served, problem=str(error)))
    return tuple(found)


def _described(invitation: Invitation) -> str:
    parts = [translate("PrivateSwarms", "An invitation to {name}").format(name=invitation.name)]
    if invitation.model:
        parts.append(translate("PrivateSwarms", "for {model}").format(model=words.model(invitation.model)))
    if not invitation.addresses:
        parts.append(translate("PrivateSwarms", "without the address of a member: its sender should send a newer one"))
    return f"{', '.join(parts)}."


class PrivateSwarmsViewModel(QObject):
    """
    Attributes:
        swarms: None until they were looked for.
        busy: what is being done, in a word or two; empty when nothing is.
        problem: why the last thing was not done.
        invitation: to be shown until it is put away.
    """

    changed = Signal()

    def __init__(self, link: WorkerLink, worker: WorkerViewModel, settings: SettingsViewModel, parent: QObject) -> None:
        super().__init__(parent)
        self._link = link
        self._worker = worker
        self._settings = settings
        self.swarms: tuple[PrivateSwarm, ...] | None = None
        self.busy = ""
        self.problem = ""
        self.invitation: ShownInvitation | None = None

    @property
    def usual_model(self) -> str:
        """What this computer serves, to be offered for a new swarm; not a folder, which others do not have."""
        status = self._worker.status
        model: str = self._settings.get("serving.model") or (status.model if status is not None else "")
        if not Path(model).is_absolute():
            return model
        # The practice model lies beside the downloaded ones, and is known to every copy of this program by its name.
        return Path(model).name if Path(model).parent == self._link.data_dir / "models" else ""

    def refresh(self) -> None:
        data_dir = self._link.data_dir
        self._link.run_aside(lambda: find_swarms(data_dir), self._found, self._failed)

    def create(self, name: str, model: str, done: Callable[[], None]) -> None:
        """Makes a swarm and shows its invitation. `done` where that went well."""
        chosen = model.strip() or None
        self._act(self.tr("Making the swarm"), lambda at: create(at, name, model=chosen), self._invited(done))

    def join(self, invitation: str, done: Callable[[], None]) -> None:
        self._act(self.tr("Joining"), lambda at: join(at, invitation), lambda _: done())

    def invite(self, name: str) -> None:
        self._act(self.tr("Making an invitation"), lambda at: invite(at, name), self._invited())

    def rekey(self, name: str) -> None:
        self._act(self.tr("Making a new key"), lambda at: rekey(at, name), self._invited(is_new_key=True))

    def leave(self, name: str) -> None:
        self._act(self.tr("Leaving"), lambda at: leave(at, name), lambda _: None)

    def serve(self, name: str | None) -> None:
        """In the private swarm of this name; None is the public one."""
        self._act(self.tr("Changing swarms"), lambda at: serve(at, name), lambda _: None)

    def put_away_invitation(self) -> None:
        self.invitation = None
        self.changed.emit()

    def put_away_problem(self) -> None:
        if self.problem:
            self.problem = ""
            self.changed.emit()

    def _act(self, doing: str, work: Callable[[Path], T], done: Callable[[T], None]) -> None:
        if self.busy:
            return
        data_dir = self._link.data_dir
        self.busy, self.problem = doing, ""
        self.changed.emit()

        def finished(result: T) -> None:
            self.busy = ""
            done(result)
            self._settings.reload()  # which one is served stands there
            self.refresh()

        self._link.run_aside(lambda: work(data_dir), finished, self._failed)

    def _invited(
        self, done: Callable[[], None] = lambda: None, *, is_new_key: bool = False
    ) -> Callable[[Invitation], None]:
        def show(invitation: Invitation) -> None:
            self.invitation = ShownInvitation(
                invitation.name, write_invitation(invitation), bool(invitation.addresses), is_new_key
            )
            done()

        return show

    def _found(self, swarms: tuple[PrivateSwarm, ...]) -> None:
        self.swarms = swarms
        self.changed.emit()

    def _failed(self, problem: str) -> None:
        self.busy, self.problem = "", problem
        # What was done before it failed is to be seen.
        self._link.run_aside(lambda: find_swarms(self._link.data_dir), self._found, lambda _: None)
        self.changed.emit()
