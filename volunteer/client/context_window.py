"""Which turns of a conversation the model is given when not all of them fit. Pure: tokens are counted by the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from volunteer.client.conversation_text import TooLong
from volunteer.client.conversation_values import Role

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Fitted:
    messages: tuple[Mapping[str, str], ...]
    """As chat templates take them."""
    max_new_tokens: int
    """As many as were wanted, or as there is room for."""
    turns_left_out: int
    """The oldest questions, each with its answer."""

    @property
    def note(self) -> str:
        match self.turns_left_out:
            case 0:
                return ""
            case 1:
                return "The oldest question and its answer were left out: the model cannot read more at once."
            case number:
                return f"The {number} oldest questions and answers were left out: the model cannot read more at once."


def fit(
    count_tokens: Callable[[Messages], int],
    system_prompt: str,
    history: Sequence[tuple[Role, str]],
    *,
    limit: int,
    max_new_tokens: int,
) -> Fitted:
    """The system prompt, the last question, and as many of the newest turns before it as fit beside an answer.

    Questions that got no answer are left out: a chat template wants speakers in turns. An answer is promised the tokens
    that it may have, or half of the limit.

    Args:
        count_tokens: of a whole prompt. It grows with the messages, and is asked about few more than will fit.
        limit: tokens that prompt and answer may have together.

    Raises:
        TooLong: the question alone does not fit.
    """
    *earlier, (_, question) = history
    turns = _turns(earlier)
    room = limit - min(max_new_tokens, limit // 2)

    def messages(kept: int) -> tuple[Mapping[str, str], ...]:
        chosen = [message for turn in turns[len(turns) - kept :] for message in turn]
        system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        return (*system, *chosen, {"role": "user", "content": question})

    tokens = {0: count_tokens(messages(0))}
    if tokens[0] > room:
        raise TooLong(
            f"The question{' with the system prompt' if system_prompt else ''} has {tokens[0]:,} tokens; this model "
            f"can be given {room:,} beside an answer of up to {limit - room:,}. Shorten it."
        )
    fits, too_many = 0, len(turns) + 1
    while too_many - fits > 1:
        # Twice as many until it is too much: a long history is not read from its beginning to find where it ends.
        tried = min(2 * fits + 1, too_many - 1) if too_many > len(turns) else (fits + too_many) // 2
        tokens[tried] = count_tokens(messages(tried))
        if tokens[tried] <= room:
            fits = tried
        else:
            too_many = tried
    return Fitted(messages(fits), min(max_new_tokens, limit - tokens[fits]), len(turns) - fits)


def _turns(history: Sequence[tuple[Role, str]]) -> list[tuple[Mapping[str, str], Mapping[str, str]]]:
    turns: list[tuple[Mapping[str, str], Mapping[str, str]]] = []
    question: str | None = None
    for role, text in history:
        if role is Role.USER:
            question = text
        elif question is not None and text:
            turns.append(({"role": "user", "content": question}, {"role": "assistant", "content": text}))
            question = None
    return turns
