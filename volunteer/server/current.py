"""The RPCs of whichever span is served at the moment: a server that moves keeps its place in the swarm."""

from __future__ import annotations

from typing import Any

from volunteer.server.admission import TooBusy
from volunteer.swarm.node import Service, StreamHandler, UnaryHandler
from volunteer.swarm.rpc import LEAVING, MessageStream, Method


class CurrentService:
    """Hands calls on to the service that was put in last; between two of them callers are sent elsewhere."""

    def __init__(self) -> None:
        self._current: Service | None = None

    def put(self, service: Service | None) -> None:
        self._current = service

    def facade(self, like: Service) -> Service:
        """For `SwarmNode.serve`, once: the methods and limits of `like`, which the later services share."""
        return Service(
            unary={method: (request_type, self._unary(method)) for method, (request_type, _) in like.unary.items()},
            streams={method: self._stream(method) for method in like.streams},
            max_message_bytes=like.max_message_bytes,
            inbox_bytes=like.inbox_bytes,
        )

    def _unary(self, method: Method) -> UnaryHandler:
        async def call(request: Any, caller: str) -> Any:
            return await self._now().unary[method][1](request, caller)

        return call

    def _stream(self, method: Method) -> StreamHandler:
        async def answer(stream: MessageStream, caller: str) -> None:
            await self._now().streams[method](stream, caller)

        return answer

    def _now(self) -> Service:
        if self._current is None:
            raise TooBusy(f"{LEAVING} these blocks")
        return self._current
