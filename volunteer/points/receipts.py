"""Receipts: what a server says that it did, signed, and the client's signature under it.

Both halves are links of their maker's own chain of hashes (Otte, de Vos, Pouwelse: "TrustChain: A Sybil-resistant
scalable blockchain", 2017), so that none can be left out, exchanged or put in later. A signature covers bytes, and
there is one form only in which they are taken. Pure: neither files nor clock.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, fields
from typing import Any

import msgpack

from volunteer.points.identity import BadSignature, Identity, check_signature

DIGEST_BYTES = 32
NO_PREVIOUS = bytes(DIGEST_BYTES)
"""Stands before the first half of a chain."""
UNITS_PER_POINT = 10**6
"""A unit is 10**6 FLOPs (a multiplication and an addition are two), a point 10**12."""
NONCE_BYTES = 16
PRICES_MILLI = range(1000, 10_001)
"""What may be offered for each point of work, in thousandths of a point."""
_CLAIM, _COUNTERSIGNATURE = "claim", "countersignature"
_VERSION = 1
_MAX_BODY_BYTES = 1024
_MAX_KEY_BYTES = 1024
_MAX_SIGNATURE_BYTES = 512
"""Of RSA with 4,096 bits."""
_PEER_ID = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,64}")
_MAX_MODEL_LENGTH, _MAX_NAME_LENGTH = 256, 64
_MAX_BLOCKS = 2**16
_MAX_COUNT = 2**40
_MAX_UNITS = 2**53
"""What JSON keeps exactly; a year of a hundred graphics cards is below."""


class BadReceipt(ValueError):
    """What a peer sent is no receipt, or does not follow from those before."""


@dataclass(frozen=True)
class Work:
    """What a claim is about: all that was done since the session began.

    Args:
        server, client: their accounts, peer ids in base58.
        model: DHT prefix.
        revision: commit hash of the checkpoint; empty for a local folder.
        start, end: blocks, the end not included.
        number_format: as "float32" or "int8/float32".
        nonce: 16 bytes that the client chose for the session.
        counter: 1, 2, 3, ... within the session.
        tokens: rows x tokens.
        units: `work_units` of them.
        charged: units x price.
        price_milli: points for each point of work, in thousandths.
        digest: SHA-256 over all outputs that were sent, 32 bytes.
    """

    server: str
    client: str
    model: str
    revision: str
    start: int
    end: int
    number_format: str
    nonce: bytes
    counter: int
    tokens: int
    units: int
    charged: int
    price_milli: int
    digest: bytes


@dataclass(frozen=True)
class SignedHalf:
    """Bytes, and who signed them."""

    body: bytes
    public_key: bytes
    signature: bytes

    @property
    def hash(self) -> bytes:
        """What the next half of its maker names as `previous`."""
        return hashlib.sha256(self.body).digest()


@dataclass(frozen=True)
class Receipt:
    claim: SignedHalf
    countersignature: SignedHalf


@dataclass(frozen=True)
class Link:
    """Where a half stands in its maker's chain.

    Args:
        sequence: counts from 1.
        previous: hash of the half before, zeros for the first.
    """

    maker: str
    sequence: int
    previous: bytes


@dataclass(frozen=True)
class Claim:
    link: Link
    work: Work


@dataclass(frozen=True)
class Countersignature:
    link: Link
    claim_hash: bytes


_WORK_FIELDS = tuple(field.name for field in fields(Work))


def work_units(tokens: int, num_blocks: int, block_flops: int) -> int:
    """Units of work, rounded down: call it with all tokens of a session, so that rounding does not add up.

    Args:
        block_flops: of one token in one block.
    """
    return tokens * num_blocks * block_flops // 10**6


def make_claim(identity: Identity, work: Work, sequence: int, previous: bytes) -> SignedHalf:
    """Raises BadReceipt: it would not be taken, or another peer did the work."""
    return _sign(identity, _CLAIM, _claim_body(Claim(Link(identity.peer_id, sequence, previous), work)), parse_claim)


def make_countersignature(identity: Identity, claim: SignedHalf, sequence: int, previous: bytes) -> SignedHalf:
    """Raises BadReceipt: it would not be taken."""
    link = Link(identity.peer_id, sequence, previous)
    body = _countersignature_body(Countersignature(link, claim.hash))
    return _sign(identity, _COUNTERSIGNATURE, body, parse_countersignature)


def read_claim(half: SignedHalf) -> Work:
    """What is claimed, by whoever it names. Raises BadReceipt."""
    return open_claim(half).work


def open_claim(half: SignedHalf) -> Claim:
    """Raises BadReceipt: the signature is not that of the server, or it is no claim."""
    claim = parse_claim(half.body)
    _check(claim.link.maker, half, _CLAIM)
    return claim


def open_countersignature(half: SignedHalf) -> Countersignature:
    """Raises BadReceipt: the signature is not that of the client, or it is no countersignature."""
    countersignature = parse_countersignature(half.body)
    _check(countersignature.link.maker, half, _COUNTERSIGNATURE)
    return countersignature


def open_receipt(receipt: Receipt) -> tuple[Claim, Countersignature]:
    """Raises BadReceipt: a half is bad, or they are not of one receipt."""
    claim, countersignature = open_claim(receipt.claim), open_countersignature(receipt.countersignature)
    check_pair(receipt.claim, claim, countersignature)
    return claim, countersignature


def check_pair(half: SignedHalf, claim: Claim, countersignature: Countersignature) -> None:
    """Raises BadReceipt unless the client of the claim signed just that claim."""
    if countersignature.link.maker != claim.work.client:
        raise BadReceipt("a countersignature of somebody else than the client")
    if countersignature.claim_hash != half.hash:
        raise BadReceipt("a countersignature of another claim")


def check_follows(before: Work | None, work: Work) -> None:
    """Raises BadReceipt unless `work` is the next claim of the session in which `before` was the last one."""
    if work.counter != (1 if before is None else before.counter + 1):
        raise BadReceipt("the counter does not follow the last one of the session")
    if before is None:
        return
    if _terms(before) != _terms(work):
        raise BadReceipt("the terms of the session have changed")
    if work.tokens < before.tokens or work.units < before.units or work.charged < before.charged:
        raise BadReceipt("the work of the session has shrunk")


def parse_claim(body: bytes) -> Claim:
    """Looks at the bytes alone, not at a signature. Raises BadReceipt."""
    server, sequence, previous, *rest = _fields(body, 3 + len(_WORK_FIELDS) - 1)
    work = Work(server, *rest)
    claim = Claim(_link(server, sequence, previous), work)
    _check_work(work)
    if _claim_body(claim) != body:
        raise BadReceipt("a claim in another form than the one there is")
    return claim


def parse_countersignature(body: bytes) -> Countersignature:
    """Looks at the bytes alone, not at a signature. Raises BadReceipt."""
    client, sequence, previous, claim_hash = _fields(body, 4)
    countersignature = Countersignature(_link(client, sequence, previous), claim_hash)
    if not _is_bytes(claim_hash, DIGEST_BYTES):
        raise BadReceipt("a countersignature of nothing")
    if _countersignature_body(countersignature) != body:
        raise BadReceipt("a countersignature in another form than the one there is")
    return countersignature


def to_wire(half: SignedHalf) -> tuple[bytes, bytes, bytes]:
    """As it stands in a request's metadata."""
    return half.body, half.public_key, half.signature


def from_wire(value: object) -> SignedHalf:
    """What a peer sent, as far as its form goes. Raises BadReceipt."""
    match value:
        case [bytes() as body, bytes() as public_key, bytes() as signature]:
            half = SignedHalf(body, public_key, signature)
            _check_sizes(half)
            return half
    raise BadReceipt("half a receipt is a body, a public key and a signature")


def _sign(identity: Identity, purpose: str, body: bytes, parse: Any) -> SignedHalf:
    if parse(body).link.maker != identity.peer_id:
        raise BadReceipt("the work of another peer")
    return SignedHalf(body, identity.public_key, identity.sign(purpose, body))


def _check(maker: str, half: SignedHalf, purpose: str) -> None:
    _check_sizes(half)
    try:
        check_signature(maker, half.public_key, purpose, half.body, half.signature)
    except BadSignature as error:
        raise BadReceipt(str(error)) from error


def _check_sizes(half: SignedHalf) -> None:
    if (
        len(half.body) > _MAX_BODY_BYTES
        or len(half.public_key) > _MAX_KEY_BYTES
        or len(half.signature) > _MAX_SIGNATURE_BYTES
    ):
        raise BadReceipt("half a receipt that is too long")


def _claim_body(claim: Claim) -> bytes:
    link, work = claim.link, claim.work
    rest = [getattr(work, name) for name in _WORK_FIELDS[1:]]
    return _pack([_VERSION, work.server, link.sequence, link.previous, *rest])


def _countersignature_body(countersignature: Countersignature) -> bytes:
    link = countersignature.link
    return _pack([_VERSION, link.maker, link.sequence, link.previous, countersignature.claim_hash])


def _pack(values: list[Any]) -> bytes:
    try:
        packed: bytes = msgpack.packb(values, strict_types=True, use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadReceipt("values that no receipt can have") from error
    return packed


def _fields(body: bytes, count: int) -> list[Any]:
    """Those after the version."""
    if len(body) > _MAX_BODY_BYTES:
        raise BadReceipt("half a receipt that is too long")
    try:
        values = msgpack.unpackb(body, raw=False, strict_map_key=True)
    except Exception as error:  # msgpack raises some ten kinds of error over bad bytes
        raise BadReceipt("half a receipt that cannot be read") from error
    if not isinstance(values, list) or len(values) != 1 + count or type(values[0]) is not int or values[0] != _VERSION:
        raise BadReceipt("half a receipt of another version")
    return values[1:]


def _link(maker: object, sequence: object, previous: object) -> Link:
    if not _is_peer_id(maker) or not _is_int(sequence, 1, _MAX_COUNT) or not _is_bytes(previous, DIGEST_BYTES):
        raise BadReceipt("half a receipt without a place in a chain")
    if (sequence == 1) != (previous == NO_PREVIOUS):
        raise BadReceipt("the first half of a chain has none before it, and no other one")
    return Link(maker, sequence, previous)  # type: ignore[arg-type]


def _check_work(work: Work) -> None:
    if not _is_peer_id(work.server) or not _is_peer_id(work.client):
        raise BadReceipt("a claim without peer ids")
    if work.server == work.client:
        raise BadReceipt("nobody owes himself")
    if not (
        _is_text(work.model, _MAX_MODEL_LENGTH)
        and work.model
        and _is_text(work.revision, _MAX_NAME_LENGTH)
        and _is_text(work.number_format, _MAX_NAME_LENGTH)
    ):
        raise BadReceipt("a claim without a model")
    if not _is_int(work.end, 1, _MAX_BLOCKS) or not _is_int(work.start, 0, work.end - 1):
        raise BadReceipt("a claim without blocks")
    if not _is_bytes(work.nonce, NONCE_BYTES) or not _is_bytes(work.digest, DIGEST_BYTES):
        raise BadReceipt("a claim without a nonce or a digest")
    if not _is_int(work.price_milli, PRICES_MILLI.start, PRICES_MILLI.stop - 1):
        raise BadReceipt("a claim at a price that nobody may offer")
    if not all(_is_int(each, 1, _MAX_COUNT) for each in (work.counter, work.tokens)) or not _is_int(
        work.units, 0, _MAX_UNITS
    ):
        raise BadReceipt("a claim of no work")
    if not _is_int(work.charged, 0, 10 * _MAX_UNITS) or work.charged != work.units * work.price_milli // 1000:
        raise BadReceipt("a claim that charges another price than it names")


def _terms(work: Work) -> tuple[Any, ...]:
    """What stays as it is for a whole session."""
    return (
        work.server,
        work.client,
        work.model,
        work.revision,
        work.start,
        work.end,
        work.number_format,
        work.nonce,
        work.price_milli,
    )


def _is_peer_id(value: object) -> bool:
    return isinstance(value, str) and _PEER_ID.fullmatch(value) is not None


def _is_text(value: object, most: int) -> bool:
    # Printable, as these stand in tables on a terminal.
    return isinstance(value, str) and len(value) <= most and value.isprintable()


def _is_bytes(value: object, length: int) -> bool:
    return isinstance(value, bytes) and len(value) == length


def _is_int(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most
