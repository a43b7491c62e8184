"""One setting on the page: what it is, what it is chosen with, why a choice was refused, and the way back."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from gui import theme
from gui.icons import icon
from gui.viewmodels.setting_forms import FieldForm
from gui.viewmodels.settings_form import SettingsFormViewModel
from gui.widgets.setting_controls import control_for

_LEAST_LABEL_PX = 190


class SettingRow(QWidget):
    """The control stands beside the words, and below them where that would leave no room to read."""

    def __init__(self, form: FieldForm, settings: SettingsFormViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self.form = form
        self._settings = settings
        self.label = QLabel(form.label, self)
        self.label.setWordWrap(True)
        self.help = theme.role(QLabel(form.help, self), "secondary")
        self.help.setWordWrap(True)
        self.help.setVisible(bool(form.help))
        self.problem = theme.role(QLabel(self), "secondary")
        self.problem.setWordWrap(True)
        theme.state(self.problem, "bad")
        self.control = control_for(form, settings, self)
        self.reset = self._reset_button()
        self._is_below: bool | None = None
        self._grid = self._lay_out()
        self._place()
        settings.changed.connect(self._show)
        settings.problem_changed.connect(self._show_problem)
        self._show()
        self._show_problem(form.name)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._place()

    def _reset_button(self) -> QToolButton:
        button = QToolButton(self)
        button.setIcon(icon("undo", "secondary"))
        button.setAccessibleName(self.tr("Back to the default: {setting}").format(setting=self.form.label))
        button.clicked.connect(lambda: self._settings.reset(self.form.name))
        # A click takes the keyboard, too: a field that had it then hands on what was typed before, and not afterwards.
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        policy = button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # what is beside it stays where it is
        button.setSizePolicy(policy)
        return button

    def _lay_out(self) -> QGridLayout:
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.label)
        words.addWidget(self.help)
        words.addWidget(self.problem)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, theme.S, 0, theme.S)
        grid.setHorizontalSpacing(theme.S)
        grid.setVerticalSpacing(theme.S)
        grid.setColumnStretch(0, 1)
        grid.addLayout(words, 0, 0)
        return grid

    def _place(self) -> None:
        """The control beside the words, or below them."""
        room = self.width() - self.control.sizeHint().width() - self.reset.sizeHint().width() - 2 * theme.S
        is_below = self.control.is_wide or room < _LEAST_LABEL_PX * theme.text_scale()
        if is_below is self._is_below:
            return
        self._is_below = is_below
        for widget in (self.control, self.reset):
            self._grid.removeWidget(widget)
        self._grid.addWidget(self.reset, 0, 2 if is_below else 1, Qt.AlignmentFlag.AlignVCenter)
        if is_below:
            self._grid.addWidget(self.control, 1, 0, 1, 3)
        else:
            self._grid.addWidget(self.control, 0, 2)

    def _show(self) -> None:
        name = self.form.name
        self.control.show_value()
        has_effect = self._settings.has_effect(name)
        self.control.setEnabled(has_effect)
        self.label.setEnabled(has_effect)
        self.help.setEnabled(has_effect)
        self.reset.setVisible(not self._settings.is_default(name))
        default = self._settings.default_in_words(name)
        self.reset.setToolTip(self.tr("Back to the default: {default}").format(default=default))

    def _show_problem(self, name: str) -> None:
        if name == self.form.name:
            problem = self._settings.problem(name)
            self.problem.setText(problem)
            self.problem.setVisible(bool(problem))
            self.control.show_value()
