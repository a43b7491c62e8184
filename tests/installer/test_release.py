"""A folder of archives: signed, verified, and tampered with in every place."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as other_kind_of_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from volunteer.release_manifest import BadArchive, BadManifest, Release, public_key_text

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "installer" / "release.py"
NAMES = (
    "petals-volunteer_1.2.0_amd64.deb",
    "petals-volunteer-1.2.0-linux-x86_64.tar.xz",
    "petals-volunteer-1.2.0-windows-x64.exe",
    "petals-volunteer-1.2.0-macos-arm64.dmg",
)


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


script = load_script()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEYS = [public_key_text(KEY)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(name.encode() * 100)
    return folder


def sign(folder: Path) -> Release:
    release: Release = script.sign(
        folder, [KEY], version="1.2.0", released=date(2026, 11, 27), page="https://example.org/1.2.0"
    )
    return release


def test_a_signed_release_verifies(folder: Path) -> None:
    release = sign(folder)
    assert script.verify(folder, KEYS) == release
    systems = {archive.name: archive.system for archive in release.archives}
    assert systems == dict(zip(NAMES, ("linux", "linux", "windows", "macos"), strict=True))


def test_a_version_may_stand_before_the_ending(folder: Path) -> None:
    (folder / "petals-volunteer-1.2.0.tar.gz").write_bytes(b"x")
    assert len(sign(folder).archives) == len(NAMES) + 1


def test_signing_again_replaces_what_was_there(folder: Path) -> None:
    sign(folder)
    (folder / NAMES[0]).write_bytes(b"built anew")
    sign(folder)
    script.verify(folder, KEYS)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not here")
def test_people_without_the_program_can_check_with_sha256sum(folder: Path) -> None:
    sign(folder)
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=folder, capture_output=True).returncode == 0
    (folder / NAMES[0]).write_bytes(b"tampered")
    assert subprocess.run(check, cwd=folder, capture_output=True).returncode == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_tampered_archive_is_refused(folder: Path, name: str) -> None:
    sign(folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BadArchive, match=rf"^{name} is not the file that was released: .*Do not open it\.$"):
        script.verify(folder, KEYS)


def test_a_missing_archive_is_told(folder: Path) -> None:
    sign(folder)
    (folder / NAMES[0]).unlink()
    with pytest.raises(BadArchive, match="is part of the release, and is not here"):
        script.verify(folder, KEYS)


def test_an_archive_that_was_slipped_in_is_told(folder: Path) -> None:
    sign(folder)
    (folder / "petals-volunteer_1.2.1_amd64.deb").write_bytes(b"evil")
    with pytest.raises(BadArchive, match=r"petals-volunteer_1\.2\.1_amd64\.deb lies beside the release"):
        script.verify(folder, KEYS)


@pytest.mark.parametrize("change", ["change", "remove"])
def test_tampered_sums_are_told(folder: Path, change: str) -> None:
    sign(folder)
    sums = folder / "SHA256SUMS"
    if change == "change":
        sums.write_bytes(sums.read_bytes().replace(b"a", b"b"))
    else:
        sums.unlink()
    with pytest.raises(BadArchive, match="SHA256SUMS does not say what the signed manifest says"):
        script.verify(folder, KEYS)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b'"1.2.0"', b'"1.3.0"', "changed after it was signed"),
        (b"example.org", b"example.net", "changed after it was signed"),
        (b"release manifest 1", b"release manifest 2", "no release manifest"),
        (b"signature ", b"signature 0", "no release manifest"),
    ],
)
def test_a_tampered_manifest_is_refused(folder: Path, old: bytes, new: bytes, sentence: str) -> None:
    sign(folder)
    manifest = folder / "release-manifest"
    assert old in manifest.read_bytes()
    manifest.write_bytes(manifest.read_bytes().replace(old, new))
    with pytest.raises(BadManifest, match=sentence):
        script.verify(folder, KEYS)


def test_a_release_of_somebody_else_is_refused(folder: Path) -> None:
    sign(folder)
    other = public_key_text(Ed25519PrivateKey.generate())
    for keys in ([other], []):
        with pytest.raises(BadManifest, match="signed by nobody whom this program knows"):
            script.verify(folder, keys)


def test_a_folder_without_a_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="There is no release-manifest"):
        script.verify(tmp_path / "nowhere", KEYS)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("notes.txt", "nothing to release"),
        ("petals-volunteer_1.1.0_amd64.deb", "not of version 1.2.0"),
        ("petals-volunteer_11.2.0_amd64.deb", "not of version 1.2.0"),
        ("petals-volunteer-1.2.0.1-windows-x64.exe", "not of version 1.2.0"),
        ("petals-volunteer-1.2.0rc1.tar.gz", "not of version 1.2.0"),
        ("petals volunteer-1.2.0.exe", "No manifest can be made"),
    ],
)
def test_only_archives_of_this_version_are_signed(folder: Path, name: str, sentence: str) -> None:
    (folder / name).write_bytes(b"x")
    with pytest.raises(script.NoRelease, match=sentence):
        sign(folder)
    assert not (folder / "release-manifest").exists()


def test_links_and_empty_folders_are_not_signed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(script.NoRelease, match="nothing in"):
        sign(tmp_path / "empty")
    (folder / "petals-volunteer-1.2.0-link.tar.xz").symlink_to(folder / NAMES[0])
    with pytest.raises(script.NoRelease, match="nothing to release"):
        sign(folder)


# Keys


def test_a_key_is_made_once_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "release.key"
    public = script.new_key(file, "correct horse")
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600
    assert public_key_text(script.load_key(file, lambda question: "correct horse")) == public
    with pytest.raises(script.NoRelease, match="there already"):
        script.new_key(file, "")
    with pytest.raises(script.NoRelease, match="cannot be used as the publisher's key"):
        script.load_key(file, lambda question: "wrong")


def test_nobody_is_asked_for_the_passphrase_of_a_key_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "release.key"
    file.write_text("a key")
    monkeypatch.setattr(script.getpass, "getpass", lambda question: pytest.fail(question))
    assert script.main(["new-key", str(file)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "a key"


def test_keys_that_will_not_do_are_told(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with pytest.raises(script.NoRelease, match="cannot be used"):
        script.load_key(file)
    file.write_bytes(b"no key")
    file.chmod(0o600)
    with pytest.raises(script.NoRelease, match="cannot be used"):
        script.load_key(file)
    other = other_kind_of_key(SECP256R1())
    file.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(script.NoRelease, match="of Ed25519"):
        script.load_key(file)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    script.new_key(file, "")
    file.chmod(0o644)
    with pytest.raises(script.NoRelease, match="can be read by other users"):
        script.load_key(file)


def test_a_key_that_the_program_does_not_know_signs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"MANIFEST_ADDRESS": "https://example.org/release-manifest", "HOMEPAGE": "https://example.org/"}
    said |= {"MAINTAINER": "A Name <name@example.org>"}
    for name, value in said.items():
        monkeypatch.setattr(script.publisher, name, "")
        with pytest.raises(script.NoRelease, match=f"does not say {name} yet"):
            script.check_publisher([KEY])
        monkeypatch.setattr(script.publisher, name, value)
    monkeypatch.setattr(script.publisher, "RELEASE_KEYS", ())
    with pytest.raises(script.NoRelease, match=rf"does not know the public key {KEYS[0]}"):
        script.check_publisher([KEY])
    monkeypatch.setattr(script.publisher, "RELEASE_KEYS", tuple(KEYS))
    script.check_publisher([KEY])


# The command


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def test_the_command_signs_for_a_rehearsal_and_refuses_what_was_tampered_with(folder: Path) -> None:
    version = script.project_version(ROOT / "pyproject.toml")
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("1.2.0", version))
    signed = run("sign", folder)
    assert signed.returncode == 0, signed.stderr
    assert "for looking at, not for publishing" in signed.stdout
    key = signed.stdout.split()[-1]
    assert run("verify", folder, "--key", key).returncode == 0
    refused = run("verify", folder)  # by the program's own keys
    assert refused.returncode == 1 and "signed by nobody" in refused.stderr

    archive = next(folder.glob("*.deb"))
    archive.write_bytes(archive.read_bytes() + b"!")
    refused = run("verify", folder, "--key", key)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"{archive.name} is not the file that was released:")
    assert "Traceback" not in refused.stderr


def test_a_folder_that_is_not_empty_is_not_built_into(folder: Path) -> None:
    refused = run("build", "--folder", folder)
    assert refused.returncode == 1 and "is not empty" in refused.stderr
