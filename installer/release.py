"""Builds, checks, signs and verifies a release; `python installer/release.py` alone does all of it, as a rehearsal.

    release.py [all]                  builds and checks all that can be built on this system, signs and verifies it
    release.py build                  the same without signing
    release.py sign FOLDER            writes SHA256SUMS and the signed manifest over a folder of archives
    release.py verify FOLDER          checks a folder of archives against its manifest, and changes nothing
    release.py new-key FILE           makes the publisher's key

Without `--key` a key is made that is forgotten at the end: what it signed is for looking at; no program believes it.
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # started by its file
    sys.path.insert(0, str(ROOT))

from installer.metadata import project_version  # noqa: E402
from volunteer import publisher  # noqa: E402
from volunteer.errors import UserError  # noqa: E402
from volunteer.release_manifest import (  # noqa: E402
    FILE_NAME,
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
from volunteer.whole_file import write_file  # noqa: E402

SUMS = "SHA256SUMS"
_SYSTEMS: dict[str, Literal["linux", "windows", "macos"]] = {
    ".deb": "linux",
    ".tar.xz": "linux",
    ".tar.gz": "linux",
    ".AppImage": "linux",
    ".exe": "windows",
    ".dmg": "macos",
}
_NOWHERE = "https://example.invalid/"
_REHEARSAL = "Signed by a key made for this run alone: for looking at, not for publishing."


class NoRelease(UserError):
    """What is there is not fit to be released; the text says why."""


# Signing and verifying


def sign(folder: Path, keys: Sequence[Ed25519PrivateKey], *, version: str, released: date, page: str) -> Release:
    """Writes the manifest and SHA256SUMS over all archives of the folder, and verifies what it wrote.

    Raises:
        NoRelease: there are none, or something that is none.
    """
    try:
        archives = tuple(_archives(folder, version))
        release = Release(version=version, released=released, page=page, archives=archives)
    except ValueError as error:
        raise NoRelease(f"No manifest can be made of this: {error}") from error
    write_file(folder / FILE_NAME, write_manifest(release, keys))
    write_file(folder / SUMS, _sums(release).encode())
    return verify(folder, [public_key_text(key) for key in keys])


def verify(folder: Path, keys: Sequence[str]) -> Release:
    """What the folder holds, if all of it is as it was signed by one of these keys.

    Raises:
        BadManifest, BadArchive: it is not.
    """
    try:
        with (folder / FILE_NAME).open("rb") as file:
            release = read_manifest(file.read(MAX_BYTES + 1), keys)
    except OSError as error:
        raise BadManifest(f"There is no {FILE_NAME} in {folder} that can be read: {error.strerror}.") from error
    for archive in release.archives:
        check_archive(folder / archive.name, archive)
    strangers = {path.name for path in folder.iterdir()} - {archive.name for archive in release.archives}
    if extra := sorted(strangers - {FILE_NAME, SUMS}):
        raise BadArchive(f"{', '.join(extra)} lies beside the release and is no part of it. Do not open it.")
    sums = folder / SUMS
    if not sums.is_file() or sums.read_bytes() != _sums(release).encode():
        raise BadArchive(f"{SUMS} does not say what the signed manifest says, so do not go by it.")
    return release


def _archives(folder: Path, version: str) -> Iterator[Archive]:
    """Raises NoRelease."""
    paths = sorted(path for path in folder.iterdir() if path.name not in (FILE_NAME, SUMS))
    if not paths:
        raise NoRelease(f"There is nothing in {folder} to release.")
    for path in paths:
        ending = next((ending for ending in _SYSTEMS if path.name.endswith(ending)), None)
        if ending is None or path.is_symlink() or not path.is_file():
            raise NoRelease(f"{path.name} is nothing to release; only archives may lie in {folder}.")
        if version not in re.split("[-_]", path.name.removesuffix(ending)):
            raise NoRelease(f"{path.name} is not of version {version}.")
        yield describe_archive(path, _SYSTEMS[ending])


def _sums(release: Release) -> str:
    """As `sha256sum -c` reads it."""
    return "".join(f"{archive.sha256}  {archive.name}\n" for archive in release.archives)


# The publisher's key


def new_key(file: Path, passphrase: str) -> str:
    """Makes a key, writes it readable by this user alone, and returns its public half.

    Raises:
        NoRelease: there is such a file.
    """
    _check_is_free(file)
    key = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    write_file(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), is_private=True)
    return public_key_text(key)


def _check_is_free(file: Path) -> None:
    if file.exists():
        raise NoRelease(f"{file} is there already, and a key that is overwritten is gone for good.")


def load_key(file: Path, ask: Callable[[str], str] = getpass.getpass) -> Ed25519PrivateKey:
    """Asks for its passphrase if it has one.

    Raises:
        NoRelease: it is no such key, or others can read it.
    """
    try:
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise NoRelease(f"{file} can be read by other users; run chmod 600 on it.")
        content = file.read_bytes()
        passphrase = ask(f"Passphrase of {file.name}: ").encode() if b"ENCRYPTED" in content else None
        key = load_pem_private_key(content, passphrase)
    except (OSError, ValueError, TypeError) as error:
        raise NoRelease(f"{file} cannot be used as the publisher's key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise NoRelease(f"{file} holds another kind of key; the publisher's is of Ed25519.")
    return key


def check_publisher(keys: Sequence[Ed25519PrivateKey]) -> None:
    """Raises NoRelease unless the program that is released would believe what these keys sign, and ask for it."""
    for name in ("MANIFEST_ADDRESS", "HOMEPAGE", "MAINTAINER"):
        if not getattr(publisher, name):
            raise NoRelease(f"volunteer/publisher.py does not say {name} yet.")
    unknown = [text for text in map(public_key_text, keys) if text not in publisher.RELEASE_KEYS]
    if unknown:
        raise NoRelease(f"volunteer/publisher.py does not know the public key {unknown[0]} (RELEASE_KEYS).")


# All of it


@dataclass
class Timed:
    """Steps with how long they took, told as they end."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began


def build_all(folder: Path, work: Path) -> Timed:
    """Builds what this system can build into an empty folder, and checks it.

    Raises:
        NoRelease: a step failed.
    """
    from installer.build import CannotBuild, build

    timed = Timed()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise NoRelease(f"{folder} is not empty: what lies there could end up in the release.")
    try:
        with timed.step("one-folder build"):
            program = build(work / "dist", work)
    except CannotBuild as error:
        raise NoRelease(str(error)) from error
    with timed.step("smoke suite on the built program"):
        _run(sys.executable, "installer/smoke.py", str(program))
    with timed.step("archives of this system"):
        pack(program, folder)
    with timed.step("installer checks"):
        _run(sys.executable, "-m", "pytest", "-q", "tests/installer", "-p", "no:cacheprovider")
    return timed


def pack(program: Path, folder: Path) -> None:
    """Makes the archives of this system out of the built program."""
    version = project_version(ROOT / "pyproject.toml")
    match sys.platform:
        case "linux":
            _run(sys.executable, "installer/linux/package.py", "--program", str(program), "--out", str(folder))
        case "darwin":
            app = program.parent / "Petals Volunteer.app"
            _run("installer/macos/make_dmg.sh", str(app), str(folder / f"petals-volunteer-{version}-macos-arm64.dmg"))
        case "win32":
            output = folder / f"petals-volunteer-{version}-windows-x64.exe"
            words = ["--staged", str(program), "--version", version, "--output", str(output)]
            sign_command = os.environ.get("SIGN_COMMAND")
            words += ["--sign-command", sign_command] if sign_command else []
            _run(sys.executable, "installer/windows/build.py", *words)


def _run(*command: str) -> None:
    """Raises NoRelease."""
    code = subprocess.run(command, cwd=ROOT).returncode
    if code:
        raise NoRelease(f"{' '.join(command)} ended with {code}.")


# The command


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "new-key":
                _new_key(options.file)
            case "verify":
                release = verify(options.folder, options.key or publisher.RELEASE_KEYS)
                _show(options.folder, release)
                print("All of it is as it was signed.")
            case "sign":
                _sign(options.folder, options)
            case "build":
                _show_times(build_all(options.folder, options.work))
            case _:
                timed = build_all(options.folder, options.work)
                with timed.step("signing and verifying"):
                    _sign(options.folder, options)
                _show_times(timed)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="release.py [COMMAND] [...]"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    make_all = commands.add_parser("all", help="build, check, sign and verify (the default)")
    build = commands.add_parser("build", help="build and check, without signing")
    signing = commands.add_parser("sign", help="sign a folder of archives")
    verifying = commands.add_parser("verify", help="check a folder of archives")
    making_key = commands.add_parser("new-key", help="make the publisher's key")
    default_folder, default_work = ROOT / "dist" / "release", ROOT / "build"
    for command in (make_all, build):
        command.add_argument("--folder", type=Path, default=default_folder, help="for the archives; empty or new")
        command.add_argument("--work", type=Path, default=default_work)
    for command in (signing, verifying):
        command.add_argument("folder", type=Path)
    for command in (make_all, signing):
        command.add_argument("--key", type=Path, action="append", help="the publisher's key; more than one may sign")
        command.add_argument("--page", default=_NOWHERE, help="https:// address where people read about this version")
    verifying.add_argument("--key", action="append", metavar="HEX", help="public keys (default: the program's)")
    making_key.add_argument("file", type=Path)
    parser.set_defaults(folder=default_folder, work=default_work, key=None, page=_NOWHERE)
    return parser


def _new_key(file: Path) -> None:
    _check_is_free(file)
    passphrase = getpass.getpass("Passphrase for the new key: ")
    if not passphrase or getpass.getpass("Again: ") != passphrase:
        raise NoRelease("A key needs a passphrase, the same one twice.")
    print(f"Made {file}: keep it, and a copy elsewhere, where nobody else can read it.")
    print(f"Its public half belongs into RELEASE_KEYS of volunteer/publisher.py:\n{new_key(file, passphrase)}")


def _sign(folder: Path, options: argparse.Namespace) -> None:
    if options.key:
        if options.page == _NOWHERE:
            raise NoRelease("Say with --page where people read about this version.")
        keys = [load_key(file) for file in options.key]
        check_publisher(keys)
    else:
        keys = [Ed25519PrivateKey.generate()]
    version = project_version(ROOT / "pyproject.toml")
    release = sign(folder, keys, version=version, released=datetime.now(UTC).date(), page=options.page)
    _show(folder, release)
    if not options.key:
        print(f"{_REHEARSAL}\nIts public half, for verify --key: {public_key_text(keys[0])}")


def _show(folder: Path, release: Release) -> None:
    print(f"Version {release.version} of {release.released}, {release.page}, in {folder}:")
    for archive in release.archives:
        print(f"  {archive.bytes / 1e6:>8.1f} MB  {archive.system:<8} {archive.name}")


def _show_times(timed: Timed) -> None:
    print("\nTimes:")
    for name, seconds in timed.seconds.items():
        print(f"  {seconds:>7.1f} s  {name}")


if __name__ == "__main__":
    raise SystemExit(main())
