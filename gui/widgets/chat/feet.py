"""What stands under a question and under an answer: what can be done with it, how it went, and by which way."""

from __future__ import annotations

import time
from dataclasses import replace

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from gui import theme
from gui.viewmodels.answer_words import remarks
from gui.viewmodels.chat import ChatViewModel
from gui.viewmodels.chat_values import Message
from gui.viewmodels.route_words import figures_in_words, stops
from gui.widgets.chat.remark_lines import RemarkLines
from gui.widgets.chat.route_strip import RouteStrip
from gui.widgets.chat.row_widget import RowWidget
from gui.widgets.chat.rows import Row
from gui.widgets.chat.version_switch import VersionSwitch
from gui.widgets.icon_button import IconButton

_COPIED_MS = 2_000
_TICK_MS = 1_000
"""How often a time that passes is written anew."""


class Foot(RowWidget):
    """What feet of questions and answers have in common: a line of buttons, seen when its message is looked at."""

    height_changed = Signal()

    def __init__(self, chat: ChatViewModel, parent: QWidget):
        super().__init__(parent)
        self._chat = chat
        self._row: Row | None = None
        self._copied = QTimer(self, interval=_COPIED_MS, singleShot=True)
        self._copied.timeout.connect(self._show_copy)
        self.line = QWidget(self)
        self._line = QHBoxLayout(self.line)
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.setSpacing(0)
        self.copy = IconButton("copy", "", self._copy_text, self.line)
        self.versions = VersionSwitch(self.line)
        self.versions.chosen.connect(chat.choose)
        self._is_looked_at = False
        self._show_copy()

    @property
    def message(self) -> Message:
        if self._row is None or self._row.message is None:
            raise RuntimeError("This foot stands under no message.")
        return self._row.message

    def show_row(self, row: Row) -> None:
        if self._row is None or row.key != self._row.key:
            self._is_looked_at = False
            self._copied.stop()
            self._show_copy()
        self._row = row
        self.versions.show_message(self.message, is_enabled=self._chat.can_ask)
        self._show_line()

    def look_at(self, is_looked_at: bool) -> None:
        """The mouse is over the message, or the keyboard in it."""
        self._is_looked_at = is_looked_at
        self._show_line()

    def _show_line(self) -> None:
        is_seen = self._is_looked_at or (self._row is not None and self._row.is_last)
        for button in self.line.findChildren(IconButton):
            button.hide_at_rest(not is_seen and not self.versions.isAncestorOf(button))

    def _copy_text(self) -> None:
        QGuiApplication.clipboard().setText(self.message.text)
        self.copy.show_as("check", self.tr("Copied"), "good")
        self._copied.start()

    def _show_copy(self) -> None:
        self.copy.show_as("copy", self.tr("Copy this message"))


class QuestionFoot(Foot):
    def __init__(self, chat: ChatViewModel, parent: QWidget):
        super().__init__(chat, parent)
        self.edit = IconButton("edit", self.tr("Edit and ask again"), self._edit, self.line)
        self._line.addStretch(1)
        for each in (self.versions, self.edit, self.copy):
            self._line.addWidget(each)

    def show_row(self, row: Row) -> None:
        super().show_row(row)
        self.edit.setEnabled(self._chat.can_ask)

    def height_for(self, width: int) -> int:
        height = self.line.sizeHint().height()
        self.line.setGeometry(0, 0, width, height)
        return height

    def _edit(self) -> None:
        self._chat.edit(self.message.id)


class AnswerFoot(Foot):
    def __init__(self, chat: ChatViewModel, parent: QWidget):
        super().__init__(chat, parent)
        self._shows_route = False
        self.remarks = RemarkLines(self)
        self.strip = RouteStrip(self)
        self.regenerate = IconButton("retry", self.tr("Answer again"), self._regenerate, self.line)
        self.details = IconButton("info", "", self._toggle_route, self.line)
        self.figures = theme.role(QLabel(self.line), "secondary")
        for each in (self.versions, self.copy, self.regenerate, self.details):
            self._line.addWidget(each)
        self._line.addSpacing(theme.S)
        self._line.addWidget(self.figures, 1, Qt.AlignmentFlag.AlignVCenter)
        self._tick = QTimer(self, interval=_TICK_MS)
        self._tick.timeout.connect(self._pass_time)

    def show_row(self, row: Row) -> None:
        if self._row is None or row.key != self._row.key:
            self._shows_route = False
        super().show_row(row)
        message = self.message
        way = stops(message.figures.route, self._chat.own_peer_id, self._chat.peer_names)
        # A count that runs is no news, and would break the line.
        figures = replace(message.figures, tokens=None) if message.is_growing else message.figures
        self.strip.show_route(way, figures)
        self.regenerate.setEnabled(self._chat.can_ask)
        self.line.setVisible(not message.is_growing)
        self._show_remarks()
        if message.is_growing:
            self._tick.start()
        else:
            self._tick.stop()

    def height_for(self, width: int) -> int:
        y = theme.XS
        remarks_px = self.remarks.height_for(width)
        self.remarks.setGeometry(0, y, width, remarks_px)
        y += remarks_px
        is_strip_shown = self._is_strip_shown()
        self.strip.setVisible(is_strip_shown)
        if is_strip_shown:
            strip_px = self.strip.height_for(width)
            self.strip.setGeometry(0, y + theme.XS, width, strip_px)
            y += theme.XS + strip_px + theme.XS
        if not self.message.is_growing:
            line_px = self.line.sizeHint().height()
            self.line.setGeometry(0, y, width, line_px)
            y += line_px
        return y

    def _is_strip_shown(self) -> bool:
        is_wanted = self._shows_route or (self._row is not None and self._row.is_last)
        return is_wanted and not self.strip.is_empty

    def _show_line(self) -> None:
        super()._show_line()
        if self._row is None:
            return
        has_route = not self.strip.is_empty and not self._row.is_last
        self.details.setVisible(has_route)
        name = self.tr("Hide how it was made") if self._shows_route else self.tr("Show how it was made")
        self.details.show_as("info", name)
        is_seen = self._is_looked_at and not self._is_strip_shown()
        self.figures.setText(" · ".join(figures_in_words(self.message.figures)) if is_seen else "")

    def _show_remarks(self) -> bool:
        message = self.message
        notices = self._row.notices if self._row is not None else ()
        passed_s = max(0.0, time.time() - message.created)
        return self.remarks.show_remarks(remarks(message, notices, time.monotonic(), passed_s))

    def _pass_time(self) -> None:
        if self.isVisible() and self._show_remarks():
            self.height_changed.emit()

    def _toggle_route(self) -> None:
        self._shows_route = not self._shows_route
        self._show_line()
        self.height_changed.emit()

    def _regenerate(self) -> None:
        self._chat.regenerate(self.message.id)
