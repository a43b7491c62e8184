"""The scripts for macOS, run on Linux beside stand-ins for Apple's tools. Nobody has run them on a Mac."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "installer" / "macos"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
MACH_O = bytes.fromhex("cffaedfe") + b"\0" * 28
STAND_IN = r"""#!/bin/bash
name=$(basename "$0")
printf '%s' "$name" >>"$CALLS"; printf '\t%s' "$@" >>"$CALLS"; printf '\n' >>"$CALLS"
case "$name" in
file) [ "$(head -c 4 "${@: -1}" | od -An -tx1 | tr -d ' ')" = cffaedfe ] && echo "Mach-O 64-bit arm64" || echo data ;;
ditto) [ "$1" = -c ] && touch "${@: -1}" || cp -R "$1" "$2" ;;
hdiutil) [ "$1" != create ] || touch "${@: -1}" ;;
xcrun) [ "$1 $2" != "notarytool submit" ] || cat "$NOTARY_ANSWER" ;;
esac
"""

pytestmark = pytest.mark.skipif(os.name != "posix" or not Path("/bin/bash").exists(), reason="bash is not here")


@dataclass(frozen=True)
class Mac:
    """A folder with a bundle, and Apple's tools as programs that write down how they were called."""

    folder: Path

    @property
    def app(self) -> Path:
        return self.folder / "Petals Volunteer.app"

    @property
    def dmg(self) -> Path:
        return self.folder / "petals-volunteer-1.2.0-macos-arm64.dmg"

    def run(self, script: str, *arguments: Path, answer: str = "Accepted", **environment: str) -> str:
        (self.folder / "answer").write_text(f'{{"id": "1234-abcd", "status": "{answer}"}}\n')
        done = subprocess.run(
            [FOLDER / script, *arguments],
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "CALLS": str(self.folder / "calls"),
                "NOTARY_ANSWER": str(self.folder / "answer"),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0 or answer != "Accepted", done.stdout
        return f"{done.stdout}exit code {done.returncode}"

    def calls(self, tool: str) -> list[list[str]]:
        calls = [line.split("\t") for line in (self.folder / "calls").read_text().splitlines()]
        return [call[1:] for call in calls if call[0] == tool]


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    mac = Mac(tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in ("codesign", "ditto", "file", "hdiutil", "spctl", "xcrun"):
        (tmp_path / "bin" / tool).write_text(STAND_IN)
        (tmp_path / "bin" / tool).chmod(0o755)
    for name, content in {
        "MacOS/volunteer": MACH_O,
        "Frameworks/libtorch_cpu.dylib": MACH_O,
        "Frameworks/hivemind/hivemind_cli/p2pd": MACH_O,
        "Resources/resources/changelog.md": b"# What is new",
        "Info.plist": b"",
    }.items():
        (mac.app / "Contents" / name).parent.mkdir(parents=True, exist_ok=True)
        (mac.app / "Contents" / name).write_bytes(content)
    # As PyInstaller does, so that both folders seem whole.
    (mac.app / "Contents" / "Resources" / "hivemind").symlink_to("../Frameworks/hivemind")
    return mac


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not here: install shellcheck")
def test_shellcheck_finds_nothing() -> None:
    assert len(SCRIPTS) == 2
    found = subprocess.run(["shellcheck", *SCRIPTS], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_all_that_runs_is_signed_once_and_the_bundle_last(mac: Mac) -> None:
    said = mac.run("sign_app.sh", mac.app, SIGNING_IDENTITY="Developer ID Application: Somebody (TEAM)")
    *inside, bundle, verification = mac.calls("codesign")
    contents = mac.app / "Contents"
    assert {call[-1] for call in inside} == {
        str(contents / "Frameworks/libtorch_cpu.dylib"),
        str(contents / "Frameworks/hivemind/hivemind_cli/p2pd"),
    }
    assert len(inside) == 2 and "Signed 2 libraries and programs inside." in said
    for call in (*inside, bundle):
        assert " ".join(call[:4]) == "--force --options runtime --timestamp"
        assert "Developer ID Application: Somebody (TEAM)" in call
    assert bundle[-1] == str(mac.app) and "--entitlements" in bundle
    assert not any("--entitlements" in call for call in inside)
    assert verification[0] == "--verify"


def test_without_an_identity_it_says_that_other_macs_refuse(mac: Mac) -> None:
    said = mac.run("make_dmg.sh", mac.app, mac.dmg)
    assert "other Macs will refuse this app" in said and "Not notarised" in said
    assert not mac.calls("xcrun")
    assert all("--timestamp" not in call for call in mac.calls("codesign"))
    assert mac.dmg.exists()


def test_app_and_image_are_notarised_and_carry_their_tickets(mac: Mac) -> None:
    mac.run("make_dmg.sh", mac.app, mac.dmg, SIGNING_IDENTITY="Developer ID", NOTARY_PROFILE="publisher")
    verbs = [call[:2] for call in mac.calls("xcrun")]
    assert verbs == [["notarytool", "submit"], ["stapler", "staple"]] * 2
    assert [call[2] for call in mac.calls("xcrun") if call[0] == "stapler"] == [str(mac.app), str(mac.dmg)]
    assert mac.calls("codesign")[-1][-1] == str(mac.dmg)


def test_what_apple_refuses_is_no_release(mac: Mac) -> None:
    said = mac.run(
        "make_dmg.sh", mac.app, mac.dmg, answer="Invalid", SIGNING_IDENTITY="Developer ID", NOTARY_PROFILE="publisher"
    )
    assert "Apple did not notarise" in said and said.endswith("exit code 1")
    assert ["notarytool", "log", "1234-abcd", "--keychain-profile", "publisher"] in mac.calls("xcrun")
    assert not mac.dmg.exists()


def test_notarising_without_signing_is_refused_before_anything_is_done(mac: Mac) -> None:
    said = mac.run("make_dmg.sh", mac.app, mac.dmg, answer="", NOTARY_PROFILE="publisher")
    assert "Apple notarises only what is signed" in said and said.endswith("exit code 2")
    assert not (mac.folder / "calls").exists()


def test_the_property_lists_are_read_as_meant() -> None:
    info = plistlib.loads((FOLDER / "info.plist").read_bytes())
    assert info["LSMinimumSystemVersion"] == "14.0"
    assert all(isinstance(info[name], str) and info[name] for name in ("NSLocalNetworkUsageDescription",))
    entitlements = plistlib.loads((FOLDER / "entitlements.plist").read_bytes())
    # Each one is a hole in the hardened runtime: no more than these.
    assert entitlements == {
        "com.apple.security.cs.allow-jit": True,
        "com.apple.security.cs.allow-unsigned-executable-memory": True,
    }
