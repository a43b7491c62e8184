"""What the set-up decides; the set-up itself is what has made the environment these tests run in."""

import importlib.util
import io
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "installer" / "from_source.py"
MADE_BY_PYTHON_3_11 = "home = /usr/bin\nversion = 3.11.2\n"

spec = importlib.util.spec_from_file_location("from_source", SCRIPT)
from_source = importlib.util.module_from_spec(spec)
spec.loader.exec_module(from_source)


def state(project: bytes = b"as it is", extra: str = "") -> dict[str, str]:
    return from_source.wanted_state(project, extra)


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def test_the_pythons_it_takes_are_those_of_the_project():
    project = tomllib.loads((SCRIPT.parents[1] / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.13"
    assert [from_source.python_problem(version) for version in ((3, 11), (3, 12))] == [None, None]
    for version in ((3, 10), (3, 13)):
        assert "is needed" in from_source.python_problem(version)


def test_nothing_is_installed_twice():
    assert from_source.is_satisfied(state(), state())
    assert from_source.is_satisfied(state(extra="dev"), state(extra="dev"))


def test_an_environment_for_testing_also_runs_the_program_but_not_the_other_way_round():
    assert from_source.is_satisfied(state(extra="dev"), state())
    assert not from_source.is_satisfied(state(), state(extra="dev"))


def test_a_changed_project_is_installed_again():
    assert not from_source.is_satisfied(state(project=b"as it was"), state())


@pytest.mark.parametrize("unknown", [None, from_source.UNFINISHED, {}, []])
def test_an_unknown_state_satisfies_nothing(unknown):
    assert not from_source.is_satisfied(unknown, state())


def must_start_afresh(found, pyvenv_cfg: str = MADE_BY_PYTHON_3_11, python: str = "3.11.7") -> bool:
    return from_source.must_start_afresh(found, {**state(), "python": python}, pyvenv_cfg)


def test_a_changed_project_keeps_the_environment_it_has():
    assert not must_start_afresh(state(project=b"as it was"))


def test_an_environment_made_by_hand_is_kept():
    assert not must_start_afresh(None)


def test_a_half_installed_environment_is_made_afresh():
    assert must_start_afresh(from_source.UNFINISHED)


def test_an_environment_that_was_moved_is_made_afresh():
    assert must_start_afresh({**state(), "place": "elsewhere"})


def test_an_environment_of_another_python_or_of_none_is_made_afresh():
    assert must_start_afresh(state(), python="3.12.1")
    assert must_start_afresh(state(), "version = 3.1.5\n")
    assert must_start_afresh(state(), "")


def test_a_damaged_state_file_counts_as_unfinished():
    assert from_source.read_state(io.StringIO('{"python": ')) == from_source.UNFINISHED


def test_a_written_state_is_read_back_whole(tmp_path):
    with from_source.locked(tmp_path / "state") as file:
        from_source.write_state(file, from_source.UNFINISHED)
        from_source.write_state(file, state())
    with from_source.locked(tmp_path / "state") as file:
        assert from_source.read_state(file) == state()


@pytest.mark.skipif(from_source.fcntl is None, reason="only POSIX keeps two set-ups apart")
def test_a_second_set_up_finds_the_first_ones_lock(tmp_path):
    with (
        from_source.locked(tmp_path / "state"),
        (tmp_path / "state").open("a+") as second,
        pytest.raises(BlockingIOError),
    ):
        from_source.fcntl.flock(second, from_source.fcntl.LOCK_EX | from_source.fcntl.LOCK_NB)


def test_clearing_removes_everything_but_the_state(tmp_path, monkeypatch):
    monkeypatch.setattr(from_source, "ENVIRONMENT", tmp_path)
    (tmp_path / "lib" / "python3.11").mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("lib")
    (tmp_path / "pyvenv.cfg").write_text("")
    (tmp_path / from_source.STATE_FILE).write_text("")
    from_source.remove_all_but_state()
    assert [entry.name for entry in tmp_path.iterdir()] == [from_source.STATE_FILE]


def test_a_failed_step_shows_the_end_of_its_output_without_remarks_on_folders(tmp_path):
    lines = [*map(str, range(20)), "WARNING: Location 'file:///nowhere/x' is ignored: it is no folder.", "", "the end"]
    with (
        from_source.locked(tmp_path / "state") as file,
        pytest.raises(SystemExit, match="the next start tries again") as stopped,
    ):
        from_source.run_step([sys.executable, "-c", f"print({chr(10).join(lines)!r}); exit(1)"], file)
    shown = str(stopped.value).splitlines()[1:]
    assert [line.strip() for line in shown] == [*map(str, range(6, 20)), "the end"]


@pytest.mark.parametrize("arguments", [[], ["walk"], ["--help"]])
def test_anything_but_run_and_test_is_answered_with_the_usage(arguments):
    result = run_script(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: ")


def test_the_program_gets_the_exit_code_arguments_and_environment_through(tmp_path, monkeypatch):
    script = (
        "import importlib.util, pathlib, sys\n"
        f"spec = importlib.util.spec_from_file_location('from_source', {str(SCRIPT)!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "module.ENVIRONMENT_PYTHON = pathlib.Path(sys.executable)\n"
        "program = 'import os, sys; print(sys.argv[1:], os.environ[\"OMP_NUM_THREADS\"]); sys.exit(75)'\n"
        "module.start(['-c', program, 'two words', '-x'], {**__import__('os').environ, 'OMP_NUM_THREADS': '1'})\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ))
    assert (result.returncode, result.stdout) == (75, "['two words', '-x'] 1\n")


@pytest.mark.parametrize(
    ("environment", "system", "has_display"),
    [
        ({}, "linux", False),
        ({"DISPLAY": "", "WAYLAND_DISPLAY": ""}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({}, "win32", True),
    ],
)
def test_a_display_is_found_where_there_is_one(environment, system, has_display):
    assert from_source.has_display(environment, system) == has_display


@pytest.fixture
def installed(monkeypatch):
    """Libraries that can be loaded; apt adds to them where it is let."""
    found = set()
    monkeypatch.setattr(from_source, "can_load", found.__contains__)
    monkeypatch.setattr(from_source, "install_with_apt", lambda *packages: False)
    return found


ON_X11, ON_WAYLAND = {"DISPLAY": ":0"}, {"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}


@pytest.mark.parametrize("environment", [ON_X11, ON_WAYLAND])
def test_the_app_is_started_where_it_can_be_shown(environment, installed):
    installed.update(from_source.window_libraries(environment).keys())
    assert from_source.app_or_demo(environment) == []
    assert from_source.app_or_demo({}) == ["demo"]


@pytest.mark.parametrize(
    ("apt", "words"), [("/usr/bin/apt-get", "sudo apt install libxcb-cursor0"), (None, "libxcb-cursor.so.0")]
)
def test_without_a_library_practice_mode_runs_and_the_library_is_named(apt, words, installed, monkeypatch, capsys):
    monkeypatch.setattr(from_source.shutil, "which", lambda name: apt)
    installed.update(from_source.window_libraries(ON_X11).keys() - {"libxcb-cursor.so.0"})
    assert from_source.app_or_demo(ON_X11) == ["demo"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"The app cannot be shown, for system libraries are missing: {words}"


def test_missing_libraries_are_installed_where_that_may_be_done(installed, monkeypatch):
    def install(*packages):
        assert packages == ("libegl1", "libgl1")
        installed.update(from_source.QT_LIBRARIES)
        return True

    installed.update(from_source.QT_LIBRARIES.keys() - {"libEGL.so.1", "libGL.so.1"})
    assert from_source.without_window_tests()
    monkeypatch.setattr(from_source, "install_with_apt", install)
    assert from_source.without_window_tests() == []


def test_tests_open_their_windows_on_no_screen_unless_they_are_told():
    assert from_source.pytest_environment({"PATH": "x"}) == {
        "PATH": "x", "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    assert from_source.pytest_environment({"QT_QPA_PLATFORM": "xcb"})["QT_QPA_PLATFORM"] == "xcb"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these libraries in packages")
def test_the_libraries_are_those_that_qt_needs_and_does_not_bring():
    """As the loader of this system resolves them for the very Qt that is installed here."""
    qt = Path(importlib.util.find_spec("PySide6").origin).parent / "Qt"
    loaded = [qt / "lib" / f"libQt6{name}.so.6" for name in ("Core", "Gui", "Widgets", "DBus", "Network", "Svg")]
    plugins = {"libqoffscreen.so": {}, "libqxcb.so": from_source.X11_LIBRARIES}
    plugins["libqwayland.so"] = from_source.WAYLAND_LIBRARIES
    for plugin, libraries in plugins.items():
        files = [*loaded, qt / "plugins" / "platforms" / plugin]
        if plugin != "libqoffscreen.so":
            kind = "XcbQpa" if "xcb" in plugin else "WaylandClient"
            files.append(qt / "lib" / f"libQt6{kind}.so.6")
        needed = {name for file in files for name in needed_by(file) if not (qt / "lib" / name).exists()}
        unknown = needed - from_source.QT_LIBRARIES.keys() - libraries.keys() - EVERYWHERE
        assert unknown == set(), plugin


EVERYWHERE = {
    "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6",
    "libpthread.so.0", "libresolv.so.2", "librt.so.1", "libstdc++.so.6", "libz.so.1",
    # In the packages of others that are named.
    "libbrotlicommon.so.1", "libgthread-2.0.so.0", "libxcb.so.1",
}  # fmt: skip


def needed_by(file: Path) -> set[str]:
    """The names that follow DT_NEEDED in a 64-bit little-endian ELF file."""
    data = file.read_bytes()
    table, size, count = (
        int.from_bytes(data[at : at + length], "little") for at, length in ((40, 8), (58, 2), (60, 2))
    )
    sections = [data[table + index * size : table + (index + 1) * size] for index in range(count)]

    def field(section: bytes, at: int, length: int) -> int:
        return int.from_bytes(section[at : at + length], "little")

    (dynamic,) = (section for section in sections if field(section, 4, 4) == 6)
    strings = field(sections[field(dynamic, 40, 4)], 24, 8)
    start, length = field(dynamic, 24, 8), field(dynamic, 32, 8)
    names = set()
    for at in range(start, start + length, 16):
        if int.from_bytes(data[at : at + 8], "little") == 1:
            name = strings + int.from_bytes(data[at + 8 : at + 16], "little")
            names.add(data[name : data.index(b"\0", name)].decode())
    return names
