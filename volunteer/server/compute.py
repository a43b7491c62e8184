"""The one thread that runs torch. The event loop hands it work and never blocks on it."""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from enum import IntEnum
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")


class Priority(IntEnum):
    """What goes first: a person waits for each token of an answer, a training batch waits for itself."""

    DECODE = 0
    PREFILL = 1
    FORWARD = 2
    BACKWARD = 3
    BACKGROUND = 4


class ComputeThread:
    """Runs functions one at a time, the most urgent first and in order of arrival among equals.

    Use as `async with`: leaving it lets the running function end and drops the waiting ones.
    """

    def __init__(self) -> None:
        # (priority, number of arrival, what to run, future, its loop): the number settles ties before functions compare
        self._work: queue.PriorityQueue[tuple[int, int, Any, Any, Any]] = queue.PriorityQueue()
        self._arrivals = itertools.count()
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._work.put((-1, -1, None, None, None))
        await asyncio.to_thread(self._thread.join)

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return self._work.qsize()

    async def run(self, priority: Priority, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        """What `function(*args, **kwargs)` returns or raises, on the compute thread.

        A caller that is cancelled before its turn costs nothing; once it runs, it runs to the end.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        call = (function, args, kwargs)
        self._work.put((int(priority), next(self._arrivals), call, future, loop))
        return await future

    def _run(self) -> None:
        while True:
            _, _, call, future, loop = self._work.get()
            if call is None:
                return
            if future.cancelled():
                continue
            function, args, kwargs = call
            result, error = None, None
            try:
                result = function(*args, **kwargs)
            except BaseException as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits for this any more
                return
            del call, function, args, kwargs, result, error, future


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
