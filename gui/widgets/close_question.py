"""Asked once, when the window is closed for the first time: go on in the tray, or end?"""

from __future__ import annotations

from enum import StrEnum

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui import theme


class CloseChoice(StrEnum):
    """As the setting `app.close_button` names them."""

    TRAY = "tray"
    QUIT = "quit"


class CloseQuestion(QDialog):
    """Escape leaves the window open and asks again the next time."""

    answered = Signal(object)

    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self.setWindowTitle(self.tr("Close the window"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setModal(True)
        title = theme.role(QLabel(self.tr("Go on in the tray?")), "card")
        text = QLabel(
            self.tr(
                "This computer can go on helping while the window is closed; the flower in the tray shows how it is "
                "and brings the window back. Quitting says goodbye to the swarm and ends everything. The settings can "
                "change your answer later."
            )
        )
        text.setWordWrap(True)
        text.setMinimumWidth(400)
        self.to_tray = QPushButton(self.tr("Go on in the tray"))
        theme.kind(self.to_tray, "primary")
        self.to_tray.setDefault(True)
        self.to_tray.clicked.connect(lambda: self._answer(CloseChoice.TRAY))
        self.quit = QPushButton(self.tr("Quit"))
        self.quit.clicked.connect(lambda: self._answer(CloseChoice.QUIT))
        row = QHBoxLayout()
        row.setSpacing(theme.S)
        row.addStretch(1)
        row.addWidget(self.quit)
        row.addWidget(self.to_tray)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.XL, theme.XL, theme.XL, theme.L)
        column.setSpacing(theme.M)
        column.addWidget(title)
        column.addWidget(text)
        column.addSpacing(theme.S)
        column.addLayout(row)

    def _answer(self, choice: CloseChoice) -> None:
        self.answered.emit(choice)
        self.accept()
