"""The head of a conversation: its title, what can be done with it, and the way to its options."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QSizePolicy, QWidget

from gui import theme
from gui.viewmodels.chat import ChatViewModel
from gui.widgets.icon_button import IconButton

_ICON_PX = 18


class ChatHead(QWidget):
    """
    Args:
        make_menu: of what can be done with the conversation.
    """

    pane_wanted = Signal()
    sheet_wanted = Signal()

    def __init__(self, chat: ChatViewModel, make_menu: Callable[[QWidget], QMenu], parent: QWidget | None = None):
        super().__init__(parent)
        self._chat = chat
        self._make_menu = make_menu
        self.pane = IconButton("sidebar", "", self.pane_wanted.emit, icon_px=_ICON_PX)
        self.title = _Title()
        self.more = IconButton("more", self.tr("What can be done with this chat"), self._show_menu, icon_px=_ICON_PX)
        self.sheet = IconButton("sliders", "", self.sheet_wanted.emit, icon_px=_ICON_PX)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.M, theme.M, theme.M, theme.S)
        row.setSpacing(theme.XS)
        row.addWidget(self.pane)
        row.addWidget(self.title, 1)
        row.addWidget(self.more)
        row.addWidget(self.sheet)
        chat.changed.connect(self._show)
        self._show()

    def say_what_is_shown(self, *, is_pane: bool, is_sheet: bool) -> None:
        pane = self.tr("Hide the list of chats (Ctrl+B)") if is_pane else self.tr("Show the list of chats (Ctrl+B)")
        sheet = self.tr("Hide how answers are made (Ctrl+I)") if is_sheet else self.tr("How answers are made (Ctrl+I)")
        self.pane.show_as("sidebar", pane)
        self.sheet.show_as("sliders", sheet)

    def _show(self) -> None:
        self.title.setText(self._chat.title)
        self.more.setEnabled(self._chat.talk.conversation is not None and self._chat.is_connected)

    def _show_menu(self) -> None:
        menu = self._make_menu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))


class _Title(QLabel):
    """In one line, cut where there is no more room."""

    def __init__(self) -> None:
        super().__init__()
        theme.role(self, "card")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setTextFormat(Qt.TextFormat.PlainText)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(self.palette().windowText().color())
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        painter.end()
