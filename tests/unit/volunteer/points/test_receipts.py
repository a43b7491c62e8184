from __future__ import annotations

from typing import Any

import msgpack
import pytest

from volunteer.points.identity import new_identity
from volunteer.points.receipts import (
    NO_PREVIOUS,
    BadReceipt,
    SignedHalf,
    Work,
    check_follows,
    from_wire,
    make_claim,
    make_countersignature,
    open_countersignature,
    parse_claim,
    read_claim,
    to_wire,
    work_units,
)

SERVER, CLIENT = new_identity(), new_identity()


def work(**changes: Any) -> Work:
    fields: dict[str, Any] = {
        "server": SERVER.peer_id,
        "client": CLIENT.peer_id,
        "model": "bloom-hf",
        "revision": "",
        "start": 3,
        "end": 8,
        "number_format": "float32",
        "nonce": bytes(16),
        "counter": 1,
        "tokens": 256,
        "units": 1001,
        "charged": 1501,
        "price_milli": 1500,
        "digest": bytes(32),
    }
    return Work(**{**fields, **changes})


def test_units_are_millions_of_operations_rounded_down_once() -> None:
    assert work_units(256, 8, 14_000_001) == 256 * 8 * 14_000_001 // 10**6
    assert work_units(3, 1, 333_333) == 0 and work_units(4, 1, 333_333) == 1


def test_a_claim_and_its_countersignature_are_read_as_they_were_signed() -> None:
    claim = make_claim(SERVER, work(), 1, NO_PREVIOUS)
    assert read_claim(from_wire(list(to_wire(claim)))) == work()
    half = make_countersignature(CLIENT, claim, 7, claim.hash)
    assert open_countersignature(half).claim_hash == claim.hash
    assert len(claim.body) + len(half.body) < 500


@pytest.mark.parametrize(
    "changes",
    [
        {"client": SERVER.peer_id},
        {"client": "x"},
        {"client": CLIENT.peer_id + "0"},
        {"model": ""},
        {"model": "m" * 257},
        {"model": "\x1b[2J"},
        {"model": b"m"},
        {"revision": "r" * 65},
        {"number_format": None},
        {"start": 8},
        {"start": -1},
        {"start": True, "end": 2},
        {"end": 2**16 + 1},
        {"nonce": bytes(15)},
        {"nonce": "n" * 16},
        {"counter": 0},
        {"counter": 1.0},
        {"tokens": 0},
        {"tokens": 2**41},
        {"units": -1, "charged": -2},
        {"units": 2**54, "charged": 2**54 * 3 // 2},
        {"units": 2**80},
        {"charged": 1502},
        {"price_milli": 999, "charged": 1000},
        {"price_milli": 10_001, "charged": 10_011},
        {"digest": bytes(33)},
    ],
)
def test_a_claim_out_of_range_is_neither_made_nor_read(changes: dict[str, Any]) -> None:
    with pytest.raises(BadReceipt):
        make_claim(SERVER, work(**changes), 1, NO_PREVIOUS)


@pytest.mark.parametrize(
    "wire", [None, b"", (), (b"", b""), [b"", b"", ""], (bytes(1025), b"", b""), (b"", b"", b"", b""), {"a": 1}]
)
def test_other_things_than_halves_are_refused(wire: object) -> None:
    with pytest.raises(BadReceipt):
        from_wire(wire)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", b"\xdd\xff\xff\xff\xff", b"\x91" * 1024, bytes(5000)])
def test_bytes_that_are_no_claim_are_refused(body: bytes) -> None:
    with pytest.raises(BadReceipt):
        parse_claim(body)
    with pytest.raises(BadReceipt):
        read_claim(SignedHalf(body, SERVER.public_key, SERVER.sign("claim", body)))


def test_the_same_values_in_another_form_are_refused() -> None:
    body = make_claim(SERVER, work(), 1, NO_PREVIOUS).body
    values = msgpack.unpackb(body)
    longer = body[:-34] + b"\xc5\x00\x20" + body[-32:]  # the digest as a binary of 16 bits' length
    assert msgpack.unpackb(longer) == values
    for other in (longer, body + b"\x00", msgpack.packb([True, *values[1:]])):
        with pytest.raises(BadReceipt):
            parse_claim(other)


def test_the_first_half_of_a_chain_alone_has_none_before_it() -> None:
    for sequence, previous in ((1, b"p" * 32), (2, NO_PREVIOUS), (0, NO_PREVIOUS), (2, b"p")):
        with pytest.raises(BadReceipt):
            make_claim(SERVER, work(), sequence, previous)


def test_nobody_claims_the_work_of_another() -> None:
    with pytest.raises(BadReceipt):
        make_claim(CLIENT, work(), 1, NO_PREVIOUS)


def test_claims_follow_each_other() -> None:
    check_follows(None, work())
    check_follows(work(), work(counter=2))
    with pytest.raises(BadReceipt):
        check_follows(None, work(counter=2))
    with pytest.raises(BadReceipt):
        check_follows(work(), work(counter=2, nonce=b"n" * 16))
