"""Our own icons: SVG strokes, coloured at the moment they are painted, so that they follow a change of theme."""

from __future__ import annotations

import functools

from PySide6.QtCore import QByteArray, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QIconEngine, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from gui import theme
from volunteer.resource_files import resource

_DISABLED_SHARE = 0.55
_KEPT_PIXMAPS = 512


def icon(name: str, color: str = "text", size: int = 20) -> QIcon:
    """The icon `resources/icons/NAME.svg` in a colour of the theme.

    Args:
        color: a field of `Theme`.
        size: that it says of itself; it is drawn sharp at any.
    """
    return QIcon(_StrokeEngine(name, color, size))


class _StrokeEngine(QIconEngine):
    def __init__(self, name: str, color: str, size: int):
        super().__init__()
        self._name = name
        self._token = color
        self._size = size

    def clone(self) -> QIconEngine:
        return _StrokeEngine(self._name, self._token, self._size)

    def actualSize(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QSize:
        side = min(size.width(), size.height())
        return QSize(side, side)

    def availableSizes(self, mode: QIcon.Mode = QIcon.Mode.Normal, state: QIcon.State = QIcon.State.Off) -> list[QSize]:
        return [QSize(self._size, self._size)]

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        ratio = painter.device().devicePixelRatioF()
        side = min(rect.width(), rect.height())
        drawn = _drawn(self._name, self._color(mode), round(side * ratio))
        corner = QPoint(rect.x() + (rect.width() - side) // 2, rect.y() + (rect.height() - side) // 2)
        painter.drawPixmap(QRect(corner, QSize(side, side)), drawn)

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        return self.scaledPixmap(size, mode, state, 1.0)

    def scaledPixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State, scale: float) -> QPixmap:
        drawn = QPixmap(_drawn(self._name, self._color(mode), round(min(size.width(), size.height()) * scale)))
        drawn.setDevicePixelRatio(scale)
        return drawn

    def _color(self, mode: QIcon.Mode) -> str:
        wanted: str = getattr(theme.current(), self._token)
        if mode is QIcon.Mode.Disabled:
            return theme.mixed(wanted, theme.current().surface, _DISABLED_SHARE)
        return wanted


@functools.lru_cache(_KEPT_PIXMAPS)
def _drawn(name: str, color: str, width_px: int) -> QPixmap:
    strokes = QSvgRenderer(QByteArray(_source(name).replace("currentColor", color).encode()))
    drawn = QPixmap(width_px, width_px)
    drawn.fill(Qt.GlobalColor.transparent)
    painter = QPainter(drawn)
    strokes.render(painter, QRectF(0, 0, width_px, width_px))
    painter.end()
    return drawn


@functools.cache
def _source(name: str) -> str:
    return resource("icons", f"{name}.svg").read_text(encoding="utf-8")
