"""The signed text that says which files make up a release: how it is written, read and believed.

It opens with a line of its kind and lines of signatures; after an empty line comes JSON, and these very bytes are what
was signed. Nothing of the JSON is looked at before a signature on it is found good. Knows neither network nor folders.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, field_validator

from volunteer.errors import UserError

FILE_NAME = "release-manifest"
MAX_BYTES = 64 * 1024
_KIND = "petals-volunteer release manifest 1"
_MAX_HEAD_BYTES = 4096
_MAX_SIGNATURES = 8
_SIGNATURE = re.compile(r"signature ([0-9a-f]{16}) ([0-9a-f]{128})")
_VERSION = r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})"
# It is shown as a link: no user in it, and none of the characters that mean something in HTML.
_PAGE = r"https://[a-z0-9][a-z0-9.-]{0,252}(:[0-9]{1,5})?(/[A-Za-z0-9._~/%?=#+-]{0,500})?"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._~+-]{0,127}"


class BadManifest(UserError):
    """A manifest that is not to be believed; the text says why."""


class BadArchive(UserError):
    """A file that is not the one that the manifest speaks of; the text says why."""


class Archive(BaseModel):
    """One file that people download."""

    model_config = ConfigDict(frozen=True, strict=True)

    name: Annotated[str, Field(pattern=f"^{_NAME}$")]
    system: Literal["linux", "windows", "macos"]
    bytes: Annotated[int, Field(ge=1, le=2**40)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Release(BaseModel):
    """What a manifest says. Fields that this version does not know are left aside."""

    model_config = ConfigDict(frozen=True, strict=True)

    product: Literal["petals-volunteer"] = "petals-volunteer"
    version: Annotated[str, Field(pattern=f"^{_VERSION}$")]
    released: date
    page: Annotated[str, Field(pattern=f"^{_PAGE}$")]
    """Where people read about it, and fetch it."""
    archives: Annotated[tuple[Archive, ...], Field(min_length=1, max_length=64)]

    @field_validator("archives")
    @classmethod
    def _names_differ(cls, archives: tuple[Archive, ...]) -> tuple[Archive, ...]:
        # Also on disks that do not tell a.deb from A.deb.
        if len({archive.name.lower() for archive in archives}) < len(archives):
            raise ValueError("two archives have one name")
        return archives

    def is_newer_than(self, version: str) -> bool:
        """Whether it came after the program of this version; 1.2.0rc1, and what is no version, came before 1.2.0."""
        found = re.match(_VERSION, version)
        if found is None:
            return True
        mine, other = tuple(map(int, self.version.split("."))), tuple(map(int, found.groups()))
        return mine > other or (mine == other and found.end() < len(version))


def write_manifest(release: Release, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """The manifest of a release, signed by each of the keys."""
    body = release.model_dump_json(indent=1).encode() + b"\n"
    lines = [_KIND]
    for key in keys:
        lines.append(f"signature {_key_id(key.public_key())} {key.sign(_signed_bytes(body)).hex()}")
    manifest = "\n".join(lines).encode() + b"\n\n" + body
    read_manifest(manifest, [public_key_text(key) for key in keys])  # what nobody could read is not written
    return manifest


def read_manifest(manifest: bytes, keys: Iterable[str]) -> Release:
    """What it says, if one of these public keys has signed it.

    Raises:
        BadManifest: it has not, or this is no manifest.
    """
    signatures, body = _parts(manifest)
    known = {_key_id(key): key for key in map(_public_key, keys)}
    signed_by_known = [(known[key_id], signature) for key_id, signature in signatures if key_id in known]
    if not signed_by_known:
        raise BadManifest("The release manifest is signed by nobody whom this program knows, so it is not believed.")
    if not any(_is_good(key, signature, body) for key, signature in signed_by_known):
        raise BadManifest("The release manifest was changed after it was signed, so it is not believed.")
    try:
        _check_names(body)
        return Release.model_validate_json(body)
    except (ValueError, RecursionError) as error:
        raise BadManifest("The release manifest is signed, and still not one that this version can read.") from error


def public_key_text(key: Ed25519PrivateKey) -> str:
    """As it stands among the keys of the publisher."""
    return key.public_key().public_bytes_raw().hex()


def describe_archive(path: Path, system: Literal["linux", "windows", "macos"]) -> Archive:
    """What a manifest says of this file."""
    return Archive(name=path.name, system=system, bytes=path.stat().st_size, sha256=_sha256(path))


def check_archive(path: Path, archive: Archive) -> None:
    """Raises BadArchive unless the file holds, byte for byte, what the manifest speaks of."""
    try:
        num_bytes = path.stat().st_size
        digest = _sha256(path) if num_bytes == archive.bytes else ""
    except FileNotFoundError:
        raise BadArchive(f"{archive.name} is part of the release, and is not here.") from None
    except OSError as error:
        raise BadArchive(f"{archive.name} cannot be read: {error.strerror}.") from error
    if num_bytes != archive.bytes:
        raise BadArchive(
            f"{archive.name} is not the file that was released: it has {num_bytes:,} bytes, that one has "
            f"{archive.bytes:,}. Do not open it."
        )
    if digest != archive.sha256:
        raise BadArchive(
            f"{archive.name} is not the file that was released: somebody or something has changed it (its SHA-256 is "
            f"{digest[:16]}..., not {archive.sha256[:16]}...). Do not open it."
        )


def _parts(manifest: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """The signatures, each with the id of its key, and what they sign."""
    head, separator, body = manifest[: MAX_BYTES + 1].partition(b"\n\n")
    lines = head[: _MAX_HEAD_BYTES + 1].decode("ascii", errors="replace").split("\n")
    found = [_SIGNATURE.fullmatch(line) for line in lines[1:]]
    if (
        len(manifest) > MAX_BYTES
        or len(head) > _MAX_HEAD_BYTES
        or not separator
        or lines[0] != _KIND
        or not 1 <= len(found) <= _MAX_SIGNATURES
        or None in found
    ):
        raise BadManifest("This is no release manifest of Petals Volunteer.")
    return [(each[1], bytes.fromhex(each[2])) for each in found if each is not None], body


def _check_names(body: bytes) -> None:
    """Raises ValueError where a name stands twice: one reader takes its first value, and another the last."""

    def once(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name stands twice")

    json.loads(body, object_pairs_hook=once)


def _is_good(key: Ed25519PublicKey, signature: bytes, body: bytes) -> bool:
    try:
        key.verify(signature, _signed_bytes(body))
    except InvalidSignature:
        return False
    return True


def _signed_bytes(body: bytes) -> bytes:
    # A signature for this kind of text is good for no other that the same key may sign one day.
    return _KIND.encode() + b"\n" + body


def _public_key(text: str) -> Ed25519PublicKey:
    """Raises BadManifest."""
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except ValueError as error:
        raise BadManifest(f"{text[:60]!r} is no public key of a publisher.") from error


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
