"""Serves the endpoint inside an event loop that is somebody else's: no signal handlers, no process, no thread."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from volunteer.client.answering import Answering
from volunteer.errors import ConfigurationError, UserError
from volunteer.openai_api.answers import Asking
from volunteer.openai_api.exchange import Limits
from volunteer.openai_api.guard import Guard
from volunteer.openai_api.metrics import Metrics
from volunteer.openai_api.routes import Routes

_MAX_CONNECTIONS = 256
_HEAD_TIMEOUT_S = 20.0
"""For the head of a request to come, from the start of the connection or the head's first byte."""
_KEEP_ALIVE_S = 30
_GOODBYE_S = 2


class PortInUse(UserError):
    """Another program listens there."""


@dataclass(frozen=True)
class EndpointSettings:
    """Where the endpoint is, and for whom."""

    model: str
    """By which name programs ask for the model."""
    key: str | None
    """What they show to be let in: see `load_or_create_key`. None lets in every program of this machine."""
    host: str = "127.0.0.1"
    """A loopback address."""
    port: int = 11435
    """0 for any that is free."""
    limits: Limits = field(default_factory=Limits)


class Endpoint:
    """OpenAI's API on loopback. Use as `async with`: `url` is what OpenAI's clients call the base URL.

    Raises:
        PortInUse: another program has the port.
        ConfigurationError: the address is not a loopback address, or cannot be had.
    """

    def __init__(self, answering: Answering, settings: EndpointSettings):
        self.metrics = Metrics(lambda: answering.num_asked, lambda: answering.is_open)
        self._settings = settings
        asking = Asking(answering, self.metrics, max_answers=settings.limits.max_answers)
        app = Routes(settings.model, asking, self.metrics).app()
        self._guard = Guard(
            app, key=settings.key, limits=settings.limits, metrics=self.metrics, abort=self._abort_connection
        )
        config = uvicorn.Config(
            self._guard,
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GOODBYE_S,
        )
        self._server = uvicorn.Server(config)
        self._port = 0

    @property
    def url(self) -> str:
        """Such as "http://127.0.0.1:11435/v1", while the endpoint is there."""
        host = self._settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}/v1"

    async def __aenter__(self) -> Self:
        listener = _listen(self._settings.host, self._settings.port)
        self._port = listener.getsockname()[1]
        # As `Server.serve` does, but that it takes the process's signals, and wakes up ten times a second.
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[listener])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guard.close()
        await self._server.shutdown()

    def _abort_connection(self, scope: Scope) -> None:
        for connection in tuple(self._server.server_state.connections):
            if isinstance(connection, _Connection) and connection.client == scope["client"]:
                connection.transport.abort()


class _Connection(H11Protocol):
    """uvicorn's, and it does not wait for ever for a request, nor with everybody."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > _MAX_CONNECTIONS:
            transport.abort()
            return
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget_head()

    def _watch_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, self.transport.abort)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _listen(host: str, port: int) -> socket.socket:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ConfigurationError(f"The endpoint's address has to be an IP address, and {host!r} is none.") from None
    if not address.is_loopback:
        raise ConfigurationError(f"The endpoint is for programs of this machine: {host} is not a loopback address.")
    listener = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)
    with _closed_on_error(listener):
        if os.name == "posix":  # elsewhere it would let two programs listen
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(f"Another program listens on {host} port {port}: choose another port.") from error
            raise ConfigurationError(f"Port {port} of {host} cannot be listened on: {error.strerror}.") from error
    return listener


@contextlib.contextmanager
def _closed_on_error(listener: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        listener.close()
        raise
