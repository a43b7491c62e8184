"""An icon that stands in a page; it says nothing that the words beside it do not say."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRect, QSize
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from gui import theme
from gui.icons import icon


class IconLabel(QWidget):
    """Follows the theme by itself."""

    def __init__(self, name: str, color: str = "text", size: int = 20, parent: QWidget | None = None):
        super().__init__(parent)
        self._size = size
        self._fit()
        self.set_icon(name, color)

    def set_icon(self, name: str, color: str = "text") -> None:
        self._icon = icon(name, color)
        self.update()

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.FontChange:
            self._fit()
        super().changeEvent(event)

    def _fit(self) -> None:
        """As large beside large text as beside text of the usual size."""
        side = round(self._size * theme.text_scale())
        self.setFixedSize(QSize(side, side))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        self._icon.paint(painter, QRect(0, 0, self.width(), self.height()))
        painter.end()
