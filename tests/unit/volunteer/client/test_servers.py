"""What a client remembers of servers: failures, pings, and what to say while there is no route."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from volunteer.client.routing import Hop, NoRoute
from volunteer.client.servers import ServerTable
from volunteer.swarm.records import ServerInfo, ServerRecord, ServerState


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Node:
    """The swarm as it is found at each look."""

    def __init__(self, *looks: dict[str, ServerInfo]):
        self.looks = list(looks)
        self.looked = 0
        self.hold = asyncio.Event()
        self.hold.set()

    async def servers(self, prefix: str, num_blocks: int) -> dict[str, ServerInfo]:
        self.looked += 1
        await self.hold.wait()
        return self.looks[min(self.looked, len(self.looks)) - 1]

    async def ping(self, peer_id: str) -> float:
        return math.inf if peer_id == "far" else 0.01


def server(peer_id: str, start: int, end: int) -> dict[str, ServerInfo]:
    return {peer_id: ServerInfo(peer_id, ServerRecord(state=ServerState.ONLINE, throughput=1.0), start, end)}


def run(scenario: Callable[[ServerTable, Clock, Any], Any], *looks: dict[str, ServerInfo]) -> None:
    async def inside() -> None:
        clock, node = Clock(), Node(*looks)
        table = ServerTable(node, "model", 8, patience_s=5.0, clock=clock)  # type: ignore[arg-type]
        try:
            await scenario(table, clock, node)
        finally:
            await table.close()

    asyncio.run(inside())


async def peers(table: ServerTable) -> list[str]:
    return [hop.peer_id for hop in (await table.route(0, 8, kv_tokens_needed=0)).hops]


def test_a_server_that_failed_is_avoided_longer_each_time_and_forgiven_at_once() -> None:
    async def scenario(table: ServerTable, clock: Clock, node: Node) -> None:
        assert await peers(table) == ["a"]
        for ban_s in (5, 10, 20):
            table.record_failure("a")
            assert await peers(table) == ["b"]
            clock.now_s += ban_s - 0.1
            assert await peers(table) == ["b"]
            clock.now_s += 0.2
            assert await peers(table) == ["a"]
        table.record_success("a")
        table.record_failure("a")
        clock.now_s += 5.1
        assert await peers(table) == ["a"]

    run(scenario, server("a", 0, 8) | server("b", 0, 8))


def test_a_spare_is_somebody_else_with_all_the_blocks_who_did_not_fail() -> None:
    async def scenario(table: ServerTable, clock: Clock, node: Node) -> None:
        await table.refresh()
        assert table.has_spare(Hop("a", 2, 6))
        assert not table.has_spare(Hop("a", 0, 8))
        table.record_failure("c")
        assert not table.has_spare(Hop("a", 2, 6))

    run(scenario, server("a", 0, 8) | server("b", 0, 4) | server("c", 4, 7))


def test_old_records_are_read_again_beside_the_work() -> None:
    async def scenario(table: ServerTable, clock: Clock, node: Node) -> None:
        assert await peers(table) == ["a"]
        clock.now_s += 60
        node.hold.clear()
        assert await peers(table) == ["a"]  # does not wait
        await asyncio.sleep(0)
        assert node.looked == 2
        node.hold.set()
        await table.refresh(max_age_s=0.0)
        assert await peers(table) == ["b"]

    run(scenario, server("a", 0, 8), server("b", 0, 8))


def test_missing_blocks_are_told_and_so_is_their_return() -> None:
    async def scenario(table: ServerTable, clock: Clock, node: Node) -> None:
        told: list[str | None] = []
        table.on_no_route = lambda error: told.append(None if error is None else str(error))
        clock_moves = asyncio.create_task(_tick(clock, 0.1))
        assert await peers(table) == ["a", "b"]
        table.record_success("b")
        table.record_success("a")
        clock_moves.cancel()
        assert set(told[:-1]) == {"No route: nobody serves blocks 4-7."}
        assert told[-1] is None

    run(scenario, server("a", 0, 4), server("a", 0, 4), server("a", 0, 4) | server("b", 4, 8))


def test_when_all_have_failed_they_are_asked_again_and_that_is_told() -> None:
    async def scenario(table: ServerTable, clock: Clock, node: Node) -> None:
        told: list[NoRoute | None] = []
        table.on_no_route = told.append
        await table.refresh()
        table.record_failure("a")
        assert await peers(table) == ["a"]
        assert "failed" in str(told[0])

    run(scenario, server("a", 0, 8))


def test_patience_has_an_end() -> None:
    async def scenario(table: ServerTable, clock: Clock, node: Node) -> None:
        clock_moves = asyncio.create_task(_tick(clock, 1.1))
        with pytest.raises(NoRoute, match="blocks 0-7"):
            await peers(table)
        clock_moves.cancel()

    run(scenario, {})


def test_a_server_that_does_not_answer_pings_holds_nobody_up() -> None:
    async def scenario(table: ServerTable, clock: Clock, node: Node) -> None:
        assert await peers(table) == ["near"]
        assert table.pings_s["far"] == math.inf

    run(scenario, server("far", 0, 8) | server("near", 0, 8))


async def _tick(clock: Clock, seconds: float) -> None:
    """Makes the time pass while others sleep."""
    while True:
        clock.now_s += seconds
        await asyncio.sleep(0.05)
