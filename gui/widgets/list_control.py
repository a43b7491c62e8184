"""A setting that is a list: its items one below the other, and a line to add more."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QMenu, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from gui import theme
from gui.viewmodels.setting_forms import FieldForm
from gui.viewmodels.settings_form import SettingsFormViewModel
from gui.widgets.icon_button import IconButton
from gui.widgets.plain_tip import plain_tip
from gui.widgets.setting_control import SettingControl

_PROGRAMS = "limits.exclusive_programs"
_MOST_OFFERED = 30
_LEAST_ITEM_PX = 60


class ListControl(SettingControl):
    is_wide = True

    def __init__(self, form: FieldForm, settings: SettingsFormViewModel, parent: QWidget) -> None:
        super().__init__(form, settings, parent)
        self._shown: tuple[str, ...] | None = None
        self._items = QVBoxLayout()
        self._items.setSpacing(0)
        self.line = QLineEdit(self)
        self.line.setPlaceholderText(form.placeholder)
        self.name(self.line)
        self.line.returnPressed.connect(self._add)
        self.add = QPushButton(self.tr("Add"), self)
        self.add.setAccessibleName(self.tr("Add to: {setting}").format(setting=form.label))
        self.add.clicked.connect(self._add)
        self.line.textChanged.connect(lambda text: self.add.setEnabled(bool(text.strip())))
        self.add.setEnabled(False)
        entry = QHBoxLayout()
        entry.setSpacing(theme.S)
        entry.addWidget(self.line, 1)
        entry.addWidget(self.add)
        self.offer: QPushButton | None = None
        if form.name == _PROGRAMS:
            self.offer = QPushButton(self.tr("Running now …"), self)
            self.offer.clicked.connect(lambda: settings.list_programs(self._show_programs))
            entry.addWidget(self.offer)
        column = QVBoxLayout()
        column.setSpacing(theme.XS)
        column.addLayout(self._items)
        column.addLayout(entry)
        self.row.addLayout(column, 1)

    def show_value(self) -> None:
        value = tuple(self.settings.value(self.form.name))
        if value == self._shown:
            return
        self._shown = value
        while (item := self._items.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for text in value:
            self._items.addWidget(_Item(text, self._remove, self))

    def _add(self) -> None:
        # What is pasted may be several: an item has neither commas nor white space at its ends.
        added = [item.strip() for item in re.split(r"[,\n]", self.line.text()) if item.strip()]
        if not added:
            return
        now = tuple(self.settings.value(self.form.name))
        self.settings.set(self.form.name, tuple(dict.fromkeys((*now, *added))))
        if not self.settings.problem(self.form.name):
            self.line.clear()

    def _remove(self, text: str) -> None:
        now = tuple(self.settings.value(self.form.name))
        self.settings.set(self.form.name, tuple(item for item in now if item != text))
        self.line.setFocus()

    def _show_programs(self, names: list[str]) -> None:
        if self.offer is None:
            return
        now = set(self.settings.value(self.form.name))
        menu = QMenu(self.offer)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for name in [name for name in names if name not in now][:_MOST_OFFERED]:
            menu.addAction(name, partial(self._take, name))
        menu.popup(self.offer.mapToGlobal(self.offer.rect().bottomLeft()))

    def _take(self, name: str) -> None:
        self.line.setText(name)
        self._add()


class _Item(QWidget):
    def __init__(self, text: str, remove: Callable[[str], None], parent: QWidget) -> None:
        super().__init__(parent)
        button = IconButton("close", self.tr("Remove {item}").format(item=text), lambda: remove(text), self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.S)
        row.addWidget(_Elided(text, self), 1)
        row.addWidget(button)


class _Elided(QWidget):
    """One line, cut in its middle: peer ids and addresses differ at both ends."""

    def __init__(self, text: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._text = text
        self.setAccessibleName(text)
        self.setToolTip(plain_tip(text))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(_LEAST_ITEM_PX, self.fontMetrics().height() + theme.XS)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        shown = self.fontMetrics().elidedText(self._text, Qt.TextElideMode.ElideMiddle, self.width())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)
        painter.end()
