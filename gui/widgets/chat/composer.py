"""Where a question is written: grows to eight lines, sends with Enter, stops the answer while one is running."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.viewmodels.chat import ChatViewModel
from gui.widgets.chat.round_button import RoundButton

_MOST_LINES = 8
_RADIUS = 14


class Composer(QWidget):
    sending = Signal()
    """A question is about to be handed in: by what it is to be answered must be known before."""

    def __init__(self, chat: ChatViewModel, parent: QWidget | None = None):
        super().__init__(parent)
        self._chat = chat
        self._shown_for: tuple[int | None, int | None] = (None, None)
        """The conversation, and the question that is edited, whose text is in the field."""
        self.field = _Field(self)
        self.field.setAccessibleName(self.tr("Question"))
        self.field.sent.connect(self.submit)
        self.field.textChanged.connect(self._keep)
        self.field.installEventFilter(self)
        self.button = RoundButton("send", "", "primary", self)
        self.button.clicked.connect(self._press)
        self._edit_bar = QWidget(self)
        said = theme.role(QLabel(self.tr("This takes the place of your earlier question.")), "secondary")
        said.setWordWrap(True)
        self.cancel = theme.kind(QPushButton(self.tr("Keep the earlier one")), "quiet")
        self.cancel.clicked.connect(chat.cancel_edit)
        bar = QHBoxLayout(self._edit_bar)
        bar.setContentsMargins(theme.L, theme.XS, theme.XS, 0)
        bar.addWidget(said, 1)
        bar.addWidget(self.cancel)
        row = QHBoxLayout()
        row.setContentsMargins(theme.L, theme.XS, theme.S - 2, theme.S - 2)
        row.setSpacing(theme.S)
        row.addWidget(self.field, 1)
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignBottom)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._edit_bar)
        column.addLayout(row)
        chat.changed.connect(self._show)
        chat.sent.connect(self._clear)
        self._show()

    def submit(self) -> None:
        self.sending.emit()
        self._chat.send(self.field.toPlainText())

    def put(self, text: str) -> None:
        """Text to begin with, that can be changed before it is sent."""
        self.field.setPlainText(text)
        self.field.move_to_end()
        self.field.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
            self.update()
        return super().eventFilter(watched, event)

    def paintEvent(self, event: QPaintEvent) -> None:
        colors = theme.current()
        is_focused = self.field.hasFocus()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(QColor(colors.surface))
        pen = painter.pen()
        pen.setColor(QColor(colors.accent if is_focused else colors.outline))
        pen.setWidthF(1.5 if is_focused else 1.0)
        painter.setPen(pen)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), _RADIUS, _RADIUS)
        painter.end()

    def _press(self) -> None:
        if self._chat.is_answering:
            self._chat.stop()
        else:
            self.submit()

    def _show(self) -> None:
        chat = self._chat
        editing = chat.editing
        shown_for = (chat.talk.id, None if editing is None else editing.id)
        if shown_for != self._shown_for:
            was_editing = self._shown_for[1] is not None
            is_same_talk = shown_for[0] == self._shown_for[0]
            self._shown_for = shown_for
            if not (is_same_talk and editing is None and not was_editing):
                self._set_text(chat.draft if editing is None else editing.text)
            if editing is not None:
                self.field.setFocus()
        self._edit_bar.setVisible(editing is not None)
        self.field.setPlaceholderText(self._placeholder())
        self.field.viewport().update()  # Qt itself paints no other placeholder before something else is to be painted
        self._show_button()

    def _placeholder(self) -> str:
        if self._chat.is_answering:
            return self.tr("You can write the next question meanwhile")
        return self.tr("Ask the swarm")

    def _show_button(self) -> None:
        chat = self._chat
        if chat.is_answering:
            self.button.show_as("stop", self.tr("Stop the answer (Esc)"), "strong")
            self.button.setEnabled(chat.is_connected)
        else:
            self.button.show_as("send", self.tr("Send (Enter)"), "primary")
            self.button.setEnabled(chat.can_ask and bool(self.field.toPlainText().strip()))

    def _keep(self) -> None:
        if self._chat.editing is None:
            self._chat.keep_draft(self.field.toPlainText())
        self._show_button()

    def _set_text(self, text: str) -> None:
        self.field.blockSignals(True)
        self.field.setPlainText(text)
        self.field.blockSignals(False)
        self.field.grow()
        self.field.move_to_end()

    def _clear(self) -> None:
        self._shown_for = (self._chat.talk.id, None)
        self._set_text("")


class _Field(QPlainTextEdit):
    sent = Signal()

    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        # The composer around it is the field that is seen.
        self.setStyleSheet(
            "QPlainTextEdit, QPlainTextEdit:focus { border: none; background: transparent; padding: 0; }"
        )
        self.setTabChangesFocus(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(0)
        self.setViewportMargins(0, theme.S, 0, theme.S - 2)
        self.textChanged.connect(self.grow)
        self.grow()

    def grow(self) -> None:
        """As high as its text, up to eight lines; then it scrolls."""
        lines = max(1, round(self.document().size().height()))
        self.setVerticalScrollBarPolicy(
            Qt.ScrollBarPolicy.ScrollBarAsNeeded if lines > _MOST_LINES else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        margins = self.viewportMargins()
        height = min(lines, _MOST_LINES) * self.fontMetrics().lineSpacing() + margins.top() + margins.bottom() + 2
        if height != self.height():
            self.setFixedHeight(height)

    def move_to_end(self) -> None:
        cursor = self.textCursor()
        cursor.movePosition(cursor.MoveOperation.End)
        self.setTextCursor(cursor)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if is_enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.sent.emit()
            return
        super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.grow()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self.grow()
