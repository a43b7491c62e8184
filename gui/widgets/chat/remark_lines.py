"""What is remarked about an answer: an icon and a sentence each, one below the other."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QWidget

from gui import theme
from gui.viewmodels.answer_words import Remark
from gui.widgets.icon_label import IconLabel

_ICON_PX = 16
_ICONS = {
    "info": ("info", "secondary"),
    "wait": ("snooze", "secondary"),
    "warn": ("warn", "warn"),
    "bad": ("warn", "bad"),
}


class RemarkLines(QWidget):
    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self._lines: list[tuple[IconLabel, QLabel]] = []
        self._shown: tuple[Remark, ...] = ()

    def show_remarks(self, shown: tuple[Remark, ...]) -> bool:
        """Whether that may need another height."""
        if shown == self._shown:
            return False
        while len(self._lines) < len(shown):
            self._lines.append(self._new_line())
        for remark, (mark, label) in zip(shown, self._lines, strict=False):
            mark.set_icon(*_ICONS[remark.kind])
            theme.state(label, remark.kind if remark.kind in ("warn", "bad") else "")
            label.setText(remark.text)
        for number, line in enumerate(self._lines):
            for each in line:
                each.setVisible(number < len(shown))
        self._shown = shown
        return True

    def height_for(self, width: int) -> int:
        y = 0
        for mark, label in self._lines[: len(self._shown)]:
            left = mark.width() + theme.S
            height = max(mark.height(), label.heightForWidth(width - left))
            line_px = label.fontMetrics().height()
            mark.move(0, y + max(0, (line_px - mark.height()) // 2))
            label.setGeometry(left, y, width - left, height)
            y += height + theme.XS
        return y

    def _new_line(self) -> tuple[IconLabel, QLabel]:
        label = theme.role(QLabel(self), "secondary")
        label.setWordWrap(True)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return IconLabel("info", "secondary", _ICON_PX, self), label
