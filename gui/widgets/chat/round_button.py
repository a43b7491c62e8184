"""A round button with an icon: send, stop, go to the end."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QEvent, QPointF, QRect, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolButton, QWidget

from gui import theme
from gui.icons import icon

Look = Literal["primary", "strong", "plain"]
_PX, _ICON_PX = 34, 18
_HOVER = 0.15


class RoundButton(QToolButton):
    def __init__(self, icon_name: str, name: str, look: Look, parent: QWidget | None = None):
        super().__init__(parent)
        self._fit()
        self.show_as(icon_name, name, look)

    def show_as(self, icon_name: str, name: str, look: Look) -> None:
        self._icon_name = icon_name
        self._look = look
        self.setAccessibleName(name)
        self.setToolTip(name)
        self.update()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._fit()

    def _fit(self) -> None:
        """As large beside large text as beside text of the usual size."""
        side = round(_PX * theme.text_scale())
        self.setFixedSize(QSize(side, side))

    def paintEvent(self, event: QPaintEvent) -> None:
        colors = theme.current()
        ground, stroke, edge = self._colors()
        if self.isEnabled() and (self.isDown() or self.underMouse()):
            ground = theme.mixed(ground, colors.secondary, _HOVER)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        centre, radius = QPointF(self.width() / 2, self.height() / 2), self.width() / 2 - 3
        painter.setPen(QColor(edge))
        painter.setBrush(QColor(ground))
        painter.drawEllipse(centre, radius, radius)
        if self.hasFocus():
            painter.setPen(QPen(QColor(colors.text if self._look == "primary" else colors.accent), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(centre, radius + 2, radius + 2)
        icon_px = round(_ICON_PX * theme.text_scale())
        side = (self.width() - icon_px) // 2
        icon(self._icon_name, stroke, icon_px).paint(painter, QRect(side, side, icon_px, icon_px))
        painter.end()

    def _colors(self) -> tuple[str, str, str]:
        """Of the ground, of the icon by its name in the theme, and of the edge."""
        colors = theme.current()
        if not self.isEnabled():
            return colors.sunken, "secondary", colors.sunken
        match self._look:
            case "primary":
                return colors.accent, "on_accent", colors.accent
            case "strong":
                return colors.text, "surface", colors.text
            case _:
                return colors.surface, "text", colors.outline
