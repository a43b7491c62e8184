"""Colours for code: comments, strings, numbers and the words of a language, as far as a line shows them.

One small reader for all languages, which knows how they comment and quote: enough to read code by, and cheap enough to
run on every line of an answer that grows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from PySide6.QtGui import QColor, QSyntaxHighlighter, QTextCharFormat, QTextDocument

from gui import theme

_HASH = "python py sh bash zsh shell console yaml yml toml ini r ruby rb perl pl make makefile dockerfile conf nix"
_DASHES = "sql lua haskell hs elm ada"
_SEMICOLON = "lisp scheme clojure asm nasm"
_PERCENT = "tex latex matlab erlang"
_PLAIN = "text txt plain plaintext markdown md output log csv diff"
_WORDS = (
    "abstract and as async await begin bool boolean break byte case catch char class const constexpr continue def "
    "default defer del delete do double echo elif else elsif end enum esac except export extends extern f32 f64 false "
    "fi final finally float fn for foreach from func function global go goto i32 i64 if impl implements import in "
    "include inline instanceof int interface is let lambda local long loop match mod module move mut mutable namespace "
    "new nil none nonlocal not null nullptr object of operator or override package pass private protected pub public "
    "raise readonly record ref register require return select self short signed sizeof static str string struct super "
    "switch template then this throw throws trait true try type typedef typename typeof u32 u64 union unless unsafe "
    "unsigned until use using usize val var virtual void volatile when where while with xor yield"
)
_SQL_WORDS = (
    "add all alter and as asc between by case check column constraint create cross database default delete desc "
    "distinct drop else end exists foreign from full group having if in index inner insert into is join key left like "
    "limit not null offset on or order outer primary references right select set table then union unique update using "
    "values view when where with"
)
_TEXT, _COMMENT = 0, 1
_TRIPLES = ('"""', "'''")


@dataclass(frozen=True)
class _Language:
    comment: str
    """How a comment begins that goes to the end of the line; empty for none."""
    block: tuple[str, str] | None
    """How a comment begins and ends that may be of several lines."""
    words: frozenset[str]
    ignores_case: bool = False
    has_triples: bool = False


@cache
def _language(name: str) -> _Language | None:
    """None: nothing is coloured."""
    words = frozenset(_WORDS.split())
    if name in _PLAIN.split():
        return None
    if name in _HASH.split():
        return _Language("#", None, words, has_triples=name in ("python", "py"))
    if name in _DASHES.split():
        chosen = frozenset(_SQL_WORDS.split()) if name == "sql" else words
        return _Language("--", ("/*", "*/") if name == "sql" else None, chosen, ignores_case=name == "sql")
    if name in _SEMICOLON.split():
        return _Language(";", None, words)
    if name in _PERCENT.split():
        return _Language("%", None, frozenset())
    if name in ("html", "xml", "svg", "vue"):
        return _Language("", ("<!--", "-->"), frozenset())
    if name == "css":
        return _Language("", ("/*", "*/"), frozenset())
    if name == "json":
        return _Language("", None, frozenset(("true", "false", "null")))
    if not name:  # what is not named may be anything: only what looks the same in all of them
        return _Language("", None, frozenset())
    return _Language("//", ("/*", "*/"), words)


@cache
def _pattern(language: _Language) -> re.Pattern[str]:
    parts = []
    if language.block is not None:
        parts.append(f"(?P<block>{re.escape(language.block[0])})")
    if language.has_triples:
        parts.append("(?P<triple>\"\"\"|''')")
    if language.comment:
        begins = r"(?:(?<=\s)|^)" if language.comment == "#" else ""
        parts.append(f"(?P<comment>{begins}{re.escape(language.comment)}.*)")
    parts.append(r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)""")
    parts.append(r"(?P<number>\b\d[\w.]*\b)")
    parts.append(r"(?P<word>[^\W\d]\w*)")
    return re.compile("|".join(parts))


class CodeColors(QSyntaxHighlighter):
    def __init__(self, document: QTextDocument):
        super().__init__(document)
        self._language: _Language | None = None

    def set_language(self, name: str) -> None:
        language = _language(name)
        if language != self._language:
            self._language = language
            self.rehighlight()

    def highlightBlock(self, text: str) -> None:
        language = self._language
        self.setCurrentBlockState(_TEXT)
        if language is None or len(text) > 2_000:  # what is as long was not written by hand
            return
        colors = theme.current()
        position = self._end_of_open(text, language)
        for found in _pattern(language).finditer(text, position):
            if found.start() < position:
                continue
            match found.lastgroup:
                case "block" | "triple":
                    position = self._open(text, found, language)
                case "comment":
                    self._color(found.start(), found.end(), colors.secondary, italic=True)
                    return
                case "string":
                    self._color(found.start(), found.end(), colors.good)
                case "number":
                    self._color(found.start(), found.end(), colors.warn)
                case "word" if self._is_word(found.group(), language):
                    self._color(found.start(), found.end(), colors.info)

    def _is_word(self, word: str, language: _Language) -> bool:
        return (word.lower() if language.ignores_case else word) in language.words or word in ("None", "True", "False")

    def _open(self, text: str, found: re.Match[str], language: _Language) -> int:
        """Colours a comment or text of several lines from its beginning; returns where it ends in this line."""
        is_comment = found.lastgroup == "block"
        closing = language.block[1] if is_comment and language.block is not None else found.group()
        end = text.find(closing, found.end())
        color = theme.current().secondary if is_comment else theme.current().good
        if end < 0:
            self.setCurrentBlockState(_COMMENT if is_comment else 2 + _TRIPLES.index(closing))
            end = len(text)
        else:
            end += len(closing)
        self._color(found.start(), end, color, italic=is_comment)
        return end

    def _end_of_open(self, text: str, language: _Language) -> int:
        """Goes on with what the line before left open."""
        state = self.previousBlockState()
        if state <= _TEXT:
            return 0
        is_comment = state == _COMMENT
        if is_comment and language.block is None:
            return 0
        closing = language.block[1] if is_comment and language.block is not None else _TRIPLES[state - 2]
        end = text.find(closing)
        if end < 0:
            self.setCurrentBlockState(state)
        end = len(text) if end < 0 else end + len(closing)
        color = theme.current().secondary if is_comment else theme.current().good
        self._color(0, end, color, italic=is_comment)
        return end

    def _color(self, start: int, end: int, color: str, *, italic: bool = False) -> None:
        form = QTextCharFormat()
        form.setForeground(QColor(color))
        form.setFontItalic(italic)
        self.setFormat(start, end - start, form)
