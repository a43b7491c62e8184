"""Messages as rows, and where many rows lie."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gui.viewmodels.chat_values import Message, read_branch
from gui.widgets.chat.row_heights import Place, RowHeights
from gui.widgets.chat.rows import MessageRows, Row, RowKind, changed_span, question_parts
from tests.gui.chat_values import branch, message


def read(raw: dict[str, object]) -> Message:
    return read_branch(branch([raw])).messages[0]


def kinds(rows: tuple[Row, ...]) -> list[str]:
    return [row.kind.value for row in rows]


def test_an_answer_is_prose_and_code_and_a_foot() -> None:
    answer = read(message(2, "assistant", "Look:\n```sh\nls\n```\nDone."))
    rows = MessageRows().rows(answer, (), is_last=True)
    assert kinds(rows) == ["prose", "code", "prose", "answer foot"]
    assert rows[1].language == "sh" and rows[-1].message == answer


def test_an_answer_without_a_word_has_a_foot() -> None:
    assert kinds(MessageRows().rows(read(message(2, "assistant", "")), (), is_last=True)) == ["answer foot"]


def test_rows_that_are_complete_stay_the_same_while_the_answer_grows() -> None:
    rows = MessageRows()
    text = "word " * 300 + "\n\n" + "more " * 300 + "\n\nend"
    answer = read(message(2, "assistant", text, state="growing"))
    before = rows.rows(answer, (), is_last=True)
    after = rows.rows(replace(answer, text=f"{text} and more"), (), is_last=True)
    assert changed_span(before, after) == (len(before) - 2, 0)


def test_a_book_as_a_question_is_in_parts() -> None:
    parts = question_parts("word " * 40_000)
    assert max(map(len, parts)) <= 4_000 and "".join(parts) == "word " * 40_000
    rows = MessageRows().rows(read(message(1, text="word " * 2_000)), (), is_last=True)
    assert [row.is_end for row in rows[:-1]] == [False, False, True]
    assert question_parts("x" * 9_000) == ("x" * 4_000, "x" * 4_000, "x" * 1_000)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("abc", "abc", (3, 0)),
        ("abc", "abxc", (2, 1)),
        ("abc", "", (0, 0)),
        ("aa", "aaa", (2, 0)),
        ("abc", "xbc", (0, 2)),
    ],
)
def test_what_is_the_same_at_both_ends_is_found(old: str, new: str, same: tuple[int, int]) -> None:
    def rows(letters: str) -> list[Row]:
        return [Row(1, RowKind.PROSE, text=letter) for letter in letters]

    assert changed_span(rows(old), rows(new)) == same


def test_a_place_is_found_again_whatever_is_above_it() -> None:
    heights = RowHeights()
    heights.splice(0, 0, [10.0, 20.0, 30.0])
    assert heights.place_at(15) == Place(1, 5) and heights.y_of(Place(2, 3)) == 33
    heights[0] = 110.0
    assert heights.y_of(Place(2, 3)) == 133 and heights.total == 160
    assert heights.place_at(-5) == Place(0, -5) and heights.place_at(1000) == Place(2, 870)
    heights.splice(1, 3, [])
    assert len(heights) == 1 and RowHeights().place_at(7) == Place(0, 7)
