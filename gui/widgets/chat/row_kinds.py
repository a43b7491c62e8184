"""Which widget shows which kind of row."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from gui.viewmodels.chat import ChatViewModel
from gui.widgets.chat.code_card import CodeCard
from gui.widgets.chat.feet import AnswerFoot, QuestionFoot
from gui.widgets.chat.row_widget import RowWidget
from gui.widgets.chat.rows import RowKind
from gui.widgets.chat.text_rows import ProseRow, QuestionRow


def make_row(kind: RowKind, chat: ChatViewModel, parent: QWidget) -> RowWidget:
    match kind:
        case RowKind.QUESTION:
            return QuestionRow(parent)
        case RowKind.PROSE:
            return ProseRow(parent)
        case RowKind.CODE:
            return CodeCard(parent)
        case RowKind.QUESTION_FOOT:
            return QuestionFoot(chat, parent)
        case RowKind.ANSWER_FOOT:
            return AnswerFoot(chat, parent)
