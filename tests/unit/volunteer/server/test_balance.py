"""The rule by which servers move: who, where, and when not."""

from __future__ import annotations

import dataclasses
import random
import time

import pytest

from volunteer.server.balance import MOST_AT_ONCE, BlockMove, Placement, block_throughputs, plan_moves


def server(peer_id: str, start: int, end: int, throughput: float = 100.0, *, may_move: bool = True) -> Placement:
    return Placement(peer_id, start, end, throughput, may_move)


def after(servers: list[Placement], moves: tuple[BlockMove, ...]) -> list[Placement]:
    to = {move.peer_id: move for move in moves}
    return [
        dataclasses.replace(each, start=to[each.peer_id].start, end=to[each.peer_id].end)
        if each.peer_id in to
        else each
        for each in servers
    ]


def crowd(count: int, num_blocks: int, seed: int) -> list[Placement]:
    chance = random.Random(seed)
    servers = []
    for number in range(count):
        size = chance.randint(2, num_blocks // 3)
        start = chance.randint(0, num_blocks - size)
        servers.append(server(f"peer-{number:04}", start, start + size, chance.choice([50.0, 100.0, 400.0])))
    return servers


def test_a_gap_is_filled_by_one_of_many() -> None:
    servers = [server(name, 0, 4) for name in "abcd"] + [server("e", 4, 6)]
    moves = plan_moves(servers, 8)
    assert len(moves) == 1
    assert moves[0].peer_id == "a"  # of equal ones the first
    assert moves[0].start == 4 and moves[0].end == 8


def test_who_is_alone_with_its_blocks_stays() -> None:
    assert plan_moves([server("a", 0, 4), server("b", 4, 8)], 12) == ()


def test_two_that_rely_on_each_other_do_not_both_go() -> None:
    servers = [server("a", 0, 4), server("b", 0, 4), *(server(name, 4, 8, 1.0, may_move=False) for name in "cd")]
    assert len(plan_moves(servers, 8)) <= 1


def test_blocks_of_a_server_that_still_loads_are_not_served_yet() -> None:
    loading = dataclasses.replace(server("b", 0, 4), is_online=False)
    assert plan_moves([server("a", 0, 4), loading, server("c", 4, 8)], 12) == ()


def test_small_gains_move_nobody() -> None:
    even = [server("a", 0, 4), server("b", 4, 8), server("c", 0, 4), server("d", 4, 8)]
    assert plan_moves(even, 8) == ()
    assert plan_moves([*even, server("e", 0, 4, 3.0)], 8) == ()


def test_who_may_not_move_does_not() -> None:
    servers = [server(name, 0, 4, may_move=False) for name in "abcd"] + [server("e", 4, 8)]
    assert plan_moves(servers, 8) == ()


def test_everybody_comes_to_the_same_list() -> None:
    servers = crowd(60, 24, seed=1)
    shuffled = servers.copy()
    random.Random(2).shuffle(shuffled)
    assert plan_moves(servers, 24) == plan_moves(shuffled, 24) != ()


@pytest.mark.parametrize("seed", range(8))
def test_moves_strengthen_the_weakest_block_and_uncover_none(seed: int) -> None:
    servers = crowd(80, 30, seed)
    moves = plan_moves(servers, 30)
    before, then = block_throughputs(servers, 30), block_throughputs(after(servers, moves), 30)
    assert len(moves) <= MOST_AT_ONCE * len(servers)
    assert len({move.peer_id for move in moves}) == len(moves)
    assert then.min() >= 1.03 * before.min() if moves else True
    leaving = {move.peer_id for move in moves}
    meanwhile = block_throughputs([each for each in servers if each.peer_id not in leaving], 30)
    assert ((meanwhile > 0) | (before == 0)).all()


def test_a_thousand_servers_are_planned_in_a_moment() -> None:
    servers = crowd(1000, 70, seed=0)
    started = time.process_time()
    assert plan_moves(servers, 70)
    assert time.process_time() - started < 5.0  # measured 0.5


def test_nobody_at_all() -> None:
    assert plan_moves([], 10) == ()
    assert plan_moves([server("a", 0, 4, 0.0)], 10) == ()
