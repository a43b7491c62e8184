"""Texts of conversations: what is taken, titles, words of a search and what is shown of its results. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from volunteer.errors import UserError

MAX_TEXT_LENGTH = 200_000
"""Characters of a question or a system prompt: several times what the longest sessions of servers hold."""
MAX_TITLE_LENGTH = 200
_MADE_TITLE_LENGTH = 48
_MAX_QUERY_LENGTH = 1_000
_MAX_QUERY_WORDS = 16
_EXCERPT_LENGTH = 120


class TooLong(UserError):
    """A text is longer than this program takes, or the model can read."""


def well_formed(text: str) -> str:
    """Without halves of characters: UTF-16's surrogates, which neither tokenizers nor files in UTF-8 take.

    Two halves that belong together are joined, others become U+FFFD.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def checked_text(text: str) -> str:
    """Any text up to `MAX_TEXT_LENGTH` characters, well formed.

    Raises:
        TooLong: it has more.
    """
    if len(text) > MAX_TEXT_LENGTH:
        raise TooLong(f"The text has {len(text):,} characters; at most {MAX_TEXT_LENGTH:,} are taken.")
    return well_formed(text)


def checked_title(text: str) -> str:
    """In one line, without control characters, cut after `MAX_TITLE_LENGTH` characters."""
    return _one_line(text[: 2 * MAX_TITLE_LENGTH])[:MAX_TITLE_LENGTH]


def title_of(question: str) -> str:
    """A question's first words."""
    line = _one_line(question[: 4 * _MADE_TITLE_LENGTH].lstrip())
    if not line:
        return "Untitled"
    if len(line) <= _MADE_TITLE_LENGTH:
        return line
    start = line[:_MADE_TITLE_LENGTH]
    # Where a language has no spaces between words, or a word has no end, it is cut anywhere.
    words = start.rpartition(" ")[0] if line[_MADE_TITLE_LENGTH] != " " else start
    return f"{words if len(words) > _MADE_TITLE_LENGTH // 2 else start}…"


def words_of(query: str) -> tuple[str, ...]:
    """What is looked for: at most `_MAX_QUERY_WORDS` words, each once."""
    words = _one_line(query[:_MAX_QUERY_LENGTH]).split()
    return tuple(dict.fromkeys(words))[:_MAX_QUERY_WORDS]


def excerpt(text: str, words: Sequence[str]) -> str:
    """About `_EXCERPT_LENGTH` characters of `text` in one line, around the first place where one of the words is."""
    found = re.search("|".join(map(re.escape, words)), text, re.IGNORECASE)
    start = max(0, (found.start() if found else 0) - _EXCERPT_LENGTH // 4)
    end = start + _EXCERPT_LENGTH
    return f"{'…' if start else ''}{_one_line(text[start:end])}{'…' if end < len(text) else ''}"


def _one_line(text: str) -> str:
    shown = "".join(" " if unicodedata.category(character) == "Cc" else character for character in well_formed(text))
    return " ".join(shown.split())
