"""What the worker's chats consist of, as the window reads them from the control channel.

The worker's own classes cannot be used here: they come with numpy. Fields that a newer worker adds are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


class AnswerState(StrEnum):
    COMPLETE = "complete"
    GROWING = "growing"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Conversation:
    id: int
    title: str
    model: str
    system_prompt: str
    sampling: Mapping[str, Any]
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class Hop:
    """Blocks [start, end) computed by one server."""

    peer_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What an answer took; None and empty where it is not known."""

    tokens: int | None = None
    tokens_per_s: float | None = None
    first_token_s: float | None = None
    route: tuple[Hop, ...] = ()
    spent_points: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    id: int
    conversation_id: int
    parent_id: int | None
    role: Role
    text: str
    state: AnswerState
    note: str
    created: float
    figures: Figures
    versions: tuple[int, ...]
    """All messages in this place, this one among them, the oldest first."""

    @property
    def is_growing(self) -> bool:
        return self.state is AnswerState.GROWING

    @property
    def version(self) -> int:
        """Which of `versions` this is, from 1 on."""
        return self.versions.index(self.id) + 1 if self.id in self.versions else 1


@dataclass(frozen=True, slots=True)
class Branch:
    """A conversation and the end of its current branch, or a part of it further up."""

    conversation: Conversation
    messages: tuple[Message, ...]
    has_earlier: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation that a search found; `message_id` is None if the words are in its title alone."""

    conversation: Conversation
    message_id: int | None
    excerpt: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer that has just begun."""

    conversation: Conversation
    question: Message
    answer: Message


# Read by pydantic, which is several times quicker than Python: a page of a long history is read in the window's thread.

_CONVERSATION = TypeAdapter(Conversation)
_CONVERSATIONS = TypeAdapter(tuple[Conversation, ...])
_FOUND = TypeAdapter(tuple[Found, ...])
_BRANCH = TypeAdapter(Branch)
_EXCHANGE = TypeAdapter(Exchange)
_FIGURES = TypeAdapter(Figures)


def read_conversation(raw: Any) -> Conversation:
    """Raises ValueError, as all of these: it is none."""
    return _CONVERSATION.validate_python(raw)


def read_conversations(raw: Any) -> tuple[Conversation, ...]:
    return _CONVERSATIONS.validate_python(raw)


def read_found(raw: Any) -> tuple[Found, ...]:
    return _FOUND.validate_python(raw)


def read_branch(raw: Any) -> Branch:
    return _BRANCH.validate_python(raw)


def read_exchange(raw: Any) -> Exchange:
    return _EXCHANGE.validate_python(raw)


def read_figures(raw: Any) -> Figures:
    return _FIGURES.validate_python(raw)
