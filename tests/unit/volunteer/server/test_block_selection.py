import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunteer.errors import ConfigurationError, ExitCode
from volunteer.server.block_selection import (
    BlockPlan,
    choose_blocks,
    missing_blocks,
    parse_blocks,
)
from volunteer.swarm.records import ServerInfo, ServerRecord, ServerState

ONLINE, JOINING, OFFLINE = ServerState.ONLINE, ServerState.JOINING, ServerState.OFFLINE


def server(
    peer_id: str, start: int, end: int, *, throughput: float = 1.0, state: ServerState = ONLINE
) -> dict[str, ServerInfo]:
    return {peer_id: ServerInfo(peer_id, ServerRecord(state=state, throughput=throughput), start, end)}


def test_the_first_server_starts_at_the_first_block() -> None:
    plan = choose_blocks({}, num_blocks_total=24, num_blocks=12)
    assert plan == BlockPlan(0, 12, "because nobody else serves blocks 0-11")


def test_more_blocks_than_the_model_has_are_all_of_them() -> None:
    plan = choose_blocks({}, num_blocks_total=4, num_blocks=100)
    assert (plan.start, plan.end) == (0, 4)


@pytest.mark.parametrize(("num_blocks_total", "num_blocks"), [(4, 0), (4, -1), (0, 1)])
def test_a_plan_for_no_blocks_is_a_bug(num_blocks_total: int, num_blocks: int) -> None:
    with pytest.raises(ValueError, match="no blocks"):
        choose_blocks({}, num_blocks_total=num_blocks_total, num_blocks=num_blocks)


def test_the_gap_is_chosen_and_named() -> None:
    servers = server("A", 0, 12) | server("B", 16, 24)
    plan = choose_blocks(servers, num_blocks_total=24, num_blocks=4)
    assert plan == BlockPlan(12, 16, "because nobody else serves blocks 12-15")


def test_only_the_unserved_part_of_the_span_is_named() -> None:
    servers = server("A", 0, 12) | server("B", 13, 24)
    plan = choose_blocks(servers, num_blocks_total=24, num_blocks=4)
    assert plan.reason == "because nobody else serves block 12"
    assert plan.start <= 12 < plan.end


def test_two_gaps_in_one_span_are_both_named() -> None:
    servers = server("A", 0, 2) | server("B", 3, 5) | server("C", 7, 8)
    plan = choose_blocks(servers, num_blocks_total=8, num_blocks=5)
    assert plan == BlockPlan(2, 7, "because nobody else serves blocks 2 and 5-6")


def test_blocks_held_by_one_other_server_are_chosen_before_those_held_by_two() -> None:
    servers = server("A", 0, 8) | server("B", 0, 4)
    plan = choose_blocks(servers, num_blocks_total=8, num_blocks=4)
    assert plan == BlockPlan(4, 8, "because only 1 other server holds them")


def test_the_least_held_part_of_the_span_gives_the_reason() -> None:
    servers = server("A", 0, 8) | server("B", 0, 7) | server("C", 0, 3)
    plan = choose_blocks(servers, num_blocks_total=8, num_blocks=4)
    assert plan == BlockPlan(4, 8, "because only 1 other server holds block 7")
    everybody_twice = server("A", 0, 4) | server("B", 0, 4)
    plan = choose_blocks(everybody_twice, num_blocks_total=4, num_blocks=4)
    assert plan.reason == "because only 2 other servers hold them"


def test_many_slow_servers_can_need_help_more_than_one_fast_one() -> None:
    servers = server("A", 0, 4, throughput=100.0) | server("B", 4, 8) | server("C", 4, 8)
    plan = choose_blocks(servers, num_blocks_total=8, num_blocks=4)
    assert plan == BlockPlan(4, 8, "because the servers that hold them are together the slowest")


def test_joining_servers_count_and_offline_ones_do_not() -> None:
    servers = server("A", 0, 4, state=JOINING) | server("B", 4, 8, state=OFFLINE)
    assert choose_blocks(servers, num_blocks_total=8, num_blocks=4).start == 4


def test_our_own_record_is_not_another_server() -> None:
    servers = server("A", 0, 4) | server("B", 4, 8)
    plan = choose_blocks(servers, num_blocks_total=8, num_blocks=4, own_peer_id="B")
    assert plan == BlockPlan(4, 8, "because nobody else serves blocks 4-7")


def test_a_span_that_reaches_beyond_the_model_is_cut() -> None:
    servers = server("A", 2, 10_000)
    assert choose_blocks(servers, num_blocks_total=4, num_blocks=2).start == 0
    assert missing_blocks(servers, 4) == (range(0, 2),)


def test_the_order_in_which_servers_are_known_changes_nothing() -> None:
    # 0.1 + 0.2 + 0.3 is more than 0.3 + 0.2 + 0.1, in the last bit.
    left = server("A", 0, 4, throughput=0.1) | server("B", 0, 4, throughput=0.2) | server("C", 0, 4, throughput=0.3)
    right = server("D", 4, 8, throughput=0.3) | server("E", 4, 8, throughput=0.2) | server("F", 4, 8, throughput=0.1)
    known = left | right
    for servers in (known, dict(reversed(known.items()))):
        assert choose_blocks(servers, num_blocks_total=8, num_blocks=4).start == 4


_spans = st.tuples(st.integers(0, 9), st.integers(1, 6), st.integers(0, 5), st.sampled_from(ServerState))


@given(st.lists(_spans, max_size=6), st.integers(1, 10), st.integers(1, 10))
def test_the_chosen_span_is_the_weakest_of_all(
    spans: list[tuple[int, int, int, ServerState]], total: int, wanted: int
) -> None:
    servers: dict[str, ServerInfo] = {}
    for name, (start, length, throughput, state) in zip("ABCDEF", spans, strict=False):
        servers |= server(name, start, start + length, throughput=float(throughput), state=state)
    strengths = []  # whole numbers, so that the sums are exact in any order
    for block in range(total):
        holders = [info for info in servers.values() if info.record.state is not OFFLINE and block in info.blocks]
        strengths.append(sum(int(info.record.throughput) for info in holders))
    plan = choose_blocks(servers, num_blocks_total=total, num_blocks=wanted)
    length = min(wanted, total)
    windows = [sorted(strengths[start : start + length]) for start in range(total - length + 1)]
    assert plan.end - plan.start == length
    assert windows[plan.start] == min(windows)
    assert plan.start == windows.index(min(windows))
    assert plan.reason.startswith("because ")


def test_missing_blocks_are_those_nobody_has_online() -> None:
    servers = server("A", 2, 4) | server("B", 6, 8, state=JOINING) | server("C", 3, 5)
    assert missing_blocks(servers, 8) == (range(0, 2), range(5, 8))
    assert missing_blocks(server("A", 0, 8), 8) == ()
    assert missing_blocks({}, 8) == (range(8),)


@pytest.mark.parametrize(
    ("text", "span"), [("0:12", range(12)), ("12:24", range(12, 24)), (" 3 : 4 ", range(3, 4)), ("0:24", range(24))]
)
def test_a_span_is_read_from_the_option(text: str, span: range) -> None:
    assert parse_blocks(text, 24) == span


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not a span of blocks"),
        ("12", "is not a span of blocks"),
        (":12", "is not a span of blocks"),
        ("0-12", "is not a span of blocks"),
        ("-1:3", "is not a span of blocks"),
        ("0:12:2", "is not a span of blocks"),
        ("٠:٣", "is not a span of blocks"),
        ("0:" + "9" * 5_000, "is not a span of blocks"),
        ("5:5", "--blocks 5:5 names no blocks"),
        ("6:5", "--blocks 6:5 names no blocks"),
        ("12:25", "--blocks 12:25 goes beyond the model, which has 24 blocks"),
    ],
)
def test_a_wrong_span_is_explained_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        parse_blocks(text, 24)
    assert caught.value.exit_code is ExitCode.BAD_CONFIGURATION
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 250
