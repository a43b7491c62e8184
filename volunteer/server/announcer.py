"""Keeps this server's record in the DHT true: joining, online with its speeds and free room, gone."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import itertools
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from volunteer.models.linear import NumberFormat
from volunteer.server.balancer import MOVES
from volunteer.server.block_selection import BlockPlan
from volunteer.server.handler import EXTENSIONS, BlockService
from volunteer.server.reachability import Reach, advice, reach_of
from volunteer.server.throughput import Throughput
from volunteer.swarm.node import SwarmNode
from volunteer.swarm.records import MAX_MADDRS, ServerInfo, ServerRecord, ServerState, port_of
from volunteer.swarm_model import SwarmModel

logger = logging.getLogger(__name__)

LIFETIME_S = 60.0
"""Twice the time between two announcements, as in Petals; short, so that the others soon know who is lost."""
REFRESH_S = 30.0
_REFRESHES_A_LOOK = 4
"""After so many announcements others are asked whether they have them; the first time at once, for the volunteer."""
_REFRESHES_A_CHECK = 20
"""How often others are asked to dial a server that they reach directly; others ask as often as they look.

The first time is with the first refresh. libp2p waits for three minutes where it knows fewer than four relays.
"""
_ASKED_TO_DIAL = 5
_GOODBYE_S = 1.5
_MAX_PINGED = 16


class Announcer:
    """Announces one server.

    Args:
        plan: the blocks it holds, or is going to hold.
        dtype: of its activations, as Petals' records name it ("float32").
        may_move: it goes to other blocks when the swarm needs those more.
        on_reach: told how others get here, and what to do about it, whenever that changes.
        on_servers: told who is in the swarm, by peer id, with every announcement.
        on_seen: told when another peer gave this server's record back, or has just dialled it.
    """

    def __init__(
        self,
        node: SwarmNode,
        model: SwarmModel,
        plan: BlockPlan,
        *,
        number_format: NumberFormat,
        dtype: str,
        public_name: str | None,
        may_move: bool = False,
        on_reach: Callable[[Reach, str], None] = lambda reach, advice: None,
        on_servers: Callable[[Mapping[str, ServerInfo]], None] = lambda servers: None,
        on_seen: Callable[[], None] = lambda: None,
    ):
        self._node = node
        self._model = model
        self._plan = plan
        checkpoint = model.checkpoint
        repository = None if checkpoint.revision is None else f"https://huggingface.co/{checkpoint.model}"
        self._registry = {"num_blocks": model.family.num_blocks, "repository": repository}
        self._fixed: dict[str, Any] = {
            "start_block": plan.start,
            "end_block": plan.end,
            "public_name": public_name,
            "version": importlib.metadata.version("petals-volunteer"),
            "torch_dtype": dtype,
            "quant_type": number_format.value if number_format.is_quantised else "none",
            "using_relay": False,
            "extensions": (*EXTENSIONS, MOVES) if may_move else EXTENSIONS,
        }
        self._serving: tuple[BlockService, Throughput] | None = None
        self._state = ServerState.OFFLINE
        self._on_reach = on_reach
        self._on_servers = on_servers
        self._on_seen = on_seen
        self._reach: Reach | None = None

    async def joining(self) -> None:
        """The blocks are chosen and are being loaded: others who join meanwhile choose other ones."""
        await self._announce(ServerState.JOINING)

    async def online(self, service: BlockService, throughput: Throughput) -> None:
        """The blocks are served from now on."""
        self._serving = service, throughput
        await self._announce(ServerState.ONLINE)

    @contextlib.asynccontextmanager
    async def refreshing(self) -> AsyncIterator[None]:
        """Announces again and again within the `async with`, before the record expires."""

        async def refresh() -> None:
            for count in itertools.count():
                try:
                    await self._refresh(count)
                except Exception:
                    logger.warning("Could not refresh the record of this server", exc_info=True)
                await asyncio.sleep(REFRESH_S)

        task = asyncio.create_task(refresh())
        try:
            yield
        finally:
            task.cancel()

    async def _refresh(self, count: int) -> None:
        """The first one, 0, comes right after the record was announced."""
        if count > 0:
            often = _REFRESHES_A_CHECK if self._reach is Reach.DIRECT else _REFRESHES_A_LOOK
            if count % often == 1:
                await self.find_reach()
            await self._announce(ServerState.ONLINE)
        if count % _REFRESHES_A_LOOK == 0 and not await self.is_seen():
            await self._announce(ServerState.ONLINE)

    async def is_seen(self) -> bool:
        """Whether others can find this server; true as well where there are no others."""
        seen = await self._node.is_seen_by_others(self._model.dht_prefix, self._plan.start)
        if seen:
            self._on_seen()
        if seen is False:
            logger.warning("No other peer knows of this server: announcing it again.")
        return seen is not False

    async def find_reach(self) -> Reach:
        """Asks some other servers to dial this one; tells the result when it is another one than before."""
        servers = await self._node.servers(self._model.dht_prefix, self._model.family.num_blocks)
        others = [peer_id for peer_id, server in servers.items() if server.is_online and peer_id != self._node.peer_id]
        asked = random.sample(others, min(_ASKED_TO_DIAL, len(others)))
        answers = await self._node.dialled_by(asked)
        if any(answer is not None and (answer.direct or answer.over_relay) for answer in answers):
            self._on_seen()
        reach = reach_of(answers)
        if reach is not self._reach and (reach is not Reach.UNKNOWN or self._reach is None):
            self._reach = reach
            self._fixed["using_relay"] = reach is Reach.RELAYED
            ports = {port for port in map(port_of, await self._node.maddrs()) if port is not None}
            self._on_reach(reach, advice(reach, sorted(ports)))
        return reach

    async def gone(self) -> None:
        """Says goodbye once; gives up after a moment, since the record expires anyway."""
        if self._state is ServerState.OFFLINE:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._announce(ServerState.OFFLINE)

    async def _announce(self, state: ServerState) -> None:
        self._state = state
        registry = self._registry if state is ServerState.ONLINE else None
        record = await self._record(state)
        if not await self._node.announce(self._model.dht_prefix, record, lifetime_s=LIFETIME_S, registry=registry):
            logger.warning("No peer of the swarm stored the record of this server.")

    async def _record(self, state: ServerState) -> ServerRecord:
        fields = dict(self._fixed)
        overall = 0.0
        if self._serving is not None:
            service, throughput = self._serving
            overall = throughput.overall(self._plan.end - self._plan.start)
            fields |= {
                "network_rps": throughput.network_rps,
                "forward_rps": throughput.forward_rps,
                "inference_rps": throughput.inference_rps,
                "cache_tokens_left": 2 * service.free_kv_tokens,  # Petals counts keys and values apart
                "served_tokens": service.served.tokens,
                "free_rows": service.free_rows,
            }
        if state is ServerState.ONLINE:
            fields["maddrs"] = tuple(await self._node.maddrs())[:MAX_MADDRS]
            fields["next_pings"] = await self._next_pings()
        return ServerRecord(state=state, throughput=overall, **fields)

    async def _next_pings(self) -> dict[str, float]:
        """Round trips to the servers that may come after this one, seconds."""
        num_blocks, end = self._model.family.num_blocks, self._plan.end
        # Also where nobody comes after: whoever is seen here is remembered, to come back through.
        servers = await self._node.servers(self._model.dht_prefix, num_blocks)
        self._on_servers(servers)
        following = [
            server.peer_id
            for server in servers.values()
            if server.is_online and server.start <= end < server.end and server.peer_id != self._node.peer_id
        ][:_MAX_PINGED]
        pings = await asyncio.gather(*(self._node.ping(peer_id) for peer_id in following))
        return dict(zip(following, pings, strict=True))
