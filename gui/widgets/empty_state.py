"""What a page shows before there is anything to show: what will appear here, and how to begin."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui import theme
from gui.widgets.icon_label import IconLabel

_ICON_PX = 40
_TEXT_PX = 460


class EmptyState(QWidget):
    """
    Args:
        icon: a name of `gui.icons`.
        on_action: called when the button is pressed; without `action_text` there is no button.
    """

    def __init__(
        self,
        icon: str,
        title: str,
        text: str,
        action_text: str = "",
        on_action: Callable[[], None] | None = None,
        parent: QWidget | None = None,
    ):
        super().__init__(parent)
        self.icon = IconLabel(icon, "secondary", _ICON_PX)
        self.title = theme.role(QLabel(title), "card")
        self.title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.title.setWordWrap(True)
        self.text = QLabel(text)
        self.text.setWordWrap(True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.action = QPushButton(action_text, self)  # shown without a parent, it would be a window
        self.action.setVisible(bool(action_text))
        if on_action is not None:
            self.action.clicked.connect(on_action)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.XL, theme.XXL, theme.XL, theme.XXL)
        column.setSpacing(theme.M)
        column.addStretch(1)
        column.addWidget(self.icon, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(self.title)
        column.addLayout(_centred(self.text))
        column.addWidget(self.action, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(2)
        self._limit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._limit()

    def _limit(self) -> None:
        self.text.setMaximumWidth(round(_TEXT_PX * theme.text_scale()))

    def show_words(self, title: str, text: str) -> None:
        self.title.setText(title)
        self.text.setText(text)


def _centred(label: QLabel) -> QHBoxLayout:
    """Not by alignment: a layout that aligns a label gives it no more height when its words wrap."""
    row = QHBoxLayout()
    row.addStretch(1)
    row.addWidget(label, 100)
    row.addStretch(1)
    return row
