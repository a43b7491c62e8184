"""Real nodes: somebody else writes over the record of a server of ours."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hivemind.dht.node import DHTNode
from hivemind.dht.routing import DHTID
from hivemind.utils.serializer import MSGPackSerializer
from hivemind.utils.timed_storage import get_dht_time

from volunteer.swarm.node import NodeOptions, SwarmNode
from volunteer.swarm.records import ServerRecord, ServerState, block_uid, to_wire
from volunteer.swarm.store_limits import BURST_BYTES, BYTES_PER_S

PREFIX = "signed-petals"
NUM_BLOCKS = 4


def record(start: int = 0, end: int = 2, **fields: Any) -> ServerRecord:
    state = fields.pop("state", ServerState.ONLINE)
    return ServerRecord(state=state, throughput=1.0, start_block=start, end_block=end, **fields)


@contextlib.asynccontextmanager
async def forger_in(peers: tuple[str, ...]) -> AsyncIterator[Any]:
    """A bare node of hivemind, as Petals has it: it checks nothing of what is stored at it."""
    node = await DHTNode.create(initial_peers=list(peers), host_maddrs=["/ip4/127.0.0.1/tcp/0"])
    try:
        yield node
    finally:
        await node.shutdown()


async def store_everywhere(
    forger: Any, nodes: list[SwarmNode], block: int, peer_id: str, value: Any, lives_s: float
) -> list[bool]:
    """At each of our nodes, and at its own; what each of ours answered."""
    key, expiration = DHTID.generate(block_uid(PREFIX, block)), get_dht_time() + lives_s
    packed = value if isinstance(value, bytes) else MSGPackSerializer.dumps(value)
    forger.protocol.storage.store_subkey(key, peer_id, packed, expiration)
    answers = [await forger.protocol.call_store(n._p2p.peer_id, [key], [packed], expiration, [peer_id]) for n in nodes]
    return [answer[0] for answer in answers]


def test_nobody_else_writes_the_record_of_a_server_that_signs(tmp_path: Path) -> None:
    async def run() -> None:
        async with SwarmNode(NodeOptions(identity_file=tmp_path / "key")) as server:
            joined = NodeOptions(initial_peers=tuple(await server.maddrs()))
            async with forger_in(joined.initial_peers) as forger, SwarmNode(joined) as other:
                refused = [False, False]
                # Who comes before the owner does not shut it out.
                forged = to_wire(record(0, 4, public_name="forged"))
                await store_everywhere(forger, [server, other], 0, server.peer_id, forged, 3000.0)
                await server.announce(PREFIX, record(public_name="true"), lifetime_s=60.0)
                assert await store_everywhere(forger, [server, other], 0, server.peer_id, forged, 3500.0) == [
                    False,
                    False,
                ]
                # A short-lived forgery would let the true one be forgotten with it.
                assert await store_everywhere(forger, [server, other], 1, server.peer_id, forged, 1.0) == refused
                await store_everywhere(forger, [server, other], 3, server.peer_id, forged, 3500.0)
                bad = to_wire(record())
                bad[2].update(signature=bytes(64), public_key=b"x", prefix=PREFIX)
                assert await store_everywhere(forger, [server, other], 1, server.peer_id, bad, 3500.0) == refused

                # Petals-like servers are seen as ever, and garbage beside them costs itself alone.
                assert await store_everywhere(forger, [server, other], 1, str(forger.peer_id), to_wire(record()), 240.0)
                await store_everywhere(forger, [server, other], 1, str(other.peer_id), b"\xc1\xc1", 240.0)
                for strange in (math.inf, math.nan, -1.0):
                    key = DHTID.generate(block_uid(PREFIX, 1))
                    answer = await forger.protocol.call_store(server._p2p.peer_id, [key], [b"\xc0"], strange, ["x"])
                    assert answer in ([False], None)
                key = DHTID.generate(block_uid(PREFIX, 0))
                plain = await forger.protocol.call_store(server._p2p.peer_id, [key], [b"\xc0"], get_dht_time() + 99)
                assert plain == [False]

                client_options = NodeOptions(initial_peers=joined.initial_peers, is_client=True)
                async with SwarmNode(client_options) as client:
                    for _ in range(2):
                        seen = await client.servers(PREFIX, NUM_BLOCKS)
                        assert set(seen) == {server.peer_id, str(forger.peer_id)}
                        assert seen[server.peer_id].is_signed and seen[server.peer_id].blocks == range(0, 2)
                        assert seen[server.peer_id].record.public_name == "true"
                        assert not seen[str(forger.peer_id)].is_signed

    asyncio.run(run())


def test_a_record_of_before_does_not_come_back_and_none_moves(tmp_path: Path) -> None:
    async def run() -> None:
        async with SwarmNode(NodeOptions(identity_file=tmp_path / "key")) as server:
            joined = NodeOptions(initial_peers=tuple(await server.maddrs()))
            async with forger_in(joined.initial_peers) as forger:
                await server.announce(PREFIX, record(), lifetime_s=60.0)
                key = DHTID.generate(block_uid(PREFIX, 0))
                old = server._dht.protocol.storage.get(key).value.get(server.peer_id)
                await server.announce(PREFIX, record(state=ServerState.OFFLINE), lifetime_s=60.0)
                for block, expiration in [
                    (0, old.expiration_time),
                    (0, old.expiration_time + 90),
                    (3, old.expiration_time),
                ]:
                    key = DHTID.generate(block_uid(PREFIX, block))
                    forger.protocol.storage.store_subkey(key, server.peer_id, old.value, expiration)
                    answer = await forger.protocol.call_store(
                        server._p2p.peer_id, [key], [old.value], expiration, [server.peer_id]
                    )
                    assert answer == [False]
                async with SwarmNode(NodeOptions(initial_peers=joined.initial_peers, is_client=True)) as client:
                    seen = await client.servers(PREFIX, NUM_BLOCKS)
                    assert seen[server.peer_id].record.state is ServerState.OFFLINE

    asyncio.run(run())


def test_a_stranger_does_not_fill_the_memory_of_a_node(tmp_path: Path) -> None:
    packed = MSGPackSerializer.dumps(bytes(60_000))

    async def run() -> None:
        async with (
            SwarmNode(NodeOptions(identity_file=tmp_path / "key")) as server,
            forger_in(tuple(await server.maddrs())) as forger,
        ):
            started = time.monotonic()
            stored = 0
            for number in range(300):
                key = DHTID.generate(f"stranger.{number}")
                answer = await forger.protocol.call_store(
                    server._p2p.peer_id, [key], [packed], get_dht_time() + 3000, [number]
                )
                assert answer is not None
                stored += answer == [True]
            most = BURST_BYTES + BYTES_PER_S * (time.monotonic() - started)
            assert 0.9 * BURST_BYTES < stored * len(packed) <= most
            assert len(server._dht.protocol.storage) == stored
            for count, is_answered in ((1024, True), (1025, False)):
                keys = [DHTID.generate(number) for number in range(count)]
                assert (await forger.protocol.call_find(server._p2p.peer_id, keys) is not None) == is_answered

    asyncio.run(run())


@pytest.mark.skipif("VOLUNTEER_TEST_RECORD_TIMES" not in os.environ, reason="a measurement")
def test_times_of_70_blocks_and_3_servers(tmp_path: Path) -> None:
    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            peers: tuple[str, ...] = ()
            servers: list[SwarmNode] = []
            for number in range(3):
                options = NodeOptions(initial_peers=peers, identity_file=tmp_path / f"key-{number}")
                servers.append(await stack.enter_async_context(SwarmNode(options)))
                peers = peers or tuple(await servers[0].maddrs())
            client = await stack.enter_async_context(SwarmNode(NodeOptions(initial_peers=peers, is_client=True)))
            announced_ms, found_ms = [], []
            for _ in range(10):
                for server in servers:
                    began = time.perf_counter()
                    await server.announce(PREFIX, record(0, 70), lifetime_s=60.0)
                    announced_ms.append(1e3 * (time.perf_counter() - began))
                began = time.perf_counter()
                assert len(await client.servers(PREFIX, 70)) == 3
                found_ms.append(1e3 * (time.perf_counter() - began))
            print(f"announce {statistics.median(announced_ms):.0f} ms, look-up {statistics.median(found_ms):.0f} ms")

    asyncio.run(run())
