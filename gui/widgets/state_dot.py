"""A dot in the colour of a state, with the shape of it: filled, hollow or with a bar, for whoever tells no colours."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from gui import theme
from gui.viewmodels.worker import TrayState

DotKind = Literal["good", "busy", "paused", "bad", "off"]
_COLORS = {"good": "good", "busy": "info", "paused": "warn", "bad": "bad", "off": "secondary"}
_SIDE_PX = 12
_KINDS: dict[TrayState, DotKind] = {
    TrayState.SERVING: "good",
    TrayState.DOWNLOADING: "busy",
    TrayState.BUSY: "busy",
    TrayState.PAUSED: "paused",
    TrayState.PROBLEM: "bad",
}


def dot_of(state: TrayState) -> DotKind:
    return _KINDS[state]


class StateDot(QWidget):
    """Stands beside the word that says the state."""

    def __init__(self, parent: QWidget | None = None, size: int = _SIDE_PX):
        super().__init__(parent)
        self._kind: DotKind = "off"
        self.setFixedSize(QSize(size, size))

    def show_kind(self, kind: DotKind) -> None:
        self._kind = kind
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = QColor(getattr(theme.current(), _COLORS[self._kind]))
        width = self.width() / 7
        ring = QRectF(self.rect()).adjusted(width, width, -width, -width)
        painter.setPen(QPen(color, width))
        painter.setBrush(color if self._kind in ("good", "bad") else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(ring)
        middle = ring.center()
        painter.setPen(Qt.PenStyle.NoPen)
        match self._kind:
            case "busy":
                painter.setBrush(color)
                painter.drawEllipse(middle, width, width)
            case "paused":
                painter.setBrush(color)
                painter.drawRect(QRectF(middle.x() - width * 1.3, middle.y() - width, width * 0.8, width * 2))
                painter.drawRect(QRectF(middle.x() + width * 0.5, middle.y() - width, width * 0.8, width * 2))
            case "bad":
                mark = QPen(QColor(theme.current().surface), width)
                mark.setCapStyle(Qt.PenCapStyle.RoundCap)
                painter.setPen(mark)
                painter.drawLine(middle - QPointF(0, width * 1.3), middle + QPointF(0, width * 0.2))
                painter.drawPoint(middle + QPointF(0, width * 1.5))
        painter.end()
