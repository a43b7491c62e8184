"""Real peers dial one another to find out whether they can be reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hivemind.proto import dht_pb2

from volunteer.events import Reachable
from volunteer.server import announcer
from volunteer.swarm import dial_back
from volunteer.swarm.dial_back import CHECK_METHOD, Dialled, allowed_addresses, ip_of, is_loopback, is_translated
from volunteer.swarm.node import NodeOptions, SwarmNode


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial_back, "_PAUSE_S", 0.0)


def test_a_peer_is_dialled_where_it_says_it_is_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with SwarmNode(NodeOptions()) as helper:
            joined = NodeOptions(initial_peers=tuple(await helper.maddrs()))
            async with SwarmNode(joined) as asker, SwarmNode(joined) as other:

                async def answer_with(addresses: list[str]) -> Dialled | None:
                    with monkeypatch.context() as patched:
                        patched.setattr(asker, "maddrs", lambda: _value(addresses))
                        return (await asker.dialled_by([helper.peer_id]))[0]

                own = await asker.maddrs()
                assert await answer_with([]) is None
                assert await answer_with(own) == Dialled(direct=True)
                # What follows is not where it is; but whoever looks it up finds it.
                found = Dialled(direct=False, over_relay=True)
                nobody = [f"/ip4/127.0.0.1/tcp/9/p2p/{asker.peer_id}"]
                assert await answer_with(nobody) == found
                somebody_else = [address.replace(other.peer_id, asker.peer_id) for address in await other.maddrs()]
                assert await answer_with(somebody_else) == found
                # It is connected from elsewhere: it is not dialled there, and must sit behind something.
                far_away = [f"/ip4/192.0.2.1/tcp/9/p2p/{asker.peer_id}"]
                assert await answer_with(far_away) == found
                assert await answer_with([f"/ip6/2001:db8::1/tcp/9/p2p/{asker.peer_id}"]) is None

    asyncio.run(run())


async def _value(addresses: list[str]) -> list[str]:
    return addresses


def test_petals_peers_are_dialled_at_the_addresses_of_their_records() -> None:
    async def run() -> None:
        async with SwarmNode(NodeOptions()) as helper:
            joined = NodeOptions(initial_peers=tuple(await helper.maddrs()))
            async with SwarmNode(joined) as asker, SwarmNode(joined) as other:

                async def ask(peer_id: Any) -> Any:
                    request = dht_pb2.PingRequest(peer=dht_pb2.NodeInfo(node_id=peer_id.to_bytes()))
                    return await asker._p2p.call_protobuf_handler(
                        helper._p2p.peer_id, CHECK_METHOD, request, dht_pb2.PingResponse
                    )

                with pytest.raises(Exception, match="no address to dial"):
                    await ask(asker._p2p.peer_id)
                helper._known.note(asker.peer_id, await asker.maddrs())
                assert (await ask(asker._p2p.peer_id)).available
                helper._known.note(asker.peer_id, [f"/ip4/127.0.0.1/tcp/9/p2p/{asker.peer_id}"])
                assert not (await ask(asker._p2p.peer_id)).available
                with pytest.raises(Exception, match="nobody but itself"):
                    await ask(other._p2p.peer_id)

    asyncio.run(run())


def test_servers_find_out_that_they_are_reached_directly(
    random_bloom: Path, start_swarm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer, "REFRESH_S", 0.5)
    monkeypatch.setattr(announcer, "_REFRESHES_A_CHECK", 2)
    swarm = start_swarm(random_bloom, "0:3", "3:6")

    def found(server: Any) -> bool:
        # "unknown" may come first, while the other one has not seen this one's record yet.
        return "direct" in [event.reach for event in swarm.seen(server, Reachable)]

    deadline = time.monotonic() + 90
    while not all(map(found, swarm.servers)):
        assert time.monotonic() < deadline, [swarm.seen(server, Reachable) for server in swarm.servers]
        time.sleep(0.2)


def test_only_addresses_where_a_peer_is_connected_from_are_dialled() -> None:
    announced = ("/ip4/10.0.0.1/tcp/1/p2p/a", "/ip4/192.0.2.7/tcp/1/p2p/a", "/ip6/::1/tcp/1/p2p/a", "/dns4/x/tcp/1")
    assert allowed_addresses(announced, frozenset({"192.0.2.7", "::1"})) == announced[1:3]
    assert allowed_addresses(["/ip4/192.0.2.7/tcp/1/p2p/r/p2p-circuit/p2p/a"], frozenset({"192.0.2.7"})) == ()
    assert ip_of("/ip6/0:0::1/tcp/1") == "::1"
    assert ip_of("/ip4/300.1.1.1/tcp/1") is None and ip_of("nonsense") is None


def test_a_peer_that_comes_from_where_it_does_not_know_itself_is_translated() -> None:
    announced = ("/ip4/192.168.1.5/tcp/1/p2p/a", "/ip4/203.0.113.1/tcp/1/p2p/r/p2p-circuit/p2p/a")
    assert is_translated(announced, frozenset({"192.0.2.7"}))
    assert is_translated(announced, frozenset({"203.0.113.1"}))  # where its relay is
    assert not is_translated(announced, frozenset({"192.168.1.5", "192.0.2.7"}))
    assert not is_translated(announced, frozenset({"2001:db8::1"}))
    assert not is_translated(announced, frozenset()) and not is_translated((), frozenset({"192.0.2.7"}))
    assert is_loopback("/ip4/127.0.0.1/tcp/0") and not is_loopback("/ip4/0.0.0.0/tcp/0")
