"""How a conversation is painted in the list: its title, and when it was changed or what was found in it."""

from __future__ import annotations

import datetime
import re

from PySide6.QtCore import QCoreApplication, QLocale, QModelIndex, QPersistentModelIndex, QPointF, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QTextCharFormat, QTextLayout
from PySide6.QtWidgets import QLineEdit, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from gui import theme, words
from gui.viewmodels.conversations import ConversationList, Entry

_PAD, _GAP = theme.S, 2
_MARKED_TINT = 0.14
_WEEK = 7
_EXCERPT_LINES = 2

Index = QModelIndex | QPersistentModelIndex

translate = QCoreApplication.translate


class ConversationLines(QStyledItemDelegate):
    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        first, second = QFontMetrics(option.font), QFontMetrics(theme.small(option.font))
        lines = _EXCERPT_LINES if _entry(index).excerpt else 1
        return QSize(0, first.height() + lines * second.height() + _GAP + 2 * _PAD + 2)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        colors, state = theme.current(), option.state
        entry = _entry(index)
        is_marked = bool(state & QStyle.StateFlag.State_Selected)
        frame = option.rect.adjusted(1, 1, -1, -1)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if is_marked or state & QStyle.StateFlag.State_MouseOver:
            ground = theme.mixed(colors.sunken, colors.accent, _MARKED_TINT) if is_marked else colors.sunken
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(ground))
            painter.drawRoundedRect(frame, theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QColor(colors.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(frame, theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)
        self._paint_words(painter, option, index, entry, frame.adjusted(_PAD, _PAD, -_PAD, -_PAD), is_marked=is_marked)
        painter.restore()

    def _paint_words(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: Index,
        entry: Entry,
        room: QRect,
        *,
        is_marked: bool,
    ) -> None:
        colors = theme.current()
        font = theme.semibold(option.font, is_wanted=is_marked)
        metrics = QFontMetrics(font)
        painter.setFont(font)
        painter.setPen(QColor(colors.text))
        title = metrics.elidedText(str(index.data()), Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, title)
        painter.setFont(theme.small(option.font))
        painter.setPen(QColor(colors.secondary))
        below = room.adjusted(0, metrics.height() + _GAP, 0, 0)
        if entry.excerpt:
            _paint_excerpt(painter, below, entry)
        else:
            said = (
                translate("ConversationLines", "Answering…")
                if index.data(ConversationList.IS_ANSWERED)
                else when(entry.conversation.updated)
            )
            painter.drawText(below, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, said)

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        editor = QLineEdit(parent)
        editor.setMaxLength(200)
        editor.setAccessibleName(translate("ConversationLines", "Title of the chat"))
        return editor

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        height = min(option.rect.height(), editor.sizeHint().height())
        middle = option.rect.y() + (option.rect.height() - height) // 2
        editor.setGeometry(option.rect.x() + 2, middle, option.rect.width() - 4, height)


def when(changed_s: float, now: datetime.datetime | None = None) -> str:
    """As one speaks of it: a time of today, yesterday, a day of this week, a date."""
    then = datetime.datetime.fromtimestamp(changed_s)
    days = ((now or datetime.datetime.now()).date() - then.date()).days
    if days <= 0:
        return words.time_of_day(changed_s)
    if days == 1:
        return translate("ConversationLines", "Yesterday")
    if days < _WEEK:
        return QLocale().dayName(then.isoweekday())
    return words.date(changed_s)


def _entry(index: Index) -> Entry:
    entry: Entry = index.data(ConversationList.ENTRY)
    return entry


def _paint_excerpt(painter: QPainter, room: QRect, entry: Entry) -> None:
    """Two lines, in which the words that were found stand out."""
    found = QTextCharFormat()
    found.setFontWeight(QFont.Weight.DemiBold)
    found.setForeground(QColor(theme.current().text))
    ranges = []
    for match in re.finditer("|".join(map(re.escape, entry.words)) or r"(?!)", entry.excerpt, re.IGNORECASE):
        marked = QTextLayout.FormatRange()
        marked.start, marked.length, marked.format = match.start(), len(match.group()), found
        ranges.append(marked)
    layout = QTextLayout(entry.excerpt, painter.font())
    layout.setFormats(ranges)
    layout.beginLayout()
    y = 0.0
    for _ in range(_EXCERPT_LINES):
        line = layout.createLine()
        if not line.isValid():
            break
        line.setLineWidth(room.width())
        line.setPosition(QPointF(0, y))
        y += line.height()
    layout.endLayout()
    layout.draw(painter, room.topLeft().toPointF())
