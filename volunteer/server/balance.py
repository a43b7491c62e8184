"""Which servers should move to which blocks, so that the weakest block of the swarm becomes stronger.

A pure rule on records. Every server works out the same list of moves from the same records, and makes its own: nobody
is in charge, and not all run to the same gap. Knows neither the network nor how a move is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MIN_GAIN = 0.03
"""By how much the weakest block must gain for anybody to move: drains and loads are not free, and records are old."""
MOST_AT_ONCE = 0.25
"""Of all servers, that may be on the way at one time."""
_POWER = 16
"""The cost of a block is (mean / throughput) ** power: nearly that of the weakest block alone, but a move that mends
one of several weak blocks counts, too."""
_FLOOR = 0.02
"""Of the mean throughput: what a block that nobody holds is taken to have."""
_MIN_COST_GAIN = 0.001
"""Of the cost, that every single move has to save."""


@dataclass(frozen=True)
class Placement:
    """A server as far as balance goes."""

    peer_id: str
    start: int
    end: int
    throughput: float
    """What it adds to each of its blocks."""
    may_move: bool
    """It chose its blocks itself, has not moved of late, and takes part in this rule."""
    is_online: bool = True
    """False while it loads: it counts where it is going to be, and nobody may rely on it yet."""

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class BlockMove:
    """A server goes from its blocks to `start:end`."""

    peer_id: str
    start: int
    end: int


def block_throughputs(servers: Sequence[Placement], num_blocks: int) -> Array:
    """Of each block, [num_blocks]. The swarm is as fast as the least of them."""
    total = np.zeros(num_blocks)
    # Sorted: float sums depend on order, and everybody must come to the same list of moves.
    for server in sorted(servers, key=lambda server: server.peer_id):
        total[max(0, server.start) : server.end] += server.throughput
    return total


def plan_moves(servers: Sequence[Placement], num_blocks: int, *, min_gain: float = MIN_GAIN) -> tuple[BlockMove, ...]:
    """The moves that should be made now, the most useful first; empty where they would not gain enough together.

    Greedy: of all servers that may move and all places, the move that saves the most cost is taken, again and again. A
    server moves once. Blocks that somebody serves now stay served by a server that does not move, all the while.
    """
    total = block_throughputs(servers, num_blocks)
    movers = sorted((server for server in servers if server.may_move and server.is_online), key=lambda s: s.peer_id)
    if not movers or not total.any():
        return ()
    throughputs = np.array([server.throughput for server in movers])
    starts = np.array([server.start for server in movers])
    sizes = np.array([server.size for server in movers])
    blocks = np.arange(num_blocks)
    held = (blocks >= starts[:, None]) & (blocks < (starts + sizes)[:, None])  # [movers, blocks]
    serving = np.zeros(num_blocks, dtype=np.int64)  # servers online that stay where they are
    for server in servers:
        if server.is_online:
            serving[max(0, server.start) : server.end] += 1
    can_move = np.ones(len(movers), dtype=bool)
    most = max(1, int(MOST_AT_ONCE * len(servers)))
    before = total.copy()
    moves: list[BlockMove] = []
    while len(moves) < most:
        can_move &= ~(held & (serving <= 1)).any(axis=1)
        candidates = np.flatnonzero(can_move)
        if not len(candidates):
            break
        best, place, saved = _best_move(total, throughputs, sizes, held, candidates)
        if saved < _MIN_COST_GAIN:
            break
        mover = movers[best]
        moves.append(BlockMove(mover.peer_id, place, place + mover.size))
        total[held[best]] -= mover.throughput
        total[place : place + mover.size] += mover.throughput
        serving[held[best]] -= 1
        can_move[best] = False
    return tuple(moves) if _is_worth_it(before, total, min_gain) else ()


def _is_worth_it(before: Array, after: Array, min_gain: float) -> bool:
    """Whether the weakest block gains enough, or fewer blocks are held by nobody."""
    return bool((after > 0).sum() > (before > 0).sum() or after.min() >= (1 + min_gain) * before.min() > 0)


def _best_move(
    total: Array,
    throughputs: Array,
    sizes: Integers,
    held: npt.NDArray[np.bool_],
    candidates: Integers,
) -> tuple[int, int, float]:
    """Index of the server, first block of its new place, and the share of the cost that it saves."""
    num_blocks, mean = len(total), total.mean()

    def cost(throughput: Array) -> Array:
        return (mean / np.maximum(throughput, _FLOOR * mean)) ** _POWER

    now = cost(total).sum()
    rest = total - held[candidates] * throughputs[candidates, None]  # [candidates, blocks], without the server
    rest_cost = cost(rest)
    saved = rest_cost - cost(rest + throughputs[candidates, None])
    sums = np.concatenate([np.zeros((len(candidates), 1)), saved.cumsum(axis=1)], axis=1)
    first = np.arange(num_blocks)
    last = first + sizes[candidates, None]  # [candidates, places]
    windows = np.take_along_axis(sums, np.minimum(last, num_blocks), axis=1) - sums[:, :num_blocks]
    windows[last > num_blocks] = -np.inf
    gains = now - rest_cost.sum(axis=1, keepdims=True) + windows
    row, place = np.unravel_index(int(gains.argmax()), gains.shape)
    return int(candidates[row]), int(place), float(gains[row, place] / now)
