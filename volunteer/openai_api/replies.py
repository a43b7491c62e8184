"""Answers in OpenAI's form, whole and in chunks. Knows neither models nor connections."""

from __future__ import annotations

import codecs
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

from volunteer.client.chat import Answer
from volunteer.client.logprobs import ScoredToken

_LEAST_LOGPROB = -9999.0
"""For tokens that cannot be: JSON has neither infinity nor NaN."""


def usage(answers: Sequence[Answer], choices_each: int) -> dict[str, int]:
    """Tokens of a request. A prompt is counted once, however many answers it has."""
    prompt_tokens = sum(answer.prompt_tokens for answer in answers[::choices_each])
    new_tokens = sum(len(answer.token_ids) for answer in answers)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": new_tokens,
        "total_tokens": prompt_tokens + new_tokens,
    }


class Reply:
    """What all parts of one reply have in common.

    Args:
        kind: of whole replies, "chat.completion" or "text_completion".
        chunk_kind: of chunks.
    """

    def __init__(self, model: str, prefix: str, kind: str, chunk_kind: str):
        self._head = {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        self._kind = kind
        self._chunk_kind = chunk_kind

    @classmethod
    def of_chat(cls, model: str) -> Reply:
        return cls(model, "chatcmpl", "chat.completion", "chat.completion.chunk")

    @classmethod
    def of_completion(cls, model: str) -> Reply:
        return cls(model, "cmpl", "text_completion", "text_completion")

    def whole(self, choices: Sequence[dict[str, Any]], used: dict[str, int]) -> dict[str, Any]:
        return {**self._head, "object": self._kind, "choices": list(choices), "usage": used}

    def chunk(self, choices: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {**self._head, "object": self._chunk_kind, "choices": list(choices), **more}


def chat_choice(index: int, answer: Answer, *, with_logprobs: bool) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": answer.text, "refusal": None},
        "logprobs": chat_logprobs(answer.scored) if with_logprobs else None,
        "finish_reason": answer.finish_reason,
    }


def chat_chunk(
    index: int, delta: dict[str, Any], *, scored: Sequence[ScoredToken] = (), finish_reason: str | None = None
) -> dict[str, Any]:
    return {
        "index": index,
        "delta": delta,
        "logprobs": chat_logprobs(scored) if scored else None,
        "finish_reason": finish_reason,
    }


def chat_logprobs(scored: Iterable[ScoredToken]) -> dict[str, Any]:
    return {
        "content": [
            {**_chat_token(token), "top_logprobs": [_chat_token(each) for each in token.top]} for token in scored
        ],
        "refusal": None,
    }


def _chat_token(token: ScoredToken) -> dict[str, Any]:
    return {
        "token": token.text.decode(errors="replace"),
        "logprob": _finite(token.logprob),
        "bytes": list(token.text),
    }


class TextLogprobs:
    """Log-probabilities as completions have them: four lists side by side. Chunks go on where the last one ended."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._length = 0

    def of(self, scored: Iterable[ScoredToken]) -> dict[str, Any]:
        tokens, logprobs, tops, offsets = [], [], [], []
        for token in scored:
            tokens.append(_name(token))
            logprobs.append(_finite(token.logprob))
            tops.append(_top(token))
            offsets.append(self._length)
            self._length += len(self._decoder.decode(token.text))
        return {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": tops, "text_offset": offsets}


def text_choice(
    index: int, text: str, *, logprobs: dict[str, Any] | None = None, finish_reason: str | None = None
) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}


def whole_text_choice(index: int, text: str, answer: Answer, *, with_logprobs: bool) -> dict[str, Any]:
    logprobs = TextLogprobs().of((*answer.scored_prompt, *answer.scored)) if with_logprobs else None
    return text_choice(index, text, logprobs=logprobs, finish_reason=answer.finish_reason)


def _top(token: ScoredToken) -> dict[str, float | None] | None:
    """The likeliest tokens, and in any case the one that was taken; None where nothing comes before."""
    if token.logprob is None:
        return None
    named: dict[str, float | None] = {}
    for each in (*token.top, token):
        named.setdefault(_name(each), _finite(each.logprob))
    return named


def _name(token: ScoredToken) -> str:
    """A part of a character is written as OpenAI does, so that different parts have different names."""
    try:
        return token.text.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.text)


def _finite(logprob: float | None) -> float | None:
    if logprob is None:
        return None
    return logprob if logprob > _LEAST_LOGPROB else _LEAST_LOGPROB  # NaN, of a server that lies, is not greater
