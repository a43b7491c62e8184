"""One request and its reply on the wire: how much may come, how long it may take, whether somebody is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope, Send

from volunteer.openai_api.errors import ApiError

_WRITE_BYTES = 64 << 10
"""In one piece: uvicorn waits for a reader between two of them, not within one."""


@dataclass(frozen=True)
class Limits:
    """What requests may take."""

    max_body_bytes: int = 4 << 20
    """More digits and text than any model's context holds."""
    max_requests: int = 32
    """Being answered at once; more are asked to come again."""
    max_answers: int = 6
    """Being computed at once, for all requests together; fewer than `Answering` does, so that others get their turn."""
    body_timeout_s: float = 30.0
    """For all of the body to come."""
    write_timeout_s: float = 60.0
    """For the reader to take the next piece of the reply."""


class ClientGone(Exception):
    """There is nobody any more to answer to."""


class Exchange:
    """A request that is read whole, and then only watched for its client going away.

    Args:
        abort: ends the connection, without waiting for what is still to be sent.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits, abort: Callable[[], None]):
        self.scope = scope
        self.status: int | None = None
        """Of the reply, once it has begun."""
        self.is_stream = False
        self._receive = receive
        self._send = send
        self._limits = limits
        self._abort = abort

    async def read_body(self) -> bytes:
        """The whole body.

        Raises:
            ApiError: it is too large, or does not come.
            ClientGone
        """
        largest = self._limits.max_body_bytes
        declared = next((value for name, value in self.scope["headers"] if name == b"content-length"), b"0")
        if int(declared) > largest:  # h11 lets only digits through
            raise _too_large(largest)
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    body += message.get("body", b"")
                    if len(body) > largest:
                        raise _too_large(largest)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise ApiError(408, "The request did not come to its end.", headers={"connection": "close"}) from None

    async def wait_for_end(self) -> None:
        """Returns when the client has gone, or the reply is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def send(self, message: Message) -> None:
        """Sends a part of the reply. A reader who does not take it loses the connection."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.is_stream = any(value.startswith(b"text/event-stream") for _, value in message.get("headers", ()))
            await self._send_in_time(message)
            return
        body, more_body = message.get("body", b""), message.get("more_body", False)
        while len(body) > _WRITE_BYTES:
            await self._send_in_time({"type": message["type"], "body": body[:_WRITE_BYTES], "more_body": True})
            body = body[_WRITE_BYTES:]
        await self._send_in_time({"type": message["type"], "body": body, "more_body": more_body})

    async def _send_in_time(self, message: Message) -> None:
        # After `abort` nothing blocks any more: uvicorn drops what is sent.
        timer = asyncio.get_running_loop().call_later(self._limits.write_timeout_s, self._abort)
        try:
            await self._send(message)
        finally:
            timer.cancel()


class Replay:
    """Gives a body that was read already to an application."""

    def __init__(self, body: bytes):
        self._message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def __call__(self) -> Message:
        message, self._message = self._message, None
        if message is None:  # whoever waits here for the end is cancelled at the end
            await asyncio.get_running_loop().create_future()
            raise AssertionError("a future that nobody sets")
        return message


def _too_large(largest: int) -> ApiError:
    # The rest of it is on its way and will not be read.
    return ApiError(
        413, f"The request is larger than {largest} bytes.", code="too_large", headers={"connection": "close"}
    )
