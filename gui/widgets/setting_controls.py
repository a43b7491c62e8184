"""What a setting is chosen with. Each shows what the view-model holds, and hands on what was chosen by hand."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt, QTimer
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.viewmodels.setting_forms import Choice, Control, FieldForm
from gui.viewmodels.settings_form import SettingsFormViewModel
from gui.viewmodels.week_table import WeekTable, hours_in_words
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.list_control import ListControl
from gui.widgets.schedule_grid import ScheduleGrid
from gui.widgets.setting_control import SettingControl
from gui.widgets.switch import Switch
from gui.words import THIN_SPACE
from volunteer.hours import WeekHours

_REST_MS = 500
"""After the last step of a number: each change may make the worker begin anew."""
_FIELD_LETTERS = 26


def control_for(form: FieldForm, settings: SettingsFormViewModel, parent: QWidget) -> SettingControl:
    kinds: dict[Control, type[SettingControl]] = {
        Control.SWITCH: SwitchControl,
        Control.NUMBER: NumberControl,
        Control.CHOICE: ChoiceControl,
        Control.SUGGESTED: SuggestedControl,
        Control.TEXT: TextControl,
        Control.LIST: ListControl,
        Control.HOURS: HoursControl,
    }
    return kinds[form.control](form, settings, parent)


class SwitchControl(SettingControl):
    def __init__(self, form: FieldForm, settings: SettingsFormViewModel, parent: QWidget) -> None:
        super().__init__(form, settings, parent)
        self.switch = Switch("", self)
        self.name(self.switch)
        self.switch.clicked.connect(lambda is_on: settings.set(form.name, is_on))
        self.row.addStretch(1)
        self.row.addWidget(self.switch)

    def show_value(self) -> None:
        self.switch.setChecked(self.settings.value(self.form.name))


class NumberControl(SettingControl):
    """A number, and a switch where there may be none."""

    def __init__(self, form: FieldForm, settings: SettingsFormViewModel, parent: QWidget) -> None:
        super().__init__(form, settings, parent)
        least, most = settings.bounds(form.name)
        self._least, self._most = least * form.scale, most * form.scale
        self.spin = QDoubleSpinBox(self)
        self.spin.setDecimals(form.decimals)
        self.spin.setSingleStep(form.step)
        self.spin.setRange(self._least, self._most)
        self.spin.setKeyboardTracking(False)
        self.spin.setSuffix(f"{THIN_SPACE}{form.unit}" if form.unit else "")
        # The style sheet's padding is the box's, and does not reach what is inside it.
        self.spin.lineEdit().setTextMargins(theme.S - 2, 0, 0, 0)
        self.name(self.spin)
        only_when_focused(self.spin)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._choose)
        self.spin.valueChanged.connect(lambda _: self._rest.start())
        self.spin.editingFinished.connect(self._finish)
        self.row.addStretch(1)
        self.row.addWidget(self.spin)
        self.switch: Switch | None = None
        if form.none:
            self.switch = Switch("", self)
            self.switch.setAccessibleName(self.tr("{setting}: set a number").format(setting=form.label))
            self.switch.clicked.connect(self._switch)
            self.row.addWidget(self.switch)
        self.measure()

    def measure(self) -> None:
        most = "0000.0" if self.form.decimals else "00000"
        sample = max((f"{most} {self.form.unit}", self.form.none), key=len)
        self.spin.setMinimumWidth(self.fontMetrics().horizontalAdvance(sample) + theme.XXL + theme.M)

    def show_value(self) -> None:
        if self._rest.isActive():
            return  # a newer choice is on its way
        value = self.settings.value(self.form.name)
        with QSignalBlocker(self.spin):
            if value is None:
                # The lowest number of the box is shown as a word.
                self.spin.setRange(self._least - self.form.step, self._most)
                self.spin.setSpecialValueText(self.form.none)
                self.spin.setValue(self.spin.minimum())
            else:
                self.spin.setSpecialValueText("")
                self.spin.setRange(self._least, self._most)
                self.spin.setValue(value * self.form.scale)
        self.spin.setEnabled(value is not None)
        if self.switch is not None:
            self.switch.setChecked(value is not None)

    def _finish(self) -> None:
        if self._rest.isActive():
            self._choose()

    def _choose(self) -> None:
        self._rest.stop()
        self.settings.set(self.form.name, self.spin.value() / self.form.scale)

    def _switch(self, is_on: bool) -> None:
        default = self.settings.default(self.form.name)
        begin = self.form.suggested if default is None else default
        self.settings.set(self.form.name, begin if is_on else None)


class ChoiceControl(SettingControl):
    def __init__(self, form: FieldForm, settings: SettingsFormViewModel, parent: QWidget) -> None:
        super().__init__(form, settings, parent)
        self._choices: tuple[Choice, ...] = ()
        self.box = QComboBox(self)
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.box.setMinimumContentsLength(12)
        self.name(self.box)
        only_when_focused(self.box)
        self.box.activated.connect(lambda place: settings.set(form.name, self._choices[place].value))
        settings.choices_changed.connect(self.show_value)
        self.row.addStretch(1)
        self.row.addWidget(self.box)

    def show_value(self) -> None:
        choices = self.settings.choices(self.form.name)
        with QSignalBlocker(self.box):
            if choices != self._choices:
                self._choices = choices
                self.box.clear()
                self.box.addItems([choice.words for choice in choices])
            value = self.settings.value(self.form.name)
            self.box.setCurrentIndex([choice.value for choice in choices].index(value))


class TextControl(SettingControl):
    def __init__(self, form: FieldForm, settings: SettingsFormViewModel, parent: QWidget) -> None:
        super().__init__(form, settings, parent)
        self.line = QLineEdit(self)
        self.line.setPlaceholderText(form.none or form.placeholder)
        if form.placeholder and form.none:
            self.line.setToolTip(self.tr("Such as {example}").format(example=form.placeholder))
        self.name(self.line)
        self.line.editingFinished.connect(self._choose)
        self.row.addWidget(self.line, 1)
        self.measure()

    def measure(self) -> None:
        self.line.setMinimumWidth(self.fontMetrics().averageCharWidth() * _FIELD_LETTERS)

    def show_value(self) -> None:
        theme.state(self.line, "bad" if self.settings.problem(self.form.name) else "")
        # What was refused stays, to be mended.
        if not self.settings.problem(self.form.name) and not self.line.hasFocus():
            self.line.setText(self.settings.text(self.form.name))

    def _choose(self) -> None:
        self.settings.set_text(self.form.name, self.line.text())
        self.show_value()


class SuggestedControl(SettingControl):
    """Text, or one of a list."""

    def __init__(self, form: FieldForm, settings: SettingsFormViewModel, parent: QWidget) -> None:
        super().__init__(form, settings, parent)
        self.box = QComboBox(self)
        self.box.setEditable(True)
        self.box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        only_when_focused(self.box)
        self.name(self.box)
        self.line = QLineEdit(self.box)
        self.line.setPlaceholderText(form.none)
        self.line.setAccessibleName(form.label)
        self.line.editingFinished.connect(self._choose)
        self.box.setLineEdit(self.line)
        self.box.activated.connect(lambda _: self._choose())
        settings.choices_changed.connect(self._fill)
        self.row.addWidget(self.box, 1)
        self._fill()
        self.measure()

    def measure(self) -> None:
        self.box.setMinimumWidth(self.fontMetrics().averageCharWidth() * _FIELD_LETTERS)

    def show_value(self) -> None:
        if not self.settings.problem(self.form.name) and not self.line.hasFocus():
            self.box.setEditText(self.settings.text(self.form.name))

    def _fill(self) -> None:
        with QSignalBlocker(self.box):
            typed = self.box.currentText()
            self.box.clear()
            self.box.addItems([choice.words for choice in self.settings.choices(self.form.name)])
            self.box.setEditText(typed)

    def _choose(self) -> None:
        self.settings.set_text(self.form.name, self.box.currentText())


class HoursControl(SettingControl):
    """The grid, what it says in words, and some weeks to begin with."""

    is_wide = True

    def __init__(self, form: FieldForm, settings: SettingsFormViewModel, parent: QWidget) -> None:
        super().__init__(form, settings, parent)
        self.table = WeekTable(self)
        self.table.chosen.connect(lambda hours: settings.set(form.name, hours))
        self.table.dataChanged.connect(self._say)
        self.grid = ScheduleGrid(self.table, self)
        self.said = QLabel(self)
        self.said.setWordWrap(True)
        help_text = theme.role(
            QLabel(self.tr("Drag over the hours, or move with the arrow keys and press Space."), self), "secondary"
        )
        help_text.setWordWrap(True)
        column = QVBoxLayout()
        column.setSpacing(theme.S)
        column.addWidget(self.grid)
        column.addWidget(self.said)
        column.addWidget(help_text)
        column.addWidget(self._weeks())
        self.row.addLayout(column, 1)
        self._say()

    def show_value(self) -> None:
        self.table.show_hours(self.settings.value(self.form.name))

    def _say(self) -> None:
        self.said.setText(hours_in_words(self.table.hours))

    def _weeks(self) -> QWidget:
        weeks = {
            self.tr("Always"): "always",
            self.tr("Nights"): "daily 22-7",
            self.tr("Outside of work"): "mon-fri 18-8, sat-sun 0-24",
            self.tr("Weekends"): "sat-sun 0-24",
        }
        buttons = QWidget(self)
        flow = FlowLayout(buttons, spacing=theme.S)
        for words, text in weeks.items():
            button = QPushButton(words, buttons)
            button.clicked.connect(lambda _=False, text=text: self._choose(WeekHours.from_text(text)))
            flow.addWidget(button)
        return buttons

    def _choose(self, hours: WeekHours) -> None:
        self.table.show_hours(hours)
        self.table.choose()


class _OnlyWhenFocused(QObject):
    """A page that is scrolled must not change what lies under the pointer."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def only_when_focused(widget: QWidget) -> None:
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_OnlyWhenFocused(widget))
