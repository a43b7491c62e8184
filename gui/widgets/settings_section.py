"""One section of the settings: cards of rows, of which a search may leave some."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from gui import theme
from gui.viewmodels.setting_forms import GroupForm, SectionForm
from gui.viewmodels.settings_form import SettingsFormViewModel
from gui.widgets.card import Card
from gui.widgets.setting_row import SettingRow

ExtraParts = Mapping[str, Callable[[QWidget], QWidget]]
"""How the parts that are no settings are made, by their names in the forms."""


class SettingsSection(QWidget):
    def __init__(self, form: SectionForm, settings: SettingsFormViewModel, extras: ExtraParts, parent: QWidget) -> None:
        super().__init__(parent)
        self.form = form
        self.title = theme.role(QLabel(form.title, self), "card")
        self.text = theme.role(QLabel(form.text, self), "secondary")
        self.text.setWordWrap(True)
        self.text.setVisible(bool(form.text))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.M)
        self._head = QWidget(self)
        head = QVBoxLayout(self._head)
        head.setContentsMargins(0, 0, 0, 0)
        head.addWidget(self.title)
        head.addWidget(self.text)
        column.addWidget(self._head)
        self.cards = {group.title: _GroupCard(group, settings, extras, self) for group in form.groups}
        for card in self.cards.values():
            column.addWidget(card)

    def show_found(self, found: SectionForm | None, *, is_search: bool) -> None:
        """What a search has left of it; None hides all. Only among others does it need its title."""
        self.setVisible(found is not None)
        self.title.setVisible(is_search)
        self.text.setVisible(bool(self.form.text) and not is_search)
        self._head.setVisible(is_search or bool(self.form.text))
        groups = {group.title: group for group in found.groups} if found is not None else {}
        for title, card in self.cards.items():
            card.show_found(groups.get(title))


class _GroupCard(Card):
    def __init__(self, form: GroupForm, settings: SettingsFormViewModel, extras: ExtraParts, parent: QWidget) -> None:
        super().__init__(form.title, parent)
        self.body.setSpacing(0)
        self.rows: dict[str, SettingRow] = {}
        self._lines: list[tuple[QFrame, str]] = []
        for field in form.fields:
            if self.rows:
                self._add_line(field.name)
            self.rows[field.name] = SettingRow(field, settings, self)
            self.body.addWidget(self.rows[field.name])
        self.extra = extras[form.extra](self) if form.extra else None
        if self.extra is not None:
            self.body.addWidget(self.extra)

    def show_found(self, found: GroupForm | None) -> None:
        self.setVisible(found is not None)
        if found is None:
            return
        names = {field.name for field in found.fields}
        for name, row in self.rows.items():
            row.setVisible(name in names)
        first = next((name for name in self.rows if name in names), None)
        for line, below in self._lines:
            line.setVisible(below in names and below != first)
        if self.extra is not None:
            self.extra.setVisible(bool(found.extra))

    def _add_line(self, below: str) -> None:
        line = QFrame(self)
        line.setObjectName("Line")
        self._lines.append((line, below))
        self.body.addWidget(line)
