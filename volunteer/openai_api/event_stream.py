"""A reply that is sent as it grows: server-sent events as OpenAI's clients read them."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from volunteer.errors import UserError
from volunteer.openai_api.errors import ApiError, of_exception

logger = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"


def event(data: dict[str, Any]) -> bytes:
    """One event."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def error_event(error: Exception) -> bytes:
    """What is wrong, as the last event but `DONE`."""
    return event(of_exception(error).body()) + DONE


def error_response(error: Exception) -> JSONResponse:
    """The answer to a request that failed before anything of its reply was sent."""
    _log(error)
    told = of_exception(error)
    return JSONResponse(told.body(), told.status, headers=told.headers)


class EventStream(Response):
    """Sends chunks as they come. What fails before the first one has a status of its own; what fails later is an event.

    Args:
        chunks: closed in any case, which ends the answers behind it.
    """

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[dict[str, Any], None]):
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._chunks) as chunks:
            try:
                first = await anext(chunks)
            except Exception as error:
                await error_response(error)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": event(first), "more_body": True})
            async for line in _lines(chunks):
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _lines(chunks: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in chunks:
            yield event(chunk)
    except Exception as error:
        _log(error)
        yield error_event(error)
    else:
        yield DONE


def _log(error: Exception) -> None:
    if not isinstance(error, UserError | ApiError):
        logger.error("A request failed", exc_info=error)
