"""Manifests as they are written and read, and what becomes of those that somebody tampered with."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from volunteer import release_manifest
from volunteer.release_manifest import (
    MAX_BYTES,
    Archive,
    BadArchive,
    BadManifest,
    Release,
    check_archive,
    describe_archive,
    public_key_text,
    read_manifest,
    write_manifest,
)

KEY, OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
KEYS = [public_key_text(KEY)]


def release(**fields: Any) -> Release:
    archive = Archive(name="petals-volunteer_1.2.0_amd64.deb", system="linux", bytes=5, sha256="a" * 64)
    values = {
        "version": "1.2.0",
        "released": date(2026, 11, 27),
        "page": "https://example.org/releases/1.2.0",
        "archives": (archive,),
    }
    return Release(**values | fields)


def signed(body: bytes, key: Ed25519PrivateKey = KEY) -> bytes:
    """Any text, signed as a manifest: what only the owner of the key could make."""
    whole = write_manifest(release(), [key])
    head = whole.partition(b"\n\n")[0].rpartition(b" ")[0]
    return head + b" " + key.sign(release_manifest._signed_bytes(body)).hex().encode() + b"\n\n" + body


def test_what_was_written_is_read_back() -> None:
    assert read_manifest(write_manifest(release(), [KEY]), KEYS) == release()


def test_either_of_two_keys_is_enough_while_one_takes_over_from_the_other() -> None:
    manifest = write_manifest(release(), [KEY, OTHER_KEY])
    assert read_manifest(manifest, [public_key_text(KEY)]) == release()
    assert read_manifest(manifest, [public_key_text(OTHER_KEY)]) == release()


def test_a_manifest_signed_by_somebody_else_is_not_believed() -> None:
    manifest = write_manifest(release(), [OTHER_KEY])
    for keys in (KEYS, []):
        with pytest.raises(BadManifest, match="signed by nobody whom this program knows"):
            read_manifest(manifest, keys)


def test_a_changed_manifest_is_not_believed() -> None:
    manifest = write_manifest(release(), [KEY]).replace(b"example.org", b"example.net")
    with pytest.raises(BadManifest, match="changed after it was signed"):
        read_manifest(manifest, KEYS)


@given(st.data())
def test_no_changed_bit_goes_unnoticed(data: st.DataObject) -> None:
    manifest = bytearray(write_manifest(release(), [KEY]))
    manifest[data.draw(st.integers(0, len(manifest) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BadManifest):
        read_manifest(bytes(manifest), KEYS)


@given(st.binary(max_size=300), st.data())
def test_any_bytes_are_refused_in_a_sentence(junk: bytes, data: st.DataObject) -> None:
    manifest = write_manifest(release(), [KEY])
    at = data.draw(st.integers(0, len(manifest) - 1))
    for text in (junk, manifest[:at] + junk, manifest[:at]):
        if text == manifest:
            continue
        with pytest.raises(BadManifest, match=r"^[A-Z].*\.$"):
            read_manifest(text, KEYS)


def test_a_huge_manifest_is_refused_unread() -> None:
    with pytest.raises(BadManifest, match="no release manifest"):
        read_manifest(write_manifest(release(), [KEY]) + b" " * MAX_BYTES, KEYS)


def test_many_signatures_are_not_tried() -> None:
    head, _, body = write_manifest(release(), [KEY]).partition(b"\n\n")
    kind, _, signature = head.partition(b"\n")
    with pytest.raises(BadManifest, match="no release manifest"):
        read_manifest(kind + (b"\n" + signature) * 9 + b"\n\n" + body, KEYS)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.2"},
        {"version": "1.2.0\n"},
        {"version": "01.2.0"},
        {"product": "another-program"},
        {"page": "http://example.org/"},
        {"page": "https://user@example.org/"},
        {"page": "https://example.org/\"><script>"},
        {"page": "https://example.org/" + "a" * 501},
        {"released": "soon"},
        {"archives": []},
    ],
)  # fmt: skip
def test_even_its_owner_cannot_sign_what_makes_no_sense(change: dict[str, Any]) -> None:
    body = json.loads(release().model_dump_json()) | change
    with pytest.raises(BadManifest, match="not one that this version can read"):
        read_manifest(signed(json.dumps(body).encode()), KEYS)


@pytest.mark.parametrize("name", ["../x.deb", "a/b", "", ".hidden", "a" * 129, "a b", "con\n"])
def test_names_of_archives_stay_in_their_folder(name: str) -> None:
    body = json.loads(release().model_dump_json())
    body["archives"][0]["name"] = name
    with pytest.raises(BadManifest):
        read_manifest(signed(json.dumps(body).encode()), KEYS)


def test_two_archives_of_one_name_are_refused() -> None:
    body = json.loads(release().model_dump_json())
    body["archives"].append(body["archives"][0] | {"name": body["archives"][0]["name"].upper()})
    with pytest.raises(BadManifest):
        read_manifest(signed(json.dumps(body).encode()), KEYS)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'{"version": "1.0.0", "version": "2.0.0"}', b"[" * 50_000, b'"\xff"', b"\xff\xfe{\0}\0"],
)  # fmt: skip
def test_a_signed_text_that_is_no_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(BadManifest, match="not one that this version can read"):
        read_manifest(signed(body), KEYS)


def test_fields_of_a_later_version_are_left_aside() -> None:
    body = json.loads(release().model_dump_json()) | {"news": ["everything is quicker"]}
    assert read_manifest(signed(json.dumps(body).encode()), KEYS) == release()


def test_a_signature_for_something_else_is_none_for_a_manifest() -> None:
    manifest = write_manifest(release(), [KEY])
    head, _, body = manifest.partition(b"\n\n")
    bare = KEY.sign(body).hex().encode()
    with pytest.raises(BadManifest, match="changed after"):
        read_manifest(head.rpartition(b" ")[0] + b" " + bare + b"\n\n" + body, KEYS)


@pytest.mark.parametrize("key", ["", "AAAA", "no key", "é" * 44])
def test_a_key_that_is_none_is_told(key: str) -> None:
    with pytest.raises(BadManifest, match="no public key"):
        read_manifest(write_manifest(release(), [KEY]), [key])


@pytest.mark.parametrize(
    ("running", "is_newer"),
    [
        ("1.1.9", True),
        ("0.9.0", True),
        ("1.2.0", False),
        ("1.10.0", False),
        ("2.0.0", False),
        ("1.2.0rc1", True),
        ("1.2.1.dev3", False),
        ("unknown", True),
    ],
)
def test_versions_are_compared_by_their_numbers(running: str, is_newer: bool) -> None:
    assert release().is_newer_than(running) is is_newer


def archive_file(tmp_path: Path) -> tuple[Path, Archive]:
    file = tmp_path / "petals-volunteer_1.2.0_amd64.deb"
    file.write_bytes(b"whole")
    return file, describe_archive(file, "linux")


def test_an_archive_is_taken_as_it_was_released(tmp_path: Path) -> None:
    check_archive(*archive_file(tmp_path))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"whole and more", "it has 14 bytes, that one has 5"), (b"whale", "somebody or something has changed it")],
)
def test_a_tampered_archive_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    file, archive = archive_file(tmp_path)
    file.write_bytes(content)
    with pytest.raises(BadArchive, match=sentence) as refusal:
        check_archive(file, archive)
    assert str(refusal.value).endswith("Do not open it.")


def test_a_missing_archive_is_told(tmp_path: Path) -> None:
    file, archive = archive_file(tmp_path)
    file.unlink()
    with pytest.raises(BadArchive, match="is not here"):
        check_archive(file, archive)
