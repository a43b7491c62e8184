"""An empty chat: who will answer, and questions to begin with."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from gui import theme, words
from gui.viewmodels.chat import ChatViewModel
from gui.viewmodels.worker import TrayState
from gui.widgets.flower import paint_flower

_COLUMN_PX = 520
_MARK_PX = 48


class FirstQuestions(QScrollArea):
    picked = Signal(str)

    def __init__(self, chat: ChatViewModel, parent: QWidget | None = None):
        super().__init__(parent)
        self._chat = chat
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.title = theme.role(QLabel(self.tr("Ask the swarm")), "title")
        self.title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text = QLabel()
        self.text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setWordWrap(True)
        self.questions = [self._question(each) for each in self._examples()]
        self._grid = QGridLayout()
        self._grid.setSpacing(theme.S)
        self._inner = QWidget()
        column = QVBoxLayout(self._inner)
        column.setContentsMargins(theme.L, theme.L, theme.L, theme.L)
        column.setSpacing(theme.M)
        column.addStretch(1)
        column.addWidget(_Mark(), 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(self.title)
        column.addWidget(self.text)
        column.addSpacing(theme.S)
        column.addLayout(self._grid)
        column.addStretch(1)
        body = QWidget()
        body.setObjectName("PageBody")
        across = QHBoxLayout(body)
        across.setContentsMargins(0, 0, 0, 0)
        across.addStretch(1)
        across.addWidget(self._inner, 100)
        across.addStretch(1)
        self.setWidget(body)
        self._columns = 0
        self._arrange()
        chat.changed.connect(self._show)
        self._show()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _examples(self) -> list[str]:
        return [
            self.tr("Why is the sky blue?"),
            self.tr("Write a limerick about a cat"),
            self.tr("How do bees find flowers?"),
            self.tr("Plan three simple dinners"),
        ]

    def _question(self, text: str) -> QPushButton:
        button = QPushButton(text)
        button.clicked.connect(lambda: self.picked.emit(text))
        return button

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._arrange()

    def _arrange(self) -> None:
        """The questions two by two, where there is room for the longest of them twice."""
        widest = round(_COLUMN_PX * max(1.0, theme.text_scale()))
        self._inner.setMaximumWidth(widest)
        room = min(self.viewport().width(), widest) - 2 * theme.L - theme.S
        columns = 2 if max(button.sizeHint().width() for button in self.questions) <= room // 2 else 1
        if columns != self._columns:
            self._columns = columns
            for number, button in enumerate(self.questions):
                self._grid.addWidget(button, number // columns, number % columns)

    def _show(self) -> None:
        if self._chat.model:
            said = self.tr("{model} answers, spread over the computers of volunteers.")
            self.text.setText(said.format(model=words.model(self._chat.model)))
        else:
            self.text.setText(self.tr("A large model answers, spread over the computers of volunteers."))


class _Mark(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(_MARK_PX, _MARK_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_flower(painter, QRectF(0, 0, _MARK_PX, _MARK_PX), TrayState.SERVING)
        painter.end()
