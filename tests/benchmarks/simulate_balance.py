"""A swarm of many servers as records alone, seen late and lost late: how close to the best the moves bring it.

    python tests/benchmarks/simulate_balance.py

Every server looks at the records every CHECK_S, runs the rule of `volunteer/server/balance.py` on what it sees, and
makes its own move of the list, if there is one. A server that dies stays in the records until they expire. A move takes
the server out of its old blocks at once and brings it into the new ones TRANSIT_S later.

What is printed is a share of the best that was found for the same servers by somebody who may move all of them at once,
as often as wanted, from several beginnings; and, as that may not be the optimum, of its upper bound: all work spread
evenly, the sum of throughput x blocks over servers by the number of blocks.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, field

from volunteer.bench.table import Table
from volunteer.server.announcer import LIFETIME_S, REFRESH_S
from volunteer.server.balance import Placement, block_throughputs, plan_moves
from volunteer.server.balancer import CHECK_S, COOLDOWN_S

TRANSIT_S = 20.0
"""To drain and to load again what is on the disk."""
VIEW_DELAY_S = 3.0
"""For a record to be stored, and found by others."""
STEP_S = 1.0


@dataclass
class Peer:
    """One simulated server."""

    placement: Placement
    next_check_s: float
    is_dead_since: float | None = None
    arrives_s: float | None = None
    """When it will serve its blocks; None when it does."""
    moved_s: float = -1e9
    moves: int = 0
    seen: list[tuple[float, Placement | None]] = field(default_factory=list)
    """Since when others see it how."""

    def show(self, at_s: float, placement: Placement | None) -> None:
        self.seen.append((at_s, placement))


class Swarm:
    """Peers over time."""

    def __init__(self, num_servers: int, num_blocks: int, seed: int):
        self.chance = random.Random(seed)
        self.num_blocks = num_blocks
        self.now_s = 0.0
        self.peers: list[Peer] = []
        for _ in range(num_servers):
            self.join()

    def join(self, span: tuple[int, int] | None = None) -> Peer:
        """A server at a random place: as bad a beginning as there is."""
        size = self.chance.randint(3, max(4, self.num_blocks // 4))
        start = self.chance.randint(0, self.num_blocks - size)
        start, end = span or (start, start + size)
        throughput = self.chance.choice([100.0, 200.0, 400.0, 800.0]) / (end - start)
        placement = Placement(f"peer-{len(self.peers):05}", start, end, throughput, may_move=True)
        peer = Peer(placement, self.now_s + self.chance.uniform(0, CHECK_S))
        peer.show(self.now_s + VIEW_DELAY_S, placement)
        self.peers.append(peer)
        return peer

    def lose(self, share: float) -> None:
        """So many of the servers, gone without a word. Their records expire some time after their last refresh."""
        alive = [peer for peer in self.peers if peer.is_dead_since is None]
        for peer in self.chance.sample(alive, int(share * len(alive))):
            peer.is_dead_since = self.now_s
            peer.show(self.now_s + LIFETIME_S - self.chance.uniform(0, REFRESH_S), None)

    def alive(self) -> list[Placement]:
        return [peer.placement for peer in self.peers if peer.is_dead_since is None]

    def bottleneck(self) -> float:
        """Throughput of the weakest block."""
        serving = [peer.placement for peer in self.peers if peer.is_dead_since is None and peer.arrives_s is None]
        return float(block_throughputs(serving, self.num_blocks).min())

    def bound(self) -> float:
        """What no placement of these servers can exceed."""
        return sum(placement.throughput * placement.size for placement in self.alive()) / self.num_blocks

    def best(self) -> float:
        """The best that is found for these servers without any hurry."""
        chance = random.Random(0)
        found = 0.0
        for beginning in range(4):
            placed = [
                dataclasses.replace(each, start=start, end=start + each.size, may_move=True, is_online=True)
                for each in self.alive()
                for start in (each.start if beginning == 0 else chance.randint(0, self.num_blocks - each.size),)
            ]
            for _ in range(20):
                moves = {move.peer_id: move for move in plan_moves(placed, self.num_blocks, min_gain=0.001)}
                if not moves:
                    break
                placed = [
                    dataclasses.replace(each, start=moves[each.peer_id].start, end=moves[each.peer_id].end)
                    if each.peer_id in moves
                    else each
                    for each in placed
                ]
            found = max(found, float(block_throughputs(placed, self.num_blocks).min()))
        return found

    def uncovered(self) -> int:
        serving = [peer.placement for peer in self.peers if peer.is_dead_since is None and peer.arrives_s is None]
        return int((block_throughputs(serving, self.num_blocks) == 0).sum())

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += STEP_S
            for peer in self.peers:
                if peer.is_dead_since is not None:
                    continue
                if peer.arrives_s is not None and peer.arrives_s <= self.now_s:
                    peer.arrives_s = None
                    peer.show(self.now_s + VIEW_DELAY_S, peer.placement)
                elif peer.arrives_s is None and peer.next_check_s <= self.now_s:
                    peer.next_check_s = self.now_s + CHECK_S * self.chance.uniform(0.8, 1.2)
                    self._check(peer)

    def _check(self, peer: Peer) -> None:
        if self.now_s - peer.moved_s < COOLDOWN_S:
            return
        mine = [move for move in plan_moves(self._view(), self.num_blocks) if move.peer_id == peer.placement.peer_id]
        if not mine:
            return
        peer.placement = dataclasses.replace(peer.placement, start=mine[0].start, end=mine[0].end)
        peer.arrives_s, peer.moved_s = self.now_s + TRANSIT_S, self.now_s
        peer.moves += 1
        peer.show(self.now_s + VIEW_DELAY_S, dataclasses.replace(peer.placement, is_online=False, may_move=False))

    def _view(self) -> list[Placement]:
        seen = []
        for peer in self.peers:
            placement = None
            for since_s, how in peer.seen:
                if since_s <= self.now_s:
                    placement = how
            if placement is not None:
                rests = self.now_s - peer.moved_s >= COOLDOWN_S
                seen.append(dataclasses.replace(placement, may_move=placement.may_move and rests))
        return seen


@dataclass(frozen=True)
class Outcome:
    """What became of one swarm."""

    name: str
    servers: int
    blocks: int
    before: float
    """Share of the best just before the moves began to help."""
    after: float
    after_of_bound: float
    moves_per_server: float
    uncovered: int
    """Blocks that nobody serves in the end."""


def settle(num_servers: int, num_blocks: int, seed: int) -> Swarm:
    swarm = Swarm(num_servers, num_blocks, seed)
    swarm.run(600)
    for peer in swarm.peers:
        peer.moves = 0
    return swarm


def outcome(name: str, swarm: Swarm, seconds: float, before: float) -> Outcome:
    swarm.run(seconds)
    alive = [peer for peer in swarm.peers if peer.is_dead_since is None]
    moves = sum(peer.moves for peer in swarm.peers) / len(alive)
    best, then = max(swarm.best(), swarm.bottleneck()), swarm.bottleneck()
    shares = (before / best, then / best, then / swarm.bound())
    return Outcome(name, len(alive), swarm.num_blocks, *shares, moves, swarm.uncovered())


def random_start(num_servers: int, num_blocks: int, seed: int) -> Outcome:
    """Everybody begins anywhere; ten minutes."""
    swarm = Swarm(num_servers, num_blocks, seed)
    return outcome("random start, 600 s", swarm, 600, swarm.bottleneck())


def losses(num_servers: int, num_blocks: int, seed: int) -> Outcome:
    """30 % are lost without a word; two minutes."""
    swarm = settle(num_servers, num_blocks, seed)
    swarm.lose(0.3)
    return outcome("30 % lost, 120 s", swarm, 120, swarm.bottleneck())


def joins(num_servers: int, num_blocks: int, seed: int) -> Outcome:
    """A quarter more servers come, all to the same blocks; five minutes."""
    swarm = settle(num_servers, num_blocks, seed)
    for _ in range(num_servers // 4):
        swarm.join((0, num_blocks // 5))
    return outcome("25 % join in one place, 300 s", swarm, 300, swarm.bottleneck())


def flapping(num_servers: int, num_blocks: int, seed: int) -> Outcome:
    """A tenth comes and goes every minute for ten minutes, then peace for two."""
    swarm = settle(num_servers, num_blocks, seed)
    before = swarm.bottleneck()
    for _ in range(10):
        swarm.lose(0.1)
        for _ in range(num_servers // 10):
            swarm.join()
        swarm.run(60)
    return outcome("10 % flap a minute, 600 s, then 120 s", swarm, 120, before)


SCENARIOS = (random_start, losses, joins, flapping)


def main() -> None:
    rows = []
    for num_servers, num_blocks in ((100, 24), (100, 70), (300, 70), (1000, 70)):
        for scenario in SCENARIOS:
            seen = [scenario(num_servers, num_blocks, seed) for seed in range(3 if num_servers < 1000 else 1)]
            worst = min(seen, key=lambda each: each.after)
            moves = max(each.moves_per_server for each in seen)
            uncovered = max(each.uncovered for each in seen)
            shares = (worst.before, worst.after, worst.after_of_bound, moves)
            numbers = (str(num_servers), str(num_blocks), *(f"{each:.2f}" for each in shares), str(uncovered))
            rows.append([worst.name, *numbers])
            print(rows[-1], flush=True)
    columns = ["", "servers", "blocks", "before", "after", "of bound", "moves a server", "uncovered"]
    print(Table("Weakest block, as a share of the best that was found; the worst of three swarms", columns, rows))


if __name__ == "__main__":
    main()
