"""The fastest chain of hops through known servers: arithmetic on records and round trips.

Knows neither connections nor sessions: who was seen failing, and how long round trips take, is handed in.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volunteer.errors import Unavailable
from volunteer.swarm.records import ServerInfo, ServerRecord, blocks_in_words, uncovered_blocks

PETALS_HOP_S = 0.018
"""What Petals' clients charge for the software of one hop, whatever the network."""
OUR_HOP_S = 0.003
"""The same for our servers, which answer from one process (Petals: a chain of processes and queues)."""
UNSIGNED_S = 0.001
"""For a server whose record anybody may have written: it decides among equals, and keeps nobody from being used."""

MAX_CANDIDATES = 512
"""Servers weighed at once: the work grows with their square, and anyone can announce servers by the thousand."""


_FIRST_TOKENS = 256
"""Room for the beginning of a session: servers that give it page by page need no more to admit one."""


@dataclass(frozen=True)
class RouteCosts:
    """What a step is charged for, in seconds; the defaults are Petals' own where it has them."""

    petals_hop_s: float = PETALS_HOP_S
    our_hop_s: float = OUR_HOP_S
    unsigned_s: float = UNSIGNED_S
    unknown_one_way_s: float = 0.15
    unreachable_one_way_s: float = 5.0
    """Not infinite: the ping may be wrong, and a bad route is better than none."""
    no_room_s: float = 10.0
    """For a server that would have to wait for KV room."""
    relay_s: float = 0.1
    """For a server behind a relay: a measured round trip has the detour in it, but not the relay's limits."""
    unknown_inference_rps: float = 300.0
    most_unmeasured_gain: float = 2.0
    slowest_block_s: float = 60.0
    """No record makes a block dearer: zero steps/s is a lie or an error, not a reason to find no route."""


DEFAULT_COSTS = RouteCosts()


@dataclass(frozen=True)
class Hop:
    """Blocks [start, end) computed by one server."""

    peer_id: str
    start: int
    end: int


@dataclass(frozen=True)
class Route:
    """Hops in order, each starting where the one before ends."""

    hops: tuple[Hop, ...]
    estimated_s: float
    """For one token there and back, with the charges for relays and missing KV room in it."""


class NoRoute(Unavailable):
    """Some blocks are served by nobody who may be asked.

    Args:
        missing: the runs of these blocks, in order.
        excluded: whether others do serve them, but failed or were not chosen.
    """

    def __init__(self, missing: tuple[range, ...], *, excluded: bool = False):
        self.missing = missing
        if excluded:
            why = f"the servers of {blocks_in_words(missing)} failed or were not chosen"
        else:
            why = f"nobody serves {blocks_in_words(missing)}"
        super().__init__(f"No route: {why}.")


def find_route(
    servers: Mapping[str, ServerInfo],
    *,
    start: int,
    end: int,
    pings_s: Mapping[str, float],
    avoid: Set[str] = frozenset(),
    only: Set[str] | None = None,
    kv_tokens_needed: int | None = None,
    measured_block_s: Mapping[str, float] | None = None,
    costs: RouteCosts = DEFAULT_COSTS,
) -> Route:
    """The fastest route through the blocks [start, end), over online servers; the same for the same input.

    Unlike Petals', a route may enter and leave a server at any of its blocks. Between equally
    fast servers the lower peer id decides.

    Args:
        pings_s: our own round trips by peer id; infinite: tried and not reached.
        avoid: servers not to ask, such as those that just failed.
        only: if given, the only servers to ask.
        kv_tokens_needed: tokens of KV room that each hop must have for the session; None: not a matter of cache.
        measured_block_s: seconds that a block of a server took in our own steps, by peer id. Announced speeds are
            hints beside it: see `believed_block_s`.

    Raises:
        NoRoute: some blocks have no server that may be asked.
    """
    if not 0 <= start < end:
        raise ValueError(f"There are no blocks in {start}:{end}.")
    wanted = range(start, end)
    online = [server for server in servers.values() if server.is_online]
    allowed = [server for server in online if server.peer_id not in avoid and (only is None or server.peer_id in only)]
    missing = uncovered_blocks((server.blocks for server in allowed), wanted)
    if missing:
        held_by_nobody = uncovered_blocks((server.blocks for server in online), wanted)
        raise NoRoute(missing, excluded=missing != held_by_nobody)
    block_s = believed_block_s(servers, measured_block_s or {}, costs)
    candidates = sorted(
        (
            _Candidate.of(server, wanted, pings_s.get(server.peer_id), kv_tokens_needed, block_s[server.peer_id], costs)
            for server in allowed
            if server.start < end and server.end > start
        ),
        key=lambda candidate: candidate.peer_id,
    )
    return _fastest(_shortlist(candidates, wanted), wanted, costs)


@dataclass(frozen=True)
class _Candidate:
    """What the search needs to know of one server."""

    peer_id: str
    start: int
    end: int
    block_s: float
    client_s: float  # one way between us and it
    enter_s: float  # for its software, its relay and its wait for room, whoever comes before it
    next_pings: Mapping[str, float]

    @classmethod
    def of(
        cls,
        server: ServerInfo,
        wanted: range,
        rtt_s: float | None,
        kv_tokens_needed: int | None,
        block_s: float,
        costs: RouteCosts,
    ) -> _Candidate:
        record = server.record
        start, end = max(server.start, wanted.start), min(server.end, wanted.stop)
        enter_s = costs.our_hop_s if record.extensions else costs.petals_hop_s
        if not server.is_signed:
            enter_s += costs.unsigned_s
        if record.using_relay:
            enter_s += costs.relay_s
        # As if the hop took all of these blocks: how many it will take is not known before the route is.
        # Keys and values count separately.
        tokens_needed = kv_tokens_needed or 0
        if "kv_pages" in record.extensions:
            tokens_needed = min(tokens_needed, _FIRST_TOKENS)
        room_needed = tokens_needed * 2 * (end - start)
        if record.cache_tokens_left is not None and room_needed > record.cache_tokens_left:
            enter_s += costs.no_room_s
        client_s = one_way_s(rtt_s, costs)
        return cls(server.peer_id, start, end, block_s, client_s, enter_s, record.next_pings or {})

    def seconds_per_block(self) -> float:
        """If all of its blocks were used in one visit from us."""
        return (self.client_s + self.enter_s) / (self.end - self.start) + self.block_s


def believed_block_s(
    servers: Mapping[str, ServerInfo], measured_block_s: Mapping[str, float], costs: RouteCosts = DEFAULT_COSTS
) -> dict[str, float]:
    """Seconds that a token takes in a block of each server.

    What was measured is believed. What is only announced is stretched by how much the servers that were measured had
    promised too much (in the median), and no unmeasured server is taken to be more than `most_unmeasured_gain` times as
    fast as the fastest that was measured: who lies gets one session, and is measured in it.
    """
    announced = {peer_id: _announced_block_s(server.record, costs) for peer_id, server in servers.items()}
    known = {peer_id: seconds for peer_id, seconds in measured_block_s.items() if peer_id in announced}
    if not known:
        return announced
    stretch = max(1.0, statistics.median(seconds / announced[peer_id] for peer_id, seconds in known.items()))
    least = min(known.values()) / costs.most_unmeasured_gain
    return {peer_id: known.get(peer_id, max(least, stretch * seconds)) for peer_id, seconds in announced.items()}


def _announced_block_s(record: ServerRecord, costs: RouteCosts) -> float:
    rps = costs.unknown_inference_rps if record.inference_rps is None else record.inference_rps
    seconds = 1 / rps if rps * costs.slowest_block_s > 1 else costs.slowest_block_s
    # A batch that is full takes another row as long again.
    return 2 * seconds if record.free_rows == 0 else seconds


def one_way_s(rtt_s: float | None, costs: RouteCosts = DEFAULT_COSTS) -> float:
    """Half a round trip, bounded; a default for one that is not known."""
    if rtt_s is None or math.isnan(rtt_s):
        return costs.unknown_one_way_s
    return min(rtt_s / 2, costs.unreachable_one_way_s)


def _shortlist(candidates: list[_Candidate], wanted: range) -> list[_Candidate]:
    """At most `MAX_CANDIDATES`, or one for each block if that is more; every block keeps its cheapest holders."""
    if len(candidates) <= MAX_CANDIDATES:
        return candidates
    room = [max(1, MAX_CANDIDATES // len(wanted))] * len(wanted)
    kept: set[str] = set()
    others: list[str] = []
    for candidate in sorted(candidates, key=_Candidate.seconds_per_block):
        offsets = range(candidate.start - wanted.start, candidate.end - wanted.start)
        if any(room[offset] > 0 for offset in offsets):
            kept.add(candidate.peer_id)
            for offset in offsets:
                room[offset] -= 1
        else:
            others.append(candidate.peer_id)
    kept.update(others[: max(0, MAX_CANDIDATES - len(kept))])
    return [candidate for candidate in candidates if candidate.peer_id in kept]


def _fastest(candidates: list[_Candidate], wanted: range, costs: RouteCosts) -> Route:
    """The cheapest path over (server, block), block by block.

    Every edge leads to the next block or stays at the boundary, so one pass over the boundaries does what Dijkstra's
    queue would; a pass is a few operations on arrays. Servers are indices into `candidates`.
    """
    everyone = np.arange(len(candidates))
    starts = np.array([candidate.start for candidate in candidates])
    ends = np.array([candidate.end for candidate in candidates])
    block_s = np.array([candidate.block_s for candidate in candidates])
    client_s = np.array([candidate.client_s for candidate in candidates])
    enter_s = np.array([candidate.enter_s for candidate in candidates])
    change_s = _changes_s(candidates, costs) + enter_s[:, None]  # [to, from]
    through_s = np.empty_like(change_s)

    # Seconds until a server has computed everything before the boundary; infinite where it did not hold the block
    # before it.
    reached_s = client_s + enter_s
    previous: list[npt.NDArray[np.intp]] = []  # for each block, from which server the route came to this one
    for block in wanted:
        origin = everyone
        if block > wanted.start:
            np.add(change_s, reached_s, out=through_s)
            best = through_s.argmin(axis=1)
            best_s = through_s[everyone, best]
            changed = best_s < reached_s
            origin = np.where(changed, best, everyone)
            reached_s = np.where(changed, best_s, reached_s)
        previous.append(origin)
        reached_s = np.where((starts <= block) & (block < ends), reached_s + block_s, np.inf)

    total_s = reached_s + client_s
    server = int(total_s.argmin())
    hops: list[Hop] = []
    hop_end = wanted.stop
    estimated_s = float(total_s[server])
    for block in reversed(wanted):
        origin_server = int(previous[block - wanted.start][server])
        if origin_server != server or block == wanted.start:
            hops.append(Hop(candidates[server].peer_id, block, hop_end))
            server, hop_end = origin_server, block
    return Route(tuple(reversed(hops)), estimated_s)


def _changes_s(candidates: list[_Candidate], costs: RouteCosts) -> npt.NDArray[np.float64]:
    """One way from server to server, [to, from]; infinite from a server to itself, where staying is free."""
    index = {candidate.peer_id: position for position, candidate in enumerate(candidates)}
    rtts_s = np.full((len(candidates), len(candidates)), 2 * costs.unknown_one_way_s)
    for origin, candidate in enumerate(candidates):
        for peer_id in candidate.next_pings.keys() & index.keys():
            rtts_s[origin, index[peer_id]] = candidate.next_pings[peer_id]
    one_ways_s = np.ascontiguousarray(np.minimum(rtts_s / 2, costs.unreachable_one_way_s).T)
    np.fill_diagonal(one_ways_s, np.inf)
    return one_ways_s
