"""Who a peer is: its libp2p key pair, what it signs with it, and the peer id that follows from the public half.

A peer id is the multihash of the public key (libp2p specs, "Peer IDs"), so a signature that goes with the key proves
who made it. New keys are Ed25519, as libp2p makes them; RSA keys, which hivemind makes, are read and checked as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import base58
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from volunteer.errors import ConfigurationError
from volunteer.whole_file import write_file

_RSA, _ED25519 = 0, 1  # libp2p's KeyType
_INLINE_KEY_BYTES = 42
"""Keys up to this length stand in the peer id themselves, longer ones as their SHA-256."""
_MAX_KEY_BYTES = 1024
"""Of a public key that is read; 4,096 bits of RSA take 560."""
_RSA_BITS = range(2048, 4097)
_RSA_EXPONENT = 65537
"""The only one in use; a long one would make each check of a signature as slow as its owner likes."""

_PrivateKey = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
_PublicKey = ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class BadSignature(ValueError):
    """A key, or what was signed with it, is not what it should be."""


@dataclass(frozen=True)
class Identity:
    """This peer's own key pair.

    Args:
        peer_id: in base58.
        public_key: as libp2p writes it, a protobuf of the key's type and bytes.
    """

    peer_id: str
    public_key: bytes
    _key: _PrivateKey = field(repr=False)

    def sign(self, purpose: str, message: bytes) -> bytes:
        """A signature that is good for this purpose alone.

        Args:
            purpose: a constant of the program; the same bytes signed for another purpose have another signature.
        """
        signed = _signed_bytes(purpose, message)
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(signed)
        return self._key.sign(signed, padding.PKCS1v15(), SHA256())


def check_signature(peer_id: str, public_key: bytes, purpose: str, message: bytes, signature: bytes) -> None:
    """Raises BadSignature unless the peer with this id has signed the message for this purpose."""
    if peer_id_of(public_key) != peer_id:
        raise BadSignature("The public key is not that of the peer.")
    key = _parse_public_key(public_key)
    signed = _signed_bytes(purpose, message)
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed)
        else:
            key.verify(signature, signed, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        raise BadSignature("The signature is not that of the peer.") from None


def peer_id_of(public_key: bytes) -> str:
    """In base58, from a key as libp2p writes it. Whether it is a key at all is not looked at."""
    if len(public_key) <= _INLINE_KEY_BYTES:
        multihash = bytes((0x00, len(public_key))) + public_key
    else:
        multihash = bytes((0x12, 32)) + hashlib.sha256(public_key).digest()
    return base58.b58encode(multihash).decode()


def load_identity(path: Path) -> Identity:
    """The key pair in this file, which is made if there is none.

    Raises:
        ConfigurationError: other users can read the file, or it holds no private key of libp2p.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _create(path)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ConfigurationError(f"{path} can be read by other users; run chmod 600 on it.")
    try:
        kind, data = _parse_protobuf(path.read_bytes())
        key = _private_key(kind, data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path} does not hold a libp2p private key.") from error
    return _identity(key)


def new_identity() -> Identity:
    """A key pair that lives in memory alone."""
    return _identity(ed25519.Ed25519PrivateKey.generate())


def _create(path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    write_file(beside, _as_protobuf(_ED25519, private + public), is_private=True)
    # Where two processes start at the same moment, both use the key of the first.
    with contextlib.suppress(FileExistsError):
        os.link(beside, path)
    beside.unlink()


def _identity(key: _PrivateKey) -> Identity:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        public_key = _as_protobuf(_ED25519, public)
    else:
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        public_key = _as_protobuf(_RSA, public)
    return Identity(peer_id_of(public_key), public_key, key)


def _private_key(kind: int, data: bytes) -> _PrivateKey:
    if kind == _ED25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(data[:32])
    key = load_der_private_key(data, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not RSA")
    return key


def _parse_public_key(public_key: bytes) -> _PublicKey:
    if len(public_key) > _MAX_KEY_BYTES:
        raise BadSignature("The public key is too long.")
    try:
        kind, data = _parse_protobuf(public_key)
        if kind == _ED25519:
            return ed25519.Ed25519PublicKey.from_public_bytes(data)
        key = load_der_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadSignature("This is no public key.") from error
    if (
        not isinstance(key, rsa.RSAPublicKey)
        or key.key_size not in _RSA_BITS
        or key.public_numbers().e != _RSA_EXPONENT
    ):
        raise BadSignature("This is no public key that is taken here.")
    return key


def _signed_bytes(purpose: str, message: bytes) -> bytes:
    # Its length is said first, so that no purpose and message run into those of another.
    name = f"petals-volunteer {purpose}".encode()
    return len(name).to_bytes(2, "big") + name + message


# libp2p's crypto.proto: {KeyType type = 1; bytes data = 2}. Written here in the one form there is to such a small one,
# as hivemind, whose class it is, takes seconds to import.


def _as_protobuf(kind: int, data: bytes) -> bytes:
    length = len(data)
    size = bytes((length,)) if length < 0x80 else bytes((length & 0x7F | 0x80, length >> 7))
    return bytes((0x08, kind, 0x12)) + size + data


def _parse_protobuf(message: bytes) -> tuple[int, bytes]:
    """Kind and data; raises ValueError for all but the canonical form."""
    if len(message) < 5 or message[0] != 0x08 or message[2] != 0x12 or message[1] not in (_RSA, _ED25519):
        raise ValueError("not a key of libp2p")
    kind = message[1]
    head = 4 if message[3] < 0x80 else 5
    data = message[head:]
    if _as_protobuf(kind, data) != message:
        raise ValueError("not a key of libp2p")
    return kind, data
