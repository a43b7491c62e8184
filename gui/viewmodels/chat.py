"""The chat page: what is asked in the conversation that is open, by which options, and what stands in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from PySide6.QtCore import QObject, Signal

from gui.viewmodels.chat_memory import ChatMemory
from gui.viewmodels.chat_values import Message, Role, read_conversation, read_exchange
from gui.viewmodels.open_conversation import OpenConversation
from gui.viewmodels.sampling_fields import usual_sampling
from gui.viewmodels.server_table import Server
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.swarm import SwarmViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.worker_link import Connection, WorkerLink
from gui.worker_words import translated

_LOOPBACK = ("/ip4/127.", "/ip6/::1/")


class Page(StrEnum):
    """What there is to show."""

    NO_WORKER = "no worker"
    LOADING = "loading"
    NEW = "new"
    """Nothing was said yet."""
    TALK = "talk"


@dataclass(frozen=True)
class Options:
    """What answers are made by."""

    system_prompt: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """By the names of the worker's `Sampling`; what is not in it has its default."""


class ChatViewModel(QObject):
    """
    Attributes:
        talk: the conversation that is open, with its messages.
        problem: why the last thing that was asked for could not be done.
        editing: the question in whose place the next one is asked.
        servers: of the swarm, as they were seen last; `peer_names` of those that have a public name.
    """

    changed = Signal()
    """Anything but the messages."""
    sent = Signal()
    """The text that was handed in is the worker's now."""

    def __init__(
        self,
        link: WorkerLink,
        worker: WorkerViewModel,
        settings: SettingsViewModel,
        swarm: SwarmViewModel,
        parent: QObject,
    ):
        super().__init__(parent)
        self._link = link
        self._worker = worker
        self._settings = settings
        self._swarm = swarm
        self._memory = ChatMemory(link, self)
        self._held_text = ""
        """Waits until the notice was read."""
        self._has_agreed = False
        """Until the settings say so, too."""
        self._is_restoring = False
        self._visit = 0
        """Counts the conversations that were looked at: answers to what was asked in an earlier one change nothing."""
        self._new_options: Options | None = None
        self.talk = OpenConversation(link, self)
        self.problem = ""
        self.editing: Message | None = None
        self.servers: tuple[Server, ...] = ()
        self.peer_names: dict[str, str] = {}
        self.talk.changed.connect(self._take_talk)
        self.talk.failed.connect(self._fail_to_read)
        swarm.changed.connect(self._take_swarm)
        link.connection_changed.connect(self.changed)
        worker.changed.connect(self.changed)
        settings.changed.connect(self.changed)
        self._take_swarm()
        self._memory.read(self._restore)

    # What is shown

    @property
    def page(self) -> Page:
        if self.talk.is_read:
            return Page.TALK if self.talk.messages else Page.NEW
        if not self.is_connected:
            return Page.NO_WORKER
        return Page.NEW if self.talk.id is None else Page.LOADING

    @property
    def is_connected(self) -> bool:
        return self._link.connection is Connection.CONNECTED

    @property
    def can_start_worker(self) -> bool:
        return self._link.connection in (Connection.OFF, Connection.GAVE_UP, Connection.ENDED)

    @property
    def connection_words(self) -> str:
        """Why nothing can be asked now; empty while it can."""
        match self._link.connection:
            case Connection.CONNECTED:
                return ""
            case Connection.OFF:
                return self.tr("The background program that talks to the swarm is not running.")
            case Connection.STARTING:
                return self.tr("The background program is starting.")
            case Connection.RESTARTING:
                return self.tr("The background program ended by itself and is being started again.")
            case Connection.GAVE_UP:
                reason = self._worker.connection_reason
                return reason or self.tr("The background program ended by itself too often.")
            case _:
                return self.tr("The background program has ended.")

    @property
    def title(self) -> str:
        if self.talk.conversation is None:
            return self.tr("New chat")
        return self.talk.conversation.title or self.tr("New chat")

    @property
    def model(self) -> str:
        """The one that answers: that of the swarm which this computer is in."""
        status = self._worker.status
        return status.model if status is not None and status.model else self._settings.settings.serving.model or ""

    @property
    def private_swarm(self) -> str | None:
        """Its name; None where everybody can join."""
        return self._settings.settings.serving.private_swarm

    @property
    def is_practice(self) -> bool:
        """The swarm has no way out of this computer."""
        addresses = self._settings.settings.serving.host_maddrs
        return bool(addresses) and all(each.startswith(_LOOPBACK) for each in addresses)

    @property
    def own_peer_id(self) -> str | None:
        return self._worker.status.peer_id if self._worker.status is not None else None

    @property
    def is_answering(self) -> bool:
        return self.talk.growing is not None

    @property
    def can_ask(self) -> bool:
        is_ready = self.talk.is_read or self.talk.id is None
        return self.is_connected and is_ready and not self.talk.is_asking and not self.is_answering

    @property
    def is_notice_shown(self) -> bool:
        """A question waits until its owner has read what peers can do with it."""
        return bool(self._held_text)

    @property
    def options(self) -> Options:
        conversation = self.talk.conversation
        if conversation is None:
            return self._new_options or Options(sampling=usual_sampling(self.model))
        return Options(conversation.system_prompt, conversation.sampling)

    @property
    def draft(self) -> str:
        """What was typed in this conversation and not sent."""
        return self._memory.drafts.get(self.talk.id, "")

    def keep_draft(self, text: str) -> None:
        if text != self.draft:
            self._memory.set_draft(self.talk.id, text)

    # What is done

    def new(self) -> None:
        """An empty conversation, which the worker is told of with the first question."""
        self._turn_away()
        self._new_options = None
        self.talk.close()

    def open(self, conversation_id: int, message_id: int | None = None) -> None:
        """Shows the end of a conversation, or one of its messages."""
        if conversation_id != self.talk.id:
            self._turn_away()
        self.talk.open(conversation_id, message_id)

    def send(self, text: str) -> None:
        """Asks, or asks anew in the place of the question that is being edited. `sent` follows if it was taken."""
        if not text.strip() or not self.can_ask:
            return
        self.problem = ""
        if self._wants_notice():
            self._held_text = text
        elif self.editing is not None:
            self._begin("edit", {"message_id": self.editing.id, "text": text})
        elif self.talk.id is None:
            self._create(text)
        else:
            self._begin("ask", {"conversation_id": self.talk.id, "text": text})
        self.changed.emit()

    def answer_notice(self, *, agreed: bool) -> None:
        """The text that waited is sent, or stays in the field."""
        text, self._held_text = self._held_text, ""
        if agreed:
            self._has_agreed = True
            self._settings.set("app.chat_notice_seen", "true")
            self.send(text)
        self.changed.emit()

    def edit(self, message_id: int) -> None:
        """The next text that is sent takes the place of this question."""
        message = self.talk.find(message_id)
        if message is not None and message.role is Role.USER:
            self.editing = message
            self.changed.emit()

    def cancel_edit(self) -> None:
        self.editing = None
        self.changed.emit()

    def regenerate(self, message_id: int) -> None:
        """Answers anew; the earlier answer is kept as another version."""
        if self.can_ask:
            self._begin("regenerate", {"message_id": message_id})
            self.changed.emit()

    def choose(self, message_id: int) -> None:
        """Shows another version of a message, and what came after it."""
        if self.can_ask:
            talk = self.talk
            self._link.chat("choose", {"message_id": message_id}, lambda _: talk.read_end(message_id), self._fail)

    def stop(self) -> None:
        """The answer that grows is ended and kept as far as it came."""
        if self.is_answering:
            self._link.chat("stop", {"conversation_id": self.talk.id}, refused=self._fail)

    def configure(self, options: Options) -> None:
        """For the answers to come."""
        if self.talk.id is None:
            self._new_options = options
            self.changed.emit()
            return
        arguments = {
            "conversation_id": self.talk.id,
            "system_prompt": options.system_prompt,
            "sampling": dict(options.sampling),
        }
        self._link.chat("configure", arguments, refused=self._fail)

    def start_worker(self) -> None:
        self._link.start()

    def dismiss_problem(self) -> None:
        self.problem = ""
        self.changed.emit()

    def _turn_away(self) -> None:
        self._visit += 1
        self._is_restoring = False
        self.editing = None
        self.problem = self._held_text = ""

    def _wants_notice(self) -> bool:
        is_told = self._has_agreed or self._settings.settings.app.chat_notice_seen
        return not (is_told or self.private_swarm or self.is_practice)

    def _create(self, text: str) -> None:
        visit, options = self._visit, self.options

        def done(raw: Any) -> None:
            if visit != self._visit:
                return
            conversation = read_conversation(raw)
            self._memory.set_draft(conversation.id, self._memory.drafts.get(None, ""))
            self._memory.set_draft(None, "")
            self.talk.take_new(conversation)
            self._begin("ask", {"conversation_id": conversation.id, "text": text})

        arguments = {
            "model": self.model or self.tr("unknown model"),
            "system_prompt": options.system_prompt,
            "sampling": dict(options.sampling),
        }
        self.talk.is_asking = True
        self._link.chat("create", arguments, done, self._fail)

    def _begin(self, action: str, arguments: dict[str, Any]) -> None:
        visit, conversation_id = self._visit, self.talk.id

        def done(raw: Any) -> None:
            if action != "regenerate":
                self._memory.set_draft(conversation_id, "")
            if visit != self._visit:
                return
            self.talk.is_asking = False
            self.talk.begin(read_exchange(raw))
            if action != "regenerate":
                self.editing = None
                self.sent.emit()
            self.changed.emit()

        self.talk.is_asking = True
        self._link.chat(action, arguments, done, self._fail)

    def _take_talk(self) -> None:
        self._memory.set_conversation(self.talk.id)
        self.changed.emit()

    def _restore(self) -> None:
        """Shows again what was open when the window was closed."""
        if self.talk.id is None and self._memory.conversation_id is not None:
            self._is_restoring = True
            self.talk.open(self._memory.conversation_id)
        self.changed.emit()

    def _fail_to_read(self, reason: str) -> None:
        if self._is_restoring:  # it was deleted meanwhile, as on another day
            self._is_restoring = False
            self.changed.emit()
        else:
            self._fail(reason)

    def _fail(self, reason: str) -> None:
        self.talk.is_asking = False
        self.problem = translated(reason)
        self.changed.emit()

    def _take_swarm(self) -> None:
        if self._swarm.servers != self.servers:
            self.servers = self._swarm.servers
            self.peer_names = {server.peer_id: server.name for server in self.servers if server.name}
            self.changed.emit()
