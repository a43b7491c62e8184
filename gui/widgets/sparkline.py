"""A curve as small as a word, without axes: whether it went up or down lately."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from PySide6.QtCore import QPointF, QRectF, QSize
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.widgets.plot_scale import Point, columns, runs
from gui.widgets.time_plot import fill_bars, joined, stroke

_HEIGHT = 38
_FILL_ALPHA = 26
_COLUMN_PX = 2.0


class Sparkline(QWidget):
    """What it shows stands beside it in words, so to a screen reader it is a picture with a name."""

    def __init__(self, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._points: Sequence[Point] = ()
        self._window_s = (0.0, 1.0)
        self._longest_gap_s = 60.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_points(self, points: Sequence[Point], window_s: tuple[float, float], longest_gap_s: float) -> None:
        self._points, self._window_s, self._longest_gap_s = points, window_s, longest_gap_s
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(160, round(_HEIGHT * theme.text_scale()))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect()).adjusted(0, 2, -2, -1)
        self._paint_ground(painter, area)
        for run in runs(self._points, self._longest_gap_s):
            self._paint_run(painter, run, area)
        painter.end()

    def _paint_ground(self, painter: QPainter, area: QRectF) -> None:
        """Zero, so that an empty curve looks like a quiet hour and not like a hole."""
        painter.setPen(QPen(QColor(theme.current().border), 1))
        painter.drawLine(QPointF(area.left(), area.bottom()), QPointF(area.right(), area.bottom()))

    def _paint_run(self, painter: QPainter, run: list[tuple[float, float]], area: QRectF) -> None:
        start, end = self._window_s
        there = columns(run, (end - start) / max(1.0, area.width()) * _COLUMN_PX)
        highest = max((value for _, value in self._points if value is not None), default=0.0) or 1.0
        points = [
            QPointF(
                area.left() + min(1.0, max(0.0, (column.time_s - start) / (end - start))) * area.width(),
                area.bottom() - column.mean / highest * area.height(),
            )
            for column in there
        ]
        accent = QColor(theme.current().accent)
        bars = [
            QRectF(left.x(), left.y(), right.x() - left.x(), area.bottom() - left.y())
            for left, right in pairwise(points)
        ]
        fill_bars(painter, bars, accent, _FILL_ALPHA)
        stroke(painter, joined(points), accent)
