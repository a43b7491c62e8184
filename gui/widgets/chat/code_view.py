"""Lines of code: scrolled sideways, not broken; up and down with the list they stand in."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QMimeData, Qt
from PySide6.QtGui import QTextCursor, QWheelEvent
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QWidget

from gui import theme


class CodeView(QPlainTextEdit):
    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self.setReadOnly(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setUndoRedoEnabled(False)
        self.document().setDocumentMargin(theme.S + 2)
        self.viewport().setAutoFillBackground(False)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)

        self.mime_data_of_rows: Callable[[], QMimeData | None] = lambda: None
        """What is selected here and in other rows, if it goes over several."""

    def createMimeDataFromSelection(self) -> QMimeData:
        return self.mime_data_of_rows() or super().createMimeDataFromSelection()

    def append_text(self, text: str) -> None:
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.insertText(text)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Sideways by itself; up and down with the list, unless it is too long for that."""
        is_sideways = abs(event.angleDelta().x()) > abs(event.angleDelta().y())
        is_tall = self.verticalScrollBar().maximum() > 0
        if is_sideways or is_tall or event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            super().wheelEvent(event)
        else:
            event.ignore()
