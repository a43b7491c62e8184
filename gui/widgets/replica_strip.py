"""How many servers hold each block, as a row of columns: to the eye a bar chart, to keyboard and screen reader a slider
that is moved along the blocks and says what stands at each."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QEnterEvent,
    QFocusEvent,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractSlider, QSizePolicy, QWidget

from gui import theme
from gui.viewmodels.block_coverage import Level, block_in_words, level_of

_LEAST_BAR_HEIGHT = 40
_MOST_SHOWN = 4
"""Servers, at the full height: that there are more matters little."""
_CURSOR_GAP = 2
_PAGE_STEP = 10


class ReplicaStrip(QAbstractSlider):
    """
    Signals:
        read: what stands under the pointer or the cursor, in words; empty when it is at neither.
        chosen: a block was clicked, or Enter pressed on it.
    """

    read = Signal(str)
    chosen = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._counts: tuple[int, ...] = ()
        self._own = range(0)
        self._track: tuple[float, float] | None = None
        self._hovered: int | None = None
        self.setOrientation(Qt.Orientation.Horizontal)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Servers of each block"))
        self.setPageStep(_PAGE_STEP)
        self.valueChanged.connect(self._tell)

    def show_counts(self, counts: Sequence[int], own: range) -> None:
        if (tuple(counts), own) == (self._counts, self._own):
            return
        self._counts, self._own = tuple(counts), own
        self.setRange(0, max(0, len(counts) - 1))
        self._tell()
        self.update()

    def set_track(self, left: float, width: float) -> None:
        """Draws the blocks between these, so that they stand above the bars of the rows below."""
        if (left, width) != self._track:
            self._track = (left, width)
            self.update()

    @property
    def looked_at(self) -> int | None:
        """The block under the pointer, or else under the cursor of the keyboard."""
        if not self._counts:
            return None
        if self._hovered is not None:
            return self._hovered
        return self.value() if self.hasFocus() else None

    def block_at(self, x: float) -> int | None:
        left, width = self._area
        if not self._counts or not left <= x < left + width:
            return None
        return min(int((x - left) / width * len(self._counts)), len(self._counts) - 1)

    def sizeHint(self) -> QSize:
        return QSize(320, self._bar_height + 2 * _CURSOR_GAP + theme.XS + round(self._metrics.height()))

    def minimumSizeHint(self) -> QSize:
        return QSize(160, self.sizeHint().height())

    @property
    def _bar_height(self) -> int:
        """Two lines of text stand beside the bars."""
        return max(_LEAST_BAR_HEIGHT, round(2.2 * self._metrics.height()))

    @property
    def _metrics(self) -> QFontMetricsF:
        return QFontMetricsF(theme.small(self.font()))

    @property
    def _area(self) -> tuple[float, float]:
        return self._track or (0.0, float(self.width()))

    # Keys and pointer

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._counts:
            self.chosen.emit(self.value())
            return
        super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # the page is scrolled

    def mousePressEvent(self, event: QMouseEvent) -> None:
        block = self.block_at(event.position().x())
        if block is not None and event.button() is Qt.MouseButton.LeftButton:
            self.setValue(block)
            self.chosen.emit(block)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hover(self.block_at(event.position().x()))

    def enterEvent(self, event: QEnterEvent) -> None:
        self._hover(self.block_at(event.position().x()))

    def leaveEvent(self, event: QEvent) -> None:
        self._hover(None)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._tell()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._tell()

    def _hover(self, block: int | None) -> None:
        if block != self._hovered:
            self._hovered = block
            self._tell()

    def _tell(self) -> None:
        if self._counts:
            value = min(self.value(), len(self._counts) - 1)
            self.setAccessibleDescription(block_in_words(value, self._counts[value]))
        block = self.looked_at
        self.read.emit("" if block is None else self._words(block))
        self.update()

    def _words(self, block: int) -> str:
        said = block_in_words(block, self._counts[block])
        return self.tr("{block}, this computer too").format(block=said) if block in self._own else said

    # Painting

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._counts:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.small(self.font()))
        for block, count in enumerate(self._counts):
            self._paint_block(painter, block, count)
        self._paint_axis(painter)
        self._paint_caption(painter)
        if (looked_at := self.looked_at) is not None:
            self._paint_cursor(painter, looked_at)
        painter.end()

    def _paint_caption(self, painter: QPainter) -> None:
        """At the left, where the names of the servers stand below."""
        left, _ = self._area
        room = QRectF(theme.S, 0, left - theme.L, self._bar_height + 2 * _CURSOR_GAP)
        painter.setPen(QColor(theme.current().secondary))
        flags = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter) | int(Qt.TextFlag.TextWordWrap)
        painter.drawText(room, flags, self.tr("Servers of each block"))

    def _cell(self, block: int) -> QRectF:
        left, width = self._area
        pitch = width / len(self._counts)
        gap = 2.0 if pitch >= 8 else 1.0 if pitch >= 3 else 0.0
        return QRectF(left + block * pitch, _CURSOR_GAP, max(1.0, pitch - gap), self._bar_height)

    def _paint_block(self, painter: QPainter, block: int, count: int) -> None:
        now, cell = theme.current(), self._cell(block)
        level = level_of(count)
        painter.setPen(Qt.PenStyle.NoPen)
        if level is Level.MISSING:
            # A gap is drawn as one: hatched from top to bottom, where others have a column of their height.
            painter.setBrush(QColor(theme.mixed(now.window, now.bad, 0.16)))
            painter.drawRect(cell)
            painter.setBrush(QBrush(QColor(now.bad), Qt.BrushStyle.BDiagPattern))
            painter.drawRect(cell)
        else:
            painter.setBrush(QColor(theme.mixed(now.window, now.outline, 0.14)))
            painter.drawRect(cell)
            height = cell.height() * min(count, _MOST_SHOWN) / _MOST_SHOWN
            column = QRectF(cell.left(), cell.bottom() - height, cell.width(), height)
            painter.setBrush(QColor(now.warn if level is Level.THIN else now.good))
            painter.drawRect(column)
        if block in self._own:
            painter.setBrush(QColor(now.accent))
            left, width = self._area
            pitch = width / len(self._counts)
            painter.drawRect(QRectF(left + block * pitch, cell.bottom() + 1, pitch, 2.0))

    def _paint_axis(self, painter: QPainter) -> None:
        """Every tenth block or so, and the last one where there is room for it."""
        metrics, (left, width) = self._metrics, self._area
        last = len(self._counts) - 1
        widest = metrics.horizontalAdvance(str(last)) + theme.M
        steps = (step for step in (1, 2, 5, 10, 20, 50, 100, 1000, 10_000) if width / (last + 1) * step >= widest)
        step = next(steps, last + 1)
        painter.setPen(QColor(theme.current().secondary))
        baseline = self._bar_height + 2 * _CURSOR_GAP + theme.XS + metrics.ascent()
        for block in [*(tick for tick in range(0, last, step) if last - tick >= step * 0.6), last]:
            words = str(block)
            advance = metrics.horizontalAdvance(words)
            middle = self._cell(block).center().x()
            x = min(max(left, middle - advance / 2), left + width - advance)
            painter.drawText(QPointF(x, baseline), words)

    def _paint_cursor(self, painter: QPainter, block: int) -> None:
        cell = self._cell(block).adjusted(-1, -1, 1, 1)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(theme.current().accent if self.hasFocus() else theme.current().text), 2))
        painter.drawRoundedRect(cell, 2, 2)
