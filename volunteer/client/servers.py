"""What a client knows of the servers of one model: their records, pings, and who failed lately."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from volunteer.client.routing import NoRoute, Route, find_route
from volunteer.swarm.node import SwarmNode
from volunteer.swarm.records import ServerInfo

logger = logging.getLogger(__name__)

_REFRESH_S = 30.0
_BAN_S = 5.0
_MAX_BAN_S = 300.0
_PING_SHARE = 0.2
"""Weight of a new ping in the running mean, as in Petals."""
_MAX_PINGED = 32


@dataclass
class _Failures:
    count: int
    banned_until: float


class ServerTable:
    """Servers of one model as last seen in the DHT.

    Args:
        node: this client's place in the swarm.
        prefix: DHT prefix of the model.
        num_blocks: of the whole model.
        patience_s: how long to wait for blocks that nobody serves at the moment.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        node: SwarmNode,
        prefix: str,
        num_blocks: int,
        *,
        patience_s: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.patience_s = patience_s
        self.node = node
        self.prefix = prefix
        self.num_blocks = num_blocks
        self.servers: dict[str, ServerInfo] = {}
        self.pings_s: dict[str, float] = {}
        self._clock = clock
        self._refreshed_at = -math.inf
        self._failures: dict[str, _Failures] = {}
        self._refreshing = asyncio.Lock()

    async def refresh(self, *, max_age_s: float = 0.0) -> None:
        """Reads the records again if those at hand are older than `max_age_s`, and pings servers not yet known."""
        async with self._refreshing:
            if self._clock() - self._refreshed_at <= max_age_s:
                return
            self.servers = await self.node.servers(self.prefix, self.num_blocks)
            self._refreshed_at = self._clock()
            unknown = [peer_id for peer_id in self.servers if peer_id not in self.pings_s][:_MAX_PINGED]
            await asyncio.gather(*(self._ping(peer_id) for peer_id in unknown))

    async def route(self, start: int, end: int, *, kv_tokens_needed: int) -> Route:
        """The fastest route through blocks `start:end`, waiting a while for one to appear.

        Raises:
            NoRoute: some blocks are served by nobody.
        """
        deadline = self._clock() + self.patience_s
        await self.refresh(max_age_s=_REFRESH_S)
        while True:
            try:
                return self._find(start, end, kv_tokens_needed, self._banned())
            except NoRoute:
                pass
            await self.refresh(max_age_s=1.0)
            try:
                # Somebody who failed a moment ago is better than nobody.
                return self._find(start, end, kv_tokens_needed, frozenset())
            except NoRoute as error:
                if self._clock() >= deadline:
                    raise
                logger.info("%s Trying again.", error)
            await asyncio.sleep(min(1.0, max(0.05, deadline - self._clock())))

    def record_failure(self, peer_id: str) -> None:
        """Routes avoid this peer for a time that doubles with each failure in a row."""
        count = self._failures[peer_id].count + 1 if peer_id in self._failures else 1
        ban_s = min(_MAX_BAN_S, _BAN_S * 2 ** (count - 1))
        self._failures[peer_id] = _Failures(count, self._clock() + ban_s)

    def record_success(self, peer_id: str) -> None:
        self._failures.pop(peer_id, None)

    def _find(self, start: int, end: int, kv_tokens_needed: int, avoid: frozenset[str]) -> Route:
        return find_route(
            self.servers,
            start=start,
            end=end,
            pings_s=self.pings_s,
            avoid=avoid,
            kv_tokens_needed=kv_tokens_needed,
        )

    def _banned(self) -> frozenset[str]:
        now = self._clock()
        return frozenset(peer_id for peer_id, failures in self._failures.items() if failures.banned_until > now)

    async def _ping(self, peer_id: str) -> None:
        measured = await self.node.ping(peer_id)
        previous = self.pings_s.get(peer_id, math.inf)
        if math.isfinite(previous) and math.isfinite(measured):
            measured = _PING_SHARE * measured + (1 - _PING_SHARE) * previous
        self.pings_s[peer_id] = measured
