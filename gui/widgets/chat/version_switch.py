"""< 2/3 >: goes through the versions of a question or an answer."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from gui import theme
from gui.viewmodels.chat_values import Message
from gui.widgets.icon_button import IconButton


class VersionSwitch(QWidget):
    """Hidden where there is one version alone."""

    chosen = Signal(int)
    """The message to be shown in this place."""

    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self._message: Message | None = None
        self.previous = IconButton("chevron-left", self.tr("Earlier version"), lambda: self._go(-1), self)
        self.label = theme.role(QLabel(self), "secondary")
        self.label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.next = IconButton("chevron-right", self.tr("Later version"), lambda: self._go(1), self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for each in (self.previous, self.label, self.next):
            row.addWidget(each)

    def show_message(self, message: Message, *, is_enabled: bool) -> None:
        self._message = message
        number = len(message.versions)
        self.setVisible(number > 1)
        self.label.setText(f"{message.version}/{number}")
        said = self.tr("Version {version} of {number}").format(version=message.version, number=number)
        self.label.setAccessibleName(said)
        self.previous.setEnabled(is_enabled and message.version > 1)
        self.next.setEnabled(is_enabled and message.version < number)

    def _go(self, step: int) -> None:
        if self._message is not None:
            self.chosen.emit(self._message.versions[self._message.version - 1 + step])
