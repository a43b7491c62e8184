"""The messages of a conversation, however many: only those in sight are widgets, the others a guessed height each.

What is in sight stays where it is, whatever is measured, read or written above and below; unless the end is in sight,
which is then followed. A place is a row and an offset in it, so nothing moves when the heights of others become known.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QAbstractScrollArea, QApplication, QFrame, QWidget

from gui import theme
from gui.viewmodels.chat import ChatViewModel
from gui.widgets.chat.feet import Foot
from gui.widgets.chat.focus_order import next_outside, tab_stops
from gui.widgets.chat.message_table import MessageTable
from gui.widgets.chat.round_button import RoundButton
from gui.widgets.chat.row_heights import Place
from gui.widgets.chat.row_kinds import make_row
from gui.widgets.chat.row_pool import RowPool
from gui.widgets.chat.row_selection import RowSelection, Selectable
from gui.widgets.chat.row_widget import RowWidget
from gui.widgets.chat.rows import Row, RowKind
from gui.widgets.chat.text_view import TextView
from gui.widgets.quiet_scroll_bar import QuietScrollBar

COLUMN_PX = 720
_MARGIN_PX = theme.XL
_END_PX = theme.M
"""Room below the last row."""
_EARLY_SCREENS = 3
"""How near the first message may come before those before it are read."""
_WHEEL_LINES = 3
_AWAY_PX = 1_000_000


class MessageList(QAbstractScrollArea):
    link_clicked = Signal(QUrl)

    def __init__(self, chat: ChatViewModel, parent: QWidget | None = None):
        super().__init__(parent)
        self._chat = chat
        self._talk = chat.talk
        self._table = MessageTable(chat.talk)
        self._pool = RowPool(self._make)
        self._selection = RowSelection(self._views, self.viewport(), self.scroll_by)
        self._place = Place(0, 0.0)
        """What is at the upper edge."""
        self._follows_end = True
        self._is_end_seen = True
        self._is_arranging = False
        self._looked_at: int | None = None
        self._feet_know: object = None
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName(self.tr("Messages"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBar(QuietScrollBar(self))
        # Always there: one that comes and goes would move the text when an answer gets longer than the window.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        # Cards and bubbles are painted by their rows; what is in them has neither frame nor ground of its own.
        self.viewport().setStyleSheet(
            "QPlainTextEdit, QPlainTextEdit:focus, QTextBrowser, QTextBrowser:focus"
            " { border: none; background: transparent; padding: 0; }"
        )
        self.viewport().setAutoFillBackground(False)
        self.verticalScrollBar().valueChanged.connect(self._take_scroll)
        self.to_end = RoundButton("to-end", self.tr("To the latest message"), "plain", self)
        self.to_end.clicked.connect(self.go_to_end)
        self.to_end.hide()
        self._later = QTimer(self, interval=0, singleShot=True)
        self._later.timeout.connect(self._arrange)
        talk = chat.talk
        talk.reset.connect(self._reset)
        talk.earlier_read.connect(self._put_earlier)
        talk.end_changed.connect(lambda index: self._change(lambda: self._table.change_end(index)))
        talk.message_changed.connect(lambda index: self._change(lambda: self._table.change(index)))
        talk.revealed.connect(self.reveal)
        chat.changed.connect(self._show_feet)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._take_focus)
        self._reset()

    # Where it is

    def go_to_end(self) -> None:
        """And follows it from now on."""
        self._follows_end = True
        self._arrange()

    def reveal(self, index: int) -> None:
        """Brings a message to the upper edge."""
        self._follows_end = False
        self._place = Place(self._table.first_row(index), 0.0)
        self._arrange()

    def scroll_by(self, px: float) -> None:
        self._follows_end = False
        self._place = Place(self._place.row, self._place.offset + px)
        self._arrange()
        # Whoever scrolls down to the end follows it again.
        self._follows_end = px > 0 and self._is_end_seen

    # What changes

    def _reset(self) -> None:
        self._selection.clear()
        self._guess_by_font()
        self._table.reset()
        self._pool.keep_only(frozenset())
        self._place = Place(0, 0.0)
        self._follows_end = True
        self._later.start()

    def _put_earlier(self, number: int) -> None:
        rows = self._table.put_earlier(number)
        self._place = Place(self._place.row + rows, self._place.offset)
        self._later.start()

    def _change(self, change: Callable[[], None]) -> None:
        rows = self._table.rows
        at = rows[self._place.row] if self._place.row < len(rows) else None
        change()
        if at is not None:
            self._place = self._table.place_of(self._place, at)
        self._later.start()

    def _show_feet(self) -> None:
        """What can be done with messages, and what servers are called, depends on more than the messages."""
        known = (self._chat.can_ask, self._chat.own_peer_id, self._chat.peer_names)
        if known == self._feet_know:
            return
        self._feet_know = known
        for row, widget in self._pool:
            if isinstance(widget, Foot):
                widget.show_row(row)

    # Arranging

    def _arrange(self) -> None:
        """Puts the rows that are in sight where they belong."""
        if self._is_arranging:
            return
        self._is_arranging = True
        try:
            self._place = self._settled()
            shown = self._put_rows()
            self._pool.keep_only(shown | self._kept())
            self._put_away(shown)
            self._show_scroll()
        finally:
            self._is_arranging = False
        if self._talk.has_earlier and self._table.heights.y_of(self._place) < _EARLY_SCREENS * self._view_px():
            QTimer.singleShot(0, self._talk, self._talk.read_earlier)

    def _settled(self) -> Place:
        """The place to be at the upper edge: as it was, but neither before the beginning nor beyond the end."""
        if self._follows_end or not self._table.rows:
            return self._place_of_end()
        row, offset = min(self._place.row, len(self._table.rows) - 1), self._place.offset
        while offset < 0 and row > 0:
            row -= 1
            offset += self._measure(row)
        height = self._measure(row)
        while offset >= height and row < len(self._table.rows) - 1:
            row, offset = row + 1, offset - height
            height = self._measure(row)
        place = Place(row, max(0.0, offset))
        return self._place_of_end() if self._shows_too_little(place) else place

    def _shows_too_little(self, place: Place) -> bool:
        """There would be room left below the last row."""
        row, room = place.row, self._view_px() - _END_PX + place.offset
        while row < len(self._table.rows) and room > 0:
            room -= self._measure(row)
            row += 1
        return room > 0

    def _place_of_end(self) -> Place:
        """What is at the upper edge when the last row is at the lower one."""
        room = float(self._view_px() - _END_PX)
        row = len(self._table.rows)
        while row > 0 and room > 0:
            row -= 1
            room -= self._measure(row)
        return Place(row, max(0.0, -room))

    def _put_rows(self) -> set[tuple[int, RowKind, int]]:
        """Returns the keys of those in sight."""
        rows, width, left = self._table.rows, self._column_px(), self._left_px()
        shown = set()
        row, y = self._place.row, -self._place.offset
        while row < len(rows) and y < self._view_px():
            height = self._measure(row)
            gap = _gap_above(rows[row])
            widget = self._pool.widget(rows[row])
            if widget is not None:
                widget.setGeometry(left, round(y) + gap, width, round(height) - gap)
                widget.show()
            shown.add(rows[row].key)
            row, y = row + 1, y + height
        self._set_end_seen(row == len(rows) and y + _END_PX <= self._view_px() + 1)
        return shown

    def _measure(self, row: int) -> float:
        """The height of a row, which is a widget from now on."""
        found = self._pool.measured(self._table.rows[row], self._column_px())
        if found is not None:
            self._table.heights[row] = float(found + _gap_above(self._table.rows[row]))
        return self._table.heights[row]

    def _kept(self) -> set[tuple[int, RowKind, int]]:
        """Of those out of sight: what is used with the keyboard, or selected, stays as it is."""
        focus = QApplication.focusWidget()
        kept = set()
        for row, widget in self._pool:
            view = widget.text_view()
            is_used = focus is not None and (widget is focus or widget.isAncestorOf(focus))
            if is_used or (view is not None and self._selection.holds(view)):
                kept.add(row.key)
        return kept

    def _put_away(self, shown: set[tuple[int, RowKind, int]]) -> None:
        """What is kept and not in sight lies beyond the edge, still in its order."""
        for row, widget in self._pool:
            if row.key not in shown:
                index = self._table.find(row) or 0
                widget.move(widget.x(), index - _AWAY_PX if index < self._place.row else index + _AWAY_PX)

    def _views(self) -> list[Selectable]:
        """The texts of rows, from above."""
        found = [(widget.y(), widget.text_view()) for _, widget in self._pool]
        return [view for _, view in sorted(found, key=lambda each: each[0]) if view is not None]

    def _show_scroll(self) -> None:
        bar = self.verticalScrollBar()
        view_px = self._view_px()
        bar.setRange(0, max(0, round(self._table.heights.total + _END_PX - view_px)))
        bar.setPageStep(view_px)
        bar.setSingleStep(self._wheel_px())
        bar.setValue(round(self._table.heights.y_of(self._place)) if self._table.rows else 0)

    def _set_end_seen(self, is_seen: bool) -> None:
        if is_seen != self._is_end_seen:
            self._is_end_seen = is_seen
            self.to_end.setVisible(not is_seen)

    def _view_px(self) -> int:
        return self.viewport().height()

    def _column_px(self) -> int:
        most = round(COLUMN_PX * max(1.0, theme.text_scale()))
        return max(120, min(most, self.viewport().width() - 2 * _MARGIN_PX))

    def _left_px(self) -> int:
        return (self.viewport().width() - self._column_px()) // 2

    def _wheel_px(self) -> int:
        return _WHEEL_LINES * self.fontMetrics().lineSpacing()

    def _guess_by_font(self) -> None:
        metrics = self.fontMetrics()
        self._table.line_px = 1.4 * metrics.height()
        self._table.characters_per_line = self._column_px() // max(1, metrics.averageCharWidth())

    # Widgets of rows

    def _make(self, kind: RowKind) -> RowWidget:
        widget = make_row(kind, self._chat, self.viewport())
        if isinstance(widget, Foot):
            widget.height_changed.connect(lambda: self._measure_again(widget))
        text = widget.text_view()
        if text is not None:
            self._selection.watch(text)
            text.mime_data_of_rows = self._selection.mime_data
        if isinstance(text, TextView):
            text.link_clicked.connect(self.link_clicked)
        widget.installEventFilter(self)
        self._take_into_focus_chain(widget)
        return widget

    def _take_into_focus_chain(self, row: RowWidget) -> None:
        """Behind the list: by itself it would be behind all of the window, and Tab go from there to the composer."""
        before: QWidget = self.to_end
        for widget in row.findChildren(QWidget):
            if widget.focusPolicy() is not Qt.FocusPolicy.NoFocus:
                QWidget.setTabOrder(before, widget)
                before = widget

    def _measure_again(self, widget: RowWidget) -> None:
        self._pool.forget_height(widget)
        self._later.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Enter and isinstance(watched, RowWidget):
            self._look_at(self._row_of(watched))
        return super().eventFilter(watched, event)

    def leaveEvent(self, event: QEvent) -> None:
        self._look_at(None)
        super().leaveEvent(event)

    def _is_in_sight(self, widget: QWidget) -> bool:
        return widget.y() < self._view_px() and widget.y() + widget.height() > 0

    def _row_of(self, widget: QWidget) -> Row | None:
        return next((row for row, each in self._pool if each is widget or each.isAncestorOf(widget)), None)

    def _look_at(self, row: Row | None) -> None:
        self._looked_at = None if row is None else row.message_id
        for each, widget in self._pool:
            if isinstance(widget, Foot):
                widget.look_at(each.message_id == self._looked_at)

    # Keyboard, wheel, size

    def _take_focus(self, _: QWidget | None, now: QWidget | None) -> None:
        """Looks at the message in which the keyboard is, and brings it into view."""
        if now is None or not self.viewport().isAncestorOf(now):
            return
        self._look_at(self._row_of(now))
        top = now.mapTo(self.viewport(), now.rect().topLeft()).y()
        bottom = top + now.height()
        if min(bottom, self._view_px()) - max(top, 0) >= min(now.height(), self._wheel_px()):
            return  # enough of it to read; more would push what follows out of sight, and Tab past it
        if top < 0:
            self.scroll_by(top - theme.M)
        elif bottom > self._view_px() and now.height() < self._view_px():
            self.scroll_by(bottom - self._view_px() + theme.M)

    def focusNextPrevChild(self, next: bool) -> bool:
        """Through the rows as they are read: their widgets are made, and used again, in any order."""
        stops = tab_stops((widget for _, widget in self._pool if self._is_in_sight(widget)), self)
        if self.to_end.isVisible():
            stops.append(self.to_end)
        focus = QApplication.focusWidget()
        at = stops.index(focus) if focus in stops else -1
        if focus is not self and at < 0:
            return super().focusNextPrevChild(next)
        following = at + 1 if next else at - 1
        if 0 <= following < len(stops):
            target: QWidget | None = stops[following]
        elif next:
            target = next_outside(self) or self
        else:
            target = self if at == 0 else None
        if target is None:
            return super().focusNextPrevChild(next)
        target.setFocus(Qt.FocusReason.TabFocusReason if next else Qt.FocusReason.BacktabFocusReason)
        return True

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.key():
            case Qt.Key.Key_Up:
                self.scroll_by(-self._wheel_px())
            case Qt.Key.Key_Down:
                self.scroll_by(self._wheel_px())
            case Qt.Key.Key_PageUp:
                self.scroll_by(-0.9 * self._view_px())
            case Qt.Key.Key_PageDown | Qt.Key.Key_Space:
                self.scroll_by(0.9 * self._view_px())
            case Qt.Key.Key_Home:
                self.reveal(0)
            case Qt.Key.Key_End:
                self.go_to_end()
            case _:
                super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        px = event.pixelDelta().y() or event.angleDelta().y() * self._wheel_px() / 120
        if px:
            self.scroll_by(-px)
        event.accept()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        middle, bottom = self.viewport().width() // 2, self.viewport().height()
        self.to_end.move(middle - self.to_end.width() // 2, bottom - self.to_end.height() - theme.S)
        self._later.start()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._restyle()

    def _restyle(self) -> None:
        """Documents carry their colours and fonts with them."""
        for widget in self._pool.everything():
            widget.restyle()
        self._pool.forget_heights()
        self._later.start()

    def _take_scroll(self, value: int) -> None:
        """The scroll bar was moved by hand."""
        if self._is_arranging:
            return
        self._follows_end = value >= self.verticalScrollBar().maximum()
        self._place = self._table.heights.place_at(value)
        self._arrange()


def _gap_above(row: Row) -> int:
    """Before a question, before an answer, between the pieces of an answer; parts of a question touch."""
    match row.kind:
        case RowKind.QUESTION:
            return theme.XL if row.part == 0 else 0
        case RowKind.PROSE | RowKind.CODE:
            return theme.S if row.part == 0 else theme.M
    return 2
