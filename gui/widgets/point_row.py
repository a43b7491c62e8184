"""A point worth knowing: a sign, a few words that say it, and a sentence or two below."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from gui import theme
from gui.widgets.icon_label import IconLabel

_ICON_PX = 22


class PointRow(QWidget):
    def __init__(self, icon: str, title: str, text: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.title = theme.role(QLabel(title, self), "card")
        self.text = QLabel(text, self)
        for label in (self.title, self.text):
            label.setWordWrap(True)
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addWidget(self.title)
        column.addWidget(self.text)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.L)
        row.addWidget(IconLabel(icon, "accent", _ICON_PX, self), 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(column, 1)

    def show_words(self, title: str, text: str) -> None:
        self.title.setText(title)
        self.text.setText(text)
