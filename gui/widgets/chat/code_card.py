"""Code of an answer: a card with its language, a button that copies it, and lines that are scrolled, not broken."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QColor, QFontMetrics, QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QToolButton, QWidget

from gui import theme, words
from gui.icons import icon
from gui.widgets.chat.code_colors import CodeColors
from gui.widgets.chat.code_view import CodeView
from gui.widgets.chat.markdown_document import code_font
from gui.widgets.chat.row_widget import RowWidget
from gui.widgets.chat.rows import Row

_MOST_LINES = 400
"""Longer code is scrolled in its card."""
_MOST_LINE = 2_000
"""Longer lines are broken, for the eye alone: what is copied is as it was."""
_MOST_CODE = 30_000
"""Characters that are laid out at once: about as many as the longest answer has."""
_HEAD_PX = 36
_COPIED_MS = 2_000


class CodeCard(RowWidget):
    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self._code = ""
        self._language = ""
        self._longest = 0
        self._language_name = theme.role(QLabel(self), "secondary")
        self._copy = QToolButton(self)
        self._copy.setIcon(icon("copy", "secondary", 16))
        self._copy.setIconSize(QSize(16, 16))
        self._copy.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._copy.clicked.connect(self.copy)
        self._copied = QTimer(self, interval=_COPIED_MS, singleShot=True)
        self._copied.timeout.connect(self._show_copy)
        self._view = CodeView(self)
        self._view.installEventFilter(self)
        self._colors = CodeColors(self._view.document())
        self._show_copy()
        self.restyle()

    def show_row(self, row: Row) -> None:
        if row.language != self._language:
            self._language = row.language
            self._colors.set_language(row.language)
        is_short = len(row.text) - self._code.rfind("\n") < _MOST_LINE and len(row.text) < _MOST_CODE
        if self._code and is_short and row.text.startswith(self._code):
            # Of code that grows, what is there is neither laid out nor coloured again.
            self._view.append_text(row.text[len(self._code) :])
        elif row.text != self._code:
            self._view.setPlainText(self._shown(row.text))
        self._code = row.text
        self._longest = max((len(line) for line in self._view.toPlainText().split("\n")), default=0)
        self._language_name.setText(row.language or self.tr("code"))
        self._view.setAccessibleName(self.tr("Code: {language}").format(language=row.language or self.tr("text")))
        self._copied.stop()
        self._show_copy()

    def height_for(self, width: int) -> int:
        head, inner = self._head_px(), width - 2
        metrics = QFontMetrics(self._view.font())
        lines = min(self._view.blockCount(), _MOST_LINES)
        is_wide = self._longest * metrics.horizontalAdvance("m") > inner - 2 * theme.M
        bar = self._view.horizontalScrollBar().sizeHint().height() if is_wide else 0
        # A line more than nothing: what is cut off by a pixel could be scrolled.
        height = head + lines * metrics.lineSpacing() + 2 * round(self._view.document().documentMargin()) + bar + 2
        self._view.setGeometry(1, head, inner, height - head - 1)
        self._place_head(width, head)
        return height

    def text_view(self) -> CodeView:
        return self._view

    def restyle(self) -> None:
        font = code_font(self.font())
        self._view.setFont(font)
        self._view.setTabStopDistance(4 * QFontMetrics(font).horizontalAdvance(" "))
        self._colors.rehighlight()

    def copy(self) -> None:
        QGuiApplication.clipboard().setText(self._code)
        self._copy.setText(self.tr("Copied"))
        self._copy.setIcon(icon("check", "good", 16))
        self._place_head(self.width(), self._head_px())
        self._copied.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
            self.update()
        return super().eventFilter(watched, event)

    def paintEvent(self, event: QPaintEvent) -> None:
        colors = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(QColor(colors.surface))
        painter.setPen(QColor(colors.accent if self._view.hasFocus() else colors.border))
        painter.drawRoundedRect(
            QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), theme.RADIUS_CARD, theme.RADIUS_CARD
        )
        painter.setPen(QColor(colors.border))
        y = self._head_px() - 0.5
        painter.drawLine(1, round(y), self.width() - 2, round(y))
        painter.end()

    def _shown(self, code: str) -> str:
        if len(code) <= _MOST_CODE:
            return _broken(code)
        more = words.count(len(code) - _MOST_CODE)
        left_out = self.tr("… {number} more characters, which are copied too").format(number=more)
        return f"{_broken(code[:_MOST_CODE])}\n{left_out}"

    def _show_copy(self) -> None:
        self._copy.setText(self.tr("Copy"))
        self._copy.setAccessibleName(self.tr("Copy this code"))
        self._copy.setIcon(icon("copy", "secondary", 16))
        self._place_head(self.width(), self._head_px())

    def _head_px(self) -> int:
        return max(_HEAD_PX, self._copy.sizeHint().height() + theme.XS)

    def _place_head(self, width: int, head: int) -> None:
        size = self._copy.sizeHint()
        self._copy.setGeometry(
            width - size.width() - theme.XS, (head - size.height()) // 2, size.width(), size.height()
        )
        self._language_name.setGeometry(theme.M, 0, max(0, width - size.width() - 2 * theme.M), head)


def _broken(code: str) -> str:
    """Lines in pieces that are quick to lay out."""
    if max(map(len, code.split("\n")), default=0) <= _MOST_LINE:
        return code
    pieces = []
    for line in code.split("\n"):
        pieces += [line[start : start + _MOST_LINE] for start in range(0, max(1, len(line)), _MOST_LINE)]
    return "\n".join(pieces)
