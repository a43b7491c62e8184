"""Records that their servers have signed: how that is done, how it is checked, and whose are known.

Pure: knows the bytes of a record and a peer's key, not where records are stored. Petals reads a signed record as any
other; the signature is one more key of its dictionary.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from volunteer.points.identity import BadSignature, Identity, check_signature
from volunteer.swarm.records import BadRecord, block_uid, parse_record

MAX_VALUE_BYTES = 64 * 1024
"""Of anything in the DHT; a record of Petals with a thousand pings comes near to it."""
MAX_SIGNED_BYTES = 16 * 1024
MAX_SIGNED_BLOCKS = 512
"""Span of a signed record: its blocks' keys are tried one after the other. The deepest public models have fewer than
200 blocks."""
MAX_KNOWN = 4096
"""Signed peers that are remembered: 64 MiB if each record is as long as it may be."""

_PURPOSE = "record"
_TUPLE_EXT_TYPE = 0x40  # hivemind's MSGPackSerializer
_MAX_TUPLE_DEPTH = 4

Value = tuple[int, float, dict[str, Any]]


@dataclass(frozen=True)
class SignedRecord:
    """A record with a good signature: blocks [start, end) of the model under `prefix`, until `expires_at_s`."""

    peer_id: str
    prefix: str
    start: int
    end: int
    expires_at_s: float
    value: Any
    packed: bytes

    def has_key(self, key: bytes) -> bool:
        """Whether this DHT key is that of one of its blocks."""
        return any(block_key(self.prefix, index) == key for index in range(self.start, self.end))


def sign_record(value: Value, *, prefix: str, expires_at_s: float, identity: Identity) -> Value:
    """The value to store: as it was, with the prefix, the public key and the signature among its extra fields.

    Args:
        value: as `to_wire` makes it.
        expires_at_s: of the DHT entry, which must be stored with exactly this one.
    """
    state, throughput, extra = value
    extra = extra | {"prefix": prefix, "public_key": identity.public_key}
    message = _message(prefix, state, throughput, extra, expires_at_s)
    return state, throughput, extra | {"signature": identity.sign(_PURPOSE, message)}


def is_signed(value: object) -> bool:
    """Whether it has a signature, good or bad."""
    return isinstance(value, tuple | list) and len(value) > 2 and isinstance(value[2], dict) and "signature" in value[2]


def check_record(peer_id: str, packed: bytes, expires_at_s: float) -> SignedRecord | None:
    """What a peer signed; None for a value without a signature.

    Raises:
        BadRecord: it cannot be read, or the signature is not that peer's for these fields and this expiration.
    """
    value: Any = read_value(packed)
    if not is_signed(value):
        return None
    if len(packed) > MAX_SIGNED_BYTES or len(value) != 3:
        raise BadRecord("It is too long for a signed record.")
    state, throughput, extra = value
    span = parse_record(value).span
    unsigned = {name: field for name, field in extra.items() if name != "signature"}
    prefix, public_key, signature = extra.get("prefix"), extra.get("public_key"), extra["signature"]
    if not (isinstance(prefix, str) and isinstance(public_key, bytes) and isinstance(signature, bytes)):
        raise BadRecord("It lacks what belongs to its signature.")
    if span is None or len(span) > MAX_SIGNED_BLOCKS:
        raise BadRecord("It is signed for no blocks, or for too many.")
    try:
        block_uid(prefix, span.start)
        message = _message(prefix, state, throughput, unsigned, expires_at_s)
        check_signature(peer_id, public_key, _PURPOSE, message, signature)
    except (ValueError, TypeError, OverflowError) as error:  # BadSignature is a ValueError
        raise BadRecord(f"Its signature is not good: {error}" if isinstance(error, BadSignature) else "bad") from None
    return SignedRecord(peer_id, prefix, span.start, span.stop, expires_at_s, value, packed)


def read_value(packed: bytes) -> object:
    """What a stranger stored in the DHT, as hivemind reads it.

    Raises:
        BadRecord: too long, too deep, or not msgpack. hivemind would lose the whole answer over such an entry.
    """
    if len(packed) > MAX_VALUE_BYTES:
        raise BadRecord("It is too long.")
    depth = 0

    def decode(code: int, data: bytes) -> object:
        nonlocal depth
        if code != _TUPLE_EXT_TYPE or depth >= _MAX_TUPLE_DEPTH:
            raise BadRecord("It holds what no record holds.")
        depth += 1
        try:
            return tuple(msgpack.unpackb(data, ext_hook=decode, raw=False))
        finally:
            depth -= 1

    try:
        return msgpack.unpackb(packed, ext_hook=decode, raw=False)
    except BadRecord:
        raise
    except Exception as error:  # msgpack raises some ten kinds of error over bad bytes
        raise BadRecord(f"It cannot be read: {type(error).__name__}.") from None


@functools.lru_cache(maxsize=16_384)
def block_key(prefix: str, index: int) -> bytes:
    """The DHT key of a block as it goes over the wire: hivemind's hash of the block's uid."""
    return hashlib.sha1(msgpack.packb(block_uid(prefix, index)), usedforsecurity=False).digest()


def _message(prefix: str, state: object, throughput: object, extra: dict[str, Any], expires_at_s: float) -> bytes:
    fields = [prefix, state, throughput, extra, float(expires_at_s)]
    packed: bytes = msgpack.packb(fields, use_bin_type=True, strict_types=True, default=_tuple_as_list)
    return packed


def _tuple_as_list(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} is in no record")


class SignedRecords:
    """The newest signed record of each peer, until it expires.

    A peer serves one model: of one that signs for several, the last is kept. Where there is no more room, those that
    are known stay and new ones are not remembered, so that nobody is pushed out by a crowd of made-up peers.
    """

    def __init__(self, *, max_known: int = MAX_KNOWN):
        self._max_known = max_known
        self._known: dict[str, SignedRecord] = {}

    def of(self, peer_id: str, now_s: float) -> SignedRecord | None:
        """Its record that is alive, if one is known."""
        known = self._known.get(peer_id)
        return known if known is not None and known.expires_at_s >= now_s else None

    def under(self, prefix: str, now_s: float) -> Mapping[str, SignedRecord]:
        """Those of a model that are alive, by peer id."""
        return {
            peer_id: record
            for peer_id, record in self._known.items()
            if record.prefix == prefix and record.expires_at_s >= now_s
        }

    def judge(self, key: bytes, peer_id: str, packed: bytes, expires_at_s: float, now_s: float) -> SignedRecord | None:
        """A sound signed record, which is remembered; None for an unsigned one of a peer that is not known to sign.

        Raises:
            BadRecord: its signature is bad, it belongs under another key, the peer has signed a newer one, or it is
                unsigned and the peer does sign.
        """
        known = self.of(peer_id, now_s)
        if known is not None and known.packed == packed and known.expires_at_s == expires_at_s:
            record: SignedRecord | None = known  # the same under another block: the signature costs 0.1 ms
        else:
            record = check_record(peer_id, packed, expires_at_s)
        if record is None:
            if known is not None:
                raise BadRecord("It is not signed, and its server signs.")
            return None
        if not record.has_key(key):
            raise BadRecord("It is signed for other blocks.")
        if known is not None and known.prefix == record.prefix and known.expires_at_s > expires_at_s:
            raise BadRecord("Its server has signed a newer one.")
        self._remember(record, now_s)
        return record

    def _remember(self, record: SignedRecord, now_s: float) -> None:
        if record.peer_id not in self._known and len(self._known) >= self._max_known:
            self._known = {peer: each for peer, each in self._known.items() if each.expires_at_s >= now_s}
            if len(self._known) >= self._max_known:
                return
        self._known[record.peer_id] = record
