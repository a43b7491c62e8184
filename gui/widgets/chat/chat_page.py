"""The chat page: conversations at the left, messages above the composer, a sheet of options at the right."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QSize, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QKeySequence, QResizeEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QMenu,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.viewmodels.chat import ChatViewModel, Page
from gui.viewmodels.chat_values import Message, Role
from gui.viewmodels.conversations import ConversationsViewModel
from gui.widgets.banner import Banner
from gui.widgets.chat.chat_head import ChatHead
from gui.widgets.chat.composer import Composer
from gui.widgets.chat.conversation_pane import ConversationPane
from gui.widgets.chat.first_questions import FirstQuestions
from gui.widgets.chat.message_list import COLUMN_PX, MessageList
from gui.widgets.chat.privacy_notice import PrivacyNotice
from gui.widgets.chat.side_sheet import SideSheet
from gui.widgets.chat.upright_line import UprightLine
from gui.widgets.empty_state import EmptyState

_PANE_PX, _SHEET_PX = 232, 304
_BOTH_PX = 1_040
"""From this width on the list and the sheet have room beside the messages."""
_PANE_BESIDE_PX = 660
_SHEET_BESIDE_PX = 620
"""Below these widths the list, or the sheet, takes the place of the messages."""
_LOADING_MS = 300
"""What is read sooner is not announced: it would flicker."""


class ChatPage(QWidget):
    model_wanted = Signal()
    """The owner wants to choose another model."""

    def __init__(self, chat: ChatViewModel, conversations: ConversationsViewModel, parent: QWidget | None = None):
        super().__init__(parent)
        self._chat = chat
        self._conversations = conversations
        self._wants_pane: bool | None = None
        """None: as there is room."""
        self.setObjectName("Page")
        self.setAccessibleName(self.tr("Chat"))
        self.pane = ConversationPane(conversations)
        self.pane.chosen.connect(self._open)
        self.pane.new_wanted.connect(self.new)
        self.head = ChatHead(chat, self._menu)
        self.head.pane_wanted.connect(self._toggle_pane)
        self.head.sheet_wanted.connect(self._toggle_sheet)
        self.messages = MessageList(chat)
        self.messages.link_clicked.connect(self._open_link)
        self.first = FirstQuestions(chat)
        self.no_worker = EmptyState("chat", self.tr("No answers yet"), "", self.tr("Start it"), chat.start_worker)
        self.loading = theme.role(QLabel(), "secondary")
        self.loading.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._loading_later = QTimer(self, interval=_LOADING_MS, singleShot=True)
        self._loading_later.timeout.connect(lambda: self.loading.setText(self.tr("Opening the chat…")))
        self.connection = Banner()
        self.problem = Banner()
        self.notice = PrivacyNotice(chat)
        self.composer = Composer(chat)
        self.first.picked.connect(self.composer.put)
        self.swarm = theme.role(QLabel(), "secondary")
        self.swarm.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.swarm.setWordWrap(True)
        self.sheet = SideSheet(chat)
        self.composer.sending.connect(self.sheet.keep)
        self.sheet.closed.connect(self._toggle_sheet)
        self.sheet.model_wanted.connect(self.model_wanted)
        self.sheet.hide()
        self._lay_out()
        self._add_shortcuts()
        chat.changed.connect(self._show)
        chat.sent.connect(self.messages.go_to_end)
        self._show()

    def new(self) -> None:
        """An empty chat, ready to be typed in."""
        self.sheet.keep()
        self._chat.new()
        self._leave_pane()
        self.composer.field.setFocus()

    # Laying out

    def _lay_out(self) -> None:
        self.stack = QStackedWidget()
        self._no_worker_area = _scrolled(self.no_worker)
        for each in (self.messages, self.first, self._no_worker_area, self.loading):
            self.stack.addWidget(each)
        bottom = QVBoxLayout()
        bottom.setSpacing(theme.S)
        for widget in (self.connection, self.problem, self.notice, self.composer, self.swarm):
            bottom.addWidget(widget)
        self._bottom = QWidget()
        self._bottom.setLayout(bottom)
        bottom.setContentsMargins(theme.M, theme.S, theme.M, theme.S)
        across = QHBoxLayout()
        # The column of the messages is narrower by their scroll bar.
        bar_px = self.messages.verticalScrollBar().sizeHint().width()
        across.setContentsMargins(theme.M, 0, theme.M + bar_px, 0)
        across.addStretch(1)
        across.addWidget(self._bottom, 1000)
        across.addStretch(1)
        self.main = QWidget()
        inside = QVBoxLayout(self.main)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(0)
        inside.addWidget(self.head)
        inside.addWidget(_level_line())
        inside.addWidget(self.stack, 1)
        inside.addLayout(across)
        self._pane_line, self._sheet_line = UprightLine(), UprightLine()
        outer = QHBoxLayout(self)
        outer.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.pane)
        outer.addWidget(self._pane_line)
        outer.addWidget(self.main, 1)
        outer.addWidget(self._sheet_line)
        outer.addWidget(self.sheet)

    def minimumSizeHint(self) -> QSize:
        """Of the messages alone: the panes at their sides give way when it becomes narrow."""
        return self.main.minimumSizeHint()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._share_width()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._share_width()

    def showEvent(self, event: QShowEvent) -> None:
        """Whoever comes here comes to write."""
        super().showEvent(event)
        self.composer.field.setFocus()

    def _share_width(self) -> None:
        """Who is beside whom, and who makes room."""
        scale = max(1.0, theme.text_scale())
        self._bottom.setMaximumWidth(round(COLUMN_PX * scale) + 2 * theme.M)
        width = self.width() / scale
        is_sheet = not self.sheet.isHidden()
        has_room = width >= (_BOTH_PX if is_sheet else _PANE_BESIDE_PX)
        is_pane = has_room if self._wants_pane is None else self._wants_pane
        is_pane_alone = is_pane and width < _PANE_BESIDE_PX
        is_sheet_alone = is_sheet and not is_pane_alone and width < _SHEET_BESIDE_PX
        self.pane.setVisible(is_pane)
        self._pane_line.setVisible(is_pane and not is_pane_alone)
        self.main.setVisible(not (is_pane_alone or is_sheet_alone))
        self._sheet_line.setVisible(is_sheet and not is_sheet_alone)
        _limit(self.pane, None if is_pane_alone else round(_PANE_PX * scale))
        _limit(self.sheet, None if is_sheet_alone else round(_SHEET_PX * scale))
        self.head.say_what_is_shown(is_pane=is_pane, is_sheet=is_sheet)

    def _toggle_pane(self) -> None:
        self._wants_pane = self.pane.isHidden()
        if self._wants_pane and self.width() < _BOTH_PX:
            self.sheet.hide()
        self._share_width()

    def _leave_pane(self) -> None:
        """Where it takes the place of the messages, it gives it back."""
        if self.main.isHidden() and not self.pane.isHidden():
            self._wants_pane = None
            self._share_width()

    def _toggle_sheet(self) -> None:
        self.sheet.keep()
        self.sheet.setVisible(self.sheet.isHidden())
        if not self.sheet.isHidden():
            self._wants_pane = None
        self._share_width()
        (self.composer.field if self.sheet.isHidden() else self.sheet.close_button).setFocus()

    # Keyboard

    def _add_shortcuts(self) -> None:
        actions: tuple[tuple[str, Callable[[], object]], ...] = (
            ("Ctrl+N", self.new),
            ("Ctrl+F", self._search),
            ("Ctrl+B", self._toggle_pane),
            ("Ctrl+I", self._toggle_sheet),
            ("Ctrl+E", self.pane.ask_where_to_export),
            ("F2", self._rename),
            ("Ctrl+PgUp", lambda: self.pane.step(-1)),
            ("Ctrl+PgDown", lambda: self.pane.step(1)),
            ("Ctrl+R", self._regenerate),
            ("Ctrl+Shift+C", self._copy_answer),
            ("Ctrl+End", self.messages.go_to_end),
            ("Esc", self._escape),
        )
        for keys, act in actions:
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    def _search(self) -> None:
        if self.pane.isHidden():
            self._toggle_pane()
        self.pane.search.setFocus()
        self.pane.search.selectAll()

    def _rename(self) -> None:
        if self.pane.isHidden():
            self._toggle_pane()
        self.pane.rename()

    def _escape(self) -> None:
        """Takes back, stops or closes what is nearest."""
        chat = self._chat
        if chat.is_notice_shown:
            chat.answer_notice(agreed=False)
        elif chat.editing is not None:
            chat.cancel_edit()
        elif self._conversations.is_searching and self.pane.search.hasFocus():
            self.pane.search.clear()
        elif chat.is_answering:
            chat.stop()
        elif not self.sheet.isHidden():
            self._toggle_sheet()

    def _last_answer(self) -> Message | None:
        answers = (each for each in reversed(self._chat.talk.messages) if each.role is Role.ASSISTANT)
        return next(answers, None)

    def _regenerate(self) -> None:
        answer = self._last_answer()
        if answer is not None:
            self._chat.regenerate(answer.id)

    def _copy_answer(self) -> None:
        answer = self._last_answer()
        if answer is not None:
            QGuiApplication.clipboard().setText(answer.text)

    # Showing

    def _menu(self, parent: QWidget) -> QMenu:
        """For the chat that is open, wherever the keyboard has gone in the list since."""
        self.pane.show_current(self._chat.talk.id)
        return self.pane.menu(parent)

    def _open(self, conversation_id: int, message_id: int | None) -> None:
        self.sheet.keep()
        self._chat.open(conversation_id, message_id)
        self._leave_pane()

    def _open_link(self, url: QUrl) -> None:
        QDesktopServices.openUrl(url)

    def _show(self) -> None:
        chat = self._chat
        self._show_page(chat.page)
        self.pane.show_current(chat.talk.id)
        self.pane.new.setEnabled(chat.page in (Page.TALK, Page.LOADING))
        is_lost = chat.page is not Page.NO_WORKER and not chat.is_connected
        if is_lost:
            start = self.tr("Start it") if chat.can_start_worker else ""
            self.connection.show_message("warn", chat.connection_words, start, chat.start_worker)
        else:
            self.connection.hide()
        if chat.problem:
            self.problem.show_message("bad", chat.problem, self.tr("OK"), chat.dismiss_problem)
        else:
            self.problem.hide()
        was_shown = not self.notice.isHidden()
        self.notice.setVisible(chat.is_notice_shown)
        self.composer.setVisible(not chat.is_notice_shown and chat.page is not Page.NO_WORKER)
        self.swarm.setVisible(not self.composer.isHidden())
        self.swarm.setText(self._swarm_words())
        if chat.is_notice_shown and not was_shown:
            self.notice.send.setFocus()

    def _show_page(self, page: Page) -> None:
        if page is Page.LOADING and not self._loading_later.isActive() and self.stack.currentWidget() != self.loading:
            self.loading.clear()
            self._loading_later.start()
        if page is Page.NO_WORKER:
            self.no_worker.show_words(self.tr("No answers yet"), self._chat.connection_words)
            self.no_worker.action.setVisible(self._chat.can_start_worker)
        shown = {
            Page.TALK: self.messages,
            Page.NEW: self.first,
            Page.NO_WORKER: self._no_worker_area,
            Page.LOADING: self.loading,
        }
        self.stack.setCurrentWidget(shown[page])

    def _swarm_words(self) -> str:
        if self._chat.is_practice:
            return self.tr("Nobody else reads this: the swarm is on this computer. Models can be wrong.")
        private = self._chat.private_swarm
        if private is not None:
            return self.tr("Private swarm “{name}”. Models can be wrong.").format(name=private)
        return self.tr("Strangers' computers read what you write. Models can be wrong.")


def _level_line() -> QFrame:
    line = QFrame()
    line.setObjectName("Line")
    return line


def _scrolled(widget: QWidget) -> QScrollArea:
    """Asks for no more height than there is."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    widget.setObjectName("PageBody")
    area.setWidget(widget)
    return area


def _limit(widget: QWidget, width_px: int | None) -> None:
    if width_px is None:
        widget.setMinimumWidth(0)
        widget.setMaximumWidth(16_777_215)
    else:
        widget.setFixedWidth(width_px)
