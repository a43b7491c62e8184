"""The messages of one conversation that were read so far: its end, and what was loaded before that. No Qt in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gui.viewmodels.chat_values import AnswerState, Exchange, Message


class MessageHistory:
    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.has_earlier = False
        self._index: dict[int, int] = {}

    def index(self, message_id: int) -> int | None:
        return self._index.get(message_id)

    def clear(self) -> None:
        self._set([], has_earlier=False)

    def read_end(self, messages: Sequence[Message], *, has_earlier: bool) -> int | None:
        """Takes the end of the branch as it was read; returns from which message on it is another than before.

        None: nothing of what was there goes on to it, and all is new.
        """
        first = self._index.get(messages[0].id) if messages else None
        if first is None:
            self._set(list(messages), has_earlier=has_earlier)
            return None
        kept = self.messages[first:]
        new = [_with_what_was_shown(message, self.messages, self._index) for message in messages]
        same = next(
            (i for i, (one, other) in enumerate(zip(kept, new, strict=False)) if one != other),
            min(len(kept), len(new)),
        )
        self._set(self.messages[:first] + new, has_earlier=self.has_earlier if first else has_earlier)
        return first + same

    def read_earlier(self, messages: Sequence[Message], *, has_earlier: bool) -> int:
        """Puts the page before the first message in front; returns how many messages that are."""
        fits = bool(messages and self.messages) and self.messages[0].parent_id == messages[-1].id
        if not fits:  # the branch was changed meanwhile
            self.has_earlier = has_earlier and not messages
            return 0
        self._set([*messages, *self.messages], has_earlier=has_earlier)
        return len(messages)

    def begin(self, exchange: Exchange) -> int:
        """Puts a question and its answer behind what they follow; returns the index of the question."""
        parent = exchange.question.parent_id
        before = self._index.get(parent) if parent is not None else None
        kept = 0 if before is None else before + 1
        question = exchange.question
        self._set(
            [*self.messages[:kept], question, exchange.answer], has_earlier=self.has_earlier and parent is not None
        )
        return kept

    def replace(self, index: int, message: Message) -> None:
        self.messages[index] = message

    def _set(self, messages: list[Message], *, has_earlier: bool) -> None:
        self.messages = messages
        self.has_earlier = has_earlier
        self._index = {message.id: index for index, message in enumerate(messages)}


def _with_what_was_shown(message: Message, shown: Sequence[Message], index: dict[int, int]) -> Message:
    """A worker that was killed did not save its last half second; what was seen of that is not taken away again."""
    if message.state is not AnswerState.INTERRUPTED or message.id not in index:
        return message
    known = shown[index[message.id]].text
    return replace(message, text=known) if known.startswith(message.text) else message
