"""A card around one large number."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from gui import theme
from gui.viewmodels.home_words import Amount
from gui.widgets.card import Card


class AmountCard(Card):
    """The number, its unit beside it, and lines below, of which the first counts most."""

    def __init__(self, title: str, parent: QWidget) -> None:
        super().__init__(title, parent)
        self.number = theme.role(QLabel(self), "big")
        self.unit = QLabel(self)
        row = QHBoxLayout()
        row.setSpacing(theme.S)
        row.addWidget(self.number, 0, Qt.AlignmentFlag.AlignBaseline)
        row.addWidget(self.unit, 0, Qt.AlignmentFlag.AlignBaseline)
        row.addStretch(1)
        self.first = QLabel(self)
        self.rest = theme.role(QLabel(self), "secondary")
        self.body.setSpacing(theme.XS)
        self.body.addLayout(row)
        for label in (self.first, self.rest):
            label.setWordWrap(True)
            self.body.addWidget(label)

    def show_amount(self, amount: Amount) -> None:
        self.number.setText(amount.number)
        self.unit.setText(amount.unit)
        first, *rest = amount.lines or ("",)
        self.first.setText(first)
        self.first.setVisible(bool(first))
        self.rest.setText("\n".join(rest))
        self.rest.setVisible(bool(rest))
