"""What all controls of settings have in common."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from gui import theme
from gui.viewmodels.setting_forms import FieldForm
from gui.viewmodels.settings_form import SettingsFormViewModel


class SettingControl(QWidget):
    """
    Attributes:
        is_wide: it has its place below the label, not beside it.
        row: for its widgets.
    """

    is_wide: ClassVar[bool] = False

    def __init__(self, form: FieldForm, settings: SettingsFormViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self.form = form
        self.settings = settings
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(theme.S)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self.measure()

    def measure(self) -> None:
        """Where its widths go by the size of the text, after that has changed."""

    def show_value(self) -> None:
        """As the view-model has it now."""
        raise NotImplementedError

    def name(self, widget: QWidget) -> None:
        """Says what it is for to whoever does not see the label beside it."""
        widget.setAccessibleName(self.form.label)
        widget.setAccessibleDescription(self.form.help)
