import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunteer.errors import ConfigurationError, ExitCode
from volunteer.server.block_selection import (
    BlockPlan,
    block_bytes,
    blocks_that_fit,
    choose_blocks,
    kv_bytes_per_token,
    missing_blocks,
    parse_blocks,
)
from volunteer.swarm.records import ServerInfo, ServerRecord, ServerState

ONLINE, JOINING, OFFLINE = ServerState.ONLINE, ServerState.JOINING, ServerState.OFFLINE
GIB = 2**30


def server(
    peer_id: str, start: int, end: int, *, throughput: float = 1.0, state: ServerState = ONLINE
) -> dict[str, ServerInfo]:
    return {peer_id: ServerInfo(peer_id, ServerRecord(state=state, throughput=throughput), start, end)}


def test_blocks_fit_beside_their_caches_and_the_reserve() -> None:
    def fit(free_bytes: int) -> int:
        return blocks_that_fit(free_bytes, block_bytes=3 * GIB, cache_bytes_per_block=GIB, reserve_bytes=2 * GIB)

    assert fit(14 * GIB) == 3
    assert fit(14 * GIB - 1) == 2
    assert fit(6 * GIB - 1) == 0
    assert fit(0) == 0


def test_plain_formats_take_their_width_for_every_value() -> None:
    sizes = {"linear_parameters": 100, "linear_rows": 10, "other_parameters": 7}
    assert block_bytes("float32", **sizes) == 428
    assert block_bytes("bfloat16", **sizes) == block_bytes("float16", **sizes) == 214


def test_quantised_formats_shrink_the_matrices_alone() -> None:
    sizes = {"linear_parameters": 19_200, "linear_rows": 200, "other_parameters": 10}
    assert block_bytes("int8", **sizes) == 19_200 + 4 * 200 + 4 * 10
    assert block_bytes("nf4", **sizes) == 9_600 + 4 * 300 + 4 * 10
    assert block_bytes("nf4", **sizes, other_bytes=2) == 9_600 + 4 * 300 + 2 * 10
    assert block_bytes("nf4", linear_parameters=65, linear_rows=1, other_parameters=0) == 33 + 4 * 2


@pytest.mark.filterwarnings("ignore")
def test_quantised_sizes_are_those_of_bitsandbytes() -> None:
    torch = pytest.importorskip("torch")
    bitsandbytes = pytest.importorskip("bitsandbytes")

    def num_bytes(*tensors) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    weights = torch.randn(200, 96)
    sizes = {"linear_parameters": 200 * 96, "linear_rows": 200, "other_parameters": 0}
    packed, state = bitsandbytes.functional.quantize_4bit(weights, quant_type="nf4", compress_statistics=False)
    assert block_bytes("nf4", **sizes) == num_bytes(packed, state.absmax)
    layer = bitsandbytes.nn.Linear8bitLt(96, 200, bias=False, has_fp16_weights=False).to("cpu")
    assert block_bytes("int8", **sizes) == num_bytes(layer.weight.CB, layer.weight.SCB)


def test_an_unknown_number_format_is_the_volunteers_to_correct() -> None:
    with pytest.raises(ConfigurationError, match=r"'int3' is not a number format\. Use one of float32, .*nf4\."):
        block_bytes("int3", linear_parameters=1, linear_rows=1, other_parameters=1)


def test_a_token_takes_a_key_and_a_value_for_each_head() -> None:
    assert kv_bytes_per_token(num_kv_heads=3, head_dim=64, dtype_bytes=2) == 768


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
