"""A client's connection to the swarm of one model, for callers without an event loop of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from volunteer.client.servers import ServerTable
from volunteer.swarm.node import NodeOptions, SwarmNode
from volunteer.swarm.swarm_key import SwarmKey

Result = TypeVar("Result")

_STOP_POLL_S = 0.05
"""How soon a caller who waits for the swarm notices that it was told to stop: a `threading.Event` cannot tell."""


class Stopped(Exception):
    """The caller was told to stop while it waited."""


class _LoopThread:
    """An asyncio loop on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="swarm", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(cancel_other_tasks())
        self.loop.close()

    def run(self, coroutine: Coroutine[Any, Any, Result], stop: threading.Event | None = None) -> Result:
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result() if stop is None else _result(future, stop)
        except BaseException:  # Stopped, or Ctrl-C while waiting: the call is not wanted any more
            future.cancel()
            raise

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()


class Connection:
    """Joins as a client and looks after the table of servers. Use as `with`, or call `close`.

    Args:
        initial_peers: multiaddresses of peers in the swarm.
        prefix: DHT prefix of the model.
        num_blocks: of the whole model.
        peers_file: where servers that were seen are remembered; they are tried beside the initial peers.
        swarm_key: of a private swarm.

    Raises:
        Unavailable: no initial peer answers.
    """

    def __init__(
        self,
        initial_peers: Sequence[str],
        prefix: str,
        num_blocks: int,
        *,
        peers_file: Path | None = None,
        swarm_key: SwarmKey | None = None,
    ):
        self._loop = _LoopThread()
        node = SwarmNode(
            NodeOptions(
                initial_peers=tuple(initial_peers),
                peers_file=peers_file,
                is_client=True,
                may_begin_alone=False,
                swarm_key=swarm_key,
            )
        )
        try:
            self._node = self._loop.run(node.__aenter__())
        except BaseException:
            self._loop.stop()
            raise
        self.servers = ServerTable(self._node, prefix, num_blocks)
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, Result], *, stop: threading.Event | None = None) -> Result:
        """Runs a coroutine in the node's loop and waits for what it returns or raises.

        Raises:
            Stopped: `stop` was set before it ended; it is cancelled.
        """
        return self._loop.run(coroutine, stop)

    def schedule(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Starts a coroutine without waiting: safe in finalizers, from any thread, and after `close`."""
        if not self._closed:
            self._loop.loop.call_soon_threadsafe(lambda: _keep(self._loop.loop.create_task(function())))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.run(self.servers.close())
        self._loop.run(self._node.__aexit__(None, None, None))
        self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _result(future: concurrent.futures.Future[Result], stop: threading.Event) -> Result:
    while not stop.is_set():
        try:
            return future.result(_STOP_POLL_S)
        except TimeoutError:
            if future.done():  # its own
                raise
    raise Stopped


async def cancel_other_tasks() -> None:
    """Ends what still runs in this loop before it closes: hivemind leaves sleeping tasks behind."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


_running: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    """A task that nobody refers to may be collected while it runs."""
    _running.add(task)
    task.add_done_callback(_running.discard)
