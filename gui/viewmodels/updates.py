"""Whether a newer version is out, for whoever allowed the program to look: once a week, told once. QtCore only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QObject, QTimer, Signal

from gui.viewmodels.notices import Cause, Notice
from gui.viewmodels.settings import SettingsViewModel
from gui.worker_link import WorkerLink

if TYPE_CHECKING:
    from volunteer.release_manifest import Release

_FIRST_LOOK_MS = 60_000
"""The window, and a worker that starts, go first."""
_EVERY_MS = 3_600_000
"""How often it is asked whether a week has gone by."""

translate = QCoreApplication.translate

Look = Callable[..., "Release | None"]


def look_if_due(data_dir: Path, *, is_allowed: bool) -> Release | None:
    """As that of `update_notice`, whose cryptography the first picture of the window does not have to wait for."""
    from volunteer import update_notice

    return update_notice.look_if_due(data_dir, is_allowed=is_allowed)


class UpdatesViewModel(QObject):
    """
    Args:
        settings: of this computer's owner; consent and the switch are looked at each time.
        look: asks, if a look is due; may block.

    Attributes:
        newer: what is to be told: out, and not yet put aside.

    Signals:
        noticed: a notification for a version that was not known when the window opened.
    """

    changed = Signal()
    noticed = Signal(object)

    def __init__(
        self, link: WorkerLink, settings: SettingsViewModel, parent: QObject | None, *, look: Look = look_if_due
    ):
        super().__init__(parent)
        self._link = link
        self._settings = settings
        self._look = look
        self._is_looking = False
        self._was_allowed = self._is_allowed()
        self._told = ""
        self._put_aside = ""
        self.newer: Release | None = None
        settings.changed.connect(self._settings_changed)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(_EVERY_MS)
        QTimer.singleShot(_FIRST_LOOK_MS, self, self.look)

    @property
    def text(self) -> str:
        """One sentence; empty where there is nothing to tell."""
        if self.newer is None:
            return ""
        from volunteer.update_notice import running_version

        return translate("Updates", "Version {newer} of Petals Volunteer is out; this is {running}.").format(
            newer=self.newer.version, running=running_version()
        )

    def look(self) -> None:
        """Asks nobody without leave, or before a week has gone by."""
        if self._is_looking or not self._is_allowed():
            return
        self._is_looking = True
        data_dir = self._link.data_dir
        self._link.run_aside(partial(self._look, data_dir, is_allowed=True), self._take, lambda _: self._take(None))

    def put_aside(self) -> None:
        """The owner has seen it; another version is told again."""
        if self.newer is not None:
            self._put_aside = self.newer.version
            self.newer = None
            self.changed.emit()

    def _is_allowed(self) -> bool:
        app = self._settings.settings.app
        return app.consented and app.check_for_updates

    def _settings_changed(self) -> None:
        was_allowed, self._was_allowed = self._was_allowed, self._is_allowed()
        if self._was_allowed and not was_allowed:
            self.look()
        elif was_allowed and not self._was_allowed:
            self._show(None)

    def _take(self, release: Release | None) -> None:
        self._is_looking = False
        if self._is_allowed():  # it may have been switched off meanwhile
            self._show(release)

    def _show(self, release: Release | None) -> None:
        if release is not None and release.version == self._put_aside:
            release = None
        if release == self.newer:
            return
        self.newer = release
        self.changed.emit()
        if release is not None and release.version != self._told:
            self._told = release.version
            self.noticed.emit(Notice(Cause.NEWER_VERSION, self.text, release.page, is_problem=False))
