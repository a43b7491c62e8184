"""Token ids become text while they come: whole characters only, and nothing from a stop string on.

Knows tokens and text, neither models nor threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers.decoders import DecodeStream

from volunteer.client.logprobs import Recorder, ScoredToken


@dataclass(frozen=True)
class Piece:
    """What an answer has grown by."""

    text: str
    """May be empty where tokens have no text of their own."""
    tokens: tuple[ScoredToken, ...] = ()
    """Whose text is complete with this piece, if log-probabilities were asked for."""
    of_prompt: bool = False
    """Whether these are the tokens of the prompt, which come first and without their text."""


class StopStrings:
    """Lets text through until one of some strings is complete, whatever pieces the text comes in.

    Which string ends the text does not depend on the pieces: the one that is complete first, and of those that end at
    the same character the longest.
    """

    def __init__(self, strings: Sequence[str]):
        if not all(strings):
            raise ValueError("an empty string stops everything")
        self._strings = tuple(strings)
        self._held = ""
        self.is_complete = False

    def add(self, text: str) -> str:
        """What is certain not to belong to a stop string, or to come after one."""
        if self.is_complete:
            return ""
        self._held += text
        # No string is complete in what was held before, so the first to be complete is among the first of each.
        found = [(start + len(each), start) for each in self._strings if (start := self._held.find(each)) >= 0]
        if found:
            self.is_complete = True
            _, start = min(found)
            passed, self._held = self._held[:start], ""
            return passed
        kept = self._unfinished()
        passed, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        return passed

    def end(self) -> str:
        """What was held back, when nothing more comes."""
        passed, self._held = self._held, ""
        return passed

    def _unfinished(self) -> int:
        """Characters at the end that some string begins with."""
        longest = max((len(each) for each in self._strings), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if self._held.endswith(tuple(each[:length] for each in self._strings if len(each) > length)):
                return length
        return 0


class TextStream:
    """What `generate` calls a streamer: gets token ids, gives text on.

    Args:
        tokenizer: a fast one.
        prompt_tokens: how many tokens come before the answer.
        stop: strings that end the answer.
        recorder: of the answer's logits, if log-probabilities are wanted.
        on_piece: gets what is new.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        prompt_tokens: int,
        stop: Sequence[str],
        recorder: Recorder | None,
        on_piece: Callable[[Piece], None],
    ):
        self.token_ids: list[int] = []
        self.text = ""
        self.scored: list[ScoredToken] = []
        """The tokens of `text`, and those without text, such as the one that ends an answer."""
        self.first_token_at: float | None = None
        self.passes = 0
        self._tokenizer = tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._decoded_length = 0
        self._stop = StopStrings(stop)
        self._recorder = recorder
        self._waiting: list[tuple[int, int, ScoredToken]] = []
        """Where the text of each token starts and ends that is still held back."""
        self._on_piece = on_piece
        self._prompt_tokens = prompt_tokens
        self._is_prompt = True

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string was complete."""
        return self._stop.is_complete

    def put(self, token_ids: torch.Tensor) -> None:
        if self._is_prompt:
            self._is_prompt = False
            return
        self.passes += 1
        for token_id in token_ids.flatten().tolist():
            if self.is_stopped:  # drafts beyond the end
                return
            self.first_token_at = self.first_token_at or time.perf_counter()
            self._add(token_id)

    def end(self) -> None:
        """Called after the last token; an unfinished character at the very end is not text."""
        text = self._stop.end()
        # Without a stop string everything that was taken belongs to the answer, the token at its end too.
        length = len(self.text) if self.is_stopped else self._decoded_length + 1
        tokens = tuple(scored for start, _, scored in self._waiting if start < length)
        self._waiting.clear()
        self._hand_on(text, tokens)

    def _add(self, token_id: int) -> None:
        position = self._prompt_tokens + len(self.token_ids)
        self.token_ids.append(token_id)
        decoded = self._decoder.step(self._tokenizer.backend_tokenizer, token_id) or ""
        start, self._decoded_length = self._decoded_length, self._decoded_length + len(decoded)
        text = self._stop.add(decoded)
        if self._recorder is not None:
            scored = self._recorder.take(position, token_id)
            self._waiting.append((start, self._decoded_length, scored))
        if self.is_stopped:
            self._hand_on(text, ())
            return
        passed = len(self.text) + len(text)
        ready = 0
        while ready < len(self._waiting) and self._waiting[ready][1] <= passed:
            ready += 1
        tokens = tuple(scored for _, _, scored in self._waiting[:ready])
        del self._waiting[:ready]
        self._hand_on(text, tokens)

    def _hand_on(self, text: str, tokens: tuple[ScoredToken, ...]) -> None:
        if text or tokens:
            self.text += text
            self.scored += tokens
            self._on_piece(Piece(text, tokens))
