"""Who is at this computer: asked of a real X server where there is one, and of stand-ins for other programs."""

from __future__ import annotations

import os
import pty
import re
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from volunteer.control import desktop
from volunteer.control.desktop import (
    headless_idle_s,
    idle_s,
    linux_full_screen,
    linux_idle_s,
    logind_sessions,
    terminals_idle_s,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the desktops of Linux")

WAIT_S = 30.0


def until(condition: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s, what


# A real X server, with nobody at it but xdotool.


@dataclass(frozen=True)
class Screen:
    environ: dict[str, str]

    def run(self, *command: str) -> str:
        environment = os.environ | self.environ
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=WAIT_S)
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        environment = os.environ | self.environ
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    need("Xvfb", "xdotool")
    folder = tmp_path_factory.mktemp("screen")
    authority, number = folder / "authority", folder / "number"
    host, cookie = socket.gethostname().encode(), secrets.token_bytes(16)
    texts = (host, b"", b"MIT-MAGIC-COOKIE-1", cookie)
    authority.write_bytes(struct.pack(">H", 65535) + b"".join(struct.pack(">H", len(text)) + text for text in texts))
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "320x240x24", "-noreset", "-auth", str(authority)]
    with number.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL) as server:
        try:
            until(lambda: number.read_bytes().endswith(b"\n") or server.poll() is not None, "Xvfb starts")
            display = f":{number.read_text().strip()}"
            yield Screen({"DISPLAY": display, "XAUTHORITY": str(authority), "XDG_SESSION_TYPE": "x11"})
        finally:
            server.terminate()


def test_a_key_ends_the_idle_time_of_an_x_server(screen: Screen) -> None:
    until(lambda: (linux_idle_s(screen.environ) or 0) > 0.3, "nobody presses a key")
    pressed_s = time.monotonic()
    screen.run("xdotool", "key", "a")
    idle = linux_idle_s(screen.environ)
    assert idle is not None
    assert idle <= time.monotonic() - pressed_s + 0.01


def test_a_mouse_ends_the_idle_time_of_an_x_server(screen: Screen) -> None:
    until(lambda: (linux_idle_s(screen.environ) or 0) > 0.3, "nobody moves the mouse")
    moved_s = time.monotonic()
    screen.run("xdotool", "mousemove_relative", "5", "5")
    idle = linux_idle_s(screen.environ)
    assert idle is not None
    assert idle <= time.monotonic() - moved_s + 0.01


def test_who_has_no_cookie_is_not_told(screen: Screen, no_programs: Path) -> None:
    stranger = screen.environ | {"XAUTHORITY": "/nonexistent"}
    assert linux_idle_s(stranger) is None
    assert linux_full_screen(stranger) is None


def test_without_a_window_manager_nobody_tells_what_fills_the_screen(screen: Screen) -> None:
    assert linux_full_screen(screen.environ) is None


WINDOW_MANAGER = """<?xml version="1.0"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
  <keyboard><keybind key="F11"><action name="ToggleFullscreen"/></keybind></keyboard>
</openbox_config>
"""


def test_a_window_that_fills_the_screen_is_seen_until_it_is_hidden_or_ends(screen: Screen, tmp_path: Path) -> None:
    need("openbox", "xev")
    (tmp_path / "rc.xml").write_text(WINDOW_MANAGER)
    manager, window = screen.start("openbox", "--config-file", str(tmp_path / "rc.xml")), None
    try:
        until(lambda: linux_full_screen(screen.environ) is False, "openbox starts")
        window = screen.start("xev", "-name", "game")
        number = screen.run("xdotool", "search", "--sync", "--onlyvisible", "--name", "^game$").split()[0]
        assert linux_full_screen(screen.environ) is False
        screen.run("xdotool", "windowactivate", "--sync", number)
        screen.run("xdotool", "key", "F11")
        until(lambda: linux_full_screen(screen.environ), "the window fills the screen")
        assert linux_full_screen(screen.environ | {"WAYLAND_DISPLAY": "wayland-0"}) is True
        screen.run("xdotool", "windowminimize", number)
        until(lambda: linux_full_screen(screen.environ) is False, "the window is hidden")
        assert linux_full_screen(screen.environ | {"WAYLAND_DISPLAY": "wayland-0"}) is None
        screen.run("xdotool", "windowactivate", number)
        until(lambda: linux_full_screen(screen.environ), "the window is back")
        window.kill()
        until(lambda: linux_full_screen(screen.environ) is False, "the window is gone")
    finally:
        for process in (window, manager):
            if process is not None:
                process.kill()
                process.wait()


# Other programs that know.


@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are looked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, code: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{code}\n")
    (folder / name).chmod(0o755)


def logind(folder: Path, *sessions: str) -> None:
    """Sessions of properties separated by spaces, as `loginctl` shows them."""
    listed = "\n".join(f"{number:>3} 1000 ada seat0 tty{number}" for number in range(1, 1 + len(sessions)))
    now_s = time.monotonic()
    shown = "\n\n".join(
        re.sub(r"@(-?\d+)", lambda ago: str(int((now_s - int(ago[1])) * 1e6)), session).replace(" ", "\n")
        for session in sessions
    )
    program(
        folder,
        "loginctl",
        f"case $1 in list-sessions) echo '{listed}';; show-session) echo '{shown}';; *) exit 1;; esac",
    )


def session(idle: str = "no", since: str = "0", kind: str = "wayland", **changes: str) -> str:
    """What logind says of a session; "@50" is fifty seconds ago by its clock."""
    values = {"Class": "user", "Type": kind, "State": "active", "IdleHint": idle} | changes
    return " ".join(f"{name}={value}" for name, value in (values | {"IdleSinceHintMonotonic": since}).items())


WAYLAND = {"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}


def test_gnome_tells_milliseconds(no_programs: Path) -> None:
    program(no_programs, "busctl", 'case "$*" in *org.gnome.Mutter.IdleMonitor*GetIdletime) echo "t 61500";; esac')
    assert linux_idle_s(WAYLAND) == 61.5


@pytest.mark.parametrize("answer", ["exit 1", "echo nonsense", "echo t -5", "printf '\\377'", "true"])
def test_a_wayland_desktop_that_does_not_tell_is_unknown(no_programs: Path, answer: str) -> None:
    program(no_programs, "busctl", answer)
    assert linux_idle_s(WAYLAND) is None


def test_a_program_that_hangs_is_given_up(no_programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desktop, "_COMMAND_TIMEOUT_S", 0.05)
    program(no_programs, "busctl", "exec /bin/sleep 60")
    assert linux_idle_s(WAYLAND) is None


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ([session()], None),  # has never said anything
        ([session("no", "@50")], 0.0),
        ([session("yes", "@50")], 50.0),
        ([session("yes", "@50"), session("yes", "@20", "x11")], 20.0),
        ([session("yes", "@50"), session("no", "0", "x11")], None),
        ([session("yes", "@50"), session("no", "0", "x11", State="closing")], 50.0),
        ([session("yes", "@50"), session("no", "0", "x11", Class="greeter")], 50.0),
        ([session("yes", "@50"), session("no", "@0", "tty")], 50.0),
        ([session("no", "@0", "tty")], None),
        ([session("yes", "@-1000")], 0.0),
        ([], None),
    ],
)
def test_logind_is_believed_where_desktops_talk_to_it(
    no_programs: Path, sessions: list[str], expected: float | None
) -> None:
    logind(no_programs, *sessions)
    assert linux_idle_s(WAYLAND) == (None if expected is None else pytest.approx(expected, abs=20))


def test_the_x_server_of_the_windows_subsystem_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "osrelease").write_text("5.15.167.4-microsoft-standard-WSL2\n")
    assert desktop._in_windows_subsystem(tmp_path / "osrelease")
    assert not desktop._in_windows_subsystem(tmp_path / "missing")
    monkeypatch.setattr(desktop, "_in_windows_subsystem", lambda: True)
    assert linux_idle_s({"DISPLAY": ":0"}) is None
    assert linux_full_screen({"DISPLAY": ":0"}) is None


def test_the_display_of_another_machine_is_not_asked(no_programs: Path) -> None:
    assert linux_idle_s({"DISPLAY": "localhost:10.0"}) is None
    assert linux_full_screen({"DISPLAY": "localhost:10.0"}) is None


# Machines without a desktop.


def terminals(folder: Path, *seconds_ago: float) -> Path:
    (folder / "pts").mkdir(parents=True)
    for number, seconds in enumerate(seconds_ago):
        terminal = folder / ("pts/0" if number == 0 else f"tty{number}")
        terminal.touch()
        os.utime(terminal, (time.time() - seconds, 0))
    return folder


def test_the_terminal_that_was_used_last_counts(tmp_path: Path) -> None:
    assert terminals_idle_s(terminals(tmp_path / "dev", 300, 40, 500)) == pytest.approx(40, abs=20)
    assert terminals_idle_s(tmp_path / "none") is None


def test_nobody_was_away_before_the_machine_started_whatever_the_clock_said(tmp_path: Path) -> None:
    running_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert terminals_idle_s(terminals(tmp_path / "a", 10**9)) == pytest.approx(running_s, abs=20)
    assert terminals_idle_s(terminals(tmp_path / "b", -(10**6))) == 0.0


def test_typing_in_a_terminal_is_noticed() -> None:
    """By a real one; Linux notes the time in steps of 8 s."""
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, b"a\n")
        assert os.read(terminal, 2) == b"a\n"
        idle = terminals_idle_s()
        assert idle is not None
        assert idle < 9
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_a_machine_without_logind_and_without_x_is_judged_by_its_terminals(tmp_path: Path, no_programs: Path) -> None:
    dev, sockets = terminals(tmp_path / "dev", 40), tmp_path / "sockets"
    assert headless_idle_s(dev, sockets) == pytest.approx(40, abs=20)
    sockets.mkdir()
    (sockets / "X0").touch()  # somebody may be at a desktop that this process does not belong to
    assert headless_idle_s(dev, sockets) is None


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ([session("no", "0", "tty")], 40.0),
        ([], 40.0),
        ([session()], None),
        ([session("yes", "@20")], 20.0),
        ([session("yes", "@90")], 40.0),
    ],
)
def test_a_service_asks_for_the_desktops_of_all_users(
    tmp_path: Path, no_programs: Path, sessions: list[str], expected: float | None
) -> None:
    logind(no_programs, *sessions)
    idle = headless_idle_s(terminals(tmp_path / "dev", 40), tmp_path / "sockets")
    assert idle == (None if expected is None else pytest.approx(expected, abs=15))


def test_a_logind_that_loses_a_session_meanwhile_is_unknown(no_programs: Path) -> None:
    program(no_programs, "loginctl", "case $1 in list-sessions) echo 1 ada;; *) exit 1;; esac")
    assert logind_sessions() is None


def test_this_machine_answers_something() -> None:
    idle = idle_s()
    assert idle is None or idle >= 0


# macOS: the parsing alone, because there is none here.


def test_macos_counts_nanoseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desktop, "_output", lambda *_: '    |   "HIDIdleTime" = 61500000000\n')
    assert desktop._macos_idle_s() == 61.5
    monkeypatch.setattr(desktop, "_output", lambda *_: None)
    assert desktop._macos_idle_s() is None
