"""The flower with five petals: the icon of the program and of the tray, seen at 16 px on light and dark panels."""

from __future__ import annotations

import functools
import math

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap

from gui.viewmodels.worker import TrayState

# A panel's colour cannot be asked for: these keep a contrast of 3 and more with white and with near black alike.
_PETAL = "#D6478C"
_REST = "#84848F"
_PROBLEM = "#D94A3D"

_PETALS = 5
_PETAL_AWAY, _PETAL_RADIUS = 0.285, 0.195
_HEART_RADIUS = 0.105
_LINE = 0.085
_SIZES_PX = (16, 22, 24, 32, 44, 48, 64, 128)
_SHARE_STEPS = 20
"""A download redraws the icon at most so often."""


def flower_icon(state: TrayState, share: float | None = None) -> QIcon:
    """
    Args:
        share: of the download that is done, 0 to 1.
    """
    return _icon(state, round((share or 0.0) * _SHARE_STEPS))


def program_icon() -> QIcon:
    return flower_icon(TrayState.SERVING)


@functools.lru_cache(2 * _SHARE_STEPS)
def _icon(state: TrayState, steps: int) -> QIcon:
    icon = QIcon()
    for side in _SIZES_PX:
        pixmap = QPixmap(side, side)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        paint_flower(painter, QRectF(0, 0, side, side), state, steps / _SHARE_STEPS)
        painter.end()
        icon.addPixmap(pixmap)
    return icon


def paint_flower(painter: QPainter, rect: QRectF, state: TrayState, share: float = 0.0) -> None:
    """Into a square."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(rect.topLeft())
    painter.scale(rect.width(), rect.width())  # from here on the side is 1
    match state:
        case TrayState.SERVING:
            painter.fillPath(_petals() - _circle(0, _HEART_RADIUS), QColor(_PETAL))
        case TrayState.DOWNLOADING:
            _paint_outline(painter, _PETAL)
            painter.save()
            painter.setClipRect(QRectF(0, 1 - share, 1, share))
            painter.fillPath(_petals(), QColor(_PETAL))
            painter.restore()
        case TrayState.BUSY:
            _paint_outline(painter, _PETAL)
            painter.fillPath(_circle(0, _HEART_RADIUS), QColor(_PETAL))
        case TrayState.PAUSED:
            _paint_outline(painter, _REST)
            painter.fillRect(QRectF(5 / 16, 7 / 16, 6 / 16, 2 / 16), QColor(_REST))  # on whole pixels at 16
        case TrayState.PROBLEM:
            _paint_outline(painter, _PROBLEM)
            painter.fillPath(_circle(0, 0.16), QColor(_PROBLEM))
    painter.restore()


def _paint_outline(painter: QPainter, color: str) -> None:
    pen = QPen(QColor(color), _LINE)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.strokePath(_petals(_LINE / 2), pen)


@functools.cache
def _petals(inset: float = 0.0) -> QPainterPath:
    petals = QPainterPath()
    for number in range(_PETALS):
        angle = math.radians(360 / _PETALS * number - 90)
        middle = QPointF(0.5 + _PETAL_AWAY * math.cos(angle), 0.51 + _PETAL_AWAY * math.sin(angle))
        petal = QPainterPath()
        petal.addEllipse(middle, _PETAL_RADIUS - inset, _PETAL_RADIUS - inset)
        petals = petals.united(petal)
    return petals.united(_circle(0, _PETAL_AWAY))


def _circle(away: float, radius: float) -> QPainterPath:
    circle = QPainterPath()
    circle.addEllipse(QPointF(0.5 + away, 0.51), radius, radius)
    return circle
