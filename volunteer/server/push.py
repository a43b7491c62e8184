"""Outputs of a step on their way to the server of the next blocks, beside the answer to the client.

Knows peers and messages; neither sessions nor tensors. Whatever is lost here is no loss: the client sends its own copy.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from volunteer.swarm.rpc import (
    MAX_UNARY_BYTES,
    ExpertRequest,
    MessageStream,
    Method,
    PeerLost,
    Refused,
    RemoteError,
)

logger = logging.getLogger(__name__)

MAX_PUSHES = 64
"""That are on their way to other servers, and that wait in sessions here; more are dropped."""
MAX_PUSH_BYTES = MAX_UNARY_BYTES - 1024
_MAX_LINES = 64
_IDLE_S = 300.0
_SEND_TIMEOUT_S = 10.0
_NO_STREAM_S = 600.0
"""A peer that took no stream gets unary calls for so long."""
_MAX_INCOMING = 256
_MAX_INCOMING_PER_PEER = 2

Push = Callable[[str, Any], Awaitable[None]]
"""Sends an `ExpertRequest` to the peer with that id as an `rpc_push`."""
OpenStream = Callable[[str, Method], Awaitable[MessageStream]]


class Pusher:
    """Sends steps on: over one stream for each next server, kept open, or by unary calls to those that know no such.

    Args:
        push: the unary call.
        open_stream: None: only unary calls.
    """

    def __init__(self, push: Push, open_stream: OpenStream | None = None):
        self._push = push
        self._open_stream = open_stream
        self._lines: dict[str, asyncio.Queue[Any]] = {}
        self._no_stream_until: dict[str, float] = {}
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def push(self, peer_id: str, request: Any) -> None:
        """Sends `request`, or drops it where too much is on its way. Never waits."""
        if self._waiting >= MAX_PUSHES or request.ByteSize() > MAX_PUSH_BYTES:
            return
        line = self._lines.get(peer_id)
        if line is None:
            if self._open_stream is None or self._no_stream_until.get(peer_id, 0.0) > time.monotonic():
                self._waiting += 1
                self._start(self._call(peer_id, request))
                return
            if len(self._lines) >= _MAX_LINES:
                return
            line = self._lines[peer_id] = asyncio.Queue()
            self._start(self._serve(peer_id, line, self._open_stream))
        self._waiting += 1
        line.put_nowait(request)

    def _start(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, peer_id: str, request: Any) -> None:
        try:
            await self._push(peer_id, request)
        except (PeerLost, RemoteError, ValueError) as error:
            logger.debug("Could not push a step to %s: %s", peer_id, error)
        finally:
            self._waiting -= 1

    async def _serve(self, peer_id: str, line: asyncio.Queue[Any], open_stream: OpenStream) -> None:
        """Sends what comes in the line, until nothing has come for long or the peer is lost."""
        stream = None
        try:
            stream = await open_stream(peer_id, Method.PUSH_STREAM)
            while True:
                async with asyncio.timeout(_IDLE_S):
                    request = await line.get()
                self._waiting -= 1
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await stream.send(request)
        except TimeoutError:
            pass
        except (PeerLost, RemoteError, ValueError) as error:
            logger.debug("Could not push steps to %s: %s", peer_id, error)
            if stream is None:
                self._remember_no_stream(peer_id)
        finally:
            del self._lines[peer_id]
            if stream is not None:
                stream.close()
            while not line.empty():
                request = line.get_nowait()
                self._waiting -= 1
                if peer_id in self._no_stream_until:
                    self.push(peer_id, request)

    def _remember_no_stream(self, peer_id: str) -> None:
        now = time.monotonic()
        self._no_stream_until = {peer: until for peer, until in self._no_stream_until.items() if until > now}
        self._no_stream_until[peer_id] = now + _NO_STREAM_S


class PushStreams:
    """Streams on which other servers push; apart from the streams of clients, so that neither keeps the other out.

    Args:
        take: what is done with each step; it does not wait, and its error ends the stream.
    """

    def __init__(self, take: Callable[[Any], None]):
        self._take = take
        self._open: collections.Counter[str] = collections.Counter()

    async def receive(self, stream: MessageStream, caller: str) -> None:
        if self._open[caller] >= _MAX_INCOMING_PER_PEER or self._open.total() >= _MAX_INCOMING:
            raise Refused("This server has too many streams of pushed steps")
        self._open[caller] += 1
        try:
            with contextlib.suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(2 * _IDLE_S):
                        request: Any = await stream.receive(ExpertRequest)
                    if request is None:
                        return
                    if request.ByteSize() <= MAX_PUSH_BYTES:
                        self._take(request)
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]
