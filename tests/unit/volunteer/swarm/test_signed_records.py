import math
from typing import Any

import pytest
from hivemind.dht.routing import DHTID
from hivemind.utils.serializer import MSGPackSerializer
from hypothesis import given
from hypothesis import strategies as st

from volunteer.points.identity import Identity, new_identity
from volunteer.swarm.records import BadRecord, ServerRecord, ServerState, block_uid, parse_record, to_wire
from volunteer.swarm.signed_records import SignedRecords, block_key, check_record, read_value, sign_record

PREFIX = "bigscience/bloom-560m-petals"
EXPIRES_AT_S = 1_000.25
OWNER, FORGER = new_identity(), new_identity()


def wire(**fields: Any) -> tuple[int, float, dict[str, Any]]:
    defaults: dict[str, Any] = {"start_block": 3, "end_block": 7, "next_pings": {"QmA": 0.02, "QmB": math.inf}}
    extra = {"extensions": ("left_padding",), "public_name": "attic"}
    return to_wire(ServerRecord(**{"state": ServerState.ONLINE, "throughput": 2.5} | defaults | extra | fields))


def signed(
    *, identity: Identity = OWNER, prefix: str = PREFIX, expires_at_s: float = EXPIRES_AT_S, **fields: Any
) -> bytes:
    value = sign_record(wire(**fields), prefix=prefix, expires_at_s=expires_at_s, identity=identity)
    packed: bytes = MSGPackSerializer.dumps(value)
    return packed


def test_what_a_server_signed_is_found_good_and_petals_reads_it_as_ever() -> None:
    record = check_record(OWNER.peer_id, signed(), EXPIRES_AT_S)
    assert record is not None and (record.prefix, record.start, record.end) == (PREFIX, 3, 7)
    assert parse_record(record.value) == parse_record(wire())
    state, throughput, extra = MSGPackSerializer.loads(signed())
    assert type(state) is int and type(throughput) is float and extra.items() >= wire()[2].items()


def test_an_unsigned_record_is_no_error() -> None:
    assert check_record(OWNER.peer_id, MSGPackSerializer.dumps(wire()), EXPIRES_AT_S) is None


def test_every_change_of_a_signed_record_is_noticed() -> None:
    state, throughput, extra = MSGPackSerializer.loads(signed())
    changed: list[Any] = [(1, throughput, extra), (state, 99.0, extra), [state, throughput, extra, 1]]
    for name, value in [
        ("start_block", 0),
        ("end_block", 8),
        ("prefix", "other-petals"),
        ("public_key", FORGER.public_key),
        ("signature", bytes(64)),
        ("signature", "text"),
        ("inference_rps", 1e6),
        ("new_key", 1),
    ]:
        changed.append((state, throughput, extra | {name: value}))
    changed += [
        (state, throughput, {k: v for k, v in extra.items() if k != name}) for name in extra if name != "signature"
    ]
    for value in changed:
        with pytest.raises(BadRecord):
            check_record(OWNER.peer_id, MSGPackSerializer.dumps(value), EXPIRES_AT_S)


def test_it_is_good_for_its_own_peer_and_its_own_expiration_alone() -> None:
    for peer_id, expires_at_s in [(FORGER.peer_id, EXPIRES_AT_S), (OWNER.peer_id, EXPIRES_AT_S + 60)]:
        with pytest.raises(BadRecord):
            check_record(peer_id, signed(), expires_at_s)
    with pytest.raises(BadRecord):
        check_record(OWNER.peer_id, signed(identity=FORGER), EXPIRES_AT_S)


def test_a_signature_over_too_many_blocks_or_none_is_refused() -> None:
    for fields in ({"start_block": 0, "end_block": 513}, {"start_block": None, "end_block": None}):
        with pytest.raises(BadRecord):
            check_record(OWNER.peer_id, signed(**fields), EXPIRES_AT_S)


@given(st.binary(max_size=300))
def test_garbage_is_a_bad_record_and_nothing_else(packed: bytes) -> None:
    try:
        read_value(packed)
        MSGPackSerializer.loads(packed)
        check_record(OWNER.peer_id, packed, EXPIRES_AT_S)
    except BadRecord:
        pass


@given(st.integers(0, len(signed()) - 1), st.integers(0, 7))
def test_no_flipped_bit_is_accepted(position: int, bit: int) -> None:
    good = signed()
    flipped = bytearray(good)
    flipped[position] ^= 1 << bit
    try:
        record = check_record(OWNER.peer_id, bytes(flipped), EXPIRES_AT_S)
    except BadRecord:
        return
    # A flip in the name of the key "signature" leaves an unsigned record; another form of the same fields is the same.
    assert record is None or record.value == check_record(OWNER.peer_id, good, EXPIRES_AT_S).value  # type: ignore[union-attr]


def test_the_key_of_a_block_is_hiveminds() -> None:
    for index in (0, 3, 69):
        assert block_key(PREFIX, index) == DHTID.generate(block_uid(PREFIX, index)).to_bytes()


def judge(
    records: SignedRecords,
    packed: bytes,
    *,
    block: int = 3,
    expires_at_s: float = EXPIRES_AT_S,
    now_s: float = 950.0,
    **of: Any,
) -> Any:
    key = block_key(of.get("prefix", PREFIX), block)
    return records.judge(key, of.get("peer_id", OWNER.peer_id), packed, expires_at_s, now_s)


def test_a_record_belongs_under_its_own_blocks_and_prefix() -> None:
    records = SignedRecords()
    for block in range(3, 7):
        assert judge(records, signed(), block=block) is not None
    for where in ({"block": 2}, {"block": 7}, {"prefix": "other-petals"}):
        with pytest.raises(BadRecord):
            judge(records, signed(), **where)  # type: ignore[arg-type]


def test_who_signs_is_not_believed_unsigned_until_the_signed_record_expires() -> None:
    records = SignedRecords()
    unsigned = MSGPackSerializer.dumps(wire())
    assert judge(records, unsigned) is None
    assert judge(records, signed()) is not None
    with pytest.raises(BadRecord):
        judge(records, unsigned, expires_at_s=5_000.0)
    assert judge(records, unsigned, expires_at_s=5_000.0, now_s=EXPIRES_AT_S + 1) is None


def test_an_older_record_does_not_come_back() -> None:
    records = SignedRecords()
    newer = signed(expires_at_s=1_030.0, start_block=5, end_block=9)
    judge(records, newer, block=5, expires_at_s=1_030.0)
    with pytest.raises(BadRecord):
        judge(records, signed())
    assert set(records.under(PREFIX, 950.0)) == {OWNER.peer_id}
    assert records.under(PREFIX, 1_031.0) == {} and records.under("other", 950.0) == {}


def test_a_crowd_pushes_nobody_out() -> None:
    records = SignedRecords(max_known=3)
    judge(records, signed())
    for _ in range(10):
        stranger = new_identity()
        assert judge(records, signed(identity=stranger), peer_id=stranger.peer_id) is not None
    assert len(records.under(PREFIX, 950.0)) == 3 and records.of(OWNER.peer_id, 950.0) is not None
    later = new_identity()
    packed = signed(identity=later, expires_at_s=2_000.0)
    judge(records, packed, peer_id=later.peer_id, expires_at_s=2_000.0, now_s=1_500.0)
    assert set(records.under(PREFIX, 1_500.0)) == {later.peer_id}
