"""One greedy answer of a `transformers` model, timed token by token: the same code for the swarm and the reference."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.generation.streamers import BaseStreamer


@dataclass(frozen=True)
class Answer:
    token_ids: tuple[int, ...]
    times_s: tuple[float, ...]
    """From the question to each time that tokens came out; several may come at once."""

    @property
    def first_token_s(self) -> float:
        return self.times_s[0]

    @property
    def last_token_s(self) -> float:
        return self.times_s[-1]

    @property
    def tokens_per_s(self) -> float:
        """Over the whole answer, the prompt and the opening of a session included."""
        return len(self.token_ids) / self.last_token_s

    @property
    def step_s(self) -> float:
        """Of one token after the first."""
        return (self.last_token_s - self.first_token_s) / max(1, len(self.token_ids) - 1)

    @property
    def gaps_s(self) -> list[float]:
        """Between one token, or several that came at once, and the next."""
        return [after - before for before, after in itertools.pairwise(self.times_s)]


class _Stopwatch(BaseStreamer):
    """Notes when each token comes out of `generate`; the first thing it is given is the prompt."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self._started = time.perf_counter()

    def put(self, token_ids: torch.Tensor) -> None:
        self.times_s.append(time.perf_counter() - self._started)

    def end(self) -> None:
        pass


@torch.inference_mode()
def greedy_answer(model: Any, prompt_ids: Sequence[int], new_tokens: int, **arguments: Any) -> Answer:
    """Always `new_tokens` long: no token ends it.

    Args:
        arguments: more for `generate`.
    """
    inputs = torch.tensor([list(prompt_ids)])
    stopwatch = _Stopwatch()
    outputs = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=new_tokens,
        do_sample=False,
        # A model's own defaults for sampling would otherwise be warned about.
        temperature=None,
        top_p=None,
        top_k=None,
        eos_token_id=None,
        pad_token_id=0,
        streamer=stopwatch,
        **arguments,
    )
    token_ids = tuple(outputs[0, inputs.shape[1] :].tolist())
    return Answer(token_ids, tuple(stopwatch.times_s[1:]))


def random_prompt(vocabulary: int, num_tokens: int, *, seed: int) -> list[int]:
    """Token ids that say nothing; the lowest are left out, they often have a meaning of their own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(min(4, vocabulary - 1), vocabulary, (num_tokens,), generator=generator).tolist()
