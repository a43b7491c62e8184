"""A few choices side by side, of which one holds: radio buttons that look like one control."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from gui import theme

Choice = TypeVar("Choice")


class Segments(QWidget, Generic[Choice]):
    """
    Args:
        name: what is chosen, for whoever hears it.
        choices: each with its words.
        on_choice: told what was chosen by hand.
    """

    def __init__(
        self, name: str, choices: Mapping[Choice, str], on_choice: Callable[[Choice], None], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._on_choice = on_choice
        self.buttons: dict[Choice, QPushButton] = {}
        group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.XS)
        for choice, text in choices.items():
            button = QPushButton(text, self)
            theme.kind(button, "plain")
            button.setCheckable(True)
            button.setAccessibleName(f"{name}: {text}")
            button.clicked.connect(lambda _=False, choice=choice: self._on_choice(choice))
            group.addButton(button)
            row.addWidget(button)
            self.buttons[choice] = button

    def show_choice(self, choice: Choice) -> None:
        self.buttons[choice].setChecked(True)
