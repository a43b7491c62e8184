"""Code in its card: coloured, scrolled sideways, copied whole, and written on while it grows."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from gui import theme
from gui.widgets.chat.code_card import CodeCard
from gui.widgets.chat.rows import Row, RowKind


@pytest.fixture
def card(qtbot: QtBot) -> Iterator[CodeCard]:
    parent = QWidget()
    qtbot.addWidget(parent)
    made = CodeCard(parent)
    made.resize(600, 100)
    yield made  # the parent lives as long


def show(card: CodeCard, code: str, language: str = "python") -> int:
    card.show_row(Row(1, RowKind.CODE, text=code, language=language))
    return card.height_for(600)


def colors(card: CodeCard) -> dict[str, str]:
    """By the words that have them."""
    found = {}
    block = card.text_view().document().begin()
    while block.isValid():
        for each in block.layout().formats():
            text = block.text()[each.start : each.start + each.length]
            found[text] = each.format.foreground().color().name(QColor.NameFormat.HexRgb).upper()
        block = block.next()
    return found


def test_words_strings_numbers_and_comments_are_coloured(card: CodeCard) -> None:
    show(card, 'def f():\n    return "a # b", 42  # why\n"""two\nlines"""\nx')
    look = theme.LIGHT
    assert colors(card) == {
        "def": look.info,
        "return": look.info,
        '"a # b"': look.good,
        "42": look.warn,
        "# why": look.secondary,
        '"""two': look.good,
        'lines"""': look.good,
    }


@pytest.mark.parametrize(
    ("language", "code", "comment"),
    [
        ("c", "/* one\ntwo */ int x; // y", "two */"),
        ("sql", "SELECT 1 -- all", "-- all"),
        ("html", "<!-- a --><b>", "<!-- a -->"),
        ("bash", "echo $# # count", "# count"),
    ],
)
def test_comments_are_those_of_the_language(card: CodeCard, language: str, code: str, comment: str) -> None:
    show(card, code, language)
    assert colors(card)[comment] == theme.LIGHT.secondary


def test_plain_text_is_left_alone(card: CodeCard) -> None:
    show(card, "for 1 'x' # y", "text")
    assert colors(card) == {}


def test_code_that_grows_is_written_on_and_gets_higher(card: CodeCard) -> None:
    before = show(card, "a = 1")
    card.text_view().document().begin().setUserState(77)  # a mark on the first line
    assert show(card, "a = 1\nb = 2") > before
    assert card.text_view().toPlainText() == "a = 1\nb = 2"
    show(card, "other")
    assert card.text_view().toPlainText() == "other"


def test_a_very_long_line_is_quick_and_copied_as_it_was(card: CodeCard) -> None:
    code = "x" * 200_000
    began = time.thread_time()
    show(card, code)
    assert time.thread_time() - began < 0.5
    card.copy()
    assert QGuiApplication.clipboard().text() == code


def test_very_much_code_is_scrolled_in_its_card(card: CodeCard) -> None:
    code = "line\n" * 20_000
    began = time.thread_time()
    assert show(card, code) < 12_000
    assert time.thread_time() - began < 0.5
    assert card.text_view().toPlainText().endswith("… 70,000 more characters, which are copied too")
    card.copy()
    assert QGuiApplication.clipboard().text() == code
    assert show(card, "line\n" * 3) < 150
