"""What a client knows of the servers of one model: their records, pings, and who failed lately."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from volunteer.client.answer_times import AnswerTimes
from volunteer.client.routing import Hop, NoRoute, Route, find_route
from volunteer.swarm.node import SwarmNode
from volunteer.swarm.peer_lists import PeerLists
from volunteer.swarm.records import ServerInfo, uncovered_blocks

logger = logging.getLogger(__name__)

_REFRESH_S, _MAX_AGE_S = 30.0, 200.0
"""Older records are read again beside the work; much older ones, which their owners may have let expire, before it."""
_BAN_S = 5.0
_MAX_BAN_S = 300.0
_PING_SHARE = 0.2
"""Weight of a new ping in the running mean, as in Petals."""
_MAX_PINGED, _PINGED_AGAIN = 32, 4
_PING_WAIT_S = 1.0
"""For the first pings of servers: whoever has not answered by then is taken for far away, until it does."""


@dataclass
class _Failures:
    count: int
    banned_until: float


class ServerTable:
    """Servers of one model as last seen in the DHT, and what this client has learnt of them itself.

    Args:
        node: this client's place in the swarm.
        prefix: DHT prefix of the model.
        num_blocks: of the whole model.
        patience_s: how long to wait for blocks that nobody serves at the moment, and for servers that keep failing.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        node: SwarmNode,
        prefix: str,
        num_blocks: int,
        *,
        patience_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.patience_s = patience_s
        self.node = node
        self.prefix = prefix
        self.num_blocks = num_blocks
        self.servers: dict[str, ServerInfo] = {}
        self.pings_s: dict[str, float] = {}
        self.peers = PeerLists()
        """Through whom routes may go: a chat may be bound to chosen servers."""
        self.on_no_route: Callable[[NoRoute | None], None] = lambda error: None
        """Called when blocks are served by nobody, or by nobody but servers that just failed; with None when answers
        come again."""
        self._is_missing = False
        self._clock = clock
        self._refreshed_at = -math.inf
        self._times: dict[str, AnswerTimes] = {}
        self._failures: dict[str, _Failures] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._pinging: set[asyncio.Task[None]] = set()
        self._pinged_at: dict[str, float] = {}

    async def refresh(self, *, max_age_s: float = 0.0) -> None:
        """Reads the records again if those at hand are older than `max_age_s`, and pings servers."""
        if self._clock() - self._refreshed_at > max_age_s:
            await asyncio.shield(self._refresh_beside())

    async def close(self) -> None:
        """Ends what is under way in the background."""
        tasks = [task for task in (self._refreshing, *self._pinging) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _refresh_beside(self) -> asyncio.Task[None]:
        """One at a time, whoever asks: peers that have just died make it last for seconds."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
            self._refreshing.add_done_callback(_log_error)
        return self._refreshing

    async def _refresh(self) -> None:
        self.servers = await self.node.servers(self.prefix, self.num_blocks)
        self._refreshed_at = self._clock()
        self._times = {peer_id: times for peer_id, times in self._times.items() if peer_id in self.servers}
        by_age = sorted(self.servers, key=lambda peer_id: self._pinged_at.get(peer_id, -math.inf))
        new = [self._ping_beside(peer_id) for peer_id in by_age[:_MAX_PINGED] if peer_id not in self.pings_s]
        for peer_id in [peer_id for peer_id in by_age if peer_id in self.pings_s][:_PINGED_AGAIN]:
            self._ping_beside(peer_id)
        if new:
            await asyncio.wait(new, timeout=_PING_WAIT_S)

    async def route(self, start: int, end: int, *, kv_tokens_needed: int, only: frozenset[str] = frozenset()) -> Route:
        """The fastest route through blocks `start:end`, waiting a while for one to appear.

        Args:
            only: the servers it may go through; all if there are none.

        Raises:
            NoRoute: some blocks are served by nobody.
        """

        def barred() -> frozenset[str]:
            return frozenset(self.servers) - only if only else frozenset()

        deadline = self._clock() + self.patience_s
        age_s = self._clock() - self._refreshed_at
        if age_s > _MAX_AGE_S:
            await self.refresh()
        elif age_s > _REFRESH_S:
            self._refresh_beside()
        while True:
            try:
                return self._find(start, end, kv_tokens_needed, self._banned() | barred())
            except NoRoute:
                pass
            await self.refresh(max_age_s=1.0)
            try:
                return self._find(start, end, kv_tokens_needed, self._banned() | barred())
            except NoRoute as error:
                self._is_missing = True
                self.on_no_route(error)
            try:
                # Somebody who failed a moment ago is better than nobody.
                return self._find(start, end, kv_tokens_needed, barred())
            except NoRoute:
                if self._clock() >= deadline:
                    raise
            await asyncio.sleep(min(1.0, max(0.05, deadline - self._clock())))

    def times_of(self, peer_id: str) -> AnswerTimes:
        """What was learnt of a server's answers, to be added to."""
        return self._times.setdefault(peer_id, AnswerTimes())

    def has_spare(self, hop: Hop, only: frozenset[str] = frozenset()) -> bool:
        """Whether other servers, none of which failed lately, have the blocks of a hop between them."""
        avoid = self._banned() | self.peers.denied_of(self.servers) | {hop.peer_id}
        if only:
            avoid |= frozenset(self.servers) - only
        others = (server.blocks for server in self.servers.values() if server.is_online and server.peer_id not in avoid)
        return not uncovered_blocks(others, range(hop.start, hop.end))

    def record_failure(self, peer_id: str) -> None:
        """Routes avoid this peer for a time that doubles with each failure in a row."""
        count = self._failures[peer_id].count + 1 if peer_id in self._failures else 1
        ban_s = min(_MAX_BAN_S, _BAN_S * 2 ** (count - 1))
        self._failures[peer_id] = _Failures(count, self._clock() + ban_s)

    def record_success(self, peer_id: str) -> None:
        """Forgives this peer what it did not do before."""
        self._failures.pop(peer_id, None)
        if self._is_missing:
            self._is_missing = False
            self.on_no_route(None)

    def _find(self, start: int, end: int, kv_tokens_needed: int, avoid: frozenset[str]) -> Route:
        return find_route(
            self.servers,
            start=start,
            end=end,
            pings_s=self.pings_s,
            avoid=avoid | self.peers.denied_of(self.servers),
            kv_tokens_needed=kv_tokens_needed,
            measured_block_s={
                peer_id: times.block_s for peer_id, times in self._times.items() if times.block_s is not None
            },
        )

    def _banned(self) -> frozenset[str]:
        now = self._clock()
        return frozenset(peer_id for peer_id, failures in self._failures.items() if failures.banned_until > now)

    def _ping_beside(self, peer_id: str) -> asyncio.Task[None]:
        self._pinged_at[peer_id] = self._clock()
        task = asyncio.create_task(self._ping(peer_id))
        self._pinging.add(task)
        task.add_done_callback(self._pinging.discard)
        return task

    async def _ping(self, peer_id: str) -> None:
        measured = await self.node.ping(peer_id)
        previous = self.pings_s.get(peer_id, math.inf)
        if math.isfinite(previous) and math.isfinite(measured):
            measured = _PING_SHARE * measured + (1 - _PING_SHARE) * previous
        self.pings_s[peer_id] = measured


def _log_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("The records of the swarm could not be read: %s", error)
