"""What a client says of who pays, before it is served: an order, signed by its account for one session alone.

Pure: neither files nor clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgpack

from volunteer.points.identity import BadSignature, Identity, check_signature
from volunteer.points.receipts import NONCE_BYTES, PRICES_MILLI

_PURPOSE = "order"
_VERSION = 1
_MAX_BODY_BYTES = 1024
_MAX_ID_LENGTH = 128


class BadOrder(ValueError):
    """What a client sent is no order of its account for this session."""


@dataclass(frozen=True)
class Order:
    """That the work of one session is paid by an account.

    Args:
        account: peer id of the key that signs.
        client: peer id under which the client calls; libp2p has proved it to the server.
        server: who is to do the work.
        nonce: names the session, 16 random bytes.
        price_milli: points offered for each point of work, in thousandths.
    """

    account: str
    client: str
    server: str
    nonce: bytes
    price_milli: int


def sign_order(identity: Identity, order: Order) -> tuple[bytes, bytes, bytes]:
    """Body, public key and signature, as they stand in a request's metadata."""
    body = _body(order)
    return body, identity.public_key, identity.sign(_PURPOSE, body)


def read_order(value: object, *, client: str, server: str) -> Order:
    """The order in a request's metadata.

    Args:
        client: who sent it.
        server: this server.

    Raises:
        BadOrder: it is not one, or is one of other peers.
    """
    match value:
        case [bytes() as body, bytes() as public_key, bytes() as signature] if len(body) <= _MAX_BODY_BYTES:
            pass
        case _:
            raise BadOrder("an order is a body, a public key and a signature")
    order = _parse(body)
    if (order.client, order.server) != (client, server):
        raise BadOrder("the order names other peers")
    try:
        check_signature(order.account, public_key, _PURPOSE, body, signature)
    except BadSignature as error:
        raise BadOrder(str(error)) from error
    return order


def _body(order: Order) -> bytes:
    fields = [_VERSION, order.account, order.client, order.server, order.nonce, order.price_milli]
    packed: bytes = msgpack.packb(fields, use_bin_type=True)
    return packed


def _parse(body: bytes) -> Order:
    try:
        fields = msgpack.unpackb(body, raw=False, strict_map_key=True)
    except Exception as error:  # msgpack raises some ten kinds of error over bad bytes
        raise BadOrder("an order that cannot be read") from error
    match fields:
        case [1, str() as account, str() as client, str() as server, bytes() as nonce, int() as price_milli]:
            pass
        case _:
            raise BadOrder("an order of another version")
    if len(nonce) != NONCE_BYTES or type(price_milli) is not int or price_milli not in PRICES_MILLI:
        raise BadOrder("an order without a nonce or a price")
    if not _are_ids((account, client, server)):
        raise BadOrder("an order without peer ids")
    order = Order(account, client, server, nonce, price_milli)
    if _body(order) != body:
        raise BadOrder("an order in another form than the one there is")
    return order


def _are_ids(texts: Sequence[str]) -> bool:
    return all(0 < len(text) <= _MAX_ID_LENGTH for text in texts)
