import itertools
import logging
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunteer.swarm.records import (
    MAX_ADAPTERS,
    MAX_PINGS,
    MAX_TEXT_LENGTH,
    BadRecord,
    ServerInfo,
    ServerRecord,
    ServerState,
    block_uid,
    blocks_in_words,
    default_dht_prefix,
    parse_block_uids,
    parse_record,
    servers_from_blocks,
    to_wire,
    uncovered_blocks,
)

ONLINE, JOINING, OFFLINE = ServerState.ONLINE, ServerState.JOINING, ServerState.OFFLINE

FULL_EXTRA: dict[str, Any] = {
    "start_block": 3,
    "end_block": 7,
    "public_name": "a card in the attic",
    "version": "2.3.0.dev2",
    "network_rps": 120.5,
    "forward_rps": 900.0,
    "inference_rps": 80.25,
    "adapters": ("someone/adapter",),
    "torch_dtype": "bfloat16",
    "quant_type": "nf4",
    "using_relay": False,
    "cache_tokens_left": 4096,
    "next_pings": {"QmA": 0.02, "QmB": math.inf},
    "extensions": ("left_padding",),
    "served_tokens": 12,
    "free_rows": 0,
}


def raw(state: object = 2, throughput: object = 1.0, **extra: object) -> tuple[object, ...]:
    return (state, throughput, extra)


# What msgpack can bring, and integers beyond it.
_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**64, -(2**64), 10**400, 0, 1, 2])
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", "\x00", "nf4"])
    | st.binary()
)
_keys = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
_anything = st.recursive(
    _leaves,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(_keys, inner),
    max_leaves=12,
)
_nearly_right_value = {
    "next_pings": st.dictionaries(st.text(max_size=3), st.floats() | st.integers()),
    "adapters": st.lists(st.text()),
    "extensions": st.lists(st.text()),
    "using_relay": st.booleans(),
    **dict.fromkeys(("public_name", "version", "torch_dtype", "quant_type"), st.text()),
    **dict.fromkeys(("network_rps", "forward_rps", "inference_rps"), st.floats(min_value=0) | st.integers(0, 9)),
    **dict.fromkeys(
        ("start_block", "end_block", "cache_tokens_left", "served_tokens", "free_rows"), st.integers(-1, 10_001)
    ),
}
_nearly_right = st.tuples(
    st.integers(0, 3) | _leaves,
    st.floats(min_value=0) | _leaves,
    st.fixed_dictionaries({}, optional={name: value | _anything for name, value in _nearly_right_value.items()}),
)


def petals_accepts(value: object) -> bool:
    """Petals' rules for a DHT entry, the strictest of its versions (section 3 of the protocol notes)."""

    def is_rate(field: object) -> bool:
        return type(field) is float and 0 <= field < math.inf

    def is_count(field: object) -> bool:
        return type(field) is int and field >= 0

    def is_text(field: object) -> bool:
        return type(field) is str

    def are_texts(field: object) -> bool:
        return isinstance(field, list | tuple) and all(map(is_text, field))

    def are_pings(field: object) -> bool:
        return isinstance(field, dict) and all(
            is_text(peer_id) and type(rtt_s) is float and rtt_s >= 0 for peer_id, rtt_s in field.items()
        )

    rules = {
        **dict.fromkeys(("start_block", "end_block", "cache_tokens_left", "served_tokens", "free_rows"), is_count),
        **dict.fromkeys(("network_rps", "forward_rps", "inference_rps"), is_rate),
        **dict.fromkeys(("public_name", "version", "torch_dtype", "quant_type"), is_text),
        "adapters": are_texts,
        "using_relay": lambda field: type(field) is bool,
        "next_pings": are_pings,
    }
    if not isinstance(value, list | tuple) or len(value) < 2:
        return False
    state, throughput, extra = (*value, {})[:3]
    return (
        type(state) is int
        and state in (0, 1, 2)
        and is_rate(throughput)
        and isinstance(extra, dict)
        and all(rule(extra[name]) for name, rule in rules.items() if name in extra)
    )


@given(_anything | _nearly_right)
def test_whatever_a_stranger_stores_gives_a_record_or_bad_record(value: object) -> None:
    try:
        record = parse_record(value)
    except BadRecord as error:
        assert str(error).isprintable()
        return
    assert petals_accepts(to_wire(record))
    assert parse_record(to_wire(record)) == record


@pytest.mark.parametrize(
    "deep",
    [{"public_name": "deep"}, {"next_pings": "deep"}, {"unknown": "deep"}],
)
def test_deep_nesting_is_no_way_to_break_the_parser(deep: dict[str, object]) -> None:
    nested: object = []
    for _ in range(50_000):
        nested = [nested]
    name = next(iter(deep))
    values = {0: {"QmA": raw(**{name: nested})}, 1: {"QmA": raw(**{name: nested})}}
    servers_from_blocks(values)
    # Taken apart level by level: freeing it in one go would be a deep recursion of the interpreter's own.
    while isinstance(nested, list) and nested:
        nested = nested.pop()


def test_a_full_record_is_read_as_it_was_written() -> None:
    record = parse_record((2, 12.5, FULL_EXTRA))
    assert (record.state, record.throughput) == (ONLINE, 12.5)
    assert {name: getattr(record, name) for name in FULL_EXTRA} == FULL_EXTRA
    assert record.span == range(3, 7)
    assert to_wire(record) == (2, 12.5, FULL_EXTRA)


@pytest.mark.parametrize("value", [(2, 1.0), [2, 1.0], [2, 1.0, {}], (2, 1.0, {}, "newer", 5), (2, 1, {"unknown": 3})])
def test_every_shape_that_petals_accepts_is_accepted(value: object) -> None:
    assert parse_record(value) == ServerRecord(state=ONLINE, throughput=1.0)


def test_numbers_in_text_fields_are_read_as_petals_reads_them() -> None:
    assert parse_record(raw(public_name=42)).public_name == "42"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "2",
        b"",
        7,
        {},
        (),
        (2,),
        (2, 1.0, None),
        (2, 1.0, []),
        raw(state=3),
        raw(state=-1),
        raw(state="2"),
        raw(state=None),
        raw(throughput="1"),
        raw(throughput=True),
        raw(throughput=-1.0),
        raw(throughput=math.inf),
        raw(throughput=math.nan),
        raw(start_block=-1, end_block=2),
        raw(start_block=4, end_block=4),
        raw(start_block=5, end_block=4),
        raw(start_block=0, end_block=10_001),
        raw(start_block=True, end_block=2),
        raw(start_block=0.0, end_block=2),
        raw(inference_rps=math.inf),
        raw(cache_tokens_left=1.0),
        raw(cache_tokens_left=-1),
        raw(cache_tokens_left=2**63),
        raw(next_pings={"QmA": math.nan}),
        raw(next_pings={"QmA": -0.1}),
        raw(next_pings={"QmA": "0.1"}),
        raw(next_pings={5: 0.1}),
        raw(next_pings=[("QmA", 0.1)]),
        raw(next_pings={"Q" * 129: 0.1}),
        raw(next_pings={f"Qm{index}": 0.1 for index in range(MAX_PINGS + 1)}),
        raw(adapters="abc"),
        raw(adapters=[None]),
        raw(adapters=["a"] * (MAX_ADAPTERS + 1)),
        raw(extensions={"left_padding": True}),
        raw(served_tokens=-1),
        raw(free_rows=-1),
        raw(free_rows=0.0),
        raw(free_rows=False),
        raw(free_rows=2**63),
        raw(public_name=["a"]),
        raw(public_name=10**5000),
        raw(throughput=10**5000),
        raw(state=10**5000),
    ],
)
def test_what_cannot_be_a_record_is_refused(value: object) -> None:
    with pytest.raises(BadRecord):
        parse_record(value)


def test_the_largest_span_and_the_most_pings_are_accepted() -> None:
    pings = {f"Qm{index}": math.inf for index in range(MAX_PINGS)}
    record = parse_record(raw(start_block=0, end_block=10_000, next_pings=pings))
    assert record.span == range(10_000)
    assert record.next_pings == pings


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("attic\x1b[31m\x00", "attic[31m"),
        ("two\r\nlines\tand  more ", "two lines and more"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("Bücherwurm 图书", "Bücherwurm 图书"),
        ("\x00\n\u200b", None),
        ("x" * 5_000, "x" * MAX_TEXT_LENGTH),
    ],
)
def test_text_that_people_see_is_one_printable_line(sent: str, shown: str | None) -> None:
    assert parse_record(raw(public_name=sent)).public_name == shown


def test_a_complaint_does_not_repeat_the_strangers_words() -> None:
    with pytest.raises(BadRecord) as caught:
        parse_record(raw(next_pings={"\x1b[31mevil": -1.0}))
    assert "evil" not in str(caught.value)


def test_records_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ServerRecord(state=ONLINE, throughput=1.0).throughput = 2.0  # type: ignore[misc]


def test_an_empty_record_carries_no_absent_fields_to_the_wire() -> None:
    assert to_wire(ServerRecord(state=JOINING, throughput=0.0)) == (1, 0.0, {})


def test_integers_where_petals_wants_floats_become_floats_on_the_wire() -> None:
    exact = ServerRecord(state=ONLINE, throughput=3, inference_rps=5, next_pings={"QmA": 1})
    # `model_copy` does not validate, so the types can be wrong even after parsing.
    wrong_types = {"throughput": 3, "inference_rps": 5, "cache_tokens_left": 7.0, "next_pings": {"QmA": 1}}
    unchecked = exact.model_copy(update=wrong_types)
    for record in (exact, unchecked):
        assert petals_accepts(to_wire(record))
    assert not petals_accepts((2, 3, {}))  # the rules above do tell them apart


@pytest.mark.parametrize(
    ("model", "model_type", "prefix"),
    [
        ("bigscience/bloom-560m", "bloom", "bigscience/bloom-560m-petals"),
        ("someone/bloom-1.1", "bloom", "someone/bloom-1-1-petals"),
        ("bloom-folder", "bloom", "bloom-folder-petals"),
        ("facebook/opt-125m", "opt", "facebook/opt-125m-petals"),
        ("meta-llama/Llama-2-70b-hf", "llama", "Llama-2-70b-hf"),
        ("meta-llama/Llama-3.1-8B", "llama", "Llama-3-1-8B-hf"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "llama", "SmolLM2-135M-Instruct-hf"),
        ("Qwen/Qwen3-0.6B", "qwen3", "Qwen3-0-6B-hf"),
        ("tiiuae/falcon-40b", "falcon", "falcon-40b"),
        ("mistralai/Mixtral-8x7B-v0.1", "mixtral", "mistralai/Mixtral-8x7B-v0-1"),
        ("my models", "bloom", "my-models-petals"),
    ],
)
def test_the_default_prefix_follows_petals(model: str, model_type: str, prefix: str) -> None:
    assert default_dht_prefix(model, model_type) == prefix


def test_block_uids_are_read_back() -> None:
    prefix = "bigscience/bloom-560m-petals"
    assert parse_block_uids(" ".join(block_uid(prefix, index) for index in range(9, 12))) == (prefix, range(9, 12))


@pytest.mark.parametrize("prefix", ["", "a.b", "a b", "a\x00"])
def test_a_prefix_that_would_break_uids_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        block_uid(prefix, 0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "names no blocks"),
        ("a.0  a.1", "not the uid"),
        (" a.0", "not the uid"),
        ("a.0 ", "not the uid"),
        ("a", "not the uid"),
        ("a.", "not the uid"),
        (".1", "not the uid"),
        ("a.b.1", "not the uid"),
        ("a.-1", "not the uid"),
        ("a.01", "not the uid"),
        ("a.1_0", "not the uid"),
        ("a.٣", "not the uid"),
        ("a.10000", "not the uid"),
        ("a." + "9" * 5_000, "not the uid"),
        ("a\n.1", "not the uid"),
        ("a.1\n", "not the uid"),
        ("x" * 300 + ".1", "not the uid"),
        ("a.0 b.1", "different models"),
        ("a.0 a.2", "follow one another"),
        ("a.1 a.0", "follow one another"),
        ("a.0 a.0", "follow one another"),
        (" ".join(f"a.{index}" for index in range(1_001)), "more than 1000"),
        (" " * 10_000_000, "more than 1000"),
    ],
)
def test_a_request_for_anything_but_a_span_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_block_uids(text)
    assert len(str(caught.value)) < 500


@given(st.text() | st.text(alphabet="ab.01 9"))
def test_no_text_breaks_the_uid_parser(text: str) -> None:
    try:
        prefix, blocks = parse_block_uids(text)
    except ValueError:
        return
    assert " ".join(block_uid(prefix, index) for index in blocks) == text


def test_a_server_is_one_entry_with_the_span_it_claims() -> None:
    value = raw(start_block=1, end_block=3, public_name="attic")
    servers = servers_from_blocks({0: {}, 1: {"QmA": value}, 2: {"QmA": value}})
    assert servers == {"QmA": ServerInfo("QmA", parse_record(value), 1, 3)}
    assert servers["QmA"].blocks == range(1, 3)
    assert servers["QmA"].is_online


def test_a_claimed_span_counts_even_where_only_a_part_was_asked_for() -> None:
    servers = servers_from_blocks({5: {"QmA": raw(start_block=0, end_block=12)}})
    assert servers["QmA"].blocks == range(12)


def test_without_a_claim_the_longest_run_of_sightings_is_the_span() -> None:
    seen = [0, 1, 4, 5, 6, 9, 10, 11]
    servers = servers_from_blocks({block: {"QmA": (2, 1.0)} if block in seen else {} for block in range(12)})
    assert servers["QmA"].blocks == range(4, 7)


def test_half_a_claim_is_none() -> None:
    servers = servers_from_blocks({2: {"QmA": raw(start_block=0)}, 3: {"QmA": raw(start_block=0)}})
    assert servers["QmA"].blocks == range(2, 4)


def test_a_bad_record_costs_only_its_sender(caplog: pytest.LogCaptureFixture) -> None:
    bad = raw(state=9)
    with caplog.at_level(logging.WARNING):
        servers = servers_from_blocks({0: {"QmA": bad, "QmB": raw()}, 1: {"QmA": bad, "QmB": raw()}})
    assert list(servers) == ["QmB"]
    assert [record.getMessage().split(". ")[0] for record in caplog.records] == ["Ignoring a record of QmA"]


def test_owners_that_are_no_peer_ids_are_left_out_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    strange: Any = {"": raw(), "\x1b[31m": raw(), 5: raw(), b"QmA": raw(), "Qm0": raw(), "Q" * 500: raw()}
    with caplog.at_level(logging.WARNING):
        assert servers_from_blocks({0: strange, 1: strange}) == {}
    assert [record.getMessage() for record in caplog.records] == ["Ignoring 12 records whose owner is not a peer id."]


def test_a_record_under_a_block_that_it_does_not_claim_is_ignored() -> None:
    assert servers_from_blocks({7: {"QmA": raw(start_block=0, end_block=3)}}) == {}


def test_the_newest_view_wins_where_expiry_tells() -> None:
    old, new = raw(start_block=0, end_block=2), raw(state=1, start_block=4, end_block=6)
    per_block = {block: {"QmA": new if block >= 4 else old} for block in (0, 1, 4, 5)}
    expires_at_s = {block: {"QmA": 200.0 if block >= 4 else 100.0} for block in per_block}
    assert servers_from_blocks(per_block)["QmA"].blocks == range(0, 2)
    server = servers_from_blocks(per_block, expires_at_s=expires_at_s)["QmA"]
    assert (server.blocks, server.record.state) == (range(4, 6), JOINING)


def test_the_newest_numbers_of_a_view_win() -> None:
    per_block = {
        block: {"QmA": raw(start_block=0, end_block=2, cache_tokens_left=left)} for block, left in ((0, 5), (1, 9))
    }
    servers = servers_from_blocks(per_block, expires_at_s={0: {"QmA": 1.0}, 1: {"QmA": 2.0}})
    assert servers["QmA"].record.cache_tokens_left == 9


def test_leftovers_of_an_older_span_lose_against_the_complete_one() -> None:
    old, new = raw(start_block=0, end_block=4), raw(start_block=2, end_block=6)
    per_block = {block: {"QmA": new if block >= 2 else old} for block in range(6)}
    assert servers_from_blocks(per_block)["QmA"].blocks == range(2, 6)


def test_one_stale_block_does_not_bring_a_server_back_that_said_goodbye() -> None:
    per_block = {block: {"QmA": raw(state=2 if block == 3 else 0, start_block=0, end_block=6)} for block in range(6)}
    assert servers_from_blocks(per_block)["QmA"].record.state is OFFLINE


def test_of_two_complete_views_the_one_that_is_online_wins() -> None:
    per_block = {
        0: {"QmA": raw(state=0, start_block=0, end_block=1)},
        1: {"QmA": raw(start_block=1, end_block=2)},
        2: {"QmA": raw(state=1, start_block=2, end_block=3)},
    }
    assert servers_from_blocks(per_block)["QmA"].blocks == range(1, 2)


@given(st.dictionaries(st.integers(0, 4), st.dictionaries(st.sampled_from("ABC"), _nearly_right | _anything)))
def test_no_table_breaks_the_join(per_block: dict[int, dict[str, object]]) -> None:
    for peer_id, server in servers_from_blocks(per_block).items():
        assert server.peer_id == peer_id
        assert 0 <= server.start < server.end <= 10_000
        assert any(block in server.blocks for block in per_block)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda ends: range(*ends))),
    st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted).map(lambda ends: range(*ends)),
)
def test_gaps_are_exactly_the_blocks_in_no_span(spans: list[range], within: range) -> None:
    gaps = uncovered_blocks(spans, within)
    assert all(gaps)
    assert all(before.stop < after.start for before, after in itertools.pairwise(gaps))
    assert [block for gap in gaps for block in gap] == [
        block for block in within if not any(block in span for span in spans)
    ]


def test_blocks_are_named_by_the_first_and_the_last() -> None:
    assert blocks_in_words([range(5, 6)]) == "block 5"
    assert blocks_in_words([range(0, 4)]) == "blocks 0-3"
    assert blocks_in_words([range(0, 4), range(31, 39)]) == "blocks 0-3 and 31-38"
    assert blocks_in_words([range(0, 1), range(2, 3), range(4, 6)]) == "blocks 0, 2 and 4-5"


def test_addresses_come_back_whole_and_strange_ones_cost_the_record() -> None:
    long_one = "/ip6/2001:db8:85a3:8d3:1319:8a2e:370:7348/tcp/65535/p2p/" + "Q" * 46
    announced = ServerRecord(state=ServerState.ONLINE, throughput=1.0, start_block=0, end_block=1, maddrs=(long_one,))
    assert parse_record(to_wire(announced)).maddrs == (long_one,)
    for strange in (7, ["x" * 1000], ["/ip4"] * 100, [b"/ip4"]):
        with pytest.raises(BadRecord):
            parse_record((2, 1.0, {"maddrs": strange}))


def test_what_a_server_signed_beats_what_is_said_of_it() -> None:
    forged, sound = raw(2, 9.0, start_block=0, end_block=3), raw(start_block=0, end_block=2)
    per_block = {0: {"QmA": sound}, 1: {"QmA": sound}, 2: {"QmA": forged}}
    expires_at_s = {0: {"QmA": 1.0}, 1: {"QmA": 1.0}, 2: {"QmA": 9.0}}
    server = servers_from_blocks(per_block, expires_at_s=expires_at_s, signed={0: {"QmA"}, 1: {"QmA"}})["QmA"]
    assert server.blocks == range(0, 2) and server.is_signed
    assert not servers_from_blocks(per_block, expires_at_s=expires_at_s)["QmA"].is_signed
