"""What answers are made by: the model, a prompt before all others, sampling, points, and whom to ask."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from gui import theme, words
from gui.viewmodels.chat import ChatViewModel, Options
from gui.viewmodels.sampling_fields import (
    MAX_NEW_TOKENS,
    POINTS,
    REPETITION_PENALTY,
    SEED,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    chosen_peers,
    with_peers,
)
from gui.widgets.chat.number_row import NumberRow
from gui.widgets.chat.server_choice import ServerChoice
from gui.widgets.icon_button import IconButton
from gui.widgets.plain_tip import plain_tip

_SAVE_MS = 500
"""How long changes must rest before they are kept."""
_PROMPT_LINES = 5


class SideSheet(QWidget):
    closed = Signal()
    model_wanted = Signal()
    """The owner wants to choose another model, which is done in the settings."""

    def __init__(self, chat: ChatViewModel, parent: QWidget | None = None):
        super().__init__(parent)
        self._chat = chat
        self._shown_for: object = self
        self._is_showing = False
        self.setObjectName("SideSheet")
        self.setAccessibleName(self.tr("How answers are made"))
        self._save = QTimer(self, interval=_SAVE_MS, singleShot=True)
        self._save.timeout.connect(self._tell)
        self.close_button = IconButton("close", self.tr("Close (Ctrl+I)"), self.closed.emit, self)
        self.model = QLabel()
        self.model.setWordWrap(True)
        self.model_note = theme.role(QLabel(), "secondary")
        self.model_note.setWordWrap(True)
        self.change_model = QPushButton(self.tr("Choose another model…"))
        self.change_model.clicked.connect(self.model_wanted)
        self.prompt = QPlainTextEdit()
        self.prompt.setTabChangesFocus(True)
        self.prompt.setAccessibleName(self.tr("Instructions"))
        self.prompt.setPlaceholderText(self.tr("Such as: You are a patient teacher. Answer in short sentences."))
        self.prompt.setFixedHeight(_PROMPT_LINES * self.prompt.fontMetrics().lineSpacing() + theme.XL)
        self.prompt.textChanged.connect(self._change)
        at_random, as_set = self.tr("random"), self.tr("as in the settings")
        self.numbers = [
            NumberRow(TEMPERATURE),
            NumberRow(MAX_NEW_TOKENS),
            NumberRow(TOP_P),
            NumberRow(TOP_K),
            NumberRow(REPETITION_PENALTY),
            NumberRow(SEED, unset=at_random),
            NumberRow(POINTS, unset=as_set),
        ]
        for number in self.numbers:
            number.changed.connect(self._change)
        self.servers = ServerChoice()
        self.servers.changed.connect(self._change)
        self.reset = QPushButton(self.tr("Back to the defaults"))
        self.reset.clicked.connect(self._reset)
        self._lay_out()
        chat.changed.connect(self._show)
        self._show()

    def keep(self) -> None:
        """Tells at once what was changed just now: whatever comes next goes by it."""
        if self._save.isActive():
            self._save.stop()
            self._tell()

    def _tell(self) -> None:
        options = self._options()
        if options != self._chat.options:
            self._chat.configure(options)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(theme.L, theme.M, theme.S, theme.S)
        head.addWidget(theme.role(QLabel(self.tr("How answers are made")), "card"), 1)
        head.addWidget(self.close_button)
        inside = QWidget()
        inside.setObjectName("PageBody")
        column = QVBoxLayout(inside)
        column.setContentsMargins(theme.L, 0, theme.L, theme.L)
        column.setSpacing(theme.XS)
        column.addWidget(self._heading(self.tr("Model")))
        column.addWidget(self.model)
        column.addWidget(self.model_note)
        column.addWidget(self.change_model, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._heading(self.tr("Instructions")))
        column.addWidget(self.prompt)
        column.addWidget(self._note(self.tr("The model reads them before every question.")))
        column.addWidget(self._heading(self.tr("Sampling")))
        for number in self.numbers[:-1]:
            column.addWidget(number)
        column.addWidget(self._heading(self.tr("Swarm")))
        column.addWidget(self.numbers[-1])
        column.addWidget(self.servers)
        column.addSpacing(theme.S)
        column.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(inside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addLayout(head)
        outer.addWidget(scroll, 1)

    def _heading(self, text: str) -> QLabel:
        label = QLabel(text)
        label.setFont(theme.semibold(label.font()))
        label.setContentsMargins(0, theme.M, 0, 0)
        return label

    def _note(self, text: str) -> QLabel:
        label = theme.role(QLabel(text), "secondary")
        label.setWordWrap(True)
        return label

    def _show(self) -> None:
        chat = self._chat
        self.model.setText(words.model(chat.model) if chat.model else self.tr("Not known yet"))
        self.model.setToolTip(plain_tip(chat.model))
        self.model_note.setText(self._model_note())
        self.servers.show_servers(chat.servers)
        shown_for = (chat.talk.id, chat.options)
        if shown_for == self._shown_for or self._save.isActive():
            return
        self._shown_for = shown_for
        self._show_options(chat.options)

    def _model_note(self) -> str:
        conversation = self._chat.talk.conversation
        if conversation is not None and self._chat.model and conversation.model != self._chat.model:
            return self.tr("This chat began with {model}. New answers come from the swarm you are in now.").format(
                model=words.model(conversation.model)
            )
        return self.tr("The model of the swarm that this computer is in.")

    def _show_options(self, options: Options) -> None:
        self._is_showing = True
        if options.system_prompt != self.prompt.toPlainText():
            self.prompt.setPlainText(options.system_prompt)
        for number in self.numbers:
            number.show_value(number.field.read(options.sampling))
        self.servers.show_chosen(chosen_peers(options.sampling))
        self._is_showing = False

    def _change(self) -> None:
        if not self._is_showing:
            self._save.start()

    def _options(self) -> Options:
        sampling = dict(self._chat.options.sampling)
        for number in self.numbers:
            sampling = number.field.written(sampling, number.value())
        return Options(self.prompt.toPlainText(), with_peers(sampling, self.servers.chosen()))

    def _reset(self) -> None:
        self._save.stop()
        self._show_options(Options())
        self._tell()
