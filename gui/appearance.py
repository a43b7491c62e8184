"""Theme, size of text and language of all windows, as the settings say and as the desktop changes them."""

from __future__ import annotations

from typing import cast

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QApplication

from gui import theme
from gui.languages import Languages
from volunteer.settings import AppSettings


class Appearance(QObject):
    """
    Signals:
        language_changed: what is shown from now on comes in another language.
    """

    language_changed = Signal()

    def __init__(self, app: QApplication, settings: AppSettings):
        super().__init__(app)
        self._app = app
        self._settings = settings
        self._languages = Languages()
        self._languages.speak(app, settings.language)
        self._dress()
        app.styleHints().colorSchemeChanged.connect(self._follow_desktop)

    def follow(self, settings: AppSettings) -> None:
        """Goes by these settings from now on."""
        before, self._settings = self._settings, settings
        if (before.theme, before.text_scale) != (settings.theme, settings.text_scale):
            self._dress()
        if before.language != settings.language:
            self._languages.speak(self._app, settings.language)
            self.language_changed.emit()

    def _follow_desktop(self) -> None:
        if self._settings.theme == "system" and theme.chosen("system") is not theme.current():
            self._dress()

    def _dress(self) -> None:
        theme.apply(self._app, cast(theme.Choice, self._settings.theme), self._settings.text_scale)
