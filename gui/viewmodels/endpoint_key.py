"""What a program needs to chat through the swarm: the address and the key, which is shown only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.worker_link import WorkerLink
from volunteer.openai_api.key import KEY_FILE, load_or_create_key, renew_key

_ENABLED = "endpoint.enabled"


class EndpointKeyViewModel(QObject):
    """
    Attributes:
        key: None while it is not shown.
        said: what was done last, in a sentence.
    """

    changed = Signal()

    def __init__(self, link: WorkerLink, worker: WorkerViewModel, settings: SettingsViewModel, parent: QObject) -> None:
        super().__init__(parent)
        self._link = link
        self._worker = worker
        self._settings = settings
        self._path = link.data_dir / KEY_FILE
        self.key: str | None = None
        self.said = ""
        self.problem = ""
        worker.changed.connect(self.changed)
        settings.changed.connect(self.changed)

    @property
    def is_enabled(self) -> bool:
        return bool(self._settings.get(_ENABLED))

    @property
    def needs_key(self) -> bool:
        return bool(self._settings.get("endpoint.require_key"))

    @property
    def address(self) -> str:
        """Where the endpoint listens; empty while it does not."""
        status = self._worker.status
        if not self.is_enabled or not self._worker.is_connected or status is None:
            return ""
        return status.endpoint or ""

    @property
    def why_no_address(self) -> str:
        if not self.is_enabled:
            return self.tr("The endpoint is switched off.")
        if not self._worker.is_connected:
            return self.tr("The endpoint opens with the worker, which does not run.")
        return self.tr("The endpoint is not open. Another program may have its port; the log says more.")

    def show(self) -> None:
        self.with_key(self._take)

    def hide(self) -> None:
        self.key = None
        self.changed.emit()

    def with_key(self, use: Callable[[str], None]) -> None:
        """Gives the key, which is made if there is none, without showing it."""
        self._forget_words()
        self._link.run_aside(lambda: load_or_create_key(self._path), use, self._miss)

    def renew(self) -> None:
        """A new key; programs that have the old one are let in no more."""
        self._forget_words()
        self._link.run_aside(lambda: renew_key(self._path), self._renewed, self._miss)

    def note_copied(self) -> None:
        self.said = self.tr("Copied. The key is as good as a password for this computer's chats.")
        self.changed.emit()

    def _renewed(self, key: str) -> None:
        self.said = self.tr("There is a new key. Programs that have the old one need this one now.")
        if self.key is not None:
            self.key = key
        self.changed.emit()
        if self.is_enabled and self._worker.is_connected:
            # An open endpoint knows the old one: it is closed and opened again.
            self._settings.set(_ENABLED, "false")
            self._settings.set(_ENABLED, "true", self._miss)

    def _take(self, key: str) -> None:
        self.key = key
        self.changed.emit()

    def _forget_words(self) -> None:
        self.said = self.problem = ""

    def _miss(self, problem: str) -> None:
        self.problem = problem
        self.changed.emit()
