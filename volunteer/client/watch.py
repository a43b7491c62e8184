"""Finds servers that have fallen silent in the middle of a step: frozen, cut off, or gone without a word.

A connection that is closed is noticed by whoever reads from it. Here are the others: once an answer is overdue, by what
was learnt of that server, it is asked for a sign of life. One that is only busy gives it and is waited for; one that
does not is given up. So a deadline may be short and be wrong: it costs a question. Knows neither routes nor histories.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from volunteer.swarm.rpc import PeerLost

_SPARE_PROBE_S = 0.75
"""For a server whose blocks others have, too: being wrong costs a replay."""
_ONLY_PROBE_S = 2.5
_PROBES = 2
"""Without an answer, one after another, before a server is given up: a machine may stutter."""
_LATE_S = 0.3
"""If we ourselves wake so much too late, it was this machine that stood still, and nothing is known of the other."""
_STUCK_FACTOR, _LEAST_STUCK_S, _MOST_STUCK_S = 50, 15.0, 180.0
"""A server that gives signs of life and no answer is given up after so many times what is overdue."""
_LEAST_SLEEP_S = 0.02
_MOST_CHECK_S = 5.0


@dataclass(frozen=True)
class Wait:
    """What is being waited for on one connection."""

    since: float
    """`time.monotonic()` since when the server has had nothing else to do for us."""
    overdue_s: float


class Watched(Protocol):
    """A connection to a server, as far as watching it goes."""

    def wait(self) -> Wait | None:
        """What is waited for at the moment, None if nothing is."""

    async def is_alive(self, timeout_s: float) -> bool:
        """Asks the server for a sign of life, and waits so long for it."""

    def has_spare(self) -> bool:
        """Whether others could take its place."""

    def give_up(self, error: PeerLost) -> None:
        """Fails whatever waits for the server."""


class Watch:
    """Looks after the connections of a session while steps are under way; costs a step nothing but `begin` and `end`.

    Args:
        connections: those in use at the moment.
    """

    def __init__(self, connections: Callable[[], Sequence[Watched]]):
        self._connections = connections
        self._is_busy = asyncio.Event()
        self._is_ending = False
        self._task: asyncio.Task[None] | None = None
        self._asked: dict[int, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """A step is under way."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._is_ending = False
        self._is_busy.set()

    def end(self) -> None:
        """The step is over; what it left under way is looked after until it has come."""
        self._is_ending = True

    async def close(self) -> None:
        tasks = [task for task in (self._task, *self._asked.values()) if task is not None]
        self._task, self._asked = None, {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self) -> None:
        while True:
            await self._is_busy.wait()
            next_s = _MOST_CHECK_S
            waits = [(connection, connection.wait()) for connection in self._connections()]
            if self._is_ending and all(wait is None for _, wait in waits):
                self._is_busy.clear()
                continue
            for connection, wait in waits:
                if wait is None or id(connection) in self._asked:
                    continue
                left_s = wait.since + wait.overdue_s - time.monotonic()
                if left_s <= 0:
                    self._ask(connection, wait)
                else:
                    next_s = min(next_s, left_s)
            await asyncio.sleep(max(_LEAST_SLEEP_S, min(next_s, 0.25)))

    def _ask(self, connection: Watched, wait: Wait) -> None:
        key = id(connection)
        task = asyncio.create_task(ask(connection, wait))
        self._asked[key] = task
        task.add_done_callback(lambda done: self._asked.pop(key, None) if self._asked.get(key) is done else None)


async def ask(connection: Watched, wait: Wait) -> None:
    """Follows an answer that is overdue until it comes, or gives the server up."""
    unanswered = 0
    pause_s = wait.overdue_s
    stuck_s = min(_MOST_STUCK_S, max(_LEAST_STUCK_S, _STUCK_FACTOR * wait.overdue_s))
    while (now := connection.wait()) is not None and now.since == wait.since:
        has_spare = connection.has_spare()
        timeout_s = _SPARE_PROBE_S if has_spare else _ONLY_PROBE_S
        started = time.monotonic()
        is_alive = await connection.is_alive(timeout_s)
        elapsed_s = time.monotonic() - started
        if is_alive:
            unanswered = 0
            waited_s = time.monotonic() - wait.since
            if waited_s > (stuck_s if has_spare else _MOST_STUCK_S):
                connection.give_up(PeerLost(f"it lives, but has not answered for {waited_s:.0f} s"))
                return
            await asyncio.sleep(pause_s)
            pause_s = min(_MOST_CHECK_S, 2 * pause_s)
            continue
        if elapsed_s > timeout_s + _LATE_S:
            continue
        unanswered += 1
        if unanswered >= _PROBES:
            if (now := connection.wait()) is not None and now.since == wait.since:
                silent_s = time.monotonic() - wait.since
                connection.give_up(PeerLost(f"no sign of life for {silent_s:.1f} s"))
            return
        # A refusal comes at once; whoever is only restarting its network deserves a moment.
        await asyncio.sleep(max(0.0, timeout_s - elapsed_s))
