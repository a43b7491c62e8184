"""A plot over time, painted here: a few curves, round ticks, and a read-out that follows mouse or arrow keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from PySide6.QtCore import QDate, QEvent, QLineF, QLocale, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QEnterEvent,
    QFocusEvent,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme, words
from gui.axis_words import WriteTicks
from gui.viewmodels.history import Line, Plot
from gui.widgets.plot_scale import Column, Scale, columns, nearest, runs, time_ticks

_LINE_WIDTH = 1.75
_FILL_ALPHA = 22
_BAND_ALPHA = 64
_COLUMN_PX = 3.0
_SPARE_TICK_WIDTH = 20.0
"""Between two times below the plot."""
_READOUT_PADDING = 8.0
_HALF_DOT = QPointF(1.0, 0.0)

Write = Callable[[float], str]


@dataclass(frozen=True)
class _Stretch:
    """An unbroken piece of a curve on the screen: its mean, the band from lowest to highest, and what is below.

    Bands are rows of upright bars and lines are pieces: as one polygon with smooth edges a noisy day takes Qt twenty
    times as long, and six plots at once then hold up the window.
    """

    line: list[QLineF]
    band: list[QRectF]
    ground: list[QRectF]


def plot_colors() -> tuple[str, ...]:
    """Of the first curve, the second, and so on; a plot with several names them beside their colours."""
    now = theme.current()
    return (now.accent, now.info, now.good, now.warn)


class TimePlot(QWidget):
    """Shows one plot; `write` puts a value into words with its unit, `write_ticks` those of the axis."""

    def __init__(self, write: Write, write_ticks: WriteTicks, parent: QWidget | None) -> None:
        super().__init__(parent)
        self._write, self._write_ticks = write, write_ticks
        self._plot: Plot | None = None
        self._window_s = (0.0, 1.0)
        self._longest_gap_s = 60.0
        self._scale = Scale((0.0, 1.0))
        self._stretches_of: list[list[_Stretch]] | None = None
        self._read_s: float | None = None
        """The time that the read-out is for."""
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

    def show_plot(self, plot: Plot, window_s: tuple[float, float], longest_gap_s: float, scale: Scale) -> None:
        self._plot, self._window_s, self._longest_gap_s, self._scale = plot, window_s, longest_gap_s, scale
        self._stretches_of = None
        self._describe(plot)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(320, round(self.fontMetrics().height() * 9.5))

    def minimumSizeHint(self) -> QSize:
        return QSize(200, self.sizeHint().height())

    def read_out(self) -> str:
        """What the read-out says, for those who hear it; empty while there is none."""
        found = self._readings()
        if found is None:
            return ""
        time_s, values = found
        return ", ".join([words.time_of_day(time_s), *(" ".join(part for part in value if part) for value in values)])

    # What moves the read-out

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        area = self._area()
        share = (event.position().x() - area.left()) / max(1.0, area.width())
        start, end = self._window_s
        self._read_at(start + min(1.0, max(0.0, share)) * (end - start))

    def leaveEvent(self, event: QEvent) -> None:
        self._read_at(None)

    def enterEvent(self, event: QEnterEvent) -> None:
        self.mouseMoveEvent(event)  # type: ignore[arg-type]  # both tell a position, and no more is asked for

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._read_at(None)
        super().focusOutEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.key():
            case Qt.Key.Key_Left:
                self._step(-1)
            case Qt.Key.Key_Right:
                self._step(1)
            case Qt.Key.Key_Home:
                self._step_to(0)
            case Qt.Key.Key_End:
                self._step_to(-1)
            case Qt.Key.Key_Escape if self._read_s is not None:
                self._read_at(None)
            case _:
                super().keyPressEvent(event)

    def _step(self, direction: int) -> None:
        """To the next reading; from nowhere, to the newest."""
        times = self._times()
        if not times:
            return
        if self._read_s is None:
            self._read_at(times[-1])
            return
        read_s = self._read_s
        further = [time_s for time_s in times if (time_s - read_s) * direction > 0]
        if further:
            self._read_at(further[0] if direction > 0 else further[-1])

    def _step_to(self, index: int) -> None:
        times = self._times()
        if times:
            self._read_at(times[index])

    def _times(self) -> list[float]:
        start, end = self._window_s
        points = self._plot.lines[0].points if self._plot is not None else ()
        return [time_s for time_s, _ in points if start <= time_s <= end]

    def _read_at(self, time_s: float | None) -> None:
        if time_s == self._read_s:
            return
        self._read_s = time_s
        self.setAccessibleDescription(self.read_out() or self._summary)
        self.update()

    def _readings(self) -> tuple[float, list[tuple[str, str]]] | None:
        """The time that is read, and of each curve its name and value there."""
        if self._plot is None or self._read_s is None:
            return None
        found = [nearest(line.points, self._read_s, self._longest_gap_s) for line in self._plot.lines]
        there = [point for point in found if point is not None]
        if not there:
            return None
        values = [
            (line.name, self._write(point[1]))
            for line, point in zip(self._plot.lines, found, strict=True)
            if point is not None and point[1] is not None
        ]
        return there[0][0], values

    # In words

    def _describe(self, plot: Plot) -> None:
        if self.accessibleName() != plot.title:
            self.setAccessibleName(plot.title)
        self._summary = self._in_words(plot)
        if self._read_s is None and self.accessibleDescription() != self._summary:
            self.setAccessibleDescription(self._summary)

    _summary = ""

    def _in_words(self, plot: Plot) -> str:
        parts = []
        for line in plot.lines:
            values = [value for _, value in line.points if value is not None]
            if not values:
                continue
            said = self.tr("now {last}, at most {most}").format(
                last=self._write(values[-1]), most=self._write(max(values))
            )
            parts.append(f"{line.name}: {said}" if line.name else said)
        return "; ".join(parts) or self.tr("nothing was measured in this time")

    def _tick_time(self, time_s: float) -> str:
        """Midnight is told by its day: a line of times alone would leave open which day they are of."""
        local = datetime.fromtimestamp(time_s)
        if local.hour == local.minute == 0:
            return QLocale().toString(QDate(local.year, local.month, local.day), "ddd d")
        return words.time_of_day(time_s)

    # Where things are

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._stretches_of = None
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._stretches_of = None
            self.updateGeometry()
        super().changeEvent(event)

    def _area(self) -> QRectF:
        """Where the curves are, without ticks and times."""
        metrics = QFontMetricsF(theme.small(self.font()))
        ticks = max(metrics.horizontalAdvance(label) for label in self._write_ticks(self._scale.ticks))
        left, below = ticks + theme.S, metrics.height() + theme.S
        # Half a line above the highest tick, so that its label is not cut off.
        above = metrics.height() / 2 + 1
        return QRectF(left, above, max(1.0, self.width() - left - theme.XS), max(1.0, self.height() - above - below))

    def _place(self, time_s: float, value: float, area: QRectF) -> QPointF:
        start, end = self._window_s
        x = area.left() + (time_s - start) / (end - start) * area.width()
        return QPointF(x, area.bottom() - self._scale.fraction(value) * area.height())

    def _curves(self, area: QRectF) -> list[list[_Stretch]]:
        """Of each curve its unbroken stretches; kept until data or size change, for the read-out moves often."""
        if self._stretches_of is None:
            lines = self._plot.lines if self._plot is not None else ()
            self._stretches_of = [self._stretches(line, area) for line in lines]
        return self._stretches_of

    def _stretches(self, line: Line, area: QRectF) -> list[_Stretch]:
        start, end = self._window_s
        column_s = (end - start) / area.width() * _COLUMN_PX
        return [self._stretch(columns(run, column_s), area) for run in runs(line.points, self._longest_gap_s)]

    def _stretch(self, there: list[Column], area: QRectF) -> _Stretch:
        start, end = self._window_s
        x_of = [area.left() + (column.time_s - start) / (end - start) * area.width() for column in there]
        lows, means, highs = (
            [area.bottom() - self._scale.fraction(value) * area.height() for value in values]
            for values in zip(*((column.low, column.mean, column.high) for column in there), strict=True)
        )
        middles = [(left + right) / 2 for left, right in pairwise(x_of)]
        edges = list(pairwise([x_of[0], *middles, x_of[-1]]))
        return _Stretch(
            joined([QPointF(x, y) for x, y in zip(x_of, means, strict=True)]),
            [
                QRectF(left, high, right - left, low - high)
                for (left, right), low, high in zip(edges, lows, highs, strict=True)
            ],
            [
                QRectF(left, mean, right - left, area.bottom() - mean)
                for (left, right), mean in zip(edges, means, strict=True)
            ],
        )

    # How they look

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.small(self.font()))
        area = self._area()
        self._paint_axes(painter, area)
        self._paint_curves(painter, area)
        self._paint_readout(painter, area)
        if self.hasFocus():
            paint_focus(painter, QRectF(self.rect()))
        painter.end()

    def _paint_axes(self, painter: QPainter, area: QRectF) -> None:
        paint_value_axis(painter, area, self._scale, self._write_ticks(self._scale.ticks))
        self._paint_times(painter, area, QFontMetricsF(painter.font()))

    def _paint_times(self, painter: QPainter, area: QRectF, metrics: QFontMetricsF) -> None:
        start, end = self._window_s
        width = metrics.horizontalAdvance(words.time_of_day(end)) + _SPARE_TICK_WIDTH
        for time_s in time_ticks(start, end, most=max(1, int(area.width() / width))):
            label = self._tick_time(time_s)
            half = metrics.horizontalAdvance(label) / 2
            x = self._place(time_s, 0, area).x()
            if x - half < area.left() - theme.S or x + half > self.width():
                continue
            painter.drawText(QPointF(x - half, self.height() - metrics.descent() - 1), label)

    def _paint_curves(self, painter: QPainter, area: QRectF) -> None:
        painter.save()
        painter.setClipRect(area.adjusted(0, -2, 2, 1).toAlignedRect())  # whole pixels: others cost a mask
        curves = self._curves(area)
        colors = [QColor(color) for color in _repeated(plot_colors(), len(curves))]
        # The first curve is on top. With several, the fill of one would hide the others.
        for color, stretches in reversed(list(zip(colors, curves, strict=True))):
            for stretch in stretches:
                if len(curves) == 1:
                    fill_bars(painter, stretch.ground, color, _FILL_ALPHA)
                fill_bars(painter, stretch.band, color, _BAND_ALPHA)
                stroke(painter, stretch.line, color)
        painter.restore()

    def _paint_readout(self, painter: QPainter, area: QRectF) -> None:
        found = self._readings()
        if found is None or self._plot is None:
            return
        time_s, values = found
        now = theme.current()
        x = self._place(time_s, 0, area).x()
        painter.setPen(QPen(QColor(now.outline), 1))
        painter.drawLine(QLineF(x, area.top(), x, area.bottom()))
        for color, line in zip(_repeated(plot_colors(), len(self._plot.lines)), self._plot.lines, strict=True):
            point = nearest(line.points, time_s, self._longest_gap_s)
            if point is None or point[1] is None:
                continue
            painter.setPen(QPen(QColor(now.surface), 2))
            painter.setBrush(QColor(color))
            painter.drawEllipse(self._place(point[0], point[1], area), 4.5, 4.5)
        paint_box(
            painter, area, x, [words.time_of_day(time_s), *(" ".join(part for part in each if part) for each in values)]
        )


def joined(points: list[QPointF]) -> list[QLineF]:
    """The pieces of a line through these."""
    # A lone reading between two gaps is a dot.
    ends = pairwise(points) if len(points) > 1 else [(points[0] - _HALF_DOT, points[0] + _HALF_DOT)]
    return [QLineF(first, second) for first, second in ends]


def fill_bars(painter: QPainter, bars: list[QRectF], color: QColor, alpha: int) -> None:
    """Bars that touch, in one thin colour: with smooth edges, or edges rounded one by one, each would show."""
    thin = QColor(color)
    thin.setAlpha(alpha)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(thin)
    edges = [(round(bar.left()), round(bar.top()), round(bar.right()), round(bar.bottom())) for bar in bars]
    painter.drawRects([QRect(left, top, right - left, bottom - top) for left, top, right, bottom in edges])
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)


def stroke(painter: QPainter, line: list[QLineF], color: QColor) -> None:
    pen = QPen(color, _LINE_WIDTH)
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)  # others overlap, which shows in a level line as beads
    painter.setPen(pen)
    painter.drawLines(line)


def paint_value_axis(painter: QPainter, area: QRectF, scale: Scale, labels: list[str]) -> None:
    """A hairline for each tick, and its label left of it."""
    now, metrics = theme.current(), QFontMetricsF(painter.font())
    for tick, label in zip(scale.ticks, labels, strict=True):
        y = area.bottom() - scale.fraction(tick) * area.height()
        painter.setPen(QPen(QColor(now.border), 1))
        painter.drawLine(QLineF(area.left(), round(y) + 0.5, area.right(), round(y) + 0.5))
        painter.setPen(QColor(now.secondary))
        box = QRectF(0, y - metrics.height() / 2, area.left() - theme.S, metrics.height())
        painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, label)


def paint_box(painter: QPainter, area: QRectF, x: float, lines: list[str]) -> None:
    """A read-out beside `x`, on the side where there is room; its first line is what the others are read at."""
    now, metrics = theme.current(), QFontMetricsF(painter.font())
    width = max(metrics.horizontalAdvance(line) for line in lines) + 2 * _READOUT_PADDING
    height = metrics.height() * len(lines) + 2 * theme.XS
    left = x + theme.S if x + theme.S + width <= area.right() else x - theme.S - width
    box = QRectF(max(area.left(), left), area.top(), width, height)
    painter.setPen(QPen(QColor(now.border), 1))
    painter.setBrush(QColor(now.surface))
    painter.drawRoundedRect(box, theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)
    for number, line in enumerate(lines):
        painter.setPen(QColor(now.secondary if number == 0 else now.text))
        baseline = box.top() + theme.XS + metrics.ascent() + number * metrics.height()
        painter.drawText(QPointF(box.left() + _READOUT_PADDING, baseline), line)


def paint_focus(painter: QPainter, area: QRectF) -> None:
    """The ring of what has the keyboard, as the style sheet draws it for controls."""
    painter.setPen(QPen(QColor(theme.current().accent), 2))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(area.adjusted(1, 1, -1, -1), theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)


def _repeated(colors: tuple[str, ...], count: int) -> list[str]:
    return [colors[number % len(colors)] for number in range(count)]
