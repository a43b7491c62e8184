"""What watchers of the chats are told, and how: each at its own speed, without slowing an answer or filling the memory.

All of it lives in one event loop. Knows neither where answers come from nor where they are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from volunteer.client.conversation_values import Conversation, Figures, State
from volunteer.client.routing import Hop

MAX_PENDING = 256
"""What one watcher may leave unread; text counts once for each answer, however long it is."""


@dataclass(frozen=True)
class AnswerBegan:
    conversation_id: int
    question_id: int
    message_id: int
    """Of the answer."""


@dataclass(frozen=True)
class AnswerText:
    """The text of an answer from `offset` on, in characters (Unicode code points). Pieces follow without a gap."""

    conversation_id: int
    message_id: int
    offset: int
    piece: str


@dataclass(frozen=True)
class AnswerRoute:
    """Where an answer that grows is computed, and how quickly; told when that changes, at most twice a second."""

    conversation_id: int
    message_id: int
    route: tuple[Hop, ...]
    tokens: int
    tokens_per_s: float
    first_token_s: float | None
    """From the question to the first new token; None until that came."""


@dataclass(frozen=True)
class AnswerEnded:
    conversation_id: int
    message_id: int
    state: State
    note: str
    """A sentence: why it failed, or what the model was not given."""
    length: int
    """Characters of the whole text."""
    figures: Figures
    is_saved: bool
    """False while the disk does not take it; it is tried again."""


class NoticeKind(StrEnum):
    CONTEXT = "context"
    """The model is not given the whole conversation."""
    ROUTE = "route"
    """Some blocks are not served, and the answer waits for them."""
    DISK = "disk"
    """The answer cannot be saved at the moment."""


@dataclass(frozen=True)
class AnswerNotice:
    """Something to say about an answer that grows; an empty text takes back what was said of this kind."""

    conversation_id: int
    message_id: int
    kind: NoticeKind
    text: str


@dataclass(frozen=True)
class ConversationChanged:
    """A conversation is new, or its title, settings, branch or messages changed."""

    conversation_id: int
    conversation: Conversation | None
    """None: it was deleted."""


@dataclass(frozen=True)
class EventsLost:
    """The watcher read too slowly. What it shows must be read again; answers that grow are told anew after this."""


ChatEvent = AnswerBegan | AnswerText | AnswerRoute | AnswerEnded | AnswerNotice | ConversationChanged | EventsLost


@dataclass
class GrowingText:
    """An answer as its watchers see it."""

    began: AnswerBegan
    text: str = ""
    route: AnswerRoute | None = None
    notices: dict[NoticeKind, str] = field(default_factory=dict)


class Watchers:
    """Everyone who watches, and the answers that grow at the moment."""

    def __init__(self) -> None:
        self._growing: dict[int, GrowingText] = {}
        self._subscriptions: set[Subscription] = set()

    def subscribe(self) -> Subscription:
        """From now on; begins with the answers that grow, and their text so far."""
        subscription = Subscription(self._tell_growing, self._subscriptions.discard)
        self._subscriptions.add(subscription)
        return subscription

    def begin(self, began: AnswerBegan) -> GrowingText:
        growing = self._growing[began.message_id] = GrowingText(began)
        self.tell(began)
        return growing

    def grow(self, growing: GrowingText, piece: str) -> None:
        offset = len(growing.text)
        growing.text += piece
        for subscription in tuple(self._subscriptions):
            subscription.put_text(growing, offset)

    def route(self, growing: GrowingText, route: AnswerRoute) -> None:
        """Says it if it is another one than before."""
        if growing.route != route:
            growing.route = route
            self.tell(route)

    def notice(self, growing: GrowingText, kind: NoticeKind, text: str) -> None:
        """Says it once; an empty text if there was something to take back."""
        if growing.notices.get(kind, "") != text:
            growing.notices[kind] = text
            self.tell(_notice(growing, kind))

    def end(self, ended: AnswerEnded) -> None:
        self._growing.pop(ended.message_id, None)
        self.tell(ended)

    def tell(self, event: ChatEvent) -> None:
        for subscription in tuple(self._subscriptions):
            subscription.put(event)

    def close(self) -> None:
        """Each watcher still gets what it has not read, then its end."""
        for subscription in tuple(self._subscriptions):
            subscription.close()

    def _tell_growing(self, subscription: Subscription) -> None:
        for growing in self._growing.values():
            subscription.put(growing.began)
            if growing.text:
                subscription.put_text(growing, 0)
            if growing.route is not None:
                subscription.put(growing.route)
            for kind, text in growing.notices.items():
                if text:
                    subscription.put(_notice(growing, kind))


def _notice(growing: GrowingText, kind: NoticeKind) -> AnswerNotice:
    return AnswerNotice(growing.began.conversation_id, growing.began.message_id, kind, growing.notices[kind])


@dataclass
class _PendingText:
    """Where a watcher is in a text, which itself exists once: what comes meanwhile joins what was not read yet."""

    growing: GrowingText
    offset: int

    def event(self) -> AnswerText:
        began = self.growing.began
        return AnswerText(began.conversation_id, began.message_id, self.offset, self.growing.text[self.offset :])


class Subscription:
    """The events for one watcher: an asynchronous iterator for one reader, to be closed when nobody reads any more.

    Args:
        restart: puts into this subscription what one that begins now has to know.
        on_close: called once.
    """

    def __init__(self, restart: Callable[[Subscription], None], on_close: Callable[[Subscription], None]):
        self._restart = restart
        self._on_close = on_close
        self._pending: dict[object, ChatEvent | _PendingText] = {}  # in order
        self._count = 0
        self._is_closed = False
        self._is_restarting = False
        self._wake = asyncio.Event()
        restart(self)

    def put(self, event: ChatEvent) -> None:
        """Of the changes of one conversation, or route, that were not read, the last is enough, where the first was."""
        self._count += 1
        match event:
            case ConversationChanged(conversation_id=conversation_id):
                self._put(("changed", conversation_id), event)
            case AnswerRoute(message_id=message_id):
                self._put(("route", message_id), event)
            case _:
                self._put(("event", self._count), event)

    def put_text(self, growing: GrowingText, offset: int) -> None:
        """The text of `growing` from `offset` on, up to where it will be when this is read."""
        key = ("text", growing.began.message_id)
        if key not in self._pending:
            self._put(key, _PendingText(growing, offset))

    def close(self) -> None:
        """What was put is still given to the reader."""
        if not self._is_closed:
            self._is_closed = True
            self._on_close(self)
            self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChatEvent:
        while not self._pending:
            if self._is_closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        pending = self._pending.pop(next(iter(self._pending)))
        return pending.event() if isinstance(pending, _PendingText) else pending

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _put(self, key: object, entry: ChatEvent | _PendingText) -> None:
        if self._is_closed:
            return
        self._pending[key] = entry
        self._wake.set()
        if len(self._pending) > MAX_PENDING and not self._is_restarting:
            self._pending.clear()
            self._pending["lost"] = EventsLost()
            # Answers that grow are few; were they more than the limit, they would still have to be told.
            self._is_restarting = True
            self._restart(self)
            self._is_restarting = False
