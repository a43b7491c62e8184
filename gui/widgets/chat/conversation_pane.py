"""The conversations at the left: a search, the list, and what can be done with one of them."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QModelIndex, QPoint, QStandardPaths, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QMenu,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.icons import icon
from gui.viewmodels.chat_values import Conversation
from gui.viewmodels.conversations import ConversationList, ConversationsViewModel, Entry
from gui.widgets.banner import Banner
from gui.widgets.chat.conversation_lines import ConversationLines

_NOT_IN_NAMES = '<>:"/\\|?*'


class ConversationPane(QWidget):
    chosen = Signal(int, object)
    """A conversation, and the message in which it was found, or None."""
    new_wanted = Signal()

    def __init__(self, conversations: ConversationsViewModel, parent: QWidget | None = None):
        super().__init__(parent)
        self._conversations = conversations
        self._current: int | None = None
        self.setObjectName("ConversationPane")
        title = theme.role(QLabel(self.tr("Chat")), "title")
        self.new = QPushButton(icon("plus", "text", 16), self.tr("New"))
        self.new.setToolTip(self.tr("New chat (Ctrl+N)"))
        self.new.setAccessibleName(self.tr("New chat"))
        self.new.clicked.connect(self.new_wanted)
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search chats"))
        self.search.setAccessibleName(self.tr("Search chats"))
        self.search.setToolTip(self.tr("Search all chats (Ctrl+F)"))
        self.search.setClearButtonEnabled(True)
        self.search.addAction(icon("search", "secondary", 16), QLineEdit.ActionPosition.LeadingPosition)
        self.search.textChanged.connect(conversations.search)
        self.list = _List(self)
        self.list.setModel(conversations.list)
        self.list.setItemDelegate(ConversationLines(self.list))
        self.list.clicked.connect(self._choose)
        self.list.activated.connect(self._choose)
        self.list.delete_wanted.connect(self.ask_to_delete)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._show_menu)
        self.nothing = theme.role(QLabel(), "secondary")
        self.nothing.setWordWrap(True)
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.nothing.setContentsMargins(theme.S, theme.S, theme.S, 0)
        self.problem = Banner()
        head = QHBoxLayout()
        head.addWidget(title, 1)
        head.addWidget(self.new)
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.L, theme.L, theme.S, theme.S)
        column.setSpacing(theme.M)
        column.addLayout(head)
        column.addWidget(self.search)
        column.addWidget(self.problem)
        column.addWidget(self.nothing)
        column.addWidget(self.list, 1)
        conversations.changed.connect(self._show)
        self._show()

    def show_current(self, conversation_id: int | None) -> None:
        """Marks the conversation that is open."""
        self._current = conversation_id
        row = self._conversations.list.row(conversation_id)
        index = QModelIndex() if row is None else self._conversations.list.index(row)
        if index != self.list.currentIndex():
            self.list.setCurrentIndex(index)

    def entry(self) -> Entry | None:
        """The one that is marked."""
        entry = self.list.currentIndex().data(ConversationList.ENTRY)
        return entry if isinstance(entry, Entry) else None

    def step(self, rows: int) -> None:
        """Opens the next conversation, or the one before."""
        count = self._conversations.list.rowCount()
        current = self.list.currentIndex().row()
        row = min(max(0, current + rows), count - 1)
        if row >= 0 and row != current:
            self._choose(self._conversations.list.index(row))

    def rename(self) -> None:
        """Edits the title of the marked conversation in its line."""
        if self.list.currentIndex().isValid():
            self.list.edit(self.list.currentIndex())

    def ask_to_delete(self) -> None:
        entry = self.entry()
        if entry is None:
            return
        conversation = entry.conversation
        question = QMessageBox(self)
        question.setIcon(QMessageBox.Icon.NoIcon)
        question.setWindowTitle(self.tr("Delete chat"))
        question.setText(self.tr("Delete “{title}”?").format(title=self._conversations.list.title(entry)))
        question.setInformativeText(self.tr("All its questions and answers are gone then, for good."))
        delete = question.addButton(self.tr("Delete"), QMessageBox.ButtonRole.DestructiveRole)
        theme.kind(delete, "danger")
        question.setDefaultButton(question.addButton(self.tr("Keep"), QMessageBox.ButtonRole.RejectRole))
        question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        delete.clicked.connect(lambda: self._conversations.delete(conversation.id))
        question.open()

    def ask_where_to_export(self) -> None:
        entry = self.entry()
        if entry is None:
            return
        conversation = entry.conversation
        folder = Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation))
        dialog = QFileDialog(self, self.tr("Export chat"), str(folder), self.tr("Markdown (*.md)"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("md")
        dialog.selectFile(f"{file_name(conversation)}.md")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self._conversations.export(conversation.id, Path(path)))
        dialog.open()

    def menu(self, parent: QWidget) -> QMenu:
        """What can be done with the marked conversation."""
        menu = QMenu(parent)
        menu.addAction(icon("edit", "text", 16), self.tr("Rename"), "F2", self.rename)
        menu.addAction(icon("export", "text", 16), self.tr("Export…"), "Ctrl+E", self.ask_where_to_export)
        menu.addSeparator()
        menu.addAction(icon("trash", "bad", 16), self.tr("Delete…"), self.ask_to_delete)
        for action in menu.actions():
            action.setEnabled(self.entry() is not None)  # it is not where a search has left it out
        return menu

    def _choose(self, index: QModelIndex) -> None:
        entry = index.data(ConversationList.ENTRY)
        if isinstance(entry, Entry):
            self.chosen.emit(entry.conversation.id, entry.message_id)

    def _show_menu(self, position: QPoint) -> None:
        index = self.list.indexAt(position)
        if index.isValid():
            self.list.setCurrentIndex(index)
            self.menu(self).popup(self.list.viewport().mapToGlobal(position))

    def _show(self) -> None:
        conversations = self._conversations
        is_empty = conversations.is_read and not conversations.list.entries
        if conversations.is_searching:
            self.nothing.setText(self.tr("Nothing was found for “{query}”.").format(query=conversations.query))
        else:
            self.nothing.setText(self.tr("Your chats will be listed here. They are kept on this computer alone."))
        self.nothing.setVisible(is_empty)
        self.list.setVisible(not is_empty)
        if conversations.problem:
            self.problem.show_message("bad", conversations.problem, self.tr("OK"), conversations.dismiss_problem)
        else:
            self.problem.hide()
        self.show_current(self._current)


class _List(QListView):
    delete_wanted = Signal()

    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self.setObjectName("ConversationList")
        self.setAccessibleName(self.tr("Chats"))
        self.setFrameShape(QListView.Shape.NoFrame)
        # The list lies on the page; its lines paint themselves.
        self.setStyleSheet("QListView, QListView:focus { border: none; background: transparent; }")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setUniformItemSizes(False)
        self.setMouseTracking(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Delete and self.currentIndex().isValid():
            self.delete_wanted.emit()
            return
        super().keyPressEvent(event)


def file_name(conversation: Conversation) -> str:
    """Of the title, what every system takes as the name of a file."""
    kept = "".join(" " if each in _NOT_IN_NAMES or not each.isprintable() else each for each in conversation.title)
    return " ".join(kept.split()).strip(".")[:80] or "chat"
