"""The messages of the conversation that is open, as they are read from the worker and as its events tell of them.

What was shown is shown again when worker or channel come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from gui.viewmodels.chat_values import Conversation, Exchange, Message, read_branch, read_conversation
from gui.viewmodels.live_answers import LiveAnswers, Notice
from gui.viewmodels.message_history import MessageHistory
from gui.worker_link import Connection, WorkerLink
from volunteer.control.messages import ChatEvent

PAGE_MESSAGES = 100
"""Read at once: several screens full, and a few milliseconds of work."""
_SOUGHT_MESSAGES = 500
"""Read at once on the way to a message far up."""
REDRAW_MS = 100
"""Between two looks at an answer that grows: tokens come faster than anybody reads."""


class OpenConversation(QObject):
    reset = Signal()
    """All messages are other ones."""
    earlier_read = Signal(int)
    """So many messages were put before the first one."""
    end_changed = Signal(int)
    """The messages from this index on are other ones."""
    message_changed = Signal(int)
    """One message; while its answer grows, at most every `REDRAW_MS`."""
    revealed = Signal(int)
    """This message is to be brought into view."""
    changed = Signal()
    """Which conversation it is, or what is known of it, or whether it is being answered."""
    failed = Signal(str)
    """It cannot be read, and was closed."""

    def __init__(self, link: WorkerLink, parent: QObject):
        super().__init__(parent)
        self._link = link
        self._history = MessageHistory()
        self._live = LiveAnswers()
        self._reading = 0
        """Counts what was asked to be read: what an earlier request brings is of no use any more."""
        self._is_reading_earlier = False
        self._wanted_message: int | None = None
        self._is_connected = False
        self._grown: set[int] = set()
        self._redraw = QTimer(self, interval=REDRAW_MS, singleShot=True)
        self._redraw.timeout.connect(self._show_grown)
        self.id: int | None = None
        self.conversation: Conversation | None = None
        self.is_read = False
        self.is_asking = False
        """Another part of the window has asked here, and will hand over what began."""
        link.chat_happened.connect(self._take_event)
        link.connection_changed.connect(self._take_connection)
        self._take_connection()

    @property
    def messages(self) -> list[Message]:
        return self._history.messages

    @property
    def has_earlier(self) -> bool:
        return self._history.has_earlier

    @property
    def growing(self) -> Message | None:
        """The answer that grows here."""
        last = self.messages[-1] if self.messages else None
        return last if last is not None and last.is_growing else None

    def find(self, message_id: int) -> Message | None:
        """Of those that were read."""
        index = self._history.index(message_id)
        return None if index is None else self.messages[index]

    def notices(self, message_id: int) -> tuple[Notice, ...]:
        answer = self._live.get(message_id)
        return () if answer is None else tuple(answer.notices.values())

    # Reading

    def close(self) -> None:
        self._leave()
        self.reset.emit()
        self.changed.emit()

    def open(self, conversation_id: int, message_id: int | None = None) -> None:
        """Shows the end of a conversation, or one of its messages."""
        if conversation_id != self.id:
            self._leave()
            self.id = conversation_id
            self.reset.emit()
            self.changed.emit()
        self._wanted_message = message_id
        if self.is_read:
            self._seek()
        else:
            self.read_end()

    def take_new(self, conversation: Conversation) -> None:
        """Opens a conversation that was made just now, and has no messages."""
        self._leave()
        self.id, self.conversation, self.is_read = conversation.id, conversation, True
        self.changed.emit()

    def begin(self, exchange: Exchange) -> None:
        """Takes a question and its answer, which was asked for here."""
        self._live.begin(exchange.conversation.id, exchange.answer.id)
        self.conversation = exchange.conversation
        first = self._history.begin(exchange)
        self._refresh(len(self.messages) - 1)
        self.end_changed.emit(first)
        self.changed.emit()

    def read_earlier(self, limit: int = PAGE_MESSAGES) -> None:
        """The page of messages before the first one."""
        if not self.has_earlier or self._is_reading_earlier or not self._is_connected:
            return
        self._is_reading_earlier = True
        reading = self._reading

        def done(raw: Any) -> None:
            if reading == self._reading:
                self._is_reading_earlier = False
                self._take_earlier(raw)

        def refused(_: str) -> None:
            if reading == self._reading:
                self._is_reading_earlier = False
                self._wanted_message = None

        arguments = {"conversation_id": self.id, "limit": limit, "before": self.messages[0].id}
        self._link.chat("open", arguments, done, refused)

    def read_end(self, message_id: int | None = None) -> None:
        """Reads the end again, where it may be another than it was, and brings a message into view."""
        if message_id is not None:
            self._wanted_message = message_id
        if self.id is None or not self._is_connected:
            return
        self._reading += 1
        self._is_reading_earlier = False
        reading = self._reading

        def done(raw: Any) -> None:
            if reading == self._reading:
                self._take_end(raw)

        def refused(reason: str) -> None:
            if reading == self._reading and self._is_connected:
                self.close()
                self.failed.emit(reason)

        self._link.chat("open", {"conversation_id": self.id, "limit": PAGE_MESSAGES}, done, refused)

    def _leave(self) -> None:
        self._reading += 1
        self._history.clear()
        self._grown.clear()
        self.id = self.conversation = self._wanted_message = None
        self.is_read = self.is_asking = self._is_reading_earlier = False

    def _take_end(self, raw: Any) -> None:
        branch = read_branch(raw)
        self.conversation = branch.conversation
        messages = [self._live.read(message) for message in branch.messages]
        first = self._history.read_end(messages, has_earlier=branch.has_earlier)
        was_read, self.is_read = self.is_read, True
        if first is None or not was_read:
            self.reset.emit()
        else:
            self.end_changed.emit(first)
        self.changed.emit()
        self._seek()

    def _take_earlier(self, raw: Any) -> None:
        branch = read_branch(raw)
        number = self._history.read_earlier(branch.messages, has_earlier=branch.has_earlier)
        if number:
            self.earlier_read.emit(number)
        self._seek()

    def _seek(self) -> None:
        """Brings the wanted message into view, reading up to it. One of another branch is not there to be found."""
        wanted = self._wanted_message
        if wanted is None:
            return
        index = self._history.index(wanted)
        if index is None and self.has_earlier and self.messages and self.messages[0].id > wanted:
            self.read_earlier(_SOUGHT_MESSAGES)
            return
        self._wanted_message = None
        if index is not None:
            self.revealed.emit(index)

    # What the worker tells

    def _take_connection(self) -> None:
        was_connected, self._is_connected = self._is_connected, self._link.connection is Connection.CONNECTED
        if self._is_connected and not was_connected:
            self.read_end()
        elif was_connected and not self._is_connected:
            self._reading += 1
            self._live.clear()
            self.is_asking = self._is_reading_earlier = False
            self.changed.emit()

    def _take_event(self, event: ChatEvent) -> None:
        data = event.data
        match event.event:
            case "answer_began":
                self._take_began(data)
            case "answer_text":
                if not self._live.grow(data["message_id"], data["offset"], data["piece"]):
                    self._read_if_open(data)
                self._mark(data["message_id"])
            case "answer_ended":
                self._take_ended(data)
            case "answer_notice":
                self._live.notice(data["message_id"], data["kind"], data["text"])
                self._mark(data["message_id"])
            case "answer_route":
                self._live.measure(data["message_id"], data)
                self._mark(data["message_id"])
            case "conversation_changed":
                self._take_change(data)
            case "events_lost":
                self._live.clear()
                self.read_end()

    def _take_began(self, data: Mapping[str, Any]) -> None:
        self._live.begin(data["conversation_id"], data["message_id"])
        is_known = self._history.index(data["message_id"]) is not None
        if not is_known and not self.is_asking:
            self._read_if_open(data)  # asked elsewhere, as on the command line

    def _take_ended(self, data: Mapping[str, Any]) -> None:
        message_id = data["message_id"]
        is_whole = self._live.end(message_id, data["state"], data["note"], data["length"], data["figures"])
        if not is_whole:
            self._read_if_open(data)
        if self._show(message_id):
            self.changed.emit()

    def _take_change(self, data: Mapping[str, Any]) -> None:
        if data["conversation_id"] != self.id:
            return
        if data["conversation"] is None:
            self.close()
        else:
            self.conversation = read_conversation(data["conversation"])
            self.changed.emit()

    def _read_if_open(self, data: Mapping[str, Any]) -> None:
        if data["conversation_id"] == self.id:
            self.read_end()

    # Answers that grow

    def _mark(self, message_id: int) -> None:
        if self._history.index(message_id) is not None:
            self._grown.add(message_id)
            if not self._redraw.isActive():
                self._redraw.start()

    def _show_grown(self) -> None:
        grown, self._grown = self._grown, set()
        for message_id in grown:
            self._show(message_id)

    def _show(self, message_id: int) -> bool:
        index = self._history.index(message_id)
        if index is None:
            return False
        self._refresh(index)
        self.message_changed.emit(index)
        return True

    def _refresh(self, index: int) -> None:
        self._history.replace(index, self._live.read(self.messages[index]))
