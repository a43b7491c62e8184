"""The owner's choices as the window sees them: read whole, changed one by one, through the worker where one runs.

QtCore only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, Signal

from gui.worker_link import Connection, WorkerLink
from volunteer.control.elsewhere import command_elsewhere
from volunteer.control.messages import GetSettings, SetSetting
from volunteer.settings import (
    Settings,
    get_setting,
    load_settings,
    parse_settings,
    reset_setting,
    save_settings,
    set_setting,
)

Refused = Callable[[str], None]


def _nothing(_: Any) -> None:
    pass


class SettingsViewModel(QObject):
    """
    Those of a worker on another computer are its own; what concerns the window (`app.`) is this computer's even then.

    Args:
        settings: as they are in the file when the window opens.
    """

    changed = Signal()

    def __init__(self, link: WorkerLink, settings: Settings, parent: QObject | None):
        super().__init__(parent)
        self.settings = settings
        self._link = link
        self._file_lock = threading.Lock()
        """Two changes at once must not each save the file without the other's."""
        self._untold: dict[str, str | None] = {}
        """Saved while a worker was on its way. It may have read the file before, and would write over it later."""
        self._is_elsewhere = bool(command_elsewhere(link.data_dir))
        self._was_connected = link.connection is Connection.CONNECTED
        link.connection_changed.connect(self._note_connection)

    def get(self, name: str) -> Any:
        """By its dotted name, as in `limits.only_when_idle`."""
        return get_setting(self.settings, name)

    def set(self, name: str, text: str | None, refused: Refused = _nothing) -> None:
        """Chooses `text`, as typed in `volunteer config`; None for the default.

        Args:
            refused: gets a sentence if the setting does not take this.
        """
        is_own = self._is_elsewhere and name.startswith("app.")
        if self._link.connection is Connection.CONNECTED and not is_own:
            self._link.send(SetSetting(name=name, text=text), lambda _: self.reload(), refused)
        else:
            if self._link.connection in (Connection.STARTING, Connection.RESTARTING) and not is_own:
                self._untold[name] = text
            self._link.run_aside(lambda: self._save(name, text), self._take_saved, refused)

    def reload(self) -> None:
        """Reads the file again, or asks the worker elsewhere: the command line may have changed it."""
        if self._is_elsewhere and self._link.connection is Connection.CONNECTED:
            self._link.send(GetSettings(), self._take_from_elsewhere)
        else:
            self._link.run_aside(self._load, self._take)

    def _take_from_elsewhere(self, text: str) -> None:
        self._take(replace(parse_settings(text.encode()).settings, app=self.settings.app))

    def _save(self, name: str, text: str | None) -> Settings:
        with self._file_lock:
            settings = load_settings(self._link.data_dir).settings
            changed = reset_setting(settings, name) if text is None else set_setting(settings, name, text)
            save_settings(self._link.data_dir, changed)
        return changed

    def _take_saved(self, settings: Settings) -> None:
        is_connected = self._link.connection is Connection.CONNECTED
        self._take(replace(self.settings, app=settings.app) if self._is_elsewhere and is_connected else settings)

    def _load(self) -> Settings:
        with self._file_lock:
            return load_settings(self._link.data_dir).settings

    def _take(self, settings: Settings) -> None:
        if settings != self.settings:
            self.settings = settings
            self.changed.emit()

    def _note_connection(self) -> None:
        is_connected = self._link.connection is Connection.CONNECTED
        if is_connected and not self._was_connected:
            for name, text in self._untold.items():
                self._link.send(SetSetting(name=name, text=text))
            self._untold.clear()
            self.reload()
        self._was_connected = is_connected
