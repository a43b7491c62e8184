from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hivemind.p2p import P2P, PeerID

from volunteer.errors import ConfigurationError
from volunteer.points.identity import BadSignature, check_signature, load_identity, new_identity, peer_id_of


def test_a_new_key_is_kept_and_secret(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "identity.key"
    first = load_identity(path)
    assert load_identity(path).peer_id == first.peer_id
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["identity.key"]


def test_the_peer_id_is_the_one_that_libp2p_reads(tmp_path: Path) -> None:
    assert PeerID.from_base58(load_identity(tmp_path / "a").peer_id).to_base58().startswith("12D3Koo")


def test_a_key_that_hivemind_made_is_read_and_signs(tmp_path: Path) -> None:
    path = tmp_path / "rsa.key"
    P2P.generate_identity(str(path))
    path.chmod(0o600)
    identity = load_identity(path)
    assert identity.peer_id == PeerID.from_identity(path.read_bytes()).to_base58()
    check_signature(identity.peer_id, identity.public_key, "test", b"text", identity.sign("test", b"text"))


def test_a_signature_is_for_one_peer_one_purpose_and_one_message() -> None:
    ours, theirs = new_identity(), new_identity()
    signature = ours.sign("test", b"text")
    check_signature(ours.peer_id, ours.public_key, "test", b"text", signature)
    for peer_id, key, purpose, message, mark in (
        (theirs.peer_id, theirs.public_key, "test", b"text", signature),
        (theirs.peer_id, ours.public_key, "test", b"text", signature),
        (ours.peer_id, theirs.public_key, "test", b"text", theirs.sign("test", b"text")),
        (ours.peer_id, ours.public_key, "other", b"text", signature),
        (ours.peer_id, ours.public_key, "testt", b"ext", signature),
        (ours.peer_id, ours.public_key, "test", b"texts", signature),
        (ours.peer_id, ours.public_key, "test", b"text", signature[:-1]),
        (ours.peer_id, ours.public_key, "test", b"text", b""),
    ):
        with pytest.raises(BadSignature):
            check_signature(peer_id, key, purpose, message, mark)


@pytest.mark.parametrize("key", [b"", b"\x08", b"\x08\x01\x12\x20" + bytes(31), b"\x08\x00\x12\x03abc", bytes(5000)])
def test_what_is_no_key_signs_nothing(key: bytes) -> None:
    with pytest.raises(BadSignature):
        check_signature(peer_id_of(key), key, "test", b"text", bytes(64))


def test_a_key_in_another_form_of_the_same_protobuf_is_refused() -> None:
    ours = new_identity()
    longer = ours.public_key + b"\x18\x01"
    with pytest.raises(BadSignature):
        check_signature(peer_id_of(longer), longer, "test", b"text", ours.sign("test", b"text"))


def test_an_rsa_key_whose_checks_would_be_slow_is_refused() -> None:
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
    slow = rsa.RSAPublicNumbers((1 << 2046) + 1, modulus).public_key()
    der = slow.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = bytes((0x08, 0x00, 0x12, len(der) & 0x7F | 0x80, len(der) >> 7)) + der
    with pytest.raises(BadSignature, match="no public key"):
        check_signature(peer_id_of(key), key, "test", b"text", bytes(256))


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    load_identity(path)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_identity(path)


@pytest.mark.parametrize("content", [b"", b"no key", b"\x08\x00\x12\x03abc"])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="private key"):
        load_identity(path)
