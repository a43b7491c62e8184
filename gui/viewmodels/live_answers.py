"""Answers that grow, as the worker's events tell them: text with offsets, notices, figures, the end. No Qt in here.

What `open` reads and what events say come by two ways and in either order; both are beginnings of the same text, so
the longer one holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gui.viewmodels.chat_values import AnswerState, Figures, Message, read_figures

_KEPT_ENDED = 32
"""Ended answers that are remembered: a page that was read before the end may arrive after it."""


@dataclass(frozen=True)
class Notice:
    """Something to say about an answer that grows.

    Attributes:
        kind: context, route or disk.
        since_s: when it was said first, by the monotonic clock.
    """

    kind: str
    text: str
    since_s: float


@dataclass
class LiveAnswer:
    conversation_id: int
    text: str = ""
    figures: Figures = field(default_factory=Figures)
    notices: dict[str, Notice] = field(default_factory=dict)
    state: AnswerState = AnswerState.GROWING
    note: str = ""

    def applied_to(self, message: Message) -> Message:
        """`message` as it was read, with what is known beyond that."""
        if not message.is_growing:
            return message
        text = max(message.text, self.text, key=len)
        return replace(message, text=text, state=self.state, note=self.note, figures=self.figures)


class LiveAnswers:
    """All answers that grow, of whatever conversation, by message id; and those that ended just now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._answers: dict[int, LiveAnswer] = {}

    def get(self, message_id: int) -> LiveAnswer | None:
        return self._answers.get(message_id)

    def clear(self) -> None:
        self._answers.clear()

    def begin(self, conversation_id: int, message_id: int) -> None:
        self._answers.setdefault(message_id, LiveAnswer(conversation_id))

    def grow(self, message_id: int, offset: int, piece: str) -> bool:
        """False: something between what is known and `offset` was not heard."""
        answer = self._answers.get(message_id)
        if answer is None or offset > len(answer.text):
            return False
        if offset + len(piece) > len(answer.text):
            answer.text = answer.text[:offset] + piece
        return True

    def read(self, message: Message) -> Message:
        """A message as `open` gave it, with what is known beyond that. What it tells is known from now on."""
        answer = self._answers.get(message.id)
        if answer is None:
            if message.is_growing:
                self._answers[message.id] = LiveAnswer(message.conversation_id, message.text)
            return message
        if message.is_growing and len(message.text) > len(answer.text):
            answer.text = message.text
        return answer.applied_to(message)

    def notice(self, message_id: int, kind: str, text: str) -> None:
        answer = self._answers.get(message_id)
        if answer is None:
            return
        if text:
            known = answer.notices.get(kind)
            answer.notices[kind] = Notice(kind, text, self._clock() if known is None else known.since_s)
        else:
            answer.notices.pop(kind, None)

    def measure(self, message_id: int, raw: Mapping[str, Any]) -> None:
        """Raises ValueError: these are no figures."""
        answer = self._answers.get(message_id)
        if answer is not None and answer.state is AnswerState.GROWING:
            answer.figures = read_figures(raw)

    def end(self, message_id: int, state: str, note: str, length: int, figures: Mapping[str, Any]) -> bool:
        """False: its text was not heard to the end. Raises ValueError: this is no end."""
        answer = self._answers.get(message_id)
        if answer is None:
            return False
        answer.state, answer.note = AnswerState(state), note
        measured = read_figures(figures)
        if measured != Figures():  # of an answer that failed or was given up, what was seen of it is all there is
            answer.figures = measured
        answer.notices.clear()
        self._forget_old()
        return len(answer.text) == length

    def _forget_old(self) -> None:
        ended = [key for key, answer in self._answers.items() if answer.state is not AnswerState.GROWING]
        for key in ended[:-_KEPT_ENDED]:
            del self._answers[key]
