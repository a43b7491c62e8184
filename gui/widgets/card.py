"""A surface with a title, on which a page puts what belongs together."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui import theme


class Card(QFrame):
    """
    Attributes:
        body: below the title.
        actions: right of the title; hidden with it where there is none.
    """

    # Hides the list of QActions that every QWidget has and nothing here uses.
    actions: QHBoxLayout  # type: ignore[assignment]

    def __init__(self, title: str = "", parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("Card")
        # As high as its texts need at its width, and as the highest card of its row.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.title = theme.role(QLabel(title), "card")
        self.title.setWordWrap(True)
        self.actions = QHBoxLayout()
        self.actions.setSpacing(theme.S)
        self.head = QWidget()
        self.head.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        head = QHBoxLayout(self.head)
        head.setContentsMargins(0, 0, 0, 0)
        head.addWidget(self.title, 1)
        head.addLayout(self.actions)
        self.body = QVBoxLayout()
        self.body.setSpacing(theme.S)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(theme.L, theme.M, theme.L, theme.L)
        outer.setSpacing(theme.S)
        outer.addWidget(self.head)
        outer.addLayout(self.body)
        self.set_title(title)

    def set_title(self, title: str) -> None:
        self.title.setText(title)
        self.setAccessibleName(title)
        self.head.setVisible(bool(title))
