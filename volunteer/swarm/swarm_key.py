"""The key of a private swarm, what is derived from it, and the invitation that carries it.

Pure: knows neither files nor peers. Everything is made from 32 random bytes by HKDF-SHA256 (RFC 5869), one key for each
purpose, so that what one of them does says nothing of the others. Whoever has the 32 bytes is a member.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import struct
from dataclasses import dataclass, field
from functools import cached_property

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from volunteer.errors import ConfigurationError

KEY_BYTES = 32
SWARM_ID_BYTES = 8
MAX_INVITATION_LENGTH = 8192
MAX_ADDRESSES, MAX_ADDRESS_LENGTH = 16, 300
_MAX_TEXT = 256
INVITATION_SCHEME = "petals-volunteer://"
"""The log takes out whatever follows it (`volunteer/logs.py`)."""
_VERSION = 1
_CHECKSUM_BYTES = 8
_NONCE_BYTES = 12
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


class BadInvitation(ConfigurationError):
    """A text that is no invitation, or one that was damaged on its way."""


class NotSealed(ValueError):
    """These bytes were not sealed with this key for this place."""


@dataclass(frozen=True)
class SwarmKey:
    """What the members of a private swarm have in common. It is not printed by accident: its `repr` is empty of it."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise ValueError(f"a swarm key has {KEY_BYTES} bytes")

    @classmethod
    def new(cls) -> SwarmKey:
        return cls(secrets.token_bytes(KEY_BYTES))

    def prove(self, role: bytes, *parts: bytes) -> bytes:
        """A MAC over all parts, which only a member can make; another `role`, or other parts, have another one."""
        # The length of each part is said first, so that no parts run into those of another proof.
        text = b"".join(len(part).to_bytes(4, "big") + part for part in (role, *parts))
        return hmac.digest(self._gate, text, "sha256")

    def dht_prefix(self, prefix: str) -> str:
        """Under which a model's blocks are announced: one word that tells strangers nothing of the model."""
        return f"private-{hmac.digest(self._names, prefix.encode(), 'sha256').hex()[:40]}"

    def seal(self, key: bytes, subkey: bytes, expires_at_s: float, value: bytes) -> bytes:
        """The value for this entry of the DHT alone: `unseal` takes it under no other key, subkey or expiration."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        place = _place(key, subkey, expires_at_s)
        return nonce + self._cipher(key, subkey).encrypt(nonce, value, place)

    def unseal(self, key: bytes, subkey: bytes, expires_at_s: float, sealed: bytes) -> bytes:
        """Raises NotSealed."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher(key, subkey).decrypt(nonce, rest, _place(key, subkey, expires_at_s))
        except (InvalidTag, ValueError):
            raise NotSealed("not sealed with the key of this swarm, or for another place") from None

    def _cipher(self, key: bytes, subkey: bytes) -> AESGCM:
        # A key for each entry: random nonces of 96 bits are good for 2**32 messages under one, and an entry gets one
        # or two a minute.
        return AESGCM(hmac.digest(self._seals, len(key).to_bytes(4, "big") + key + subkey, "sha256"))

    @cached_property
    def _gate(self) -> bytes:
        return self._derived(b"gate")

    @cached_property
    def _names(self) -> bytes:
        return self._derived(b"names")

    @cached_property
    def _seals(self) -> bytes:
        return self._derived(b"seals")

    def _derived(self, purpose: bytes) -> bytes:
        info = b"petals-volunteer swarm key 1 " + purpose
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self.secret)


def _place(key: bytes, subkey: bytes, expires_at_s: float) -> bytes:
    return len(key).to_bytes(4, "big") + key + struct.pack(">d", expires_at_s) + subkey


@dataclass(frozen=True)
class Invitation:
    """All that is needed to join a private swarm: the name is the members' own word for it, the id stays when the key
    is changed."""

    name: str
    swarm_id: bytes
    key: SwarmKey
    model: str | None = None
    revision: str | None = None
    dht_prefix: str | None = None
    addresses: tuple[str, ...] = ()
    """Multiaddresses of members, to come in by."""

    @property
    def peers_name(self) -> str:
        """For the file in which its servers are remembered: never that of a public swarm."""
        return f"private-{self.swarm_id.hex()}"


def check_name(name: str) -> str:
    """Raises ConfigurationError: a swarm cannot be called this."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            "The name of a swarm has letters, digits, - and _, begins with a letter or digit, and is no longer than 40."
        )
    return name


def write_invitation(invitation: Invitation) -> str:
    """One word, to be passed on over a channel that nobody else reads."""
    fields = [
        invitation.name,
        invitation.swarm_id,
        invitation.key.secret,
        invitation.model,
        invitation.revision,
        invitation.dht_prefix,
        list(invitation.addresses),
    ]
    content = bytes((_VERSION,)) + msgpack.packb(fields, use_bin_type=True)
    return INVITATION_SCHEME + base64.urlsafe_b64encode(content + _checksum(content)).rstrip(b"=").decode()


def read_invitation(text: str) -> Invitation:
    """The invitation in a text that somebody was sent; white space in it does not matter.

    Raises:
        BadInvitation: a sentence says what is wrong with it, and nothing of what is in it.
    """
    if len(text) > MAX_INVITATION_LENGTH:
        raise BadInvitation("This is too long for an invitation.")
    word = "".join(text.split())
    if not word.startswith(INVITATION_SCHEME):
        raise BadInvitation(f"This is no invitation; one begins with {INVITATION_SCHEME}")
    content = _decoded(word.removeprefix(INVITATION_SCHEME))
    if content[0] != _VERSION:
        raise BadInvitation("This invitation was made by another version of the program; update this one, or that.")
    try:
        fields = msgpack.unpackb(content[1:], raw=False, max_ext_len=0, strict_map_key=True)
        invitation = _checked(fields)
    except BadInvitation:
        raise
    except Exception as error:  # msgpack raises some ten kinds of error over bad bytes
        raise BadInvitation("This invitation cannot be read.") from error
    if write_invitation(invitation) != word:
        raise BadInvitation("This invitation is not written as it should be.")
    return invitation


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise BadInvitation("This invitation is damaged: copy it again, from its first to its last letter.") from None
    content, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if not content or not hmac.compare_digest(checksum, _checksum(content)):
        raise BadInvitation("This invitation is damaged: copy it again, from its first to its last letter.")
    return content


def _checksum(content: bytes) -> bytes:
    """Against slips of copying; a member could make any invitation anyway."""
    return hashlib.sha256(b"petals-volunteer invitation " + content).digest()[:_CHECKSUM_BYTES]


def _checked(fields: object) -> Invitation:
    match fields:
        case [str(name), bytes(swarm_id), bytes(secret), model, revision, dht_prefix, [*addresses]]:
            pass
        case _:
            raise BadInvitation("This invitation cannot be read.")
    if len(swarm_id) != SWARM_ID_BYTES or len(secret) != KEY_BYTES:
        raise BadInvitation("This invitation cannot be read.")
    if not _NAME.fullmatch(name):
        raise BadInvitation("This invitation is for a swarm with a name that is not allowed.")
    if len(addresses) > MAX_ADDRESSES:
        raise BadInvitation("This invitation names more addresses than any has.")
    return Invitation(
        name,
        swarm_id,
        SwarmKey(secret),
        model=None if model is None else _text(model, _MAX_TEXT),
        revision=None if revision is None else _text(revision, _MAX_TEXT),
        dht_prefix=None if dht_prefix is None else _text(dht_prefix, _MAX_TEXT),
        addresses=tuple(_text(each, MAX_ADDRESS_LENGTH) for each in addresses),
    )


def _text(value: object, max_length: int) -> str:
    if not (isinstance(value, str) and 0 < len(value) <= max_length and value.isprintable()):
        raise BadInvitation("This invitation names a model or an address that cannot be one.")
    return value
