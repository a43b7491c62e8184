"""All blocks of the model as a row of cells, with those that this computer holds in the accent colour."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme

_CELL_HEIGHT = 24.0
_WIDEST_CELL = 28.0
"""A model of twelve blocks is not a row of doors."""


class BlockStrip(QWidget):
    """Own blocks are filled while they are served, and outlined while they are on their way."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._num_blocks = 0
        self._own = range(0)
        self._are_served = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_blocks(self, num_blocks: int, own: range, *, are_served: bool, in_words: str) -> None:
        self._num_blocks, self._own, self._are_served = num_blocks, own, are_served
        self.setAccessibleName(in_words)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(320, round(_cell_height() + theme.XS + QFontMetricsF(theme.small(self.font())).height()))

    def minimumSizeHint(self) -> QSize:
        return QSize(160, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._num_blocks:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.small(self.font()))
        for block in range(self._num_blocks):
            self._paint_cell(painter, block)
        self._paint_numbers(painter)
        painter.end()

    def _cell(self, block: int) -> QRectF:
        pitch = min(self.width() / self._num_blocks, _WIDEST_CELL)
        gap = 3.0 if pitch >= 9 else 1.0 if pitch >= 3 else 0.0
        return QRectF(block * pitch, 0.0, pitch - gap, _cell_height())

    def _paint_cell(self, painter: QPainter, block: int) -> None:
        now, cell = theme.current(), self._cell(block)
        radius = min(3.0, cell.width() / 3)
        is_own = block in self._own
        if is_own and not self._are_served:
            painter.setPen(QPen(QColor(now.accent), 1.5))
            painter.setBrush(QColor(theme.mixed(now.surface, now.accent, 0.16)))
            cell = cell.adjusted(0.75, 0.75, -0.75, -0.75)
        else:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(now.accent if is_own else theme.mixed(now.sunken, now.outline, 0.22)))
        painter.drawRoundedRect(cell, radius, radius)

    def _paint_numbers(self, painter: QPainter) -> None:
        """Own first and last, then the ends of the row where these leave room."""
        metrics = QFontMetricsF(painter.font())
        taken: list[QRectF] = []
        own = [self._own[0], self._own[-1]] if self._own else []
        for block in dict.fromkeys([*own, 0, self._num_blocks - 1]):
            words = str(block)
            width = metrics.horizontalAdvance(words)
            middle = self._cell(block).center().x()
            left = min(max(0.0, middle - width / 2), self.width() - width)
            box = QRectF(left, _cell_height() + theme.XS, width, metrics.height())
            if any(box.adjusted(-theme.S, 0, theme.S, 0).intersects(other) for other in taken):
                continue
            taken.append(box)
            painter.setPen(QColor(theme.current().accent if block in self._own else theme.current().secondary))
            painter.drawText(QPointF(box.left(), box.top() + metrics.ascent()), words)


def _cell_height() -> float:
    return _CELL_HEIGHT * theme.text_scale()
