"""The files as the real tools read them: systemd-analyze, desktop-file-validate, gio, plistlib, sh."""

import io
import json
import os
import plistlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from volunteer.errors import ConfigurationError, ExitCode, UserError
from volunteer.service import (
    MARK,
    NAME,
    Kind,
    NoPermission,
    Places,
    Program,
    Run,
    carry_out,
    default_kind,
    describe,
    file_of,
    find,
    install,
    plan_install,
    plan_remove,
    remove,
    this_program,
)

AWKWARD = ("two words", "100% sure", "$HOME ${HOME} `id`", "q\"uo'te", "back\\slash", ";", "", "größe")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path, tmp_path / ".config", uid=1000, system_units=tmp_path / "etc")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Writes its arguments to a file; its own path is as awkward as they are."""
    folder = tmp_path / "a b%h$HOME=;"
    folder.mkdir()
    path = folder / "vol unteer"
    path.write_text(
        f"#!{sys.executable}\nimport json, sys\nopen({str(tmp_path / 'argv')!r}, 'w').write(json.dumps(sys.argv))\n"
    )
    path.chmod(0o755)
    return Program((str(path),), (folder,))


class FakeRun:
    """Remembers the commands, and fails those that it is told to."""

    def __init__(self, *failing: str) -> None:
        self.commands: list[str] = []
        self._failing = failing

    def __call__(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        self.commands.append(" ".join(command))
        failed = any(word in command for word in self._failing)
        return subprocess.CompletedProcess(command, int(failed), "", "the bus is down\n" if failed else "")


def text(kind: Kind, places: Places, program: Program, arguments: Sequence[str] = ("--no-gui",)) -> str:
    return plan_install(kind, program, places, {}, arguments=arguments).write[0].text


def installed(kind: Kind, places: Places, program: Program, run: Run) -> Path:
    carry_out(plan_install(kind, program, places, find(kind, places)), run)
    return file_of(kind, places)


def tool(name: str) -> str:
    return shutil.which(name) or pytest.skip(f"{name} is not installed")


# As the tools read them


@pytest.mark.parametrize("kind", [Kind.USER, Kind.SYSTEM])
def test_systemd_finds_nothing_wrong_with_the_units(
    kind: Kind, places: Places, program: Program, tmp_path: Path
) -> None:
    unit = installed(kind, places, program, FakeRun())
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    scope = ["--user"] if kind is Kind.USER else []
    checked = subprocess.run(
        [tool("systemd-analyze"), *scope, "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_RUNTIME_DIR": str(runtime)},
    )

    assert [line for line in checked.stderr.splitlines() if NAME in line] == []
    assert checked.returncode == 0, checked.stderr


def test_systemd_finds_the_program_by_its_awkward_path_and_misses_one_that_is_gone(
    places: Places, program: Program
) -> None:
    unit = installed(Kind.SYSTEM, places, program, FakeRun())
    Path(program.command[0]).unlink()

    checked = subprocess.run([tool("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True)

    assert f"Command {program.command[0]} is not executable" in checked.stderr


def test_systemd_rates_the_system_unit_as_well_protected(places: Places, program: Program) -> None:
    unit = installed(Kind.SYSTEM, places, program, FakeRun())

    rated = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=yes", "--threshold=40", str(unit)],
        capture_output=True,
        text=True,
    )

    assert rated.returncode == 0, rated.stdout[-400:] + rated.stderr


def test_words_of_a_unit_are_quoted_with_every_special_character_out_of_force(places: Places, program: Program) -> None:
    # Seen with a real user manager (systemd 252): after the colon, words with spaces, %%, $, ${}, an escaped quote and
    # backslash, a quoted semicolon and an accent reached the program as they are meant here.
    exec_start = next(
        line for line in text(Kind.USER, places, Program(("/p",), ()), AWKWARD).splitlines() if line.startswith("Exec")
    )

    assert exec_start == (
        'ExecStart=:/p "two words" "100%% sure" "$HOME ${HOME} `id`" "q\\"uo\'te" "back\\\\slash" ";" "" größe'
    )


def test_desktops_start_the_program_with_the_words_meant(places: Places, program: Program, tmp_path: Path) -> None:
    entry = tmp_path / "x.desktop"
    entry.write_text(text(Kind.AUTOSTART, places, program, AWKWARD), encoding="utf-8")

    subprocess.run([tool("desktop-file-validate"), str(entry)], check=True)
    os.mkfifo(tmp_path / "argv")  # gio does not wait for what it starts; reading from a pipe does
    subprocess.run([tool("gio"), "launch", str(entry)], check=True, timeout=20)

    assert json.loads((tmp_path / "argv").read_text()) == [*program.command, *AWKWARD]


def test_the_plist_is_read_back_as_it_was_meant(places: Places, program: Program) -> None:
    agent = plistlib.loads(text(Kind.LAUNCHD, places, program, AWKWARD).encode())

    assert agent["ProgramArguments"][:2] == ["/bin/sh", "-c"]
    assert agent["ProgramArguments"][3:] == [NAME, *program.command, *AWKWARD]
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["Umask"] == 0o077


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
@pytest.mark.parametrize(("code", "told"), [(0, 0), (1, 1), (2, 0), (69, 69), (77, 0), (78, 0), (97, 0), (143, 0)])
def test_launchd_is_told_which_ends_are_final(shell: str, code: int, told: int, places: Places) -> None:
    agent = plistlib.loads(text(Kind.LAUNCHD, places, Program(("/bin/sh",), ()), ("-c", f"exit {code}")).encode())
    command = [tool(shell), *agent["ProgramArguments"][1:]]

    assert subprocess.run(command).returncode == told


def test_launchds_signal_reaches_the_program_and_its_end_is_awaited(places: Places) -> None:
    script = "import signal, sys, time\n" + (
        "def end(*_):\n    print('goodbye', flush=True)\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up', flush=True)\ntime.sleep(60)"
    )
    agent = plistlib.loads(text(Kind.LAUNCHD, places, Program((sys.executable,), ()), ("-c", "S")).encode())
    words = [script if word == "S" else word for word in agent["ProgramArguments"]]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)

        assert process.stdout.read() == "goodbye\n"
        assert process.wait(20) == 0


# What plans say


@pytest.mark.parametrize("folder", ["/Volumes/Petals Volunteer", "/private/var/folders/zz/x/T/AppTranslocation/12AB/d"])
def test_an_app_that_was_not_moved_to_its_place_does_not_start_at_login(folder: str, places: Places) -> None:
    program = Path(folder, "Petals Volunteer.app", "Contents", "MacOS", "volunteer")
    with pytest.raises(ConfigurationError, match="Move Petals Volunteer into the Applications folder"):
        plan_install(Kind.LAUNCHD, Program((str(program),), (program.parent,)), places, {})


@pytest.mark.parametrize("kind", list(Kind))
def test_what_was_installed_is_removed_and_nothing_else(kind: Kind, places: Places, program: Program) -> None:
    places.home.joinpath("before").touch()
    before = {path for path in places.home.rglob("*") if not path.is_dir()}
    path = installed(kind, places, program, FakeRun())
    assert path.stat().st_mode & 0o777 == 0o644

    carry_out(plan_remove(kind, places, find(kind, places)), FakeRun())

    assert {path for path in places.home.rglob("*") if not path.is_dir()} == before
    assert plan_remove(kind, places, find(kind, places)).is_empty


@pytest.mark.parametrize("kind", list(Kind))
def test_a_second_installation_writes_nothing_and_restarts_nothing(
    kind: Kind, places: Places, program: Program
) -> None:
    path = installed(kind, places, program, FakeRun())
    written = path.stat().st_mtime_ns
    run = FakeRun("bootstrap")  # as it fails for an agent that is loaded

    installed(kind, places, program, run)

    assert path.stat().st_mtime_ns == written
    assert not [command for command in run.commands if "restart" in command or "bootout" in command]


def test_a_changed_installation_is_written_anew_and_restarted(places: Places, program: Program) -> None:
    installed(Kind.USER, places, Program(("/old",), ()), FakeRun())
    run = FakeRun()

    path = installed(Kind.USER, places, program, run)

    assert "/old" not in path.read_text()
    assert run.commands[-1] == f"systemctl --user restart {NAME}.service"


@pytest.mark.parametrize("kind", list(Kind))
def test_the_file_of_somebody_else_is_neither_replaced_nor_deleted(
    kind: Kind, places: Places, program: Program
) -> None:
    path = file_of(kind, places)
    path.parent.mkdir(parents=True)
    for make in _foreign(path, kind, places, program):
        make()
        with pytest.raises(ConfigurationError, match="not made by this program"):
            plan_install(kind, program, places, find(kind, places))
        with pytest.raises(ConfigurationError, match="not made by this program"):
            plan_remove(kind, places, find(kind, places))
        path.unlink()


def _foreign(path: Path, kind: Kind, places: Places, program: Program) -> list[Callable[[], object]]:
    ours = text(kind, places, program)
    elsewhere = places.home / "elsewhere"
    elsewhere.write_text(ours)
    return [
        lambda: path.write_text("[Unit]\n"),
        lambda: path.write_bytes(b"\xff\xfe"),
        lambda: path.symlink_to("/dev/null"),  # how systemd masks a unit
        lambda: path.symlink_to(elsewhere),
    ]


def test_a_plan_shows_all_that_it_does(places: Places, program: Program) -> None:
    shown = describe(plan_install(Kind.USER, program, places, {}))

    for line in text(Kind.USER, places, program).splitlines():
        assert line in shown
    assert str(file_of(Kind.USER, places)) in shown
    assert f"Run: systemctl --user enable {NAME}.service" in shown


def test_exit_codes_that_a_restart_does_not_mend_are_final(places: Places, program: Program) -> None:
    lines = text(Kind.SYSTEM, places, program).splitlines()

    assert "RestartPreventExitStatus=2 77 78 97" in lines
    assert "SuccessExitStatus=130 143" in lines
    assert "KillMode=mixed" in lines


@pytest.mark.parametrize("kind", [Kind.USER, Kind.SYSTEM])
def test_a_network_that_comes_late_is_waited_for(kind: Kind, places: Places, program: Program) -> None:
    lines = text(kind, places, program).splitlines()

    assert "Restart=on-failure" in lines
    assert "StartLimitIntervalSec=0" in lines[: lines.index("[Service]")]
    final = next(line for line in lines if line.startswith("RestartPreventExitStatus=")).partition("=")[2]
    assert not {"69", "75"} & set(final.split())


def test_a_data_folder_goes_with_the_users_service_and_not_with_the_systems(places: Places, program: Program) -> None:
    folder = places.home / "my data"
    plan = plan_install(Kind.USER, program, places, {}, data_dir=folder)
    assert f'--data-dir "{folder}"' in plan.write[0].text

    with pytest.raises(ConfigurationError, match="/var/lib"):
        plan_install(Kind.SYSTEM, program, places, {}, data_dir=folder)


@pytest.mark.parametrize("folder", ["/home/ann/app", "/root/app", "/run/user/1000/app"])
def test_the_system_service_refuses_a_program_that_its_user_cannot_read(folder: str, places: Places) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        plan_install(Kind.SYSTEM, Program((f"{folder}/volunteer",), (Path(folder),)), places, {})


@pytest.mark.parametrize("character", list("\\\"'"))
def test_a_path_that_systemd_would_not_start_is_refused(character: str, places: Places) -> None:
    program = Program((f"/opt/a{character}b/volunteer",), ())
    with pytest.raises(ConfigurationError, match="systemd starts no program"):
        plan_install(Kind.USER, program, places, {})

    assert plan_install(Kind.AUTOSTART, program, places, {}).write


def test_a_path_with_a_line_break_is_refused(places: Places) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        plan_install(Kind.USER, Program(("/a\nExecStartPre=/bin/evil",), ()), places, {})


@pytest.mark.parametrize(
    ("system", "has_systemd", "kind"),
    [("Linux", True, Kind.USER), ("Linux", False, Kind.AUTOSTART), ("Darwin", False, Kind.LAUNCHD)],
)
def test_each_system_has_a_kind_that_suits_it(system: str, has_systemd: bool, kind: Kind) -> None:
    assert default_kind(system, has_systemd=has_systemd) is kind


def test_windows_says_that_it_cannot() -> None:
    with pytest.raises(ConfigurationError):
        default_kind("Windows")


def test_this_program_is_not_mistaken_for_a_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "volunteer.py").write_text("raise SystemExit('the wrong one')")
    command = this_program().command
    assert command[-3:] == ("-P", "-m", "volunteer")

    run = subprocess.run(
        [*command, "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )

    assert run.returncode == 0, run.stderr


def test_an_installed_build_is_its_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/tmp/.mount_x/volunteer")
    assert this_program().command == ("/tmp/.mount_x/volunteer",)

    monkeypatch.setenv("APPIMAGE", "/opt/Volunteer.AppImage")
    assert this_program().command == ("/opt/Volunteer.AppImage",)


# What happens


def test_a_failing_command_is_told_with_its_own_words_and_the_service_can_still_be_removed(
    places: Places, program: Program
) -> None:
    with pytest.raises(UserError, match="the bus is down"):
        installed(Kind.USER, places, program, FakeRun("enable"))

    carry_out(plan_remove(Kind.USER, places, find(Kind.USER, places)), FakeRun())
    assert not file_of(Kind.USER, places).exists()


def test_a_service_that_cannot_be_stopped_keeps_its_file(places: Places, program: Program) -> None:
    path = installed(Kind.USER, places, program, FakeRun())

    with pytest.raises(UserError):
        carry_out(plan_remove(Kind.USER, places, find(Kind.USER, places)), FakeRun("disable"))

    assert path.exists()


def test_without_the_right_to_write_the_exit_code_says_so(
    places: Places, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(places.system_units))

    monkeypatch.setattr(Path, "mkdir", refused)

    with pytest.raises(NoPermission, match="sudo") as refusal:
        installed(Kind.SYSTEM, places, program, FakeRun())
    assert refusal.value.exit_code == ExitCode.NO_PERMISSION


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("SUDO_USER", raising=False)
    return tmp_path / ".config" / "autostart" / f"{NAME}.desktop"


def test_nothing_is_written_before_consent(own_home: Path) -> None:
    out = io.StringIO()

    assert install(Kind.AUTOSTART, consent=False, out=out) == ExitCode.USAGE
    assert install(Kind.AUTOSTART, consent=False, out=out, ask=lambda _: "") == ExitCode.FAILURE
    assert not own_home.exists()
    assert str(own_home) in out.getvalue()

    assert install(Kind.AUTOSTART, consent=False, out=out, ask=lambda _: "y") == ExitCode.OK
    assert MARK in own_home.read_text()


def test_nothing_is_removed_before_consent(own_home: Path) -> None:
    out = io.StringIO()
    install(Kind.AUTOSTART, consent=True, out=out)

    assert remove(Kind.AUTOSTART, consent=False, out=out) == ExitCode.USAGE
    assert own_home.exists()
    assert remove(Kind.AUTOSTART, consent=True, out=out) == ExitCode.OK
    assert not own_home.exists()
    assert remove(Kind.AUTOSTART, consent=False, out=out) == ExitCode.OK
    assert "Nothing is installed." in out.getvalue()


def test_a_service_of_the_user_is_not_installed_for_the_administrator(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")

    with pytest.raises(ConfigurationError, match="without sudo"):
        install(Kind.AUTOSTART, consent=True, out=io.StringIO())
