"""A card with one plot: its title, what it shows now, and which colour is which curve."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from gui import theme, words
from gui.axis_words import WriteTicks, numbers, rates, with_unit
from gui.viewmodels.history import Plot, Quantity
from gui.widgets.card import Card
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.plot_scale import MEMORY_STEPS, Scale, value_scale
from gui.widgets.time_plot import TimePlot, plot_colors

_SWATCH_PX = 10
_COOL_C = 20.0
_LEAST_STEPS = {Quantity.TOKENS: 1.0, Quantity.POWER: 10.0, Quantity.NETWORK: 1000.0}


class PlotCard(Card):
    """Stays with one quantity; a plot of another number of curves makes a new legend."""

    def __init__(self, quantity: Quantity, parent: QWidget) -> None:
        super().__init__("", parent)
        self.quantity = quantity
        self._write, write_ticks = writers(quantity)
        self._now = theme.role(QLabel(), "body")
        self.actions.addWidget(self._now)
        self._legend = QWidget()
        self._legend_row = FlowLayout(self._legend, spacing=theme.L)
        self._entries: list[_LegendEntry] = []
        self.plot = TimePlot(self._write, write_ticks, self)
        self.body.addWidget(self._legend)
        self.body.addWidget(self.plot)

    def show_plot(self, plot: Plot, window_s: tuple[float, float], longest_gap_s: float) -> None:
        if self.title.text() != plot.title:
            self.set_title(plot.title)
        last = [_fresh(line.points, window_s, longest_gap_s) for line in plot.lines]
        is_single = len(plot.lines) == 1
        self._now.setText(self._write(last[0]) if is_single and last[0] is not None else "")
        self._legend.setVisible(not is_single)
        self._show_legend(plot, last if not is_single else [])
        self.plot.show_plot(plot, window_s, longest_gap_s, scale_of(plot))

    def _show_legend(self, plot: Plot, values: list[float | None]) -> None:
        while len(self._entries) > len(values):
            entry = self._entries.pop()
            self._legend_row.removeWidget(entry)
            entry.deleteLater()
        while len(self._entries) < len(values):
            entry = _LegendEntry(len(self._entries), self._legend)
            self._entries.append(entry)
            self._legend_row.addWidget(entry)
        for entry, line, value in zip(self._entries, plot.lines, values, strict=False):
            entry.show_words(line.name, "" if value is None else self._write(value))


class _LegendEntry(QWidget):
    """A dash in the colour of a curve, its name and its newest value."""

    def __init__(self, number: int, parent: QWidget) -> None:
        super().__init__(parent)
        self._words = theme.role(QLabel(self), "secondary")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.XS + 2)
        row.addWidget(_Swatch(number, self), 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self._words)

    def show_words(self, name: str, value: str) -> None:
        self._words.setText(f"{name}  {value}" if value else name)


class _Swatch(QWidget):
    def __init__(self, number: int, parent: QWidget) -> None:
        super().__init__(parent)
        self._number = number
        self.setFixedSize(QSize(_SWATCH_PX, _SWATCH_PX))

    def paintEvent(self, event: QPaintEvent) -> None:
        colors = plot_colors()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colors[self._number % len(colors)]))
        painter.drawRoundedRect(QRectF(0, _SWATCH_PX / 2 - 2, _SWATCH_PX, 4), 2, 2)
        painter.end()


def writers(quantity: Quantity) -> tuple[Callable[[float], str], WriteTicks]:
    """How a value of this kind is written, and how those of an axis."""
    match quantity:
        case Quantity.TOKENS:
            return words.tokens_per_s, numbers
        case Quantity.CHATS:
            return lambda value: words.count(round(value)), numbers
        case Quantity.TEMPERATURE:
            return words.temperature, with_unit("°C")
        case Quantity.POWER:
            return words.power, with_unit("W")
        case Quantity.MEMORY:
            return lambda value: words.memory(value * 2**30), with_unit("GB")
        case Quantity.NETWORK:
            return words.rate, rates


def scale_of(plot: Plot) -> Scale:
    """From zero, but for temperatures, of which none is near it; memory up to what there is."""
    values = [value for line in plot.lines for _, value in line.points if value is not None]
    highest = max(values, default=0.0)
    match plot.quantity:
        case Quantity.TEMPERATURE:
            return value_scale(min([_COOL_C, *values]), max(highest, _COOL_C + 10))
        case Quantity.MEMORY:
            return value_scale(0.0, plot.ceiling or highest, steps=MEMORY_STEPS)
        case Quantity.CHATS:
            return value_scale(0.0, highest, least_step=1.0)
    # A quiet hour has an axis too, which says nothing of thousandths.
    return value_scale(0.0, highest, least_step=0.0 if highest > 0 else _LEAST_STEPS[plot.quantity])


def _fresh(
    points: tuple[tuple[float, float | None], ...], window_s: tuple[float, float], longest_gap_s: float
) -> float | None:
    """The newest value, if it is of now: an old one beside the title would be taken for one."""
    if not points or window_s[1] - points[-1][0] > longest_gap_s:
        return None
    return points[-1][1]
