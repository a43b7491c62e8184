import dataclasses

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunteer.points.identity import new_identity
from volunteer.points.orders import BadOrder, Order, read_order, sign_order

ACCOUNT, OTHER = new_identity(), new_identity()


def order(**changed: object) -> Order:
    plain = Order(ACCOUNT.peer_id, "client", "server", bytes(16), 1000)
    return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]


def test_a_signed_order_is_read_by_the_server_that_it_names() -> None:
    signed = sign_order(ACCOUNT, order(price_milli=2500))
    assert read_order(signed, client="client", server="server") == order(price_milli=2500)


def test_an_order_is_good_for_its_own_client_and_server_alone() -> None:
    signed = sign_order(ACCOUNT, order())
    for peers in ({"client": "thief", "server": "server"}, {"client": "client", "server": "other"}):
        with pytest.raises(BadOrder, match="other peers"):
            read_order(signed, **peers)


def test_nobody_orders_for_another_account() -> None:
    with pytest.raises(BadOrder):
        read_order(sign_order(OTHER, order()), client="client", server="server")


@pytest.mark.parametrize(
    "changed", [{"nonce": b"short"}, {"price_milli": 999}, {"price_milli": 10_001}, {"account": ""}]
)
def test_an_order_out_of_range_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(BadOrder):
        read_order(sign_order(ACCOUNT, order(**changed)), client="client", server="server")


def test_the_same_order_in_another_encoding_is_refused() -> None:
    body = sign_order(ACCOUNT, order())[0]
    longer = (
        msgpack.packb(msgpack.unpackb(body), use_bin_type=True, use_single_float=True)[:-3] + b"\xce\x00\x00\x03\xe8"
    )
    assert msgpack.unpackb(longer) == msgpack.unpackb(body)
    signed = longer, ACCOUNT.public_key, ACCOUNT.sign("order", longer)
    with pytest.raises(BadOrder, match="another form"):
        read_order(signed, client="client", server="server")


@pytest.mark.parametrize(
    "value", [None, 1, (), (b"", b""), ("a", "b", "c"), (b"x" * 2000, b"", b""), (b"\xc1", b"", b"")]
)
def test_what_is_no_order_is_refused(value: object) -> None:
    with pytest.raises(BadOrder):
        read_order(value, client="client", server="server")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2), st.integers(0, 10_000), st.integers(0, 7))
def test_a_changed_bit_is_noticed(part: int, at: int, bit: int) -> None:
    signed = [bytearray(each) for each in sign_order(ACCOUNT, order())]
    signed[part][at % len(signed[part])] ^= 1 << bit
    with pytest.raises(BadOrder):
        read_order([bytes(each) for each in signed], client="client", server="server")
