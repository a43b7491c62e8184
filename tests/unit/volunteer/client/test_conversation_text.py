from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunteer.client.conversation_text import (
    MAX_TEXT_LENGTH,
    MAX_TITLE_LENGTH,
    TooLong,
    checked_text,
    checked_title,
    excerpt,
    title_of,
    well_formed,
    words_of,
)

ANY_TEXT = st.text(st.characters(codec=None))


@given(ANY_TEXT)
def test_well_formed_text_can_be_written_and_is_not_changed_again(text: str) -> None:
    formed = well_formed(text)
    formed.encode()
    assert well_formed(formed) == formed
    if all(not 0xD800 <= ord(character) < 0xE000 for character in text):
        assert formed == text


def test_halves_that_belong_together_are_joined() -> None:
    assert well_formed("a\ud83d\ude00b\ud83d") == "a\U0001f600b\ufffd"


def test_the_limit_is_said() -> None:
    assert len(checked_text("x" * MAX_TEXT_LENGTH)) == MAX_TEXT_LENGTH
    with pytest.raises(TooLong, match="10,000,000 characters; at most 200,000"):
        checked_text("x" * 10_000_000)


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is a petal?", "What is a petal?"),
        ("\n\n  What\tis\x00a\npetal?  ", "What is a petal?"),
        (
            "Explain to me how pipelines of many servers are laid out",
            "Explain to me how pipelines of many servers are…",
        ),
        ("word" * 50, "word" * 12 + "…"),
        ("花" * 60, "花" * 48 + "…"),
        ("ما هي البتلة؟", "ما هي البتلة؟"),
        (" \n ", "Untitled"),
    ],
)
def test_a_title_is_the_first_words(question: str, title: str) -> None:
    assert title_of(question) == title


@given(ANY_TEXT)
def test_titles_are_one_line_of_bounded_length(text: str) -> None:
    for title in (title_of(text), checked_title(text * 50)):
        assert len(title) <= MAX_TITLE_LENGTH
        assert len(title.splitlines()) <= 1
        title.encode()
    assert title_of(text)


@given(ANY_TEXT, ANY_TEXT)
def test_any_search_has_an_excerpt(text: str, query: str) -> None:
    words = words_of(query * 30)
    assert len(words) <= 16
    if words:
        assert len(excerpt(text * 20, words)) <= 122


def test_an_excerpt_surrounds_what_was_found() -> None:
    shown = excerpt("a " * 100 + "the HARBOUR lies\nthere" + " z" * 100, ("harbour",))
    assert shown.startswith("…a a") and "the HARBOUR lies there z" in shown and shown.endswith("z…")
