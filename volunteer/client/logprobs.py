"""Log-probabilities of tokens, as the model gives them before temperature and penalties, in float32."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor
from transformers.convert_slow_tokenizer import bytes_to_unicode

from volunteer.client.connection import Stopped
from volunteer.client.model import SwarmCache, SwarmForCausalLM
from volunteer.models.families import Positions

_LOGITS_BYTES = 32 << 20
"""Logits of a prompt that are in memory at once: 32 positions of BLOOM's vocabulary, 170 of SmolLM2's."""
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class ScoredToken:
    """A token, and how likely the model found it."""

    id: int
    text: bytes
    """Of this token alone; a character may be cut in the middle."""
    logprob: float | None
    """Natural logarithm; None for the first token of a prompt, which nothing comes before."""
    top: tuple[ScoredToken, ...] = ()
    """The likeliest tokens in its place, as many as were asked for, the likeliest first."""


class TokenBytes:
    """The bytes that each token of a vocabulary stands for. Safe to use from several threads."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        # GPT-2's alphabet, which BLOOM and Llama 3 write their vocabulary in: a printable character for each byte.
        is_byte_level = '"ByteLevel"' in tokenizer.backend_tokenizer.to_str()
        self._alphabet = {character: byte for byte, character in bytes_to_unicode().items()} if is_byte_level else {}
        self._added = {token_id: token.content.encode() for token_id, token in tokenizer.added_tokens_decoder.items()}
        self._known: dict[int, bytes] = {}

    def __call__(self, token_id: int) -> bytes:
        if token_id not in self._known:
            self._known[token_id] = self._bytes(token_id)
        return self._known[token_id]

    def _bytes(self, token_id: int) -> bytes:
        if token_id in self._added:
            return self._added[token_id]
        token: str | None = self._tokenizer.convert_ids_to_tokens(token_id)
        if token is None:  # vocabularies are padded with rows that no token has
            return b""
        if self._alphabet and all(character in self._alphabet for character in token):
            return bytes(self._alphabet[character] for character in token)
        if (byte := _BYTE_TOKEN.fullmatch(token)) is not None:
            return bytes([int(byte[1], base=16)])
        return token.replace("▁", " ").encode()  # SentencePiece's way to write a space


class Recorder(LogitsProcessor):
    """Keeps the logits of the next tokens until it is known which were taken.

    Args:
        top: how many of the likeliest tokens to name beside each.
    """

    def __init__(self, top: int, token_bytes: TokenBytes):
        self._top = top
        self._token_bytes = token_bytes
        self._logits: dict[int, torch.Tensor] = {}
        """By position. Those of rejected drafts are overwritten when the position comes again."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._logits[input_ids.shape[1]] = scores.clone()
        return scores

    def take(self, position: int, token_id: int) -> ScoredToken:
        """The token that was taken at a position of the sequence."""
        logits = self._logits.pop(position)
        (scored,) = _scored(logits, torch.tensor([token_id]), self._top, self._token_bytes)
        return scored


def score_prompt(
    model: SwarmForCausalLM,
    cache: SwarmCache,
    prompt_ids: torch.Tensor,
    *,
    top: int,
    token_bytes: TokenBytes,
    stop: threading.Event,
) -> tuple[ScoredToken, ...]:
    """The tokens of a prompt [1, tokens], scored in one pass through the swarm.

    All but the last token are in the cache afterwards, where `generate` goes on.

    Raises:
        NoRoute, SessionFailed: the swarm cannot answer.
        Stopped: `stop` was set.
    """
    first = int(prompt_ids[0, 0])
    scored = [ScoredToken(first, token_bytes(first), None)]
    inputs, targets = prompt_ids[:, :-1], prompt_ids[0, 1:]
    if inputs.shape[1] == 0:
        return tuple(scored)
    embedded = model.ends.embed(model.ends.embeddings(inputs), Positions(0, inputs.shape[1]))
    hidden_states = cache.open(None).step(embedded)[0]  # [tokens, hidden]
    rows = max(1, _LOGITS_BYTES // (4 * model.config.vocab_size))
    for start in range(0, len(hidden_states), rows):
        if stop.is_set():
            raise Stopped
        part = slice(start, start + rows)
        logits = model.ends.head(model.ends.normalise(hidden_states[None, part]))[0].float()
        scored += _scored(logits, targets[part], top, token_bytes)
    return tuple(scored)


def _scored(logits: torch.Tensor, token_ids: torch.Tensor, top: int, token_bytes: TokenBytes) -> Iterator[ScoredToken]:
    """For each row of logits [tokens, vocabulary] the token that follows, [tokens]."""
    sums = logits.logsumexp(dim=-1, keepdim=True)
    logprobs = (logits.gather(1, token_ids[:, None]) - sums)[:, 0].tolist()
    best = logits.topk(min(top, logits.shape[1]), dim=-1)
    best_logprobs = (best.values - sums).tolist()
    for token_id, logprob, ids, values in zip(
        token_ids.tolist(), logprobs, best.indices.tolist(), best_logprobs, strict=True
    ):
        likeliest = tuple(ScoredToken(each, token_bytes(each), value) for each, value in zip(ids, values, strict=True))
        yield ScoredToken(token_id, token_bytes(token_id), logprob, likeliest)
