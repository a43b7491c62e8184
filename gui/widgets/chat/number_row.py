"""One number of sampling: its name, a field, and what it does."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from gui import theme
from gui.viewmodels.sampling_fields import MOST_SEED, SEED, SamplingField, explanation, label

_FIELD_PX = 118
_AROUND_PX = 48
"""Padding, and the two arrows."""


class NumberRow(QWidget):
    """
    Args:
        unset: what the field shows while nothing is chosen, where that is possible.
    """

    changed = Signal()

    def __init__(self, field: SamplingField, unset: str = "", parent: QWidget | None = None):
        super().__init__(parent)
        self.field = field
        self._unset = unset
        name = QLabel(label(field))
        name.setWordWrap(True)
        self._input: _Number | _Seed = _Seed(unset) if field is SEED else _Number(field, unset)
        self._input.setAccessibleName(label(field))
        self._input.setAccessibleDescription(explanation(field))
        self._input.changed.connect(self.changed)
        name.setBuddy(self._input)
        note = theme.role(QLabel(explanation(field)), "secondary")
        note.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(name, 1)
        row.addWidget(self._input)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, theme.XS, 0, theme.XS)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(note)
        self._measure()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._measure()

    def _measure(self) -> None:
        """All fields are of one width, but for one that has more to say while nothing is chosen."""
        said = self.fontMetrics().horizontalAdvance(self._unset) + _AROUND_PX
        self._input.setFixedWidth(max(round(_FIELD_PX * max(1.0, theme.text_scale())), said))

    def value(self) -> float | None:
        return self._input.number()

    def show_value(self, value: float | None) -> None:
        self._input.show_number(value)


class _Number(QDoubleSpinBox):
    changed = Signal()

    def __init__(self, field: SamplingField, unset: str):
        super().__init__()
        self._has_unset = bool(unset)
        self.lineEdit().setTextMargins(theme.S - 2, 0, 0, 0)  # a style sheet does not reach in there
        self.setDecimals(field.decimals)
        self.setSingleStep(field.step)
        # What stands for no choice is one step below the least.
        self.setRange(field.least - field.step if unset else field.least, field.most)
        self.setSpecialValueText(unset)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.valueChanged.connect(lambda _: self.changed.emit())

    def number(self) -> float | None:
        if self._has_unset and self.value() == self.minimum():
            return None
        return round(self.value(), self.decimals())

    def show_number(self, value: float | None) -> None:
        self.setValue(self.minimum() if value is None else value)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """The sheet is scrolled with the wheel, and numbers do not change on the way."""
        event.ignore()


class _Seed(QLineEdit):
    """A spin box cannot hold so large a number exactly."""

    changed = Signal()

    def __init__(self, unset: str):
        super().__init__()
        self.setPlaceholderText(unset)
        self.setMaxLength(math.ceil(math.log10(MOST_SEED)))
        self.textEdited.connect(self._tidy)

    def number(self) -> int | None:
        return min(int(self.text()), MOST_SEED) if self.text() else None

    def show_number(self, value: float | None) -> None:
        text = "" if value is None else str(int(value))
        if text != self.text():
            self.setText(text)

    def _tidy(self, text: str) -> None:
        digits = "".join(each for each in text if each in "0123456789")
        if digits != text:
            self.setText(digits)
        self.changed.emit()
