"""The Linux packages, made of a stand-in for the built program, as Debian's and the desktops' own tools see them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from installer.linux.appstream import PICTURES, metainfo
from installer.linux.changes import changes_of, debian_changelog
from installer.linux.libraries import UnknownLibrary, depends, needed_libraries, newest_c_library, packages_of
from installer.linux.manual import manual
from installer.linux.package import package
from volunteer.cli import _parser
from volunteer.service import MARK, STATE_DIR, Kind, unit_text

pytest.importorskip("PySide6", reason="PySide6 draws the icons")

LINUX = Path(__file__).resolve().parents[2] / "installer" / "linux"
PROGRAM = "/opt/petals-volunteer/volunteer"


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name} here: see installer/build-tools.txt")
    return path


def output_of(*command: str | Path, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == code, done.stdout
    return done.stdout


# What desktops and systemd read


def test_the_menu_entry_is_valid_and_its_actions_are_commands_that_there_are() -> None:
    entry = LINUX / "petals-volunteer.desktop"
    assert output_of(tool("desktop-file-validate"), entry) == ""
    for command in re.findall(r"^Exec=volunteer ?(.*)$", entry.read_text(encoding="utf-8"), re.MULTILINE):
        assert _parser().parse_args(command.split()).command == (command or None)


@pytest.mark.parametrize("homepage", ["", "https://volunteer.example.org"])
def test_software_centres_accept_the_page(tmp_path: Path, homepage: str) -> None:
    page = tmp_path / "io.github.petals_volunteer.petals_volunteer.metainfo.xml"
    page.write_text(metainfo("0.1.0", homepage), encoding="utf-8")
    output_of(tool("appstreamcli"), "validate", "--no-net", "--pedantic", page)


def test_every_picture_that_the_page_names_is_there() -> None:
    page = metainfo("0.1.0", "https://volunteer.example.org/")
    for name in PICTURES:
        assert f"https://volunteer.example.org/screenshots/{name}" in page
        assert (LINUX / "screenshots" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("kind", "scope"), [(Kind.USER, ["--user"]), (Kind.SYSTEM, [])])
def test_systemd_accepts_the_shipped_units_which_are_not_ours_to_remove(
    tmp_path: Path, kind: Kind, scope: list[str]
) -> None:
    unit = tmp_path / "petals-volunteer.service"
    text = unit_text(kind, (PROGRAM, "--no-gui"))
    assert MARK not in text
    unit.write_text(text.replace(PROGRAM, str(Path("/bin/true").resolve())), encoding="utf-8")
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    command = [tool("systemd-analyze"), *scope, "verify", "--man=no", str(unit)]
    said = output_of(*command, XDG_RUNTIME_DIR=str(runtime))
    assert [line for line in said.splitlines() if "petals-volunteer" in line] == []


def test_the_manual_has_every_command_and_is_set_without_a_warning(tmp_path: Path) -> None:
    page = tmp_path / "volunteer.1"
    page.write_text(manual(_parser(), "0.1.0", "2026-11-27"), encoding="utf-8")
    text = output_of(tool("man"), "--warnings", "-l", page, MANWIDTH="120", LC_ALL="C.UTF-8", MANPAGER="cat")
    assert "warning" not in text
    for verb in ("demo", "pause", "points", "--no-gui", "EXIT STATUS"):
        assert verb in text
    assert "hardware" not in text.split("OPTIONS")[0]


@pytest.mark.parametrize("script", ["install.sh", "debian/postinst", "debian/prerm", "debian/postrm"])
def test_the_shell_scripts_have_nothing_that_shellcheck_minds(script: str) -> None:
    output_of(tool("shellcheck"), "--exclude=SC1091", LINUX / script)


# The .deb


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that ends well, in the shape of the built one."""
    folder = tmp_path_factory.mktemp("built") / "petals-volunteer"
    (folder / "_internal" / "licences").mkdir(parents=True)
    shutil.copy(tool("true"), folder / "volunteer")
    (folder / "_internal" / "licences" / "README.txt").write_text("What it is made of.\n")
    (folder / "_internal" / "link").symlink_to("licences")
    return folder


@pytest.fixture(scope="session")
def deb(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("dpkg-deb", "readelf"):
        tool(name)
    (made,) = package(built, tmp_path_factory.mktemp("out"), only="deb")
    return made


def test_the_package_declares_what_the_program_asks_for(deb: Path, built: Path) -> None:
    field = output_of("dpkg-deb", "--field", deb, "Depends").strip()
    assert field == f"ca-certificates, debconf (>= 0.5) | debconf-2.0, libc6 (>= {newest_c_library(built)})"
    assert output_of("dpkg-deb", "--field", deb, "Package").strip() == "petals-volunteer"


def test_what_the_package_lays_where(deb: Path) -> None:
    lines = output_of("dpkg-deb", "--contents", deb).splitlines()
    modes = {line.split(maxsplit=5)[5].partition(" -> ")[0]: line.split()[0] for line in lines}
    owners = {line.split()[1] for line in lines}
    assert owners == {"root/root"}
    assert modes["./opt/petals-volunteer/volunteer"] == "-rwxr-xr-x"
    assert modes["./usr/bin/volunteer"].startswith("l")
    for name in (
        "./usr/share/applications/petals-volunteer.desktop",
        "./usr/share/metainfo/io.github.petals_volunteer.petals_volunteer.metainfo.xml",
        "./usr/share/icons/hicolor/scalable/apps/petals-volunteer.svg",
        "./usr/share/icons/hicolor/256x256/apps/petals-volunteer.png",
        "./usr/share/man/man1/volunteer.1.gz",
        "./usr/share/bash-completion/completions/volunteer",
        "./usr/share/doc/petals-volunteer/copyright",
        "./usr/lib/systemd/user/petals-volunteer.service",
        "./usr/lib/systemd/system/petals-volunteer.service",
    ):
        assert modes[name] == "-rw-r--r--"
    # Nothing is enabled, and nothing starts at login.
    assert not [name for name in modes if ".wants/" in name or "/autostart/" in name or name.startswith("./etc")]


def test_the_system_service_keeps_its_files_where_the_scripts_look() -> None:
    assert f"StateDirectory={STATE_DIR.name}\n" in unit_text(Kind.SYSTEM, (PROGRAM,))
    assert str(STATE_DIR) in (LINUX / "debian" / "postrm").read_text(encoding="utf-8")


def test_lintian_finds_no_error(deb: Path) -> None:
    said = output_of(tool("lintian"), "--allow-root", "--fail-on", "error", deb)
    assert "E: " not in said


# Libraries


def test_a_library_that_no_package_is_known_of_ends_the_packaging_in_words() -> None:
    with pytest.raises(UnknownLibrary, match=r"libodd\.so\.7 by lib/asks\.so"):
        packages_of({"libc.so.6": ["volunteer"], "libodd.so.7": ["lib/asks.so"]})


def test_only_libraries_that_the_program_does_not_bring_are_needed(tmp_path: Path) -> None:
    tool("readelf")
    shutil.copy(tool("true"), tmp_path / "volunteer")
    assert set(needed_libraries(tmp_path)) >= {"libc.so.6"}
    (tmp_path / "libc.so.6").touch()
    assert "libc.so.6" not in needed_libraries(tmp_path)


def test_the_c_library_is_wanted_in_a_version() -> None:
    assert depends({"libc.so.6": ["a"], "libm.so.6": ["a"]}, "2.35", ["ca-certificates"]) == (
        "ca-certificates, libc6 (>= 2.35)"
    )


# What is new


def test_points_of_a_version_are_read_whole_and_no_others() -> None:
    text = "# What is new\n\n## 0.2.0\n\nWords.\n\n- One\n  goes on.\n- Two\n\n## 0.1.0\n\n- Old\n"
    assert changes_of("0.2.0", text) == ["One goes on.", "Two"]
    assert changes_of("0.1.0", text) == ["Old"]
    assert changes_of("0.0.9", text) == []


def test_debians_changelog_is_of_the_commit_that_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795744800")
    text = debian_changelog("9.9.9", "A Name <a@b.org>")
    assert text.startswith("petals-volunteer (9.9.9) stable; urgency=medium\n\n  * ")
    assert text.endswith(" -- A Name <a@b.org>  Fri, 27 Nov 2026 02:00:00 +0000\n")


# The archive for one user


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """As the archive unpacks, with a program of a few lines."""
    folder = tmp_path / "petals-volunteer-0.1.0"
    (folder / "program" / "_internal").mkdir(parents=True)
    program = folder / "program" / "volunteer"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 0.1.0\nexit 0\n')
    program.chmod(0o755)
    icon = folder / "share" / "icons" / "hicolor" / "48x48" / "apps" / "petals-volunteer.png"
    icon.parent.mkdir(parents=True)
    icon.touch()
    for name in ("install.sh", "petals-volunteer.desktop"):
        shutil.copy(LINUX / name, folder / name)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home of a & b"
    (home / ".local" / "share" / "petals-volunteer").mkdir(parents=True)
    (home / ".local" / "share" / "petals-volunteer" / "ledger.sqlite").write_text("points")
    (home / ".local" / "share" / "icons" / "hicolor" / "48x48" / "apps").mkdir(parents=True)
    (home / ".local" / "share" / "icons" / "hicolor" / "48x48" / "apps" / "other.png").touch()
    return home


Install = Callable[..., str]


@pytest.fixture
def systemctl(tmp_path: Path) -> Path:
    """The folder of a stand-in that knows one service, whose process is in `pid`, and writes down what it is told."""
    folder = tmp_path / "systemd"
    folder.mkdir()
    (folder / "pid").write_text("0")
    (folder / "told").touch()
    stand_in = folder / "systemctl"
    stand_in.write_text(
        "#!/bin/sh\n"
        'here=$(dirname "$0")\n'
        'case "$*" in\n'
        '"--user show --property=MainPID --value petals-volunteer.service") cat "$here/pid" ;;\n'
        '"--user stop petals-volunteer.service") kill "$(cat "$here/pid")" ;;\n'
        "esac\n"
        'echo "$2 by $(readlink "$HOME/.local/opt/petals-volunteer/version" || echo nobody)" >>"$here/told"\n'
    )
    stand_in.chmod(0o755)
    return folder


@pytest.fixture
def install(home: Path, unpacked: Path, systemctl: Path) -> Install:
    def run(*words: str, code: int = 0, script: Path | None = None) -> str:
        environment = {"HOME": str(home), "XDG_DATA_HOME": "", "PATH": f"{systemctl}:/usr/bin:/bin"}
        return output_of("/bin/sh", script or unpacked / "install.sh", *words, code=code, **environment)

    return run


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_a_user_installs_upgrades_and_removes_it_without_an_administrator(home: Path, install: Install) -> None:
    before = files_below(home)

    said = install()
    assert "0.1.0 is installed" in said
    assert output_of(home / ".local/bin/volunteer", "--version").strip() == "0.1.0"
    once = files_below(home)
    install()
    assert files_below(home) == once

    said = install("--uninstall", script=home / ".local/opt/petals-volunteer/install.sh")
    assert "stay in" in said
    assert files_below(home) == before


@pytest.fixture
def running(home: Path, unpacked: Path, install: Install) -> Iterator[subprocess.Popen[bytes]]:
    """The installed program, of version 1, at work; the archive is of version 2 by now."""
    shutil.copy(tool("sleep"), unpacked / "program" / "volunteer")
    version = unpacked / "program" / "version"
    version.symlink_to("1")
    install()
    version.unlink()
    version.symlink_to("2")
    process = subprocess.Popen([home / ".local/opt/petals-volunteer/volunteer", "300"])
    threading.Thread(target=process.wait, daemon=True).start()  # a zombie would count as running
    yield process
    process.kill()


def test_a_service_goes_on_with_the_new_version(
    running: subprocess.Popen[bytes], systemctl: Path, install: Install
) -> None:
    (systemctl / "pid").write_text(str(running.pid))
    (systemctl / "told").write_text("")
    install()
    assert (systemctl / "told").read_text().splitlines() == ["show by 1", "stop by 1", "start by 2"]


def test_the_service_of_another_installation_is_let_alone(
    running: subprocess.Popen[bytes], systemctl: Path, install: Install
) -> None:
    (systemctl / "pid").write_text(str(os.getpid()))
    (systemctl / "told").write_text("")
    assert "is being ended" in install()
    assert (systemctl / "told").read_text().splitlines() == ["show by 1"]
    assert running.wait(timeout=10) != 0


@pytest.mark.parametrize("empty", ["", ".local/bin", ".local/opt", ".local/share/applications"])
def test_removal_leaves_folders_that_were_there_and_no_others(home: Path, install: Install, empty: str) -> None:
    (home / empty).mkdir(parents=True, exist_ok=True)
    before = set(home.rglob("*"))
    install()
    install()  # what the first one made is still ours
    install("--uninstall", script=home / ".local/opt/petals-volunteer/install.sh")
    assert set(home.rglob("*")) == before


def test_removal_leaves_folders_that_somebody_else_uses_by_now(home: Path, install: Install) -> None:
    install()
    other = home / ".local/bin/other"
    other.touch()
    install("--uninstall", script=home / ".local/opt/petals-volunteer/install.sh")
    assert other.exists()
    assert not (home / ".local/opt").exists()


def test_the_menu_entry_starts_the_program_by_its_whole_path(home: Path, install: Install) -> None:
    install()
    entry = home / ".local/share/applications/petals-volunteer.desktop"
    place = home / ".local/opt/petals-volunteer/volunteer"
    text = entry.read_text(encoding="utf-8")
    assert f'Exec="{place}"\n' in text
    assert f'Exec="{place}" pause\n' in text
    assert f"TryExec={place}\n" in text
    output_of(tool("desktop-file-validate"), entry)


def test_a_command_of_somebody_else_stays_as_it_is(home: Path, install: Install) -> None:
    other = home / ".local/bin/volunteer"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    assert "is not ours" in install(code=1)
    assert other.read_text() == "mine"
    assert not (home / ".local/opt").exists()


def test_removing_what_is_not_there_says_so(install: Install) -> None:
    assert "is not installed" in install("--uninstall", code=1)
