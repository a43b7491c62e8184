"""What callers may ask, as OpenAI documents it. Unknown parameters are ignored; what would change the answer and is not
done here is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from volunteer.client.chat import Message, Sampling

MAX_CHOICES = 128
"""Prompts x `n` in one request: each is an answer of its own."""
MAX_TOP_LOGPROBS = 20
_MAX_STOPS = 16
_MAX_STOP_LENGTH = 1000


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


_Stop = Annotated[str, Field(min_length=1, max_length=_MAX_STOP_LENGTH)]
_TokenId = Annotated[int, Field(ge=0)]
_TokenIds = Annotated[list[_TokenId], Field(min_length=1)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class StreamOptions(_Request):
    include_usage: bool | None = None


class _AnswerRequest(_Request):
    """What both ways of asking have in common."""

    model: str
    n: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    max_tokens: int | None = Field(default=None, ge=0)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    """Not OpenAI's, but known to most programs: 0 or -1 for all tokens."""
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    """Not OpenAI's either."""
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Annotated[list[_Stop] | None, BeforeValidator(_as_list), Field(max_length=_MAX_STOPS)] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    # Refused unless they ask for nothing.
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None

    @model_validator(mode="after")
    def _refuse(self) -> Self:
        for name in self.unsupported():
            if getattr(self, name):
                raise ValueError(f"{name!r} is not supported here, leave it out")
        return self

    def unsupported(self) -> tuple[str, ...]:
        return ("frequency_penalty", "presence_penalty", "logit_bias")

    @property
    def asked_max_tokens(self) -> int | None:
        return self.max_tokens

    @property
    def asked_top_logprobs(self) -> int | None:
        """None where no log-probabilities are wanted at all."""
        return None

    @property
    def choices_each(self) -> int:
        """Answers to each prompt."""
        return self.n or 1

    @property
    def wants_usage(self) -> bool:
        """In a stream: at the end of it."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def sampling(self, index: int, *, default_tokens: int) -> Sampling:
        """For the `index`th answer to a prompt, each of which draws in another way.

        Args:
            default_tokens: of the longest answer if the request does not say; fewer where the context is shorter.
        """
        asked = self.asked_max_tokens
        return Sampling(
            max_new_tokens=default_tokens if asked is None else asked,
            shrink_to_fit=asked is None,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=max(0, self.top_k or 0),
            repetition_penalty=self.repetition_penalty or 1.0,
            # Numbers below 2^63 that go on after the greatest with the least, as the generator takes them.
            seed=None if self.seed is None else (self.seed + index + 2**63) % 2**64 - 2**63,
            stop=tuple(self.stop or ()),
            top_logprobs=self.asked_top_logprobs,
        )


class _TextPart(_Request):
    type: Literal["text"]
    text: str


def _only_text(content: Any) -> Any:
    if isinstance(content, list):
        for part in content:
            if isinstance(part, Mapping) and part.get("type") not in (None, "text"):
                raise ValueError(f"this model reads text only, and no {str(part['type'])[:40]!r}")
    return content


class ChatMessage(_Request):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str | list[_TextPart], BeforeValidator(_only_text)]

    def as_message(self) -> Message:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        # "developer" is OpenAI's newer word, which chat templates do not know.
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatRequest(_AnswerRequest):
    """`POST /v1/chat/completions`."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=0)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)

    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    modalities: list[str] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("'top_logprobs' needs 'logprobs' to be true")
        if self.response_format is not None and self.response_format.get("type") != "text":
            raise ValueError("'response_format' can only be text here")
        if self.modalities is not None and self.modalities != ["text"]:
            raise ValueError("'modalities' can only be text here")
        return self

    def unsupported(self) -> tuple[str, ...]:
        return (*super().unsupported(), "tools", "functions", "audio")

    @property
    def asked_max_tokens(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def asked_top_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(_AnswerRequest):
    """`POST /v1/completions`."""

    prompt: str | list[str] | _TokenIds | list[_TokenIds]
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    suffix: str | None = None
    best_of: int | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.best_of is not None and self.best_of != self.choices_each:
            raise ValueError("'best_of' is not supported here, leave it out")
        if not 1 <= len(self.prompts) * self.choices_each <= MAX_CHOICES:
            raise ValueError(f"there may be up to {MAX_CHOICES} answers in one request")
        return self

    def unsupported(self) -> tuple[str, ...]:
        return (*super().unsupported(), "suffix")

    @property
    def asked_top_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def prompts(self) -> tuple[str | tuple[int, ...], ...]:
        """Texts, or token ids."""
        if isinstance(self.prompt, str):
            return (self.prompt,)
        token_ids = tuple(each for each in self.prompt if isinstance(each, int))
        if token_ids:
            return (token_ids,)
        return tuple(
            tuple(each) if isinstance(each, list) else each for each in self.prompt if not isinstance(each, int)
        )
