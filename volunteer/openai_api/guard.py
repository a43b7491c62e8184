"""Who is let in, and for how long: what is decided before and around a request.

Other programs of this machine get here, and so do web pages, through the browser of whoever sits at it: a page of
another origin, or one whose name was pointed at this machine after it was loaded (DNS rebinding). None of them has the
key; Host and Origin are checked for the path that needs none, and for keys that got around.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Callable, Iterator

from starlette.types import ASGIApp, Receive, Scope, Send

from volunteer.openai_api.errors import ApiError
from volunteer.openai_api.event_stream import error_event, error_response
from volunteer.openai_api.exchange import ClientGone, Exchange, Limits, Replay
from volunteer.openai_api.metrics import Metrics
from volunteer.openai_api.origins import is_loopback_host, is_loopback_origin
from volunteer.openai_api.routes import OPEN_PATHS, PATHS

logger = logging.getLogger(__name__)

_RETRY_S = 1


class Guard:
    """Lets requests through to an ASGI application that may be answered, and ends those whose client has gone.

    Args:
        app: the application; cancelled in the midst of a request when its reply is not wanted any more.
        key: that callers have to show; None lets everybody in who gets here.
        limits: of each request, and of all.
        metrics: count what was answered.
        abort: ends the connection of a request at once.
    """

    def __init__(
        self, app: ASGIApp, *, key: str | None, limits: Limits, metrics: Metrics, abort: Callable[[Scope], None]
    ):
        self._app = app
        self._key = None if key is None else key.encode()
        self._limits = limits
        self._metrics = metrics
        self._abort = abort
        self._num_answering = 0
        self._running: set[asyncio.Task[None]] = set()
        self._is_closing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send, self._limits, lambda: self._abort(scope))
        started = time.perf_counter()
        try:
            self._check(scope)
            with self._place(scope):
                await self._run(exchange)
        except ClientGone:
            pass
        except Exception as error:
            await _tell(exchange, error)
        finally:
            path = scope["path"] if scope["path"] in PATHS else "other"
            self._metrics.requests.labels(path, exchange.status or "gone").inc()
            self._metrics.request_s.labels(path).observe(time.perf_counter() - started)

    def close(self) -> None:
        """Ends the requests that are under way; no others are let in."""
        self._is_closing = True
        for task in self._running:
            task.cancel()

    def _check(self, scope: Scope) -> None:
        """Raises an `ApiError` for those who are not let in."""
        if self._is_closing:
            raise _ending()
        headers = scope["headers"]
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not is_loopback_host(hosts[0]):
            raise _refusal(403, "Only localhost and loopback addresses are answered.", "bad_host")
        origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
        if not all(is_loopback_origin(origin) for origin in origins):
            raise _refusal(403, "Web pages of other origins are not answered.", "bad_origin")
        if self._key is None or scope["path"] in OPEN_PATHS:
            return
        shown = [value for name, value in headers if name == b"authorization"]
        scheme, _, key = (shown[0] if len(shown) == 1 else b"").partition(b" ")
        if not hmac.compare_digest(key.strip(), self._key) or scheme.lower() != b"bearer":
            raise _refusal(401, "The API key is missing or wrong.", "invalid_api_key")

    @contextlib.contextmanager
    def _place(self, scope: Scope) -> Iterator[None]:
        """One of those who are answered at the same time; only looking takes none."""
        if scope["method"] != "POST":
            yield
            return
        if self._num_answering >= self._limits.max_requests:
            raise ApiError(
                429,
                f"{self._limits.max_requests} requests are being answered: try again when one has ended.",
                code="rate_limit_exceeded",
                # The body may be on its way, and will not be read.
                headers={"retry-after": str(_RETRY_S), "connection": "close"},
            )
        self._num_answering += 1
        self._metrics.running.inc()
        try:
            yield
        finally:
            self._num_answering -= 1
            self._metrics.running.dec()

    async def _run(self, exchange: Exchange) -> None:
        """Runs the application, for as long as somebody is there."""
        receive = Replay(await exchange.read_body())
        app = asyncio.create_task(_call(self._app, exchange.scope, receive, exchange.send))
        end = asyncio.create_task(exchange.wait_for_end())
        self._running.add(app)
        try:
            await asyncio.wait((app, end), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._running.discard(app)
            was_running = not app.done()
            app.cancel()
            end.cancel()
            await asyncio.wait((app, end))
        if not app.cancelled():
            app.result()
        elif not was_running:
            raise _ending()


async def _call(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def _tell(exchange: Exchange, error: Exception) -> None:
    """Ends the reply with an error, whether it has begun or not."""
    if exchange.status is None:
        await error_response(error)(exchange.scope, Replay(b""), exchange.send)
        return
    if not isinstance(error, ApiError):
        logger.error("A reply was cut off", exc_info=error)
    body = error_event(error) if exchange.is_stream else b""
    await exchange.send({"type": "http.response.body", "body": body, "more_body": False})


def _refusal(status: int, message: str, code: str) -> ApiError:
    # The body may be on its way, and will not be read.
    headers = {"connection": "close"} | ({"www-authenticate": "Bearer"} if status == 401 else {})
    return ApiError(status, message, code=code, headers=headers)


def _ending() -> ApiError:
    return ApiError(503, "The program is ending.", code="unavailable", headers={"connection": "close"})
