import itertools
import math
import random
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunteer.client import routing
from volunteer.client.routing import OUR_HOP_S, PETALS_HOP_S, Hop, NoRoute, Route, RouteCosts, find_route, one_way_s
from volunteer.errors import ExitCode, Unavailable
from volunteer.swarm.records import ServerInfo, ServerRecord, ServerState

BLOCK_S = 0.01  # one block of the builder's servers


def server(
    peer_id: str,
    start: int,
    end: int,
    *,
    state: ServerState = ServerState.ONLINE,
    is_signed: bool = True,
    **fields: Any,
) -> dict[str, ServerInfo]:
    record = ServerRecord(state=state, throughput=1.0, **{"inference_rps": 1 / BLOCK_S} | fields)
    return {peer_id: ServerInfo(peer_id, record, start, end, is_signed)}


def route(servers: Mapping[str, ServerInfo], start: int = 0, end: int = 8, **options: Any) -> Route:
    options = {"pings_s": dict.fromkeys(servers, 0.02), "kv_tokens_needed": 0} | options
    return find_route(servers, start=start, end=end, **options)


def peers(found: Route) -> list[str]:
    return [hop.peer_id for hop in found.hops]


def cost_of(
    hops: tuple[Hop, ...],
    servers: Mapping[str, ServerInfo],
    wanted: range,
    pings_s: Mapping[str, float],
    kv_tokens_needed: int,
) -> float:
    """Petals' sums, written a second time and hop by hop."""
    total_s = 0.0
    for before, hop in zip((None, *hops), hops, strict=False):
        record = servers[hop.peer_id].record
        blocks = servers[hop.peer_id].blocks
        used = min(blocks.stop, wanted.stop) - max(blocks.start, wanted.start)
        if before is None:
            rtt_s = pings_s.get(hop.peer_id)
        else:
            rtt_s = (servers[before.peer_id].record.next_pings or {}).get(hop.peer_id)
        total_s += 0.15 if rtt_s is None else min(rtt_s / 2, 5.0)
        total_s += 0.003 if record.extensions else 0.018
        total_s += 0.1 if record.using_relay else 0.0
        if record.cache_tokens_left is not None and 2 * kv_tokens_needed * used > record.cache_tokens_left:
            total_s += 10.0
        rps = 300.0 if record.inference_rps is None else record.inference_rps
        total_s += (hop.end - hop.start) * (min(60.0, 1 / rps) if rps else 60.0)
    last_rtt_s = pings_s.get(hops[-1].peer_id)
    return total_s + (0.15 if last_rtt_s is None else min(last_rtt_s / 2, 5.0))


def cheapest_of_all(
    servers: Mapping[str, ServerInfo], wanted: range, pings_s: Mapping[str, float], kv_tokens_needed: int
) -> float:
    """By trying every choice of a server for every block."""
    holders = [[peer_id for peer_id in servers if block in servers[peer_id].blocks] for block in wanted]
    costs_s = []
    for chosen in itertools.product(*holders):
        hops: list[Hop] = []
        for block, peer_id in zip(wanted, chosen, strict=True):
            if hops and hops[-1].peer_id == peer_id:
                hops[-1] = Hop(peer_id, hops[-1].start, block + 1)
            else:
                hops.append(Hop(peer_id, block, block + 1))
        costs_s.append(cost_of(tuple(hops), servers, wanted, pings_s, kv_tokens_needed))
    return min(costs_s)


def test_one_server_of_everything_is_one_hop() -> None:
    found = route(server("A", 0, 8))
    assert found.hops == (Hop("A", 0, 8),)
    assert found.estimated_s == pytest.approx(0.02 + PETALS_HOP_S + 8 * BLOCK_S)


def test_hops_join_without_gap_or_overlap() -> None:
    found = route(server("A", 0, 5) | server("B", 3, 8))
    assert peers(found) == ["A", "B"]
    assert found.hops[0].start == 0
    assert found.hops[0].end == found.hops[1].start
    assert found.hops[1].end == 8


def test_a_slow_server_is_left_before_the_end_of_its_span() -> None:
    servers = server("A", 0, 6, inference_rps=1.0) | server("B", 2, 8, inference_rps=100.0)
    assert route(servers).hops == (Hop("A", 0, 2), Hop("B", 2, 8))


def test_a_route_may_start_and_end_inside_of_spans() -> None:
    assert route(server("A", 0, 100), 40, 50).hops == (Hop("A", 40, 50),)


def test_more_servers_are_used_when_they_are_faster_than_the_extra_hop() -> None:
    fast_halves = server("B", 0, 4, inference_rps=1000.0, next_pings={"C": 0.001})
    fast_halves |= server("C", 4, 8, inference_rps=1000.0)
    assert peers(route(server("A", 0, 8, inference_rps=20.0) | fast_halves)) == ["B", "C"]
    assert peers(route(server("A", 0, 8, inference_rps=900.0) | fast_halves)) == ["A"]


def test_the_nearer_of_equal_servers_is_chosen() -> None:
    servers = server("A", 0, 8) | server("B", 0, 8)
    assert peers(route(servers, pings_s={"A": 0.2, "B": 0.1})) == ["B"]


def test_pings_between_servers_decide_about_the_next_hop() -> None:
    servers = (
        server("A", 0, 4, next_pings={"B": 0.2, "C": 0.01}) | server("B", 4, 8) | server("C", 4, 8) | server("D", 4, 8)
    )
    assert peers(route(servers)) == ["A", "C"]


def test_an_unknown_ping_counts_as_150_ms_and_an_infinite_one_as_5_s() -> None:
    servers = server("A", 0, 8) | server("B", 0, 8)
    assert peers(route(servers, pings_s={"A": 0.29})) == ["A"]
    assert peers(route(servers, pings_s={"A": 0.31})) == ["B"]
    assert peers(route(servers, pings_s={"A": math.inf})) == ["B"]
    unreachable = route(server("A", 0, 8), pings_s={"A": math.inf})
    assert unreachable.estimated_s == pytest.approx(10.0 + PETALS_HOP_S + 8 * BLOCK_S)
    assert one_way_s(None) == one_way_s(math.nan) == 0.15
    assert one_way_s(60.0) == 5.0


def test_a_server_without_kv_room_is_the_last_choice() -> None:
    servers = server("A", 0, 8, cache_tokens_left=2 * 8 * 100) | server("B", 0, 8, inference_rps=1.0)
    assert peers(route(servers, kv_tokens_needed=100)) == ["A"]
    assert peers(route(servers, kv_tokens_needed=101)) == ["B"]
    assert peers(route(servers, kv_tokens_needed=None)) == ["A"]
    assert peers(route(server("A", 0, 8, cache_tokens_left=0), kv_tokens_needed=100)) == ["A"]


def test_room_that_is_given_page_by_page_need_not_be_free_in_full() -> None:
    room, slow = {"cache_tokens_left": 2 * 8 * 300}, server("B", 0, 8, inference_rps=1.0)
    paged = server("A", 0, 8, extensions=("kv_pages",), **room)
    assert peers(route(paged | slow, kv_tokens_needed=2048)) == ["A"]
    assert peers(route(server("A", 0, 8, **room) | slow, kv_tokens_needed=2048)) == ["B"]


def test_kv_room_is_needed_for_the_wanted_blocks_only() -> None:
    servers = server("A", 0, 8, cache_tokens_left=2 * 2 * 100) | server("B", 0, 8, inference_rps=50.0)
    assert peers(route(servers, 3, 5, kv_tokens_needed=100)) == ["A"]


def test_a_relayed_server_gives_way_to_an_equal_direct_one() -> None:
    servers = server("A", 0, 8, using_relay=True) | server("B", 0, 8, using_relay=False)
    assert peers(route(servers)) == ["B"]


def test_a_hop_over_our_own_servers_is_cheaper() -> None:
    servers = server("A", 0, 8) | server("B", 0, 8, extensions=("left_padding",))
    found = route(servers)
    assert peers(found) == ["B"]
    assert found.estimated_s == pytest.approx(0.02 + OUR_HOP_S + 8 * BLOCK_S)


@pytest.mark.parametrize("rps", [0.0, 5e-324, 1e-9, 1e300])
def test_no_announced_speed_breaks_the_search(rps: float) -> None:
    found = route(server("A", 0, 8, inference_rps=rps))
    assert found.hops == (Hop("A", 0, 8),)
    assert found.estimated_s <= 8 * 60 + 1


def test_among_equals_a_signed_record_decides_and_an_unsigned_server_is_still_used() -> None:
    both = server("a", 0, 8, is_signed=False) | server("b", 0, 8)
    assert peers(route(both)) == ["b"]
    assert peers(route(both, avoid={"b"})) == ["a"]
    assert peers(route(both, pings_s={"a": 0.01, "b": 0.02})) == ["a"]


def test_costs_can_be_changed() -> None:
    found = route(server("A", 0, 8), costs=RouteCosts(petals_hop_s=1.0))
    assert found.estimated_s == pytest.approx(0.02 + 1.0 + 8 * BLOCK_S)


@pytest.mark.parametrize("state", [ServerState.OFFLINE, ServerState.JOINING])
def test_only_online_servers_are_asked(state: ServerState) -> None:
    assert peers(route(server("A", 0, 8, state=state) | server("B", 0, 8))) == ["B"]
    with pytest.raises(NoRoute):
        route(server("A", 0, 8, state=state))


def test_avoided_servers_are_not_asked() -> None:
    servers = server("A", 0, 8) | server("B", 0, 8, inference_rps=1.0)
    assert peers(route(servers)) == ["A"]
    assert peers(route(servers, avoid={"A"})) == ["B"]


def test_if_servers_are_chosen_no_others_are_asked() -> None:
    servers = server("A", 0, 8) | server("B", 0, 4) | server("C", 4, 8)
    assert peers(route(servers, only={"B", "C", "not known"})) == ["B", "C"]
    with pytest.raises(NoRoute):
        route(servers, only=set())


def test_missing_blocks_are_named_in_the_sentence_and_carried() -> None:
    with pytest.raises(NoRoute) as caught:
        route(server("A", 0, 31), 0, 39)
    assert str(caught.value) == "No route: nobody serves blocks 31-38."
    assert caught.value.missing == (range(31, 39),)
    assert isinstance(caught.value, Unavailable)
    assert caught.value.exit_code is ExitCode.UNAVAILABLE


def test_every_gap_is_named() -> None:
    with pytest.raises(NoRoute, match=r"^No route: nobody serves blocks 0, 3-4 and 7\.$"):
        route(server("A", 1, 3) | server("B", 5, 7))


def test_blocks_that_only_excluded_servers_hold_are_not_said_to_be_held_by_nobody() -> None:
    with pytest.raises(NoRoute, match=r"^No route: the servers of blocks 4-7 failed or were not chosen\.$") as caught:
        route(server("A", 0, 4) | server("B", 4, 8), avoid={"B"})
    assert caught.value.missing == (range(4, 8),)


@pytest.mark.parametrize(("start", "end"), [(3, 3), (4, 3), (-1, 3)])
def test_a_route_through_no_blocks_is_a_bug(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="no blocks"):
        route(server("A", 0, 8), start, end)


def test_equal_servers_are_told_apart_by_their_ids_in_any_order() -> None:
    servers = server("C", 0, 8) | server("A", 0, 5) | server("B", 0, 8) | server("D", 3, 8)
    for order in itertools.permutations(servers):
        assert route({peer_id: servers[peer_id] for peer_id in order}).hops == (Hop("B", 0, 8),)


_rtts_s = st.none() | st.sampled_from([0.0, 0.02, 0.3, 2.0, math.inf])
_servers = st.fixed_dictionaries(
    {
        "start": st.integers(0, 4),
        "length": st.integers(1, 5),
        "inference_rps": st.none() | st.sampled_from([0.0, 0.5, 4.0, 50.0, 1000.0]),
        "cache_tokens_left": st.none() | st.integers(0, 20),
        "using_relay": st.none() | st.booleans(),
        "extensions": st.sampled_from([(), ("left_padding",)]),
        "rtts_s": st.tuples(_rtts_s, _rtts_s, _rtts_s, _rtts_s, _rtts_s),  # from us, then to each server
    }
)


@given(st.lists(_servers, min_size=1, max_size=4), st.integers(0, 2), st.integers(1, 5), st.integers(0, 2))
@settings(deadline=None)
def test_no_route_is_cheaper_than_the_one_found(
    drawn: list[dict[str, Any]], start: int, length: int, kv_tokens_needed: int
) -> None:
    servers: dict[str, ServerInfo] = {}
    pings_s: dict[str, float] = {}
    for name, fields in zip("ABCD", drawn, strict=False):
        first, span, (own_rtt_s, *rtts_s) = fields.pop("start"), fields.pop("length"), fields.pop("rtts_s")
        next_pings = {other: rtt_s for other, rtt_s in zip("ABCD", rtts_s, strict=True) if rtt_s is not None}
        servers |= server(name, first, first + span, next_pings=next_pings or None, **fields)
        if own_rtt_s is not None:
            pings_s[name] = own_rtt_s
    wanted = range(start, start + length)
    missing = [block for block in wanted if not any(block in info.blocks for info in servers.values())]
    try:
        found = find_route(
            servers, start=wanted.start, end=wanted.stop, pings_s=pings_s, kv_tokens_needed=kv_tokens_needed
        )
    except NoRoute as error:
        assert [block for gap in error.missing for block in gap] == missing
        return
    assert not missing
    assert [block for hop in found.hops for block in range(hop.start, hop.end)] == list(wanted)
    assert all(hop.start in servers[hop.peer_id].blocks for hop in found.hops)
    assert all(hop.end - 1 in servers[hop.peer_id].blocks for hop in found.hops)
    assert all(hop.peer_id != after.peer_id for hop, after in itertools.pairwise(found.hops))
    assert found.estimated_s == pytest.approx(cost_of(found.hops, servers, wanted, pings_s, kv_tokens_needed))
    assert found.estimated_s == pytest.approx(cheapest_of_all(servers, wanted, pings_s, kv_tokens_needed))


def _large_swarm(num_servers: int, *, span: int, num_pings: int) -> tuple[dict[str, ServerInfo], dict[str, float]]:
    dice = random.Random(7)
    names = [f"Qm{index:04}" for index in range(num_servers)]
    servers: dict[str, ServerInfo] = {}
    for index, name in enumerate(names):
        start = index % (101 - span)
        next_pings = {other: dice.uniform(0.001, 0.4) for other in dice.sample(names, num_pings)}
        servers |= server(name, start, start + span, inference_rps=dice.uniform(50, 500), next_pings=next_pings)
    return servers, {name: dice.uniform(0.001, 0.4) for name in names}


@pytest.mark.parametrize(("span", "num_pings"), [(30, 5), (4, 299), (100, 299)])
def test_300_servers_of_100_blocks_take_less_than_50_ms(span: int, num_pings: int) -> None:
    servers, pings_s = _large_swarm(300, span=span, num_pings=num_pings)
    taken_s = []
    for _ in range(5):
        before_s = time.process_time()  # not the clock: other tests may be running on the same cores
        route(servers, 0, 100, pings_s=pings_s)
        taken_s.append(time.process_time() - before_s)
    assert min(taken_s) < 0.05


def test_a_flood_of_servers_leaves_every_block_its_cheapest_holders(monkeypatch: pytest.MonkeyPatch) -> None:
    servers, pings_s = _large_swarm(70, span=40, num_pings=5)
    servers |= server("Qm9999", 40, 45, inference_rps=1.0)
    exact = route(servers, 0, 100, pings_s=pings_s)
    monkeypatch.setattr(routing, "MAX_CANDIDATES", 20)
    rough = route(servers, 0, 100, pings_s=pings_s)
    assert [block for hop in rough.hops for block in range(hop.start, hop.end)] == list(range(100))
    assert rough.estimated_s <= 1.5 * exact.estimated_s


def test_a_flood_does_not_hide_the_only_holder_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MAX_CANDIDATES", 4)
    servers = server("Z", 7, 8, inference_rps=0.1)
    for index in range(1, 50):
        servers |= server(f"Qm{index:02}", 0, 7)
    assert peers(route(servers))[-1] == "Z"


def test_what_was_measured_is_believed_more_than_what_is_announced() -> None:
    servers = server("honest", 0, 8) | server("boaster", 0, 8, inference_rps=1e6)
    assert peers(route(servers)) == ["boaster"]  # nobody was measured yet
    measured = {"boaster": 5 * BLOCK_S, "honest": BLOCK_S}
    assert peers(route(servers, measured_block_s=measured)) == ["honest"]


def test_an_unmeasured_boaster_is_taken_for_little_faster_than_the_fastest() -> None:
    servers = server("known", 0, 8) | server("boaster", 0, 8, inference_rps=1e9)
    believed = routing.believed_block_s(servers, {"known": BLOCK_S})
    assert believed == {"known": BLOCK_S, "boaster": BLOCK_S / 2}


def test_announcements_are_stretched_by_what_others_promised_too_much() -> None:
    servers = {name: info for number in range(3) for name, info in server(f"s{number}", 0, 8).items()}
    believed = routing.believed_block_s(servers, {"s0": 3 * BLOCK_S, "s1": 4 * BLOCK_S})
    assert believed == {"s0": 3 * BLOCK_S, "s1": 4 * BLOCK_S, "s2": pytest.approx(3.5 * BLOCK_S)}


def test_a_full_batch_is_taken_for_half_as_fast() -> None:
    servers = server("a", 0, 8, free_rows=0) | server("b", 0, 8, free_rows=5, inference_rps=0.7 / BLOCK_S)
    assert peers(route(servers)) == ["b"]


def test_measurements_of_servers_that_are_gone_do_no_harm() -> None:
    assert peers(route(server("a", 0, 8), measured_block_s={"gone": 1e-9})) == ["a"]
