"""A message over the page that stays until its cause is gone: what happened, in a sentence, and what can be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from gui import theme
from gui.widgets.icon_button import IconButton
from gui.widgets.icon_label import IconLabel

BannerKind = Literal["info", "good", "warn", "bad"]
Act = Callable[[], None]
_ICONS = {"info": "info", "good": "check", "warn": "warn", "bad": "warn"}


def _nothing() -> None:
    pass


class Banner(QFrame):
    """Hidden until there is a message."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("Banner")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self._on_action: Act | None = None
        self._on_second: Act | None = None
        self._on_close: Act | None = None
        self._icon = IconLabel("info", "info")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action = QPushButton()
        self.action.clicked.connect(lambda: (self._on_action or _nothing)())
        self.second = QPushButton()
        self.second.clicked.connect(lambda: (self._on_second or _nothing)())
        self.close_button = IconButton("close", self.tr("Close this message"), lambda: (self._on_close or _nothing)())
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.M, theme.S, theme.M, theme.S)
        row.setSpacing(theme.S)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addSpacing(theme.XS)
        row.addWidget(self.text, 1)
        row.addWidget(self.second)
        row.addWidget(self.action)
        row.addWidget(self.close_button)
        self.hide()

    def show_message(
        self,
        kind: BannerKind,
        text: str,
        action_text: str = "",
        on_action: Act | None = None,
        *,
        second_text: str = "",
        on_second: Act | None = None,
        on_close: Act | None = None,
    ) -> None:
        """Replaces the message that is there. What has no text, or nothing to be called, is not shown."""
        self._on_action, self._on_second, self._on_close = on_action, on_second, on_close
        self.text.setText(text)
        self.setAccessibleName(text)
        self.action.setText(action_text)
        self.action.setVisible(bool(action_text))
        self.second.setText(second_text)
        self.second.setVisible(bool(second_text))
        self.close_button.setVisible(on_close is not None)
        theme.state(self, kind)
        self._icon.set_icon(_ICONS[kind], kind)
        self.show()
