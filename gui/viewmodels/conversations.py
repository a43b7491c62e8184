"""The list of conversations: the one changed last first, read page by page; or those that a search found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    QTimer,
    Signal,
)

from gui.viewmodels.chat_values import Conversation, read_conversation, read_conversations, read_found
from gui.worker_link import Connection, WorkerLink
from gui.worker_words import translated
from volunteer.control.messages import ChatEvent
from volunteer.errors import UserError
from volunteer.whole_file import write_file

PAGE_CONVERSATIONS = 50
SEARCH_MS = 250
"""How long typing must rest before a search is made."""
_MOST_FOUND = 50

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class Entry:
    """A line of the list.

    Attributes:
        excerpt: around what was searched for; empty in the ordinary list.
        message_id: the message in which it was found.
        words: that were searched for.
    """

    conversation: Conversation
    excerpt: str = ""
    message_id: int | None = None
    words: tuple[str, ...] = ()


class ConversationList(QAbstractListModel):
    """What a view shows; more is read when its end comes into view."""

    ENTRY = Qt.ItemDataRole.UserRole + 1
    IS_ANSWERED = Qt.ItemDataRole.UserRole + 2
    """Whether an answer grows in it."""

    def __init__(self, rename: Callable[[int, str], None], read_more: Callable[[], None], parent: QObject):
        super().__init__(parent)
        self._rename = rename
        self._read_more = read_more
        self.entries: list[Entry] = []
        self.has_more = False
        self.answered: set[int] = set()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.entries)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self.entries):
            return None
        entry = self.entries[index.row()]
        match role:
            case Qt.ItemDataRole.DisplayRole | Qt.ItemDataRole.AccessibleTextRole:
                return self.title(entry)
            case Qt.ItemDataRole.EditRole:
                return entry.conversation.title
            case self.ENTRY:
                return entry
            case self.IS_ANSWERED:
                return entry.conversation.id in self.answered
        return None

    def title(self, entry: Entry) -> str:
        return entry.conversation.title or self.tr("New chat")

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Asks for the title; it is shown when the worker has it."""
        if role != Qt.ItemDataRole.EditRole or not index.isValid():
            return False
        title = str(value).strip()
        conversation = self.entries[index.row()].conversation
        if title and title != conversation.title:
            self._rename(conversation.id, title)
        return False

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.isValid() else flags

    def canFetchMore(self, parent: Index) -> bool:
        return not parent.isValid() and self.has_more

    def fetchMore(self, parent: Index) -> None:
        self._read_more()

    def row(self, conversation_id: int | None) -> int | None:
        return next((row for row, each in enumerate(self.entries) if each.conversation.id == conversation_id), None)

    def set_entries(self, entries: list[Entry], *, has_more: bool) -> None:
        self.beginResetModel()
        self.entries, self.has_more = entries, has_more
        self.endResetModel()

    def add(self, entries: list[Entry], *, has_more: bool) -> None:
        """Behind the last; one that has moved up meanwhile is there already."""
        self.has_more = has_more
        known = {each.conversation.id for each in self.entries}
        new = [each for each in entries if each.conversation.id not in known]
        if new:
            self.beginInsertRows(QModelIndex(), len(self.entries), len(self.entries) + len(new) - 1)
            self.entries += new
            self.endInsertRows()

    def put_first(self, conversation: Conversation) -> None:
        """As it is now, before all others."""
        row = self.row(conversation.id)
        if row is None:
            self.beginInsertRows(QModelIndex(), 0, 0)
            self.entries.insert(0, Entry(conversation))
            self.endInsertRows()
            return
        if row > 0:
            self.beginMoveRows(QModelIndex(), row, row, QModelIndex(), 0)
            self.entries.insert(0, self.entries.pop(row))
            self.endMoveRows()
        self.update_at(0, conversation)

    def update_at(self, row: int, conversation: Conversation) -> None:
        self.entries[row] = replace(self.entries[row], conversation=conversation)
        self.dataChanged.emit(self.index(row), self.index(row))

    def remove(self, conversation_id: int) -> None:
        row = self.row(conversation_id)
        if row is not None:
            self.beginRemoveRows(QModelIndex(), row, row)
            del self.entries[row]
            self.endRemoveRows()

    def set_answered(self, conversation_id: int, is_answered: bool) -> None:
        (self.answered.add if is_answered else self.answered.discard)(conversation_id)
        row = self.row(conversation_id)
        if row is not None:
            self.dataChanged.emit(self.index(row), self.index(row), [self.IS_ANSWERED])


class ConversationsViewModel(QObject):
    """
    Attributes:
        list: of what was searched for, or of all.
        query: what the list is of; empty for all.
        problem: why the last thing could not be done.
    """

    changed = Signal()

    def __init__(self, link: WorkerLink, parent: QObject):
        super().__init__(parent)
        self._link = link
        self._is_reading = False
        self._asked = 0
        """Counts lists that were asked for: only the last one is wanted."""
        self._typed = ""
        self._wait = QTimer(self, interval=SEARCH_MS, singleShot=True)
        self._wait.timeout.connect(self._search)
        self._was_connected = False
        self.list = ConversationList(self.rename, self._read_more, self)
        self.query = ""
        self.is_read = False
        self.problem = ""
        link.chat_happened.connect(self._take_event)
        link.connection_changed.connect(self._take_connection)
        self._take_connection()

    @property
    def is_searching(self) -> bool:
        return bool(self.query)

    def search(self, text: str) -> None:
        """Shows what a search finds, once typing rests; all for an empty text."""
        self._typed = text.strip()
        if self._typed:
            self._wait.start()
        else:
            self._wait.stop()
            self._search()

    def rename(self, conversation_id: int, title: str) -> None:
        self._link.chat("rename", {"conversation_id": conversation_id, "title": title}, refused=self._fail)

    def delete(self, conversation_id: int) -> None:
        """For good."""
        self._link.chat("delete", {"conversation_id": conversation_id}, refused=self._fail)

    def export(self, conversation_id: int, path: Path) -> None:
        """Writes the conversation to a file, as Markdown."""

        def write(text: str) -> None:
            try:
                write_file(path, text.encode())
            except OSError as error:
                reason = self.tr("The chat cannot be saved in {path}: {reason}.")
                raise UserError(reason.format(path=path, reason=error.strerror)) from error

        def done(text: Any) -> None:
            self._link.run_aside(lambda: write(str(text)), failed=self._fail)

        self._link.chat("export", {"conversation_id": conversation_id}, done, self._fail)

    def dismiss_problem(self) -> None:
        self.problem = ""
        self.changed.emit()

    # Reading

    def _search(self) -> None:
        if self._typed != self.query:
            self.query = self._typed
            self._read()

    def _read(self) -> None:
        """The list from its beginning."""
        self._asked += 1
        asked, query = self._asked, self.query

        def done(raw: Any) -> None:
            if asked != self._asked:
                return
            self.is_read, self._is_reading = True, False
            if query:
                words = tuple(query.split())
                found = [Entry(each.conversation, each.excerpt, each.message_id, words) for each in read_found(raw)]
                self.list.set_entries(found, has_more=False)
            else:
                entries = [Entry(each) for each in read_conversations(raw)]
                self.list.set_entries(entries, has_more=len(entries) == PAGE_CONVERSATIONS)
            self.changed.emit()

        self._is_reading = True
        if query:
            self._link.chat("search", {"query": query, "limit": _MOST_FOUND}, done, self._stop_reading)
        else:
            self._link.chat("recent", {"limit": PAGE_CONVERSATIONS}, done, self._stop_reading)

    def _read_more(self) -> None:
        if self._is_reading or not self.list.has_more:
            return
        self._is_reading = True
        asked = self._asked

        def done(raw: Any) -> None:
            if asked == self._asked:
                self._is_reading = False
                entries = [Entry(each) for each in read_conversations(raw)]
                self.list.add(entries, has_more=len(entries) == PAGE_CONVERSATIONS)

        arguments = {"limit": PAGE_CONVERSATIONS, "after": self.list.entries[-1].conversation.id}
        self._link.chat("recent", arguments, done, self._stop_reading)

    def _stop_reading(self, reason: str) -> None:
        self._is_reading = False
        self.list.has_more = False
        if self._link.connection is Connection.CONNECTED:
            self._fail(reason)

    # What the worker tells

    def _take_connection(self) -> None:
        is_connected = self._link.connection is Connection.CONNECTED
        if is_connected and not self._was_connected:
            for conversation_id in tuple(self.list.answered):
                self.list.set_answered(conversation_id, False)
            self._read()
        self._was_connected = is_connected
        self.changed.emit()

    def _take_event(self, event: ChatEvent) -> None:
        data = event.data
        match event.event:
            case "conversation_changed" if data["conversation"] is None:
                self.list.remove(data["conversation_id"])
                self.changed.emit()
            case "conversation_changed":
                self._take_changed(read_conversation(data["conversation"]))
            case "answer_began":
                self.list.set_answered(data["conversation_id"], True)
            case "answer_ended":
                self.list.set_answered(data["conversation_id"], False)
            case "events_lost":
                self._read()

    def _take_changed(self, conversation: Conversation) -> None:
        row = self.list.row(conversation.id)
        known = None if row is None else self.list.entries[row].conversation
        if self.is_searching:
            if row is not None:  # what was found stays where it is
                self.list.update_at(row, conversation)
        elif row is None or known is None or conversation.updated != known.updated:
            self.list.put_first(conversation)
        else:
            self.list.update_at(row, conversation)
        self.changed.emit()

    def _fail(self, reason: str) -> None:
        self.problem = translated(reason)
        self.changed.emit()
