"""The Settings page: sections at the left, what belongs to one at the right, and a search over all settings.

Sections are made when they are first looked at; a search makes what is missing, one after the other, so that the
window never stands still for it.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QSignalBlocker, QSize, Qt, QTimer
from PySide6.QtGui import QFocusEvent, QKeySequence, QResizeEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)

from gui import theme
from gui.icons import icon
from gui.viewmodels.about import AboutViewModel
from gui.viewmodels.autostart import AutostartViewModel
from gui.viewmodels.doctor import DoctorViewModel
from gui.viewmodels.endpoint_key import EndpointKeyViewModel
from gui.viewmodels.logs import LogsViewModel
from gui.viewmodels.setting_forms import SectionForm
from gui.viewmodels.settings_form import SettingsFormViewModel
from gui.widgets.about_page import AboutPage
from gui.widgets.autostart_part import AutostartPart
from gui.widgets.doctor_page import DoctorPage
from gui.widgets.empty_state import EmptyState
from gui.widgets.endpoint_key_part import EndpointKeyPart
from gui.widgets.logs_page import LogsPage
from gui.widgets.page import Page
from gui.widgets.reading_column import ReadingColumn
from gui.widgets.settings_section import SettingsSection

_SEARCH_PX = 200
_LIST_FROM_PX = 660
"""On a narrower page the list of sections is a box that opens."""


class SettingsPage(Page):
    def __init__(
        self,
        form: SettingsFormViewModel,
        logs: LogsViewModel,
        doctor: DoctorViewModel,
        about: AboutViewModel,
        autostart: AutostartViewModel,
        endpoint_key: EndpointKeyViewModel,
        parent: QWidget | None,
    ) -> None:
        super().__init__("", parent, fills=True)
        self.set_title(self.tr("Settings"))
        self._form = form
        self._autostart = autostart
        self.sections = _Sections(form, autostart, endpoint_key, self)
        self._parts: dict[str, tuple[str, Callable[[QWidget], QWidget]]] = {
            "logs": (self.tr("Logs"), lambda parent: LogsPage(logs, parent)),
            "doctor": (self.tr("Doctor"), lambda parent: DoctorPage(doctor, parent)),
            "about": (self.tr("About"), lambda parent: AboutPage(about, parent)),
        }
        self._made: dict[str, QWidget] = {}
        self._keys = [section.key for section in form.sections] + list(self._parts)
        self._titles = [section.title for section in form.sections] + [title for title, _ in self._parts.values()]
        self.search = self._search_line()
        self.list, self.box = self._section_list(), self._section_box()
        self._stack = QStackedWidget(self)
        self._stack.addWidget(self.sections)
        row = QHBoxLayout()
        row.setSpacing(theme.XL)
        row.addWidget(self.list)
        row.addWidget(self._stack, 1)
        self.actions.addWidget(self.box)
        self.actions.addWidget(self.search)
        self.body.addLayout(row)
        QShortcut(QKeySequence.StandardKey.Find, self, self.search.setFocus)
        self.show_section(self._keys[0])

    def show_section(self, key: str) -> None:
        """One of the forms' sections, or logs, doctor and about."""
        with QSignalBlocker(self.search):
            self.search.clear()
        self._point_at(key)
        if key in self._parts:
            self._stack.setCurrentWidget(self._part(key))
        else:
            self.sections.show_section(key)
            self._stack.setCurrentWidget(self.sections)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._form.look_around()
        self._autostart.refresh()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._fit()

    def _fit(self) -> None:
        has_list = self.width() >= _LIST_FROM_PX * theme.text_scale()
        self.list.setVisible(has_list)
        self.box.setVisible(not has_list)

    def _search_line(self) -> QLineEdit:
        line = QLineEdit(self)
        line.setPlaceholderText(self.tr("Find a setting"))
        line.setAccessibleName(self.tr("Find a setting"))
        line.setClearButtonEnabled(True)
        line.setMinimumWidth(_SEARCH_PX)
        line.addAction(icon("search", "secondary"), QLineEdit.ActionPosition.LeadingPosition)
        line.textChanged.connect(self._find)
        return line

    def _section_list(self) -> QListWidget:
        sections = _SectionList(self._titles, self)
        sections.currentRowChanged.connect(lambda row: self.show_section(self._keys[row]) if row >= 0 else None)
        return sections

    def _section_box(self) -> QComboBox:
        box = QComboBox(self)
        box.addItems(self._titles)
        box.setAccessibleName(self.tr("Section"))
        box.activated.connect(lambda row: self.show_section(self._keys[row]))
        return box

    def _find(self, wanted: str) -> None:
        if not wanted.strip():
            self.show_section(self._keys[max(0, self.box.currentIndex())])
            return
        self._point_at(None)
        self.sections.look_for(wanted)
        self._stack.setCurrentWidget(self.sections)

    def _point_at(self, key: str | None) -> None:
        """None: what is shown is of many sections. The box remembers where one was."""
        with QSignalBlocker(self.list), QSignalBlocker(self.box):
            self.list.setCurrentRow(-1 if key is None else self._keys.index(key))
            if key is not None:
                self.box.setCurrentIndex(self._keys.index(key))

    def _part(self, key: str) -> QWidget:
        if key not in self._made:
            _, make = self._parts[key]
            self._made[key] = make(self._stack)
            self._stack.addWidget(self._made[key])
        return self._made[key]


class _SectionList(QListWidget):
    """As wide as its longest title."""

    def __init__(self, titles: list[str], parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("SectionList")  # before its items, whose heights go by its look
        self.addItems(titles)
        self.setAccessibleName(self.tr("Sections"))
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Marks nothing by itself: in a search the keyboard passes by here on its way to what was found."""
        row = self.currentRow()
        with QSignalBlocker(self):
            super().focusInEvent(event)
            self.setCurrentRow(row)

    def sizeHint(self) -> QSize:
        return QSize(self.sizeHintForColumn(0) + theme.XL, 200)

    def minimumSizeHint(self) -> QSize:
        return QSize(self.sizeHint().width(), 100)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._measure()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._measure()

    def _measure(self) -> None:
        """Heights of items that were asked for before the style sheet came are those of another look."""
        self.doItemsLayout()
        self.updateGeometry()


class _Sections(ReadingColumn):
    """All sections in one column, of which one is shown, or what is left of each by a search."""

    def __init__(
        self,
        form: SettingsFormViewModel,
        autostart: AutostartViewModel,
        endpoint_key: EndpointKeyViewModel,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._form = form
        self._extras = {
            "autostart": lambda parent: AutostartPart(autostart, parent),
            "key": lambda parent: EndpointKeyPart(endpoint_key, parent),
        }
        self._made: dict[str, SettingsSection] = {}
        self._wanted = ""
        self._missing = QTimer(self)
        """Makes a section at each turn of the event loop while something is looked for."""
        self._missing.setInterval(0)
        self._missing.timeout.connect(self._make_missing)
        self.nothing = EmptyState("search", self.tr("No such setting"), "", parent=self)
        self.column.setSpacing(theme.XL)
        self.column.addWidget(self.nothing)

    def section(self, key: str) -> SettingsSection:
        """Makes it where it is missing, in its place."""
        if key not in self._made:
            keys = [form.key for form in self._form.sections]
            form = self._form.sections[keys.index(key)]
            made = SettingsSection(form, self._form, self._extras, self)
            place = sum(other in self._made for other in keys[: keys.index(key)])
            self._made[key] = made
            self.column.insertWidget(place, made)
        return self._made[key]

    def show_section(self, key: str) -> None:
        self._wanted = ""
        self._missing.stop()
        shown = self.section(key)
        for section in self._made.values():
            section.show_found(section.form if section is shown else None, is_search=False)
        self.nothing.hide()
        self.verticalScrollBar().setValue(0)

    def look_for(self, wanted: str) -> None:
        self._wanted = wanted
        self._show_found()
        self._missing.start()
        self.verticalScrollBar().setValue(0)

    def _make_missing(self) -> None:
        missing = [form.key for form in self._found() if form.key not in self._made]
        if not missing:
            self._missing.stop()
            return
        self.section(missing[0])
        self._show_found()

    def _found(self) -> tuple[SectionForm, ...]:
        return self._form.found(self._wanted)

    def _show_found(self) -> None:
        found = {form.key: form for form in self._found()}
        for key, section in self._made.items():
            section.show_found(found.get(key), is_search=True)
        self.nothing.setVisible(not found)
        said = self.tr("Nothing here goes by “{wanted}”. Another word may: battery, disk, port, dark.")
        self.nothing.show_words(self.tr("No such setting"), said.format(wanted=self._wanted.strip()))
