from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunteer.client.context_window import Messages, fit
from volunteer.client.conversation_text import TooLong
from volunteer.client.conversation_values import Role


class Tokens:
    """One for each character, and what was asked."""

    def __init__(self) -> None:
        self.longest = 0
        self.calls = 0

    def __call__(self, messages: Messages) -> int:
        self.calls += 1
        tokens = sum(len(message["content"]) for message in messages)
        self.longest = max(self.longest, tokens)
        return tokens


def history(*texts: str) -> list[tuple[Role, str]]:
    return [(Role.ASSISTANT if index % 2 else Role.USER, text) for index, text in enumerate(texts)]


def contents(messages: Messages) -> list[str]:
    return [message["content"] for message in messages]


def test_everything_is_given_that_fits() -> None:
    fitted = fit(Tokens(), "sys", history("q1", "a1", "q2"), limit=19, max_new_tokens=10)
    assert fitted.messages == (
        {"role": "system", "content": "sys"},
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "a1"},
        {"role": "user", "content": "q2"},
    )
    assert (fitted.max_new_tokens, fitted.turns_left_out, fitted.note) == (10, 0, "")


def test_the_oldest_turns_are_left_out_but_never_the_system_prompt_or_the_question() -> None:
    texts = history("q1", "a1", "q2", "a2", "q3", "a3", "q4")
    fitted = fit(Tokens(), "sys", texts, limit=19, max_new_tokens=10)
    assert contents(fitted.messages) == ["sys", "q3", "a3", "q4"]
    assert fitted.turns_left_out == 2
    assert fitted.note.startswith("The 2 oldest questions and answers were left out")


def test_questions_without_an_answer_are_left_out() -> None:
    texts = history("q1", "", "q2", "a2", "q3")
    assert contents(fit(Tokens(), "", texts, limit=100, max_new_tokens=10).messages) == ["q2", "a2", "q3"]


def test_a_question_that_alone_is_too_long_is_refused() -> None:
    with pytest.raises(TooLong, match=r"1,901 tokens; this model can be given 1,900 beside an answer of up to 100"):
        fit(Tokens(), "", history("x" * 1901), limit=2000, max_new_tokens=100)


def test_an_answer_may_have_what_is_left() -> None:
    assert fit(Tokens(), "", history("x" * 500), limit=2000, max_new_tokens=5000).max_new_tokens == 1500


@given(st.lists(st.integers(1, 30), max_size=60), st.integers(0, 20), st.integers(1, 20), st.integers(2, 300))
def test_as_many_turns_as_possible(turns: list[int], system: int, question: int, limit: int) -> None:
    texts = [text for length in turns for text in ("q" * length, "a" * length)]
    tokens = Tokens()
    room = limit - min(10, limit // 2)
    if system + question > room:
        with pytest.raises(TooLong):
            fit(tokens, "s" * system, history(*texts, "q" * question), limit=limit, max_new_tokens=10)
        return
    fitted = fit(tokens, "s" * system, history(*texts, "q" * question), limit=limit, max_new_tokens=10)
    kept = 0
    while kept < len(turns) and system + question + 2 * sum(turns[len(turns) - kept - 1 :]) <= room:
        kept += 1
    assert fitted.turns_left_out == len(turns) - kept
    assert fitted.max_new_tokens == min(10, limit - sum(map(len, contents(fitted.messages))))
    assert fitted.max_new_tokens >= 1


def test_a_long_history_is_not_read_from_its_beginning() -> None:
    tokens = Tokens()
    fit(tokens, "", history(*["x" * 10] * 20_001), limit=1000, max_new_tokens=100)
    assert tokens.longest < 3 * 1000
    assert tokens.calls < 20
