"""The installer for Windows: compiled by NSIS, and run in Wine where there is one. It has not been run on Windows."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "installer" / "windows"
CURRENT_VERSION = r"HKCU\Software\Microsoft\Windows\CurrentVersion"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"windows_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load("build")
needs_nsis = pytest.mark.skipif(shutil.which("makensis") is None, reason="makensis is not here: install nsis")


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """A folder in the shape of a build for Windows."""
    folder = tmp_path / "build for Windows"
    (folder / "_internal" / "resources").mkdir(parents=True)
    for name in (*build.PROGRAMS, "_internal/python312.dll", "_internal/resources/LICENSE"):
        (folder / name).write_text(name)
    return folder


@needs_nsis
def test_it_compiles_without_a_warning(staged: Path, tmp_path: Path) -> None:
    output = tmp_path / "petals-volunteer-1.2.0-setup.exe"
    build.build_installer(staged, "1.2.0", output)
    assert output.read_bytes()[:2] == b"MZ"


@needs_nsis
def test_a_warning_is_a_failure(staged: Path, tmp_path: Path) -> None:
    output = tmp_path / "setup.exe"  # a name under which Windows loads what lies beside it
    with pytest.raises(build.NotBuilt, match="Insecure filename"):
        build.build_installer(staged, "1.2.0", output)
    assert not output.exists()


@needs_nsis
def test_programs_installer_and_uninstaller_are_signed_where_there_is_a_command_and_no_library(
    staged: Path, tmp_path: Path
) -> None:
    signed, output = tmp_path / "signed", tmp_path / "petals-volunteer.exe"
    build.build_installer(staged, "1.2.0", output, sign_command=f"echo >> '{signed}'")
    programs, others = signed.read_text().splitlines()[:2], signed.read_text().splitlines()[2:]
    assert programs == [str(staged / name) for name in build.PROGRAMS]  # before they are packed
    assert len(others) == 2 and str(output) in others


@needs_nsis
@pytest.mark.parametrize("refused", ["volunteer.exe", "petals-volunteer.exe"])
def test_what_cannot_be_signed_is_not_built(staged: Path, tmp_path: Path, refused: str) -> None:
    output = tmp_path / "petals-volunteer.exe"
    signer = tmp_path / "signer"
    signer.write_text(f'#!/bin/sh\n[ "$(basename "$1")" != {refused} ]\n')
    signer.chmod(0o755)
    with pytest.raises(build.NotBuilt):
        build.build_installer(staged, "1.2.0", output, sign_command=f"'{signer}'")
    assert not output.exists()


def test_a_build_that_is_not_for_windows_is_told(tmp_path: Path) -> None:
    (tmp_path / "volunteer").write_text("for Linux")
    with pytest.raises(build.NotBuilt, match=r"no build for Windows: Petals Volunteer\.exe, volunteer\.exe, _internal"):
        build.build_installer(tmp_path, "1.2.0", tmp_path / "petals-volunteer.exe")


def test_installer_and_text_say_plainly_what_works() -> None:
    script = build.SCRIPT.read_text(encoding="utf-8")
    assert "Windows itself cannot serve blocks of a model" in script
    assert "beta" in script
    assert "RequestExecutionLevel user" in script
    assert "CurrentVersion\\Run" not in script  # nothing starts by itself
    wsl2 = build.TEXTS["Serving through WSL2.txt"].read_text(encoding="utf-8")
    assert "This way is a beta" in wsl2


# In Wine


@dataclass(frozen=True)
class Wine:
    """Windows programs run in it, on a disk of its own."""

    prefix: Path
    server: str
    display: str

    def run(self, *command: str | Path, code: int = 0) -> str:
        """Waits until the program and all that it started have ended; returns what it said."""
        words = ["wine", *map(str, command)]
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=120)
        subprocess.run([self.server, "-w"], env=self.environment, timeout=120, check=True)
        assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        # Without the overrides it would offer to download what .NET and web pages need.
        own = {"WINEPREFIX": str(self.prefix), "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}
        return os.environ | own | {"DISPLAY": self.display}

    @property
    def local(self) -> Path:
        [local] = (self.prefix / "drive_c" / "users").glob("*/AppData/Local")
        return local


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """One screen for all: an uninstaller goes on in a copy of itself after the one that was started has ended."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Wine wants a display: apt-get install xvfb")
    ours, theirs = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(theirs), "-nolisten", "tcp"], pass_fds=(theirs,), stderr=subprocess.DEVNULL
    )
    os.close(theirs)
    with os.fdopen(ours) as number:
        yield f":{number.readline().strip()}"
    screen.terminate()
    screen.wait()


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Wine]:
    if not os.environ.get("VOLUNTEER_TEST_WINE"):
        pytest.skip("Takes a minute: VOLUNTEER_TEST_WINE=1 runs the installer in Wine")
    server = shutil.which("wineserver") or shutil.which("wineserver-stable")
    if shutil.which("wine") is None or server is None:
        pytest.skip("Wine is not here: apt-get install wine wine64 runs the installer in it")
    wine = Wine(tmp_path_factory.mktemp("wine"), server, request.getfixturevalue("display"))
    try:
        wine.run("wineboot", "-i")
        wine.run("winecfg", "-v", "win10")
        yield wine
    finally:
        subprocess.run([server, "-k"], env=wine.environment, timeout=60)


@pytest.fixture
def setup(staged: Path, tmp_path: Path) -> Path:
    if shutil.which("makensis") is None:
        pytest.skip("makensis is not here: install nsis")
    output = tmp_path / "petals-volunteer-setup-for-wine.exe"
    # Debian's Wine for amd64 runs 64-bit programs only; the released installer is a 32-bit one that runs everywhere.
    build.build_installer(staged, "1.2.0", output, more_options=["-XTarget amd64-unicode"])
    return output


def names_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_it_installs_upgrades_and_leaves_what_is_the_owners(wine: Wine, setup: Path) -> None:
    program, data = wine.local / "Programs" / "Petals Volunteer", wine.local / "petals-volunteer"
    installed = {*build.PROGRAMS, *build.TEXTS, "uninstall-petals-volunteer.exe"}
    installed |= {"_internal/python312.dll", "_internal/resources/LICENSE"}

    wine.run(setup, "/S")
    assert names_below(program) == installed
    assert "1.2.0" in wine.run("reg", "query", rf"{CURRENT_VERSION}\Uninstall\petals-volunteer")
    assert "etals" not in wine.run("reg", "query", rf"{CURRENT_VERSION}\Run")
    [link] = wine.local.parent.glob("Roaming/Microsoft/Windows/Start Menu/Programs/Petals Volunteer.lnk")

    # An older build had a file that this one has not; the owner put one of their own there.
    (program / "_internal" / "of-an-older-version.dll").write_text("old")
    (program / "mine.txt").write_text("mine")
    (data / "models").mkdir(parents=True)
    (data / "settings.json").write_text("{}")
    (data / "models" / "blocks").write_text("blocks")
    wine.run(setup, "/S")
    assert names_below(program) == installed | {"mine.txt"}
    assert names_below(data) == {"settings.json", "models/blocks"}

    wine.run(program / "uninstall-petals-volunteer.exe", "/S")
    assert not link.exists()
    assert names_below(program) == {"mine.txt"}
    assert names_below(data) == {"settings.json", "models/blocks"}
    wine.run("reg", "query", r"HKCU\Software\petals-volunteer", code=1)


def test_the_folder_of_another_program_is_left_alone(wine: Wine, setup: Path) -> None:
    other = wine.prefix / "drive_c" / "another"
    (other / "_internal").mkdir(parents=True)
    (other / "_internal" / "theirs.dll").write_text("theirs")
    wine.run(setup, "/S", r"/D=C:\another", code=4)
    assert names_below(other) == {"_internal/theirs.dll"}
