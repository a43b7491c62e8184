"""What is said once, before the first question to a public swarm: who can read it, and how far to trust the answer."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from gui import theme
from gui.viewmodels.chat import ChatViewModel
from gui.widgets.card import Card
from gui.widgets.icon_label import IconLabel

_ICON_PX = 18


class PrivacyNotice(Card):
    def __init__(self, chat: ChatViewModel, parent: QWidget | None = None):
        super().__init__(parent=parent)
        self.set_title(self.tr("Before your first question"))
        for icon, text in (
            (
                "users",
                self.tr(
                    "The computers of strangers work out the answer. Their owners can recover what you write and what "
                    "you are answered: leave out what nobody should know."
                ),
            ),
            ("edit", self.tr("They could also change an answer on its way.")),
            (
                "warn",
                self.tr("Models are often wrong, can be biased, and sometimes offend. Check what matters to you."),
            ),
        ):
            self.body.addLayout(self._line(icon, text))
        self.send = theme.kind(QPushButton(self.tr("I understand, send my question")), "primary")
        self.send.clicked.connect(lambda: chat.answer_notice(agreed=True))
        self.keep = QPushButton(self.tr("Not now"))
        self.keep.clicked.connect(lambda: chat.answer_notice(agreed=False))
        row = QHBoxLayout()
        row.setContentsMargins(0, theme.S, 0, 0)
        row.addWidget(self.send)
        row.addWidget(self.keep)
        row.addStretch(1)
        self.body.addLayout(row)

    def _line(self, icon: str, text: str) -> QHBoxLayout:
        label = QLabel(text)
        label.setWordWrap(True)
        row = QHBoxLayout()
        row.setSpacing(theme.M)
        row.addWidget(IconLabel(icon, "secondary", _ICON_PX), 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(label, 1)
        return row
