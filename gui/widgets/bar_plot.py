"""Bars for days or months, painted here, with a read-out that follows mouse or arrow keys."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFocusEvent, QFontMetricsF, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.axis_words import WriteTicks, numbers
from gui.viewmodels.days import Bar
from gui.widgets.plot_scale import value_scale
from gui.widgets.time_plot import Write, paint_box, paint_focus, paint_value_axis

_WIDEST_BAR = 40.0
_SPARE_LABEL_WIDTH = 18.0


class BarPlot(QWidget):
    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent)
        self._bars: Sequence[Bar] = ()
        self._write: Write = str
        self._write_ticks: WriteTicks = numbers
        self._scale = value_scale(0.0, 1.0)
        self._read: int | None = None
        """The bar that the read-out is for."""
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_bars(
        self,
        name: str,
        bars: Sequence[Bar],
        write: Write,
        write_ticks: WriteTicks,
        *,
        least_step: float,
    ) -> None:
        self._bars, self._write, self._write_ticks = bars, write, write_ticks
        self._scale = value_scale(0.0, max((bar.value for bar in bars), default=0.0), least_step=least_step)
        if self._read is not None and self._read >= len(bars):
            self._read = None
        self.setAccessibleName(name)
        self._describe()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(480, round(self.fontMetrics().height() * 11))

    def minimumSizeHint(self) -> QSize:
        return QSize(240, self.sizeHint().height())

    def read_out(self) -> str:
        """What the read-out says, for those who hear it; empty while there is none."""
        if self._read is None:
            return ""
        bar = self._bars[self._read]
        return f"{bar.title}: {self._write(bar.value)}"

    # What moves the read-out

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        area = self._area()
        number = int((event.position().x() - area.left()) / area.width() * len(self._bars)) if self._bars else -1
        self._read_at(number if 0 <= number < len(self._bars) and event.position().x() >= area.left() else None)

    def leaveEvent(self, event: QEvent) -> None:
        self._read_at(None)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._read_at(None)
        super().focusOutEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        last = len(self._bars) - 1
        if last < 0:
            super().keyPressEvent(event)
            return
        match event.key():
            case Qt.Key.Key_Left:
                self._read_at(last if self._read is None else max(0, self._read - 1))
            case Qt.Key.Key_Right:
                self._read_at(last if self._read is None else min(last, self._read + 1))
            case Qt.Key.Key_Home:
                self._read_at(0)
            case Qt.Key.Key_End:
                self._read_at(last)
            case Qt.Key.Key_Escape if self._read is not None:
                self._read_at(None)
            case _:
                super().keyPressEvent(event)

    def _read_at(self, number: int | None) -> None:
        if number != self._read:
            self._read = number
            self._describe()
            self.update()

    def _describe(self) -> None:
        highest = max(self._bars, key=lambda bar: bar.value, default=None)
        summary = ""
        if highest is not None:
            summary = self.tr("at most {most}, {when}").format(most=self._write(highest.value), when=highest.title)
        self.setAccessibleDescription(self.read_out() or summary)

    # Where things are, and how they look

    def _area(self) -> QRectF:
        metrics = QFontMetricsF(theme.small(self.font()))
        ticks = max(metrics.horizontalAdvance(label) for label in self._write_ticks(self._scale.ticks))
        left, above, below = ticks + theme.S, metrics.height() / 2 + 1, metrics.height() + theme.S
        return QRectF(left, above, max(1.0, self.width() - left - theme.XS), max(1.0, self.height() - above - below))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.small(self.font()))
        area = self._area()
        paint_value_axis(painter, area, self._scale, self._write_ticks(self._scale.ticks))
        for number in range(len(self._bars)):
            self._paint_bar(painter, number, area)
        self._paint_labels(painter, area)
        if self._read is not None:
            bar = self._bars[self._read]
            paint_box(painter, area, self._slot(self._read, area).right(), [bar.title, self._write(bar.value)])
        if self.hasFocus():
            paint_focus(painter, QRectF(self.rect()))
        painter.end()

    def _slot(self, number: int, area: QRectF) -> QRectF:
        width = area.width() / len(self._bars)
        return QRectF(area.left() + number * width, area.top(), width, area.height())

    def _paint_bar(self, painter: QPainter, number: int, area: QRectF) -> None:
        now, slot = theme.current(), self._slot(number, area)
        if number == self._read:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(now.sunken))
            painter.drawRect(slot)
        height = self._scale.fraction(self._bars[number].value) * area.height()
        if height <= 0:
            return
        width = min(slot.width() * 0.72, _WIDEST_BAR)
        # At least a hairline: little is not nothing.
        bar = QRectF(slot.center().x() - width / 2, area.bottom() - max(1.5, height), width, max(1.5, height))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(now.accent))
        radius = min(3.0, width / 3, bar.height() / 2)
        painter.drawRoundedRect(bar, radius, radius)

    def _paint_labels(self, painter: QPainter, area: QRectF) -> None:
        """As many as there is room for, counted back from the newest."""
        if not self._bars:
            return
        metrics = QFontMetricsF(painter.font())
        widest = max(metrics.horizontalAdvance(bar.label) for bar in self._bars) + _SPARE_LABEL_WIDTH
        every = max(1, -int(-widest * len(self._bars) // area.width()))
        painter.setPen(QColor(theme.current().secondary))
        for number in range(len(self._bars) - 1, -1, -every):
            words = self._bars[number].label
            width = metrics.horizontalAdvance(words)
            left = min(self._slot(number, area).center().x() - width / 2, self.width() - width)
            painter.drawText(QPointF(left, self.height() - metrics.descent() - 1), words)
