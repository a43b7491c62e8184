"""Rows of text: a piece of an answer, and a question in its bubble."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QWidget

from gui import theme
from gui.widgets.chat.row_widget import RowWidget
from gui.widgets.chat.rows import Row
from gui.widgets.chat.text_view import TextView

_BUBBLE_SHARE = 0.85
"""How much of the column a question may take."""
_BUBBLE_RADIUS = 14
_BUBBLE_TINT = 0.08


class ProseRow(RowWidget):
    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self._text = ""
        self.view = TextView(self)

    def show_row(self, row: Row) -> None:
        if row.text != self._text:
            self._text = row.text
            self.view.show_markdown(row.text)
        self.view.setAccessibleName(self.tr("Answer"))

    def height_for(self, width: int) -> int:
        height = self.view.height_for(width)
        self.view.setGeometry(0, 0, width, height)
        return height

    def text_view(self) -> TextView:
        return self.view

    def restyle(self) -> None:
        self.view.show_markdown(self._text)


class QuestionRow(RowWidget):
    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self._row: Row | None = None
        self._bubble = QRectF()
        self.view = TextView(self)

    def show_row(self, row: Row) -> None:
        if self._row is None or row.text != self._row.text:
            self.view.show_plain(row.text)
        self._row = row
        self.view.setAccessibleName(self.tr("Question"))

    def height_for(self, width: int) -> int:
        inner = self._inner_width(width)
        above, below = self._padding()
        height = self.view.height_for(inner)
        left = width - inner - theme.L
        self.view.setGeometry(left, above, inner, height)
        self._bubble = QRectF(left - theme.L, 0, inner + 2 * theme.L, above + height + below)
        self.update()
        return above + height + below

    def text_view(self) -> TextView:
        return self.view

    def restyle(self) -> None:
        if self._row is not None:
            self.view.show_plain(self._row.text)

    def paintEvent(self, event: QPaintEvent) -> None:
        colors = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillPath(self._shape(), QColor(theme.mixed(colors.sunken, colors.accent, _BUBBLE_TINT)))
        painter.end()

    def _inner_width(self, width: int) -> int:
        most = round(width * _BUBBLE_SHARE) - 2 * theme.L
        is_whole = self._row is not None and self._row.is_end and self._row.part == 0
        return min(self.view.natural_width(), most) if is_whole else most

    def _padding(self) -> tuple[int, int]:
        """Parts of one question touch."""
        row = self._row
        return (theme.S + 2 if row is None or row.part == 0 else 0), (theme.S + 2 if row is None or row.is_end else 0)

    def _shape(self) -> QPainterPath:
        """Round where the question begins and ends."""
        row = self._row
        half = self._bubble.height() / 2
        shape = QPainterPath()
        shape.setFillRule(Qt.FillRule.WindingFill)
        shape.addRoundedRect(self._bubble, _BUBBLE_RADIUS, _BUBBLE_RADIUS)
        if row is not None and row.part > 0:
            shape.addRect(self._bubble.adjusted(0, 0, 0, -half))
        if row is not None and not row.is_end:
            shape.addRect(self._bubble.adjusted(0, half, 0, 0))
        return shape
