"""The way of an answer through the swarm: who holds which blocks, where one's own computer is, and how fast it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRect, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QToolTip, QWidget

from gui import theme
from gui.viewmodels.chat_values import Figures
from gui.viewmodels.route_words import Stop, figures_in_words, in_one_line
from gui.widgets.plain_tip import plain_tip

_ARROW, _DOT = "→", "·"
_GAP, _CHIP_PAD, _LINE_GAP = 6, 8, 4


@dataclass(frozen=True)
class _Piece:
    """A chip, an arrow or a figure, and where it is drawn.

    Attributes:
        stop: None for what is no chip.
        is_chip: also the beginning of the way.
    """

    text: str
    place: QRect
    stop: Stop | None = None
    is_chip: bool = False


class RouteStrip(QWidget):
    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self._stops: tuple[Stop, ...] = ()
        self._figures = Figures()
        self._pieces: list[_Piece] = []

    def show_route(self, stops: tuple[Stop, ...], figures: Figures) -> None:
        self._stops, self._figures = stops, figures
        self.setAccessibleName(in_one_line(stops, figures))
        self.update()

    @property
    def is_empty(self) -> bool:
        return not self._stops and not figures_in_words(self._figures)

    def height_for(self, width: int) -> int:
        """Places everything in lines of this width."""
        font = self._font()
        metrics = QFontMetrics(font)
        line_px = metrics.height() + 2 * theme.XS
        self._pieces = []
        x = y = 0
        for text, stop, is_chip in self._parts():
            piece_px = metrics.horizontalAdvance(text) + (2 * _CHIP_PAD if is_chip else 0)
            if x > 0 and x + piece_px > width:
                x, y = 0, y + line_px + _LINE_GAP
                text = text.removeprefix(f"{_DOT} ")
                piece_px = min(piece_px, metrics.horizontalAdvance(text) + (2 * _CHIP_PAD if is_chip else 0))
            self._pieces.append(_Piece(text, QRect(x, y, piece_px, line_px), stop, is_chip))
            x += piece_px + _GAP
        return y + line_px if self._pieces else 0

    def paintEvent(self, event: QPaintEvent) -> None:
        colors = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._font())
        for piece in self._pieces:
            color = colors.secondary
            if piece.is_chip:
                is_own = piece.stop is not None and piece.stop.is_own
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(colors.accent if is_own else colors.sunken))
                painter.drawRoundedRect(piece.place, theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)
                color = colors.on_accent if is_own else colors.text
            painter.setPen(QColor(color))
            painter.drawText(piece.place, Qt.AlignmentFlag.AlignCenter, piece.text)
        painter.end()

    def event(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            under = next((piece for piece in self._pieces if piece.place.contains(event.pos())), None)
            text = under.stop.detail if under is not None and under.stop is not None else ""
            QToolTip.showText(event.globalPos(), plain_tip(text), self)
            return True
        return super().event(event)

    def _parts(self) -> Sequence[tuple[str, Stop | None, bool]]:
        parts: list[tuple[str, Stop | None, bool]] = []
        if self._stops:
            parts.append((self.tr("You"), None, True))
        for stop in self._stops:
            # An arrow goes on the line of the server that it leads to.
            parts += [(_ARROW, None, False), (f"{stop.name} {stop.blocks}", stop, True)]
        for figure in figures_in_words(self._figures):
            parts.append((f"{_DOT} {figure}" if parts else figure, None, False))
        return parts

    def _font(self) -> QFont:
        return theme.small(self.font())
