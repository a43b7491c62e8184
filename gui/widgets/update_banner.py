"""The banner that tells of a newer version: where to read about it, and a way to have it out of sight."""

from __future__ import annotations

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QWidget

from gui.viewmodels.updates import UpdatesViewModel
from gui.widgets.banner import Banner


class UpdateBanner(Banner):
    def __init__(self, updates: UpdatesViewModel, parent: QWidget | None = None):
        super().__init__(parent)
        self._updates = updates
        updates.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        if self._updates.newer is None:
            self.hide()
            return
        self.show_message(
            "info",
            self._updates.text,
            self.tr("Read about it"),
            self._open_page,
            on_close=self._updates.put_aside,
        )

    def _open_page(self) -> None:
        if self._updates.newer is not None:
            QDesktopServices.openUrl(QUrl(self._updates.newer.page))
