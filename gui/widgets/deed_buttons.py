"""Buttons for what can be asked for now: a row of them, or one with a menu of its variants."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QSize
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QMenu, QPushButton, QWidget

from gui import theme
from gui.icons import icon
from gui.viewmodels.home import Deed
from gui.widgets.flow_layout import FlowLayout

_ICON_PX = 18


class DeedRow(QWidget):
    """Buttons stay while their words do: a focused one is not taken away."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._deeds: Sequence[Deed] = ()
        self.buttons: list[QAbstractButton] = []
        self._row = FlowLayout(self, spacing=theme.S)

    def show_deeds(self, deeds: Sequence[Deed]) -> None:
        before, self._deeds = self._deeds, deeds
        if [(deed.text, deed.icon) for deed in before] != [(deed.text, deed.icon) for deed in deeds]:
            self._make_buttons()
        self.setVisible(bool(deeds))

    def _make_buttons(self) -> None:
        had_focus = any(button.hasFocus() for button in self.buttons)
        for button in self.buttons:
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = [self._button(number) for number in range(len(self._deeds))]
        for button in self.buttons:
            self._row.addWidget(button)
            button.show()
        if had_focus and self.buttons:
            self.buttons[0].setFocus()

    def _button(self, number: int) -> QAbstractButton:
        deed = self._deeds[number]
        button = QPushButton(deed.text, self)
        theme.kind(button, "primary" if deed.is_urged else "plain")
        button.setIcon(icon(deed.icon, "on_accent" if deed.is_urged else "text"))
        button.setIconSize(icon_size())
        button.clicked.connect(lambda: self._deeds[number].act())
        return button


class SplitButton(QWidget):
    """The plain deed on a button, its variants in the menu of a second one beside it."""

    def __init__(self, more_name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._deeds: Sequence[Deed] = ()
        self.main = QPushButton(self)
        self.main.clicked.connect(self._act)
        self.more = QPushButton(self)
        self.more.setIcon(icon("chevron-down"))
        self.more.setAccessibleName(more_name)
        self.more.setToolTip(more_name)
        self.more.clicked.connect(self.open_menu)
        self.menu = QMenu(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.XS)
        row.addWidget(self.main)
        row.addWidget(self.more)

    def show_deeds(self, deeds: Sequence[Deed]) -> None:
        self._deeds = deeds
        self.setVisible(bool(deeds))
        if deeds:
            self.main.setText(deeds[0].text)
            for button in (self.main, self.more):
                button.setIconSize(icon_size())
            self.main.setIcon(icon(deeds[0].icon))
            self.more.setVisible(len(deeds) > 1)

    def _act(self) -> None:
        self._deeds[0].act()

    def open_menu(self) -> None:
        self.menu.clear()
        for deed in self._deeds[1:]:
            self.menu.addAction(icon(deed.icon), deed.text, deed.act)
        corner = self.more.mapToGlobal(QPoint(self.more.width(), self.more.height() + theme.XS))
        self.menu.popup(corner - QPoint(self.menu.sizeHint().width(), 0))


def icon_size() -> QSize:
    """As large as the text beside it."""
    side = round(_ICON_PX * theme.text_scale())
    return QSize(side, side)
