"""Text in, streamed text out: chat templates, and what an answer cost. Knows no terminal and no window."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoTokenizer, StoppingCriteria, StoppingCriteriaList

from volunteer.client.account import Offer
from volunteer.client.connection import Stopped
from volunteer.client.logprobs import Recorder, ScoredToken, TokenBytes
from volunteer.client.logprobs import score_prompt as scored_tokens
from volunteer.client.model import DRAFT_TOKENS, SwarmCache, SwarmForCausalLM
from volunteer.client.routing import Hop
from volunteer.client.sampling import Sampling as Sampling
from volunteer.client.speculation import Speculation, speculation_pays
from volunteer.client.text_stream import Piece, TextStream
from volunteer.errors import ConfigurationError
from volunteer.points.totals import points_of

Message = Mapping[str, str]
"""`role` ("system", "user" or "assistant") and `content`, as chat templates take it."""


FinishReason = Literal["stop", "length", "cancelled"]
"""Why an answer ended: at its own end or a stop string, at its greatest length, or because it was told to."""


class BadPrompt(ConfigurationError):
    """A prompt that this model cannot continue."""


class PromptTooLong(BadPrompt):
    """Prompt and answer have no room in the model's context."""


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
    finish_reason: FinishReason = "stop"
    scored: tuple[ScoredToken, ...] = ()
    """The tokens of the answer, if their log-probabilities were asked for."""
    scored_prompt: tuple[ScoredToken, ...] = ()
    """The tokens of the prompt, likewise."""
    spent_points: float = 0.0
    """What was signed for: work done by servers that give receipts, times what was offered for it."""

    @property
    def tokens_per_s(self) -> float:
        """Of the tokens after the first, whose time is the prompt's; 0 when there are none."""
        return _tokens_per_s(len(self.token_ids), self.total_s - self.first_token_s)


@dataclass(frozen=True)
class Progress:
    """An answer that is under way, as far as it has come."""

    route: tuple[Hop, ...] = ()
    """Empty until there is one."""
    tokens: int = 0
    tokens_per_s: float = 0.0
    """Of the tokens after the first, up to now."""
    first_token_s: float | None = None
    """From the question to the first new token."""


def _tokens_per_s(tokens: int, rest_s: float) -> float:
    return (tokens - 1) / rest_s if tokens > 1 and rest_s > 0 else 0.0


class _Stop(StoppingCriteria):
    def __init__(self, stop: threading.Event, stream: TextStream):
        self._stop = stop
        self._stream = stream

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        is_done = self._stop.is_set() or self._stream.is_stopped
        return torch.full((input_ids.shape[0],), is_done, device=input_ids.device)


class Chat:
    """Answers through a swarm; several at once may be under way, each on a thread of its own.

    Args:
        model: the swarm as a model.
        tokenizer: the model's own, a fast one.
        speculation: where drafts come from, if any; they are left out while a server of the route is busy.
    """

    def __init__(self, model: SwarmForCausalLM, tokenizer: Any, speculation: Speculation | None = None):
        self.model = model
        self.tokenizer = tokenizer
        self.speculation = speculation

    @cached_property
    def token_bytes(self) -> TokenBytes:
        """Made for the first answer that wants log-probabilities: it reads the whole vocabulary."""
        return TokenBytes(self.tokenizer)

    @property
    def context_length(self) -> int | None:
        """Tokens that prompt and answer may have together; None where the model sets no end."""
        return getattr(self.model.config, "max_position_embeddings", None)

    def close(self) -> None:
        """Leaves the swarm."""
        self.model.close()

    def prompt(self, messages: Sequence[Message], *, raw: bool = False) -> torch.Tensor:
        """The messages as token ids, [1, tokens] int64.

        With `raw`, or where the tokenizer has no chat template (a base model such as BLOOM), it is the plain text of
        the messages, to be continued.

        Raises:
            BadPrompt: the template does not take these messages, or there is nothing in them.
        """
        if raw or not self.tokenizer.chat_template:
            return self.text_prompt("\n".join(message["content"] for message in messages))
        try:
            text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a Jinja template of the model's authors: it may raise anything
            raise BadPrompt(f"The model's chat template cannot be used: {error}") from error
        return self._token_ids(text, add_special_tokens=False)

    def text_prompt(self, text: str) -> torch.Tensor:
        """A text to be continued as token ids, [1, tokens] int64.

        Raises:
            BadPrompt: there is nothing in it.
        """
        return self._token_ids(text, add_special_tokens=True)

    def token_prompt(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Token ids to be continued, [1, tokens] int64.

        Raises:
            BadPrompt: there are none, or some that this model does not know.
        """
        self._check_known(token_ids)
        return _not_empty(torch.tensor([list(token_ids)], dtype=torch.int64))

    def text_of(self, token_ids: Sequence[int]) -> str:
        """The tokens as text, special ones too.

        Raises:
            BadPrompt: there are some that this model does not know.
        """
        self._check_known(token_ids)
        text: str = self.tokenizer.decode(
            list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def answer(
        self,
        prompt_ids: torch.Tensor,
        sampling: Sampling,
        *,
        on_text: Callable[[str], None] = lambda text: None,
        on_piece: Callable[[Piece], None] = lambda piece: None,
        on_started: Callable[[Callable[[], Progress]], None] = lambda look: None,
        stop: threading.Event | None = None,
        score_prompt: bool = False,
    ) -> Answer:
        """Continues `prompt_ids` [1, tokens]; `on_text` gets each piece of text as it comes.

        Args:
            on_piece: gets the same, with log-probabilities if `sampling` asks for them.
            on_started: gets what any thread may ask from now on how far the answer has come.
            stop: set from another thread, it ends the answer within a moment, in the midst of the prompt too.
            score_prompt: gives the log-probabilities of the prompt's tokens as well.

        Raises:
            PromptTooLong: there is no room for the answer.
            NoRoute, SessionFailed: the swarm cannot answer.
        """
        sampling = self._fitting(sampling, prompt_ids.shape[1])
        stop = stop or threading.Event()
        started = time.perf_counter()
        top = sampling.top_logprobs

        def hand_on(piece: Piece) -> None:
            if piece.text:
                on_text(piece.text)
            on_piece(piece)

        recorder = None if top is None else Recorder(top, self.token_bytes)
        stream = TextStream(
            self.tokenizer,
            prompt_tokens=prompt_ids.shape[1],
            stop=sampling.stop,
            recorder=recorder,
            on_piece=hand_on,
        )
        scored_prompt: tuple[ScoredToken, ...] = ()
        route: tuple[Hop, ...] = ()
        spent_units = 0
        with contextlib.suppress(Stopped), torch.inference_mode():
            if stop.is_set():
                raise Stopped
            max_length = prompt_ids.shape[1] + sampling.max_new_tokens
            drafting = self._drafting(max_length, stop)
            offer = None if sampling.points is None else Offer.of(sampling.points)
            cache = SwarmCache(
                self.model,
                max_length + (DRAFT_TOKENS if drafting else 0),
                stop=stop,
                offer=offer,
                peers=sampling.peers,
            )
            on_started(lambda: _progress(cache, stream, started))
            try:
                if score_prompt:
                    scored_prompt = scored_tokens(
                        self.model, cache, prompt_ids, top=top or 0, token_bytes=self.token_bytes, stop=stop
                    )
                    on_piece(Piece("", scored_prompt, of_prompt=True))
                if sampling.max_new_tokens > 0:
                    self._generate(prompt_ids, sampling, cache, stream, recorder, stop, drafting)
            finally:
                route = cache.session.route if cache.session is not None else ()
                cache.close()
                # After the end: the last of it is claimed then.
                spent_units = cache.session.charged_units if cache.session is not None else 0
        stream.end()
        ended = time.perf_counter()
        return Answer(
            text=stream.text,
            prompt_tokens=prompt_ids.shape[1],
            token_ids=tuple(stream.token_ids),
            first_token_s=(stream.first_token_at or ended) - started,
            total_s=ended - started,
            route=route,
            passes=stream.passes,
            finish_reason=self._finish_reason(stream, sampling, stop),
            scored=tuple(stream.scored),
            scored_prompt=scored_prompt,
            spent_points=points_of(spent_units),
        )

    def _generate(
        self,
        prompt_ids: torch.Tensor,
        sampling: Sampling,
        cache: SwarmCache,
        stream: TextStream,
        recorder: Recorder | None,
        stop: threading.Event,
        drafting: dict[str, Any],
    ) -> None:
        processors = sampling.processors(prompt_ids.shape[1])
        if recorder is not None:
            processors.insert(0, recorder)
        self.model.generate(
            prompt_ids,
            attention_mask=torch.ones_like(prompt_ids),
            past_key_values=cache,
            streamer=stream,
            logits_processor=processors,
            stopping_criteria=StoppingCriteriaList([_Stop(stop, stream)]),
            pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id,
            **sampling.arguments(),
            **drafting,
        )

    def _finish_reason(self, stream: TextStream, sampling: Sampling, stop: threading.Event) -> FinishReason:
        if stream.is_stopped or (stream.token_ids and stream.token_ids[-1] in self._end_ids()):
            return "stop"
        if len(stream.token_ids) >= sampling.max_new_tokens or not stop.is_set():
            return "length"
        return "cancelled"

    def _end_ids(self) -> tuple[int, ...]:
        """The tokens at which `generate` ends an answer."""
        end = self.model.generation_config.eos_token_id
        if end is None:
            return ()
        return (end,) if isinstance(end, int) else tuple(end)

    def _check_known(self, token_ids: Sequence[int]) -> None:
        vocab_size = self.model.config.vocab_size
        if not all(0 <= token_id < vocab_size for token_id in token_ids):
            raise BadPrompt(f"The tokens of this model are numbered from 0 to {vocab_size - 1}.")

    def _fitting(self, sampling: Sampling, prompt_tokens: int) -> Sampling:
        new_tokens, longest = sampling.max_new_tokens, self.context_length
        if longest is None or prompt_tokens + new_tokens <= longest:
            return sampling
        if sampling.shrink_to_fit and prompt_tokens < longest:
            return dataclasses.replace(sampling, max_new_tokens=longest - prompt_tokens)
        raise PromptTooLong(
            f"The prompt has {prompt_tokens} tokens, and {new_tokens} more for the answer exceed this model's context "
            f"of {longest}."
        )

    def _token_ids(self, text: str, *, add_special_tokens: bool) -> torch.Tensor:
        try:
            encoded = self.tokenizer(text, add_special_tokens=add_special_tokens, return_tensors="pt")
        except (UnicodeEncodeError, TypeError) as error:  # half of a surrogate pair, as JSON can hold one
            raise BadPrompt("The prompt is not valid Unicode text.") from error
        # Of an empty text it is a tensor of floats.
        return _not_empty(encoded.input_ids.to(torch.int64))

    def _drafting(self, max_length: int, stop: threading.Event) -> dict[str, Any]:
        """What `generate` is told about drafts for the next answer: nothing while others would wait for them."""
        if self.speculation is None:
            return {}
        ends = (self.context_length, self.speculation.max_length)
        if any(end is not None and max_length + DRAFT_TOKENS > end for end in ends):
            return {}
        if not speculation_pays(self.model.likely_route(max_length=max_length + DRAFT_TOKENS, stop=stop)):
            return {}
        return self.speculation.arguments()


def _progress(cache: SwarmCache, stream: TextStream, started: float) -> Progress:
    tokens, first_token_at = len(stream.token_ids), stream.first_token_at
    rest_s = 0.0 if first_token_at is None else time.perf_counter() - first_token_at
    return Progress(
        route=() if cache.session is None else cache.session.route,
        tokens=tokens,
        tokens_per_s=_tokens_per_s(tokens, rest_s),
        first_token_s=None if first_token_at is None else first_token_at - started,
    )


def _not_empty(prompt_ids: torch.Tensor) -> torch.Tensor:
    if prompt_ids.shape[1] == 0:
        raise BadPrompt("The prompt is empty.")
    return prompt_ids


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a checkpoint's folder; no code from the folder is run.

    Raises:
        ConfigurationError: there is none that can be used.
    """
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"The tokenizer in {folder} cannot be used: {error}") from error
