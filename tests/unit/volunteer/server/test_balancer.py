"""When a server looks at the balance of the swarm, and what it makes of the records."""

from __future__ import annotations

import asyncio

import pytest

from volunteer.server import balancer as module
from volunteer.server.balance import BlockMove
from volunteer.server.balancer import COOLDOWN_S, MOVES, Balancer, placements
from volunteer.swarm.records import ServerInfo, ServerRecord, ServerState


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Node:
    """A swarm whose records a test sets."""

    peer_id = "own"

    def __init__(self) -> None:
        self.records: dict[str, ServerInfo] = {}
        self.failures = 0

    def put(
        self, peer_id: str, start: int, end: int, *, state: int = 2, extensions: tuple[str, ...] = (MOVES,)
    ) -> None:
        record = ServerRecord(state=ServerState(state), throughput=10.0, extensions=extensions)
        self.records[peer_id] = ServerInfo(peer_id, record, start, end)

    async def servers(self, prefix: str, num_blocks: int) -> dict[str, ServerInfo]:
        if self.failures:
            self.failures -= 1
            raise OSError("the network is away")
        return dict(self.records)


def new_balancer(node: Node, clock: Clock) -> Balancer:
    return Balancer(node, "model", 8, clock=clock)  # type: ignore[arg-type]


def own_move(balancer: Balancer) -> BlockMove | None:
    return asyncio.run(balancer._own_move())


def crowded() -> Node:
    """Three servers hold blocks 0-3, nobody the others; the first in order is to go."""
    node = Node()
    for name in ("own", "peer-1", "peer-2"):
        node.put(name, 0, 4)
    return node


def test_the_own_one_of_the_moves_is_made() -> None:
    assert own_move(new_balancer(crowded(), Clock())) == BlockMove("own", 4, 8)


def test_a_server_that_has_moved_rests_whatever_happens() -> None:
    node, clock = crowded(), Clock()
    balancer = new_balancer(node, clock)
    assert own_move(balancer) is not None
    node.put("own", 4, 8)
    node.put("peer-3", 4, 8)
    node.put("peer-4", 4, 8)
    for name in ("peer-1", "peer-2"):  # all is the other way round now
        del node.records[name]
    assert own_move(balancer) is None
    clock.now_s += COOLDOWN_S - 1
    assert own_move(balancer) is None
    clock.now_s += 2
    assert own_move(balancer) == BlockMove("own", 0, 4)


def test_others_that_were_seen_moving_rest_too() -> None:
    node, clock = crowded(), Clock()
    node.put("a-first", 4, 8)
    balancer = new_balancer(node, clock)
    own_move(balancer)
    node.put("a-first", 0, 4)
    assert own_move(balancer) == BlockMove("own", 4, 8)  # and not "a-first", whose turn it would be


def test_servers_that_named_their_blocks_and_those_of_petals_are_never_moved() -> None:
    node = crowded()
    node.put("own", 0, 4, extensions=())
    assert all(each.may_move == (each.peer_id != "own") for each in placements(node.records, {}, 0.0))
    assert own_move(new_balancer(node, Clock())) is None


def test_who_is_gone_does_not_count_and_who_is_joining_counts_where_it_will_be() -> None:
    node = crowded()
    node.put("gone", 4, 8, state=0)
    node.put("joining", 4, 8, state=1)
    seen = {each.peer_id: each.is_online for each in placements(node.records, {}, 0.0)}
    assert seen == {"own": True, "peer-1": True, "peer-2": True, "joining": False}


def test_a_move_is_looked_at_twice_and_trouble_with_the_network_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.001)
    monkeypatch.setattr(module, "_CONFIRM_S", 0.001)
    node = crowded()
    node.failures = 2
    looks = 0
    servers = node.servers

    async def count(prefix: str, num_blocks: int) -> dict[str, ServerInfo]:
        nonlocal looks
        looks += 1
        found = await servers(prefix, num_blocks)
        if looks == 4:  # at the second look others are on the way
            record = node.records["own"].record
            found |= {name: ServerInfo(name, record, 4, 8) for name in ("peer-1", "peer-2")}
        return found

    node.servers = count  # type: ignore[method-assign]
    move = asyncio.run(asyncio.wait_for(new_balancer(node, Clock()).next_move(), 10))
    assert move == BlockMove("own", 4, 8)
    assert looks == 6  # two that failed, two that disagreed, two that agreed
