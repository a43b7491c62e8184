"""What a conversation consists of, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from volunteer.client.routing import Hop
from volunteer.errors import UserError


class NotFound(UserError):
    """There is no such conversation or message, or no longer."""


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


class State(StrEnum):
    COMPLETE = "complete"
    GROWING = "growing"
    STOPPED = "stopped"
    """By its owner."""
    INTERRUPTED = "interrupted"
    """The program ended before the answer did."""
    FAILED = "failed"


@dataclass(frozen=True)
class Conversation:
    id: int
    title: str
    model: str
    system_prompt: str
    sampling: Mapping[str, Any]
    """By the names of `Sampling`; what is not in it has its default."""
    created: float
    updated: float


@dataclass(frozen=True)
class Figures:
    """What an answer took; None and empty where it is not known."""

    tokens: int | None = None
    tokens_per_s: float | None = None
    first_token_s: float | None = None
    route: tuple[Hop, ...] = ()
    spent_points: float | None = None


@dataclass(frozen=True)
class Message:
    id: int
    conversation_id: int
    parent_id: int | None
    role: Role
    text: str
    state: State
    note: str
    """A sentence to show with it: why it failed, or what the model was not given."""
    created: float
    figures: Figures
    versions: tuple[int, ...]
    """All messages in this place, this one among them, the oldest first."""


@dataclass(frozen=True)
class Branch:
    """A conversation and the end of its current branch, or a part of it further up."""

    conversation: Conversation
    messages: tuple[Message, ...]
    has_earlier: bool


@dataclass(frozen=True)
class Found:
    """A conversation in which all words of a search occur, in its title or together in one of its messages."""

    conversation: Conversation
    message_id: int | None
    """The newest such message, of any branch; None if it is the title alone."""
    excerpt: str


@dataclass(frozen=True)
class Exchange:
    """A question and its answer that has just begun."""

    conversation: Conversation
    question: Message
    answer: Message
