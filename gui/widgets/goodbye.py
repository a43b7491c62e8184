"""What is seen of the program while its worker says goodbye, where that takes more than a moment."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout

from gui import theme

_MOMENT_MS = 800


class Goodbye(QDialog):
    """Shows itself after a moment."""

    hurried = Signal()

    def __init__(self) -> None:
        super().__init__(None, Qt.WindowType.Dialog)
        self.setWindowTitle("Petals Volunteer")
        title = theme.role(QLabel(self.tr("Saying goodbye to the swarm")), "card")
        text = QLabel(self.tr("Chats that run through this computer have a few seconds to end or to move on."))
        text.setWordWrap(True)
        text.setMinimumWidth(360)
        bar = QProgressBar()
        bar.setRange(0, 0)
        bar.setTextVisible(False)
        bar.setAccessibleName(title.text())
        self.now = QPushButton(self.tr("Quit now"))
        self.now.clicked.connect(self._hurry)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.now)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.XL, theme.XL, theme.XL, theme.L)
        column.setSpacing(theme.M)
        column.addWidget(title)
        column.addWidget(text)
        column.addWidget(bar)
        column.addLayout(row)
        QTimer.singleShot(_MOMENT_MS, self, self.show)

    def closeEvent(self, event: QCloseEvent) -> None:
        # There is nothing to go back to.
        event.ignore()

    def reject(self) -> None:
        pass

    def _hurry(self) -> None:
        self.now.setEnabled(False)
        self.hurried.emit()
