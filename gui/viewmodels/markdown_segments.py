"""An answer in Markdown cut into pieces that can be shown each by itself, so that one which grows is drawn at its end
only. Pure, and stable: text that is added to an answer changes its last segments, and none of those before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class _Sizes(NamedTuple):
    """Of prose, in characters.

    Attributes:
        worth: after so many it is cut at the next gap between paragraphs.
        most: without such a gap it is cut between lines or words. What is drawn at once stays small.
    """

    worth: int
    most: int


_LETTERS = _Sizes(1_200, 4_000)
_IDEOGRAPHS = _Sizes(400, 1_200)
"""Each is a word, three times as wide, and ten times the work to lay out."""
_FIRST_IDEOGRAPH = "\u2e80"
_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})[ \t]*([^\n`]*)$")
_LANGUAGE = re.compile(r"[\w+#.-]{1,24}")


class Kind(StrEnum):
    PROSE = "prose"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an answer.

    Attributes:
        start: where it begins in the answer, in characters.
        text: Markdown for prose; for code, the lines between the fences.
        language: of code, as the fence says; may be empty.
    """

    kind: Kind
    start: int
    text: str
    language: str = ""


def segments(text: str, start: int = 0) -> tuple[Segment, ...]:
    """The segments from `start` on, which is 0 or where a segment begins."""
    found: list[Segment] = []
    while start < len(text):
        segment, start = _next(text, start)
        if segment.text.strip() or segment.kind is Kind.CODE:
            found.append(segment)
    return tuple(found)


def grown(known: tuple[Segment, ...], text: str) -> tuple[Segment, ...]:
    """The segments of `text`, of which the beginning was `known`."""
    # The last but one is looked at again, too: a line of three backticks may still become no fence.
    sure = known[:-2]
    return (*sure, *segments(text, known[len(sure)].start if known else 0))


def _next(text: str, start: int) -> tuple[Segment, int]:
    """The segment that begins at `start`, and where the one after it does."""
    line = _line(text, start)
    opening = _FENCE.match(line)
    if opening is not None:
        return _code(text, start, opening)
    end = _prose_end(text, start)
    return Segment(Kind.PROSE, start, text[start:end].strip("\n")), end


def _code(text: str, start: int, opening: re.Match[str]) -> tuple[Segment, int]:
    first = min(len(text), start + len(opening.group()) + 1)
    indent, fence, info = opening.groups()
    closing = re.compile(rf"^ {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$", re.MULTILINE)
    closed = closing.search(text, first)
    end = len(text) if closed is None else closed.start()
    code = re.sub(rf"^ {{1,{len(indent)}}}", "", text[first:end], flags=re.MULTILINE) if indent else text[first:end]
    language = _LANGUAGE.match(info.strip())
    segment = Segment(Kind.CODE, start, code.removesuffix("\n"), "" if language is None else language.group().lower())
    return segment, end if closed is None else min(len(text), closed.end() + 1)


def _prose_end(text: str, start: int) -> int:
    """Before the next fence, or where enough was read and nothing that belongs together is torn apart."""
    sizes = _sizes(text, start)
    position, after_gap = start, False
    while position < len(text):
        line = _line(text, position)
        if position > start:
            if _FENCE.match(line) is not None:
                return position
            # An indented line may go on with a list above the gap.
            if after_gap and line and not line[0].isspace() and position - start >= sizes.worth:
                return position
        if position + len(line) - start > sizes.most:
            return _torn(text, start, sizes)
        after_gap = not line.strip()
        position += len(line) + 1
    return len(text)


def _sizes(text: str, start: int) -> _Sizes:
    """By the first characters, which are all there before anything is cut."""
    return _IDEOGRAPHS if is_dense(text[start : start + _IDEOGRAPHS.worth]) else _LETTERS


def is_dense(text: str) -> bool:
    """It consists of ideographs more than of letters."""
    return sum(each >= _FIRST_IDEOGRAPH for each in text) > len(text) / 2


def _torn(text: str, start: int, sizes: _Sizes) -> int:
    """Where prose that does not end is cut: after its last line, word or character that there is room for."""
    most = start + sizes.most
    for gap in "\n", " ":
        found = text.rfind(gap, start + sizes.worth, most)
        if found > 0:
            return found + 1
    return most


def _line(text: str, start: int) -> str:
    end = text.find("\n", start)
    return text[start:] if end < 0 else text[start:end]
