"""The paths of the endpoint: a request becomes questions, their answers become a reply."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from volunteer.client.answering import Question
from volunteer.client.chat import Answer
from volunteer.openai_api import replies
from volunteer.openai_api.answers import Asking
from volunteer.openai_api.errors import ApiError, of_validation
from volunteer.openai_api.event_stream import EventStream, error_response
from volunteer.openai_api.metrics import METRICS_TYPE, Metrics
from volunteer.openai_api.replies import Reply
from volunteer.openai_api.requests import ChatRequest, CompletionRequest

OPEN_PATHS = frozenset({"/health"})
"""Answered without a key."""
PATHS = frozenset({"/health", "/metrics", "/v1/models", "/v1/chat/completions", "/v1/completions"})

_CHAT_TOKENS = 1024
"""Of the longest answer in a chat that does not say; OpenAI's end with the model's context."""
_COMPLETION_TOKENS = 16
"""Likewise of completions, as OpenAI documents it."""

Asked = TypeVar("Asked", ChatRequest, CompletionRequest)
Handler = Callable[[Request], Awaitable[Response]]


class Routes:
    """Answers to the paths.

    Args:
        model: by which name the model is asked for.
        asking: for answers.
        metrics: shown under `/metrics`.
    """

    def __init__(self, model: str, asking: Asking, metrics: Metrics):
        self._model = model
        self._asking = asking
        self._metrics = metrics
        self._created = int(time.time())

    def app(self) -> Starlette:
        """As an ASGI application."""
        return Starlette(
            routes=[
                Route("/health", _answered(self._health)),
                Route("/metrics", _answered(self._show_metrics)),
                Route("/v1/models", _answered(self._models)),
                Route("/v1/models/{model:path}", _answered(self._one_model)),
                Route("/v1/chat/completions", _answered(self._chat), methods=["POST"]),
                Route("/v1/completions", _answered(self._complete), methods=["POST"]),
            ],
            exception_handlers={HTTPException: _no_such_path},
        )

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), headers={"content-type": METRICS_TYPE})

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._model_object()]})

    async def _one_model(self, request: Request) -> Response:
        self._check_model(request.path_params["model"])
        return JSONResponse(self._model_object())

    def _model_object(self) -> dict[str, Any]:
        return {"id": self._model, "object": "model", "created": self._created, "owned_by": "swarm"}

    def _check_model(self, name: str) -> None:
        if name != self._model:
            raise ApiError(
                404,
                f"There is no model {name[:200]!r} here, only {self._model!r}.",
                code="model_not_found",
                param="model",
            )

    async def _parse(self, request: Request, kind: type[Asked]) -> Asked:
        try:
            asked = kind.model_validate_json(await request.body())
        except ValidationError as error:
            raise of_validation(error) from error
        self._check_model(asked.model)
        return asked

    async def _chat(self, request: Request) -> Response:
        asked = await self._parse(request, ChatRequest)
        messages = tuple(message.as_message() for message in asked.messages)
        questions = [
            Question(asked.sampling(index, default_tokens=_CHAT_TOKENS), messages=messages)
            for index in range(asked.choices_each)
        ]
        reply = Reply.of_chat(self._model)
        if asked.stream:
            return EventStream(self._chat_chunks(asked, questions, reply))
        answers = await self._asking.answers(questions)
        with_logprobs = bool(asked.logprobs)
        choices = [
            replies.chat_choice(index, answer, with_logprobs=with_logprobs) for index, answer in enumerate(answers)
        ]
        return JSONResponse(reply.whole(choices, replies.usage(answers, asked.choices_each)))

    async def _chat_chunks(
        self, asked: ChatRequest, questions: Sequence[Question], reply: Reply
    ) -> AsyncGenerator[dict[str, Any], None]:
        no_usage = {"usage": None} if asked.wants_usage else {}
        begun: set[int] = set()
        answers: dict[int, Answer] = {}
        async with contextlib.aclosing(self._asking.stream(questions)) as events:
            async for index, event in events:
                if index not in begun:
                    begun.add(index)
                    first = replies.chat_chunk(index, {"role": "assistant", "content": ""})
                    yield reply.chunk([first], **no_usage)
                if isinstance(event, Answer):
                    answers[index] = event
                    choice = replies.chat_chunk(index, {}, finish_reason=event.finish_reason)
                else:
                    choice = replies.chat_chunk(index, {"content": event.text}, scored=event.tokens)
                yield reply.chunk([choice], **no_usage)
        if asked.wants_usage:
            ordered = [answers[index] for index in range(len(questions))]
            yield reply.chunk([], usage=replies.usage(ordered, asked.choices_each))

    async def _complete(self, request: Request) -> Response:
        asked = await self._parse(request, CompletionRequest)
        score_prompt = bool(asked.echo) and asked.logprobs is not None
        questions: list[Question] = []
        for prompt in asked.prompts:
            for index in range(asked.choices_each):
                sampling = asked.sampling(index, default_tokens=_COMPLETION_TOKENS)
                text, token_ids = (prompt, None) if isinstance(prompt, str) else (None, prompt)
                questions.append(Question(sampling, text=text, prompt_ids=token_ids, score_prompt=score_prompt))
        reply = Reply.of_completion(self._model)
        if asked.stream:
            return EventStream(self._completion_chunks(asked, questions, reply))
        answers = await self._asking.answers(questions)
        echoed = await self._echoed(asked)

        def whole() -> JSONResponse:
            choices = [
                replies.whole_text_choice(index, prompt + answer.text, answer, with_logprobs=asked.logprobs is not None)
                for index, (answer, prompt) in enumerate(zip(answers, echoed, strict=True))
            ]
            return JSONResponse(reply.whole(choices, replies.usage(answers, asked.choices_each)))

        # Log-probabilities of a long prompt are megabytes of JSON: the loop has others to look after.
        return await asyncio.to_thread(whole)

    async def _completion_chunks(
        self, asked: CompletionRequest, questions: Sequence[Question], reply: Reply
    ) -> AsyncGenerator[dict[str, Any], None]:
        no_usage = {"usage": None} if asked.wants_usage else {}
        not_echoed = dict(enumerate(await self._echoed(asked)))
        logprobs = [replies.TextLogprobs() for _ in questions]
        answers: dict[int, Answer] = {}
        async with contextlib.aclosing(self._asking.stream(questions)) as events:
            async for index, event in events:
                text = not_echoed.pop(index, "")
                if isinstance(event, Answer):
                    answers[index] = event
                    choice = replies.text_choice(index, text, finish_reason=event.finish_reason)
                else:
                    scored = logprobs[index].of(event.tokens) if event.tokens else None
                    choice = replies.text_choice(index, text + event.text, logprobs=scored)
                yield reply.chunk([choice], **no_usage)
        if asked.wants_usage:
            ordered = [answers[index] for index in range(len(questions))]
            yield reply.chunk([], usage=replies.usage(ordered, asked.choices_each))

    async def _echoed(self, asked: CompletionRequest) -> list[str]:
        """What comes before the text of each answer."""
        texts = [""] * len(asked.prompts)
        if asked.echo:
            texts = [
                prompt if isinstance(prompt, str) else await self._asking.text_of(prompt) for prompt in asked.prompts
            ]
        return [text for text in texts for _ in range(asked.choices_each)]


def _answered(handler: Handler) -> Handler:
    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            return error_response(error)

    return answered


async def _no_such_path(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    told = ApiError(status, f"There is nothing to be had by {request.method} {request.url.path[:200]}.")
    return error_response(told)
