"""Where answers are cut, and that what was cut stays as it is while an answer grows."""

from __future__ import annotations

import random

import pytest

from gui.viewmodels.markdown_segments import Kind, Segment, grown, segments

ANSWER = """Here is a *plan*:

1. First

   with a paragraph of its own
2. Second

```python
def petal() -> str:
    return "pink"
```
And after.

~~~
a ``` in another fence
~~~
"""


def shape(text: str) -> list[tuple[str, str]]:
    return [(segment.kind.value, segment.text) for segment in segments(text)]


def test_code_stands_by_itself_without_its_fences() -> None:
    assert shape(ANSWER) == [
        ("prose", "Here is a *plan*:\n\n1. First\n\n   with a paragraph of its own\n2. Second"),
        ("code", 'def petal() -> str:\n    return "pink"'),
        ("prose", "And after."),
        ("code", "a ``` in another fence"),
    ]
    assert segments(ANSWER)[1].language == "python"


def test_a_fence_that_is_not_closed_yet_is_code_already() -> None:
    assert segments("```c++\nint main() {") == (Segment(Kind.CODE, 0, "int main() {", "c++"),)
    assert segments("```") == (Segment(Kind.CODE, 0, ""),)


def test_code_within_a_list_loses_the_indent_of_its_fence() -> None:
    assert shape("1. So:\n   ```\n   a\n     b\n   ```\n2. Then") == [
        ("prose", "1. So:"),
        ("code", "a\n  b"),
        ("prose", "2. Then"),
    ]


def test_inline_code_is_no_fence() -> None:
    assert shape("```not a fence``` but text") == [("prose", "```not a fence``` but text")]


def test_long_prose_is_cut_between_paragraphs() -> None:
    paragraph = "word " * 100
    cut = segments("\n\n".join([paragraph] * 12))
    assert len(cut) == 4
    assert all(segment.text.startswith("word") for segment in cut)


def test_a_list_is_not_torn_from_its_indented_paragraphs() -> None:
    text = "- " + "word " * 300 + "\n\n  indented\n\nnext"
    first, second = segments(text)
    assert first.text.endswith("indented") and second.text == "next"


@pytest.mark.parametrize("text", ["x" * 100_000, "word " * 20_000, "line\n" * 20_000])
def test_prose_without_a_gap_stays_in_small_pieces(text: str) -> None:
    cut = segments(text)
    assert max(len(segment.text) for segment in cut) <= 4_000
    assert "".join(segment.text for segment in cut).replace("\n", "") == text.replace("\n", "")


def test_ideographs_are_cut_sooner() -> None:
    cut = segments("花瓣是花的一部分。" * 800)
    assert max(len(segment.text) for segment in cut) <= 1_200


@pytest.mark.parametrize("seed", range(40))
def test_what_grows_is_cut_as_what_was_there_at_once(seed: int) -> None:
    chance = random.Random(seed)
    pieces = [
        "word " * 50,
        "\n",
        "\n\n",
        "```",
        "python\n",
        "- item",
        "  indented",
        "x" * 3000,
        "`",
        "~~~\n",
        "# Head",
        "花" * 300,
    ]
    text = "".join(chance.choice(pieces) for _ in range(60))
    known: tuple[Segment, ...] = ()
    end = 0
    while end < len(text):
        end = min(len(text), end + chance.randint(1, 40))
        previous, known = known, grown(known, text[:end])
        assert known[: max(0, len(previous) - 2)] == previous[:-2]
    assert known == segments(text)
