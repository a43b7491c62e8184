"""A message over the page that stays until its cause is gone: what happened, in a sentence, and the one thing to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from gui import theme
from gui.widgets.icon_label import IconLabel

BannerKind = Literal["info", "good", "warn", "bad"]
_ICONS = {"info": "info", "good": "check", "warn": "warn", "bad": "warn"}


class Banner(QFrame):
    """Hidden until there is a message."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("Banner")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._on_action: Callable[[], None] | None = None
        self._icon = IconLabel("info", "info")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action = QPushButton()
        self.action.clicked.connect(self._act)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.M, theme.S, theme.M, theme.S)
        row.setSpacing(theme.M)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.text, 1)
        row.addWidget(self.action)
        self.hide()

    def show_message(
        self, kind: BannerKind, text: str, action_text: str = "", on_action: Callable[[], None] | None = None
    ) -> None:
        """Replaces the message that is there."""
        self._on_action = on_action
        self.text.setText(text)
        self.setAccessibleName(text)
        self.action.setText(action_text)
        self.action.setVisible(bool(action_text))
        theme.state(self, kind)
        self._icon.set_icon(_ICONS[kind], kind)
        self.show()

    def _act(self) -> None:
        if self._on_action is not None:
            self._on_action()
