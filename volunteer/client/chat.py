"""Text in, streamed text out: chat templates, sampling, and what an answer cost. Knows no terminal and no window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers.decoders import DecodeStream
from transformers import AutoTokenizer, StoppingCriteria, StoppingCriteriaList

from volunteer.client.model import DRAFT_TOKENS, SwarmCache, SwarmForCausalLM
from volunteer.client.routing import Hop
from volunteer.client.speculation import Speculation, speculation_pays
from volunteer.errors import ConfigurationError

Message = Mapping[str, str]
"""`role` ("system", "user" or "assistant") and `content`, as chat templates take it."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy."""

    max_new_tokens: int = 256
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def arguments(self) -> dict[str, Any]:
        """For `generate`."""
        chosen: dict[str, Any] = {
            "max_new_tokens": self.max_new_tokens,
            "repetition_penalty": self.repetition_penalty,
            "do_sample": self.temperature > 0,
        }
        if self.temperature > 0:
            chosen |= {"temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k}
        else:
            # A model's own defaults for sampling would otherwise be warned about.
            chosen |= {"temperature": None, "top_p": None, "top_k": None}
        return chosen


@dataclass(frozen=True)
class Answer:
    """A finished answer and what it took."""

    text: str
    prompt_tokens: int
    token_ids: tuple[int, ...]
    first_token_s: float
    """From the question to the first new token."""
    total_s: float
    route: tuple[Hop, ...]
    passes: int
    """Times that the model was asked; fewer than tokens when drafts were accepted."""

    @property
    def tokens_per_s(self) -> float:
        """Of the tokens after the first, whose time is the prompt's; 0 when there are none."""
        rest_s = self.total_s - self.first_token_s
        return (len(self.token_ids) - 1) / rest_s if len(self.token_ids) > 1 and rest_s > 0 else 0.0


class _TextStream:
    """What `generate` calls a streamer: gets token ids, gives whole characters on."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None]):
        self.token_ids: list[int] = []
        self.text = ""
        self.first_token_at: float | None = None
        self.passes = 0
        self._tokenizer = tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._on_text = on_text
        self._is_prompt = True

    def put(self, token_ids: torch.Tensor) -> None:
        if self._is_prompt:
            self._is_prompt = False
            return
        self.passes += 1
        for token_id in token_ids.flatten().tolist():
            self.first_token_at = self.first_token_at or time.perf_counter()
            self.token_ids.append(token_id)
            piece = self._decoder.step(self._tokenizer.backend_tokenizer, token_id)
            if piece:
                self.text += piece
                self._on_text(piece)

    def end(self) -> None:
        """Called after the last token; an unfinished character at the very end is not text."""


class _Stop(StoppingCriteria):
    def __init__(self, event: threading.Event):
        self._event = event

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self._event.is_set(), device=input_ids.device)


class Chat:
    """Answers through a swarm.

    Args:
        model: the swarm as a model.
        tokenizer: the model's own, a fast one.
        speculation: where drafts come from, if any; they are left out while a server of the route is busy.
    """

    def __init__(self, model: SwarmForCausalLM, tokenizer: Any, speculation: Speculation | None = None):
        self.model = model
        self.tokenizer = tokenizer
        self.speculation = speculation

    def prompt(self, messages: Sequence[Message], *, raw: bool = False) -> torch.Tensor:
        """The messages as token ids, [1, tokens] int64.

        With `raw`, or where the tokenizer has no chat template (a base model such as BLOOM), it is the plain text of
        the messages, to be continued.

        Raises:
            ConfigurationError: the template does not take these messages.
        """
        if raw or not self.tokenizer.chat_template:
            text = "\n".join(message["content"] for message in messages)
            ids: torch.Tensor = self.tokenizer(text, return_tensors="pt").input_ids
        else:
            try:
                text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
            except Exception as error:  # a Jinja template of the model's authors: it may raise anything
                raise ConfigurationError(f"The model's chat template cannot be used: {error}") from error
            ids = self.tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        if ids.shape[1] == 0:
            raise ConfigurationError("The prompt is empty.")
        return ids

    def answer(
        self,
        prompt_ids: torch.Tensor,
        sampling: Sampling,
        *,
        on_text: Callable[[str], None] = lambda text: None,
        stop: threading.Event | None = None,
    ) -> Answer:
        """Continues `prompt_ids` [1, tokens]; `on_text` gets each piece of text as it comes.

        Raises:
            NoRoute, SessionFailed: the swarm cannot answer.
        """
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        stream = _TextStream(self.tokenizer, on_text)
        stopping = StoppingCriteriaList([_Stop(stop)] if stop is not None else [])
        started = time.perf_counter()
        max_length = prompt_ids.shape[1] + sampling.max_new_tokens
        drafting = self._drafting(max_length)
        cache = SwarmCache(self.model, max_length + (DRAFT_TOKENS if drafting else 0))
        try:
            with torch.inference_mode():
                self.model.generate(
                    prompt_ids,
                    attention_mask=torch.ones_like(prompt_ids),
                    past_key_values=cache,
                    streamer=stream,
                    stopping_criteria=stopping,
                    pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id,
                    **sampling.arguments(),
                    **drafting,
                )
            route = cache.session.route if cache.session is not None else ()
        finally:
            cache.close()
        ended = time.perf_counter()
        return Answer(
            text=stream.text,
            prompt_tokens=prompt_ids.shape[1],
            token_ids=tuple(stream.token_ids),
            first_token_s=(stream.first_token_at or ended) - started,
            total_s=ended - started,
            route=route,
            passes=stream.passes,
        )

    def _drafting(self, max_length: int) -> dict[str, Any]:
        """What `generate` is told about drafts for the next answer: nothing while others would wait for them."""
        if self.speculation is None:
            return {}
        ends = (getattr(self.model.config, "max_position_embeddings", None), self.speculation.max_length)
        if any(end is not None and max_length + DRAFT_TOKENS > end for end in ends):
            return {}
        if not speculation_pays(self.model.likely_route(max_length=max_length + DRAFT_TOKENS)):
            return {}
        return self.speculation.arguments()


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a checkpoint's folder; no code from the folder is run.

    Raises:
        ConfigurationError: there is none that can be used.
    """
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"The tokenizer in {folder} cannot be used: {error}") from error
