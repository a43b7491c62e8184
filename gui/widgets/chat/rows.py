"""A conversation as the rows of the message list: what is shown of a message, in parts small enough to draw at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gui.viewmodels.chat_values import Message, Role
from gui.viewmodels.live_answers import Notice
from gui.viewmodels.markdown_segments import Kind, Segment, grown, is_dense, segments

_QUESTION_PART, _DENSE_PART = 4_000, 1_200
"""Characters of a question in one row: a pasted book is as quick to show as a sentence."""


class RowKind(StrEnum):
    QUESTION = "question"
    QUESTION_FOOT = "question foot"
    PROSE = "prose"
    CODE = "code"
    ANSWER_FOOT = "answer foot"


@dataclass(frozen=True, slots=True)
class Row:
    """
    Attributes:
        part: which one in the message.
        is_end: of a question, whether this is its last part.
        message: of a foot alone, so that text which was drawn is not drawn anew when something else changes.
        is_last: of a foot, whether nothing follows it in the conversation.
    """

    message_id: int
    kind: RowKind
    part: int = 0
    text: str = ""
    language: str = ""
    is_end: bool = True
    message: Message | None = None
    notices: tuple[Notice, ...] = ()
    is_last: bool = False

    @property
    def key(self) -> tuple[int, RowKind, int]:
        return self.message_id, self.kind, self.part


class MessageRows:
    """Makes the rows of messages, and those of an answer that grows from those that it had."""

    def __init__(self) -> None:
        self._segments: dict[int, tuple[str, tuple[Segment, ...]]] = {}

    def rows(self, message: Message, notices: tuple[Notice, ...], *, is_last: bool) -> tuple[Row, ...]:
        if message.role is Role.USER:
            return (*_question_rows(message), Row(message.id, RowKind.QUESTION_FOOT, message=message, is_last=is_last))
        found = self._cut(message)
        parts = tuple(
            Row(
                message.id,
                RowKind.CODE if segment.kind is Kind.CODE else RowKind.PROSE,
                part,
                segment.text,
                segment.language,
            )
            for part, segment in enumerate(found)
        )
        foot = Row(message.id, RowKind.ANSWER_FOOT, message=message, notices=notices, is_last=is_last)
        return (*parts, foot)

    def clear(self) -> None:
        self._segments.clear()

    def _cut(self, message: Message) -> tuple[Segment, ...]:
        text, known = self._segments.pop(message.id, ("", ()))
        found = grown(known, message.text) if text and message.text.startswith(text) else segments(message.text)
        if message.is_growing:
            self._segments[message.id] = message.text, found
        return found


def _question_rows(message: Message) -> tuple[Row, ...]:
    parts = question_parts(message.text)
    return tuple(
        Row(message.id, RowKind.QUESTION, part, text, is_end=part == len(parts) - 1) for part, text in enumerate(parts)
    )


def question_parts(text: str) -> tuple[str, ...]:
    """Cut between lines or words where it is long."""
    most = _DENSE_PART if is_dense(text[:_DENSE_PART]) else _QUESTION_PART
    parts = []
    start = 0
    while len(text) - start > most:
        end = max(text.rfind(gap, start + 1, start + most) for gap in "\n ")
        end = start + most if end < 0 else end + 1
        parts.append(text[start:end].removesuffix("\n"))
        start = end
    return (*parts, text[start:])


def height_guess(row: Row, *, characters_per_line: int, line_px: float) -> float:
    """Before it was drawn once: near enough for a scroll bar."""
    match row.kind:
        case RowKind.QUESTION_FOOT | RowKind.ANSWER_FOOT:
            return 2 * line_px
        case RowKind.CODE:
            return (row.text.count("\n") + 4) * line_px
        case _:
            lines = row.text.count("\n") + len(row.text) / max(1, characters_per_line) + 1
            return lines * line_px


def changed_span(old: Sequence[Row], new: Sequence[Row]) -> tuple[int, int]:
    """How many rows at the beginning, and at the end of both, are the same."""
    most = min(len(old), len(new))
    before = next((i for i in range(most) if old[i] != new[i]), most)
    after = next((i for i in range(most - before) if old[-1 - i] != new[-1 - i]), most - before)
    return before, after
