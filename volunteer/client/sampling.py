"""How the next token is chosen: settings, and the choice as `generate` is told of it.

A choice draws from nothing but its own random numbers, so answers on other threads cannot disturb it, and it draws one
for each position, so the same seed gives the same text whether tokens were drafted or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen, and where the answer ends. Temperature 0 is greedy."""

    max_new_tokens: int = 256
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these to be complete in it."""
    top_logprobs: int | None = None
    """For each token its log-probability, and so many of the likeliest ones beside it; None for neither."""
    points: float | None = None
    """Offered to servers for each point of their work, 1 to 10: no choice of tokens, but it goes with each question.
    None for what the owner's settings say."""
    peers: tuple[str, ...] = ()
    """The only servers to be asked, by peer id; none for all."""
    shrink_to_fit: bool = False
    """Whether fewer new tokens will do where the model's context has no room for so many."""

    def arguments(self) -> dict[str, Any]:
        """For `generate`, which takes the greatest of what `processors` leaves over."""
        return {
            "max_new_tokens": self.max_new_tokens,
            "do_sample": False,
            # A model's own defaults would otherwise be taken, or warned about.
            "temperature": None,
            "top_p": None,
            "top_k": None,
            "repetition_penalty": 1.0,
        }

    def processors(self, prompt_tokens: int) -> LogitsProcessorList:
        """What is done to the logits of one answer, in `generate`'s own order. Empty where nothing is, for the sake of
        the quick head (`client/head.py`).

        Args:
            prompt_tokens: length of the sequence before the first token that is chosen.
        """
        chosen = LogitsProcessorList()
        if self.repetition_penalty != 1.0:
            chosen.append(RepetitionPenaltyLogitsProcessor(self.repetition_penalty))
        if self.temperature > 0:
            if self.temperature != 1.0:
                chosen.append(TemperatureLogitsWarper(float(self.temperature)))
            if self.top_k > 0:
                chosen.append(TopKLogitsWarper(self.top_k))
            if self.top_p < 1.0:
                chosen.append(TopPLogitsWarper(self.top_p))
            chosen.append(_Draw(self.seed, prompt_tokens))
        return chosen


class _Draw(LogitsProcessor):
    """Draws a token from the logits, and leaves no other.

    `torch.multinomial` in `generate` would draw from the generator that all threads of the process share.
    """

    def __init__(self, seed: int | None, prompt_tokens: int):
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)
        self._prompt_tokens = prompt_tokens
        self._numbers: list[float] = []
        """In [0, 1), one for each position: positions come again when drafts were wrong."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        number = self._number(input_ids.shape[1] - self._prompt_tokens)
        cumulative = scores[0].double().softmax(dim=0).cumsum(dim=0)
        # The first token whose share reaches beyond the number; tokens with no share are never that.
        drawn = int(torch.searchsorted(cumulative, number * cumulative[-1:], right=True))
        if drawn == len(cumulative):  # the product was rounded up to the sum
            drawn = int(scores[0].argmax())
        only = torch.full_like(scores, -torch.inf)
        only[0, drawn] = 0.0
        return only

    def _number(self, index: int) -> float:
        while len(self._numbers) <= index:
            self._numbers.append(torch.rand((), dtype=torch.float64, generator=self._generator).item())
        return self._numbers[index]
