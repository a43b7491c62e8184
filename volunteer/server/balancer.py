"""Looks now and then whether this server should move to other blocks. Decides by `balance.py`; moves nothing itself."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping

from volunteer.server.balance import BlockMove, Placement, plan_moves
from volunteer.swarm.node import SwarmNode
from volunteer.swarm.records import ServerInfo, ServerState

logger = logging.getLogger(__name__)

CHECK_S = 20.0
COOLDOWN_S = 300.0
"""A server that has moved stays so long, whatever happens: a swarm that swings moves nobody twice."""
MOVES = "moves"
"""Extension in the record of a server that takes part: it chose its blocks itself."""
_CONFIRM_S = 5.0
"""A move is looked at again after up to so long, when others may have said that they are on their way."""


def placements(servers: Mapping[str, ServerInfo], resting: Mapping[str, float], now_s: float) -> list[Placement]:
    """The servers of a model as the rule takes them.

    Args:
        resting: until when servers stay where they are, by peer id, as far as is known here.
    """
    return [
        Placement(
            server.peer_id,
            server.start,
            server.end,
            server.record.throughput,
            may_move=MOVES in server.record.extensions and resting.get(server.peer_id, 0.0) <= now_s,
            is_online=server.is_online,
        )
        for server in servers.values()
        if server.record.state >= ServerState.JOINING
    ]


class Balancer:
    """Watches the records of one model for a server.

    Args:
        num_blocks: of the model.
        clock: seconds that never go back.
    """

    def __init__(self, node: SwarmNode, prefix: str, num_blocks: int, *, clock: Callable[[], float] = time.monotonic):
        self._node = node
        self._prefix = prefix
        self._num_blocks = num_blocks
        self._clock = clock
        self._resting: dict[str, float] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    async def next_move(self) -> BlockMove:
        """Returns when this server should move."""
        while True:
            await asyncio.sleep(CHECK_S * random.uniform(0.8, 1.2))
            try:
                if await self._own_move() is None:
                    continue
                await asyncio.sleep(random.uniform(0.0, _CONFIRM_S))
                move = await self._own_move()
            except Exception:
                logger.warning("Could not look at the balance of the swarm", exc_info=True)
                continue
            if move is not None:
                return move

    async def _own_move(self) -> BlockMove | None:
        servers = await self._node.servers(self._prefix, self._num_blocks)
        self._note_moves(servers)
        seen = placements(servers, self._resting, self._clock())
        moves = await asyncio.to_thread(plan_moves, seen, self._num_blocks)
        return next((move for move in moves if move.peer_id == self._node.peer_id), None)

    def _note_moves(self, servers: Mapping[str, ServerInfo]) -> None:
        """Whoever is somewhere else than before, this server included, rests from now on."""
        now = self._clock()
        for peer_id, server in servers.items():
            span = (server.start, server.end)
            if self._seen.get(peer_id, span) != span:
                self._resting[peer_id] = now + COOLDOWN_S
            self._seen[peer_id] = span
        self._seen = {peer_id: span for peer_id, span in self._seen.items() if peer_id in servers}
        self._resting = {peer_id: until for peer_id, until in self._resting.items() if until > now}
