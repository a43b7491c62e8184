"""Whether somebody is at this computer, and whether an app fills the screen. None wherever that cannot be told.

Blocks for a few seconds at most; asks other programs on some systems, so call it in a thread, and not every second.
What is for Windows and macOS was written by their documentation and has never been run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from volunteer.control.x11 import Display, X11Connection, X11Error

_COMMAND_TIMEOUT_S = 3.0
_MOST_WINDOWS = 256
_EVERY_DESKTOP = 0xFFFFFFFF

_GRAPHICAL = ("x11", "wayland", "mir")
_SESSION_PROPERTIES = ("Class", "Type", "State", "IdleHint", "IdleSinceHintMonotonic")


def idle_s() -> float | None:
    """Seconds since the last key or mouse."""
    if sys.platform == "win32":
        return _windows_idle_s()
    if sys.platform == "darwin":
        return _macos_idle_s()
    return linux_idle_s(os.environ)


def full_screen() -> bool | None:
    if sys.platform == "win32":
        return _windows_full_screen()
    if sys.platform == "darwin":
        return None  # only programs that may record the screen are told of the windows of others
    return linux_full_screen(os.environ)


# Linux, and others with X.


def linux_idle_s(environ: Mapping[str, str]) -> float | None:
    """Asks who knows best: a Wayland compositor, the X server, logind; without a desktop, the terminals."""
    if _in_windows_subsystem():
        return None  # its X server sees what happens in its own windows, and nothing of the rest of the desktop
    if _has_wayland(environ):  # an X server beside it (Xwayland) sees only what X programs are sent
        return _first(_mutter_idle_s, _logind_idle_s)
    if environ.get("DISPLAY"):
        return _first(lambda: _x11_idle_s(environ), _logind_idle_s)
    return headless_idle_s()


def headless_idle_s(dev: Path = Path("/dev"), x_sockets: Path = Path("/tmp/.X11-unix")) -> float | None:  # noqa: S108
    """For a process that belongs to no desktop: a service, or a machine without one."""
    sessions = logind_sessions()
    if sessions is None:
        return None if any(x_sockets.glob("X*")) else terminals_idle_s(dev)
    graphical = [session for session in sessions if session.get("Type") in _GRAPHICAL]
    idle = [_session_idle_s(session) for session in graphical]
    if not all(each is not None for each in idle):
        return None
    told = [each for each in (*idle, terminals_idle_s(dev)) if each is not None]
    return min(told, default=None)


def terminals_idle_s(dev: Path = Path("/dev")) -> float | None:
    """Since anything was typed in any terminal, a remote one or not; Linux notes it to 8 s."""
    if sys.platform != "linux":  # where reading a terminal means something else, or nobody has looked
        return None
    read_at = []
    for terminal in (*dev.glob("tty[0-9]*"), *dev.glob("pts/[0-9]*")):
        with suppress(OSError):
            read_at.append(terminal.stat().st_atime)
    if not read_at:
        return None
    # Terminals carry the time on the wall, which may have jumped since; nobody was away before the machine started.
    return min(max(0.0, time.time() - max(read_at)), time.clock_gettime(time.CLOCK_BOOTTIME))


def linux_full_screen(environ: Mapping[str, str]) -> bool | None:
    """Whether a window that is not hidden fills a screen; under Wayland yes or None, as only X programs are seen."""
    display = Display.parse(environ.get("DISPLAY", ""))
    if display is None or _in_windows_subsystem():
        return None
    try:
        with X11Connection(display, environ=environ) as server:
            found = _has_full_screen_window(server)
    except OSError:
        return None
    return found or None if _has_wayland(environ) else found


def _first(*ways: Callable[[], float | None]) -> float | None:
    return next((told for way in ways if (told := way()) is not None), None)


def _has_wayland(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("WAYLAND_DISPLAY")) or environ.get("XDG_SESSION_TYPE") == "wayland"


def _in_windows_subsystem(release: Path = Path("/proc/sys/kernel/osrelease")) -> bool:
    with suppress(OSError):
        return "microsoft" in release.read_text().lower()
    return False


def _x11_idle_s(environ: Mapping[str, str]) -> float | None:
    display = Display.parse(environ["DISPLAY"])
    if display is None:  # on the machine from which somebody came by ssh
        return None
    try:
        with X11Connection(display, environ=environ) as server:
            return server.idle_ms() / 1000
    except OSError:
        return None


def _has_full_screen_window(server: X11Connection) -> bool | None:
    """None where no window manager tells (the Extended Window Manager Hints of freedesktop.org)."""
    windows = server.numbers(server.root, server.atom("_NET_CLIENT_LIST"))
    if windows is None:
        return None
    full_screen_state, hidden_state = server.atom("_NET_WM_STATE_FULLSCREEN"), server.atom("_NET_WM_STATE_HIDDEN")
    state, desktop = server.atom("_NET_WM_STATE"), server.atom("_NET_WM_DESKTOP")
    current = (server.numbers(server.root, server.atom("_NET_CURRENT_DESKTOP")) or (None,))[0]
    for window in windows[:_MOST_WINDOWS]:
        with suppress(X11Error):  # it was closed meanwhile
            states = server.numbers(window, state) or ()
            if full_screen_state not in states or hidden_state in states:
                continue
            on = (server.numbers(window, desktop) or (_EVERY_DESKTOP,))[0]
            if current is None or on in (current, _EVERY_DESKTOP):
                return True
    return False


def _mutter_idle_s() -> float | None:
    """Of GNOME's compositor. Others tell it only in the Wayland protocol ext-idle-notify, which is not spoken here."""
    name = "org.gnome.Mutter.IdleMonitor"
    answer = _output(
        "busctl", "--user", "--auto-start=no", "--timeout=2",
        "call", name, "/org/gnome/Mutter/IdleMonitor/Core", name, "GetIdletime",
    )  # fmt: skip
    found = re.fullmatch(r"t ([0-9]+)", (answer or "").strip())
    return None if found is None else int(found[1]) / 1000


def _logind_idle_s() -> float | None:
    """Of all desktops on this machine, the one used last; None if one of them does not tell."""
    idle = [_session_idle_s(each) for each in logind_sessions() or () if each.get("Type") in _GRAPHICAL]
    told = [each for each in idle if each is not None]
    return min(told) if told and len(told) == len(idle) else None


def logind_sessions() -> list[dict[str, str]] | None:
    """Those of people that have not ended; None where there is no logind."""
    listed = _output("loginctl", "list-sessions", "--no-legend", "--no-pager")
    if listed is None:
        return None
    names = [line.split()[0] for line in listed.splitlines() if line.split()]
    if not names:
        return []
    shown = _output("loginctl", "show-session", *(f"--property={name}" for name in _SESSION_PROPERTIES), *names)
    if shown is None:  # one of them ended in between
        return None
    sessions = [_properties(block.splitlines()) for block in re.split(r"\n\s*\n", shown)]
    return [each for each in sessions if each.get("Class") == "user" and each.get("State") != "closing"]


def _properties(lines: Iterable[str]) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _session_idle_s(session: Mapping[str, str]) -> float | None:
    """A desktop says when it becomes idle or active. One that never said anything does not take part in this."""
    said_us = session.get("IdleSinceHintMonotonic", "0")
    if not said_us.isdecimal() or int(said_us) == 0:
        return None
    if session.get("IdleHint") != "yes":
        return 0.0
    return max(0.0, time.monotonic() - int(said_us) / 1e6)


def _output(*command: str) -> str | None:
    """What a program prints in the end; None if it is missing, fails or hangs."""
    with suppress(OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=True,
            env=os.environ | {"LC_ALL": "C"},
        ).stdout
    return None


# macOS. Never run.


def _macos_idle_s() -> float | None:
    """The input system counts nanoseconds since the last event: `"HIDIdleTime" = 123456`."""
    found = re.search(r'"HIDIdleTime" = ([0-9]+)', _output("/usr/sbin/ioreg", "-c", "IOHIDSystem", "-d", "4") or "")
    return None if found is None else int(found[1]) / 1e9


# Windows. Never run.

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    class _LastInputInfo(ctypes.Structure):
        _fields_ = (("cbSize", wintypes.UINT), ("dwTime", wintypes.DWORD))

    def _windows_idle_s() -> float | None:
        """Of the session that this process belongs to: as a service it sees nobody, and this is not for it."""
        info = _LastInputInfo(cbSize=ctypes.sizeof(_LastInputInfo))
        if not ctypes.windll.user32.GetLastInputInfo(ctypes.byref(info)):
            return None
        # Both count milliseconds since the start in 32 bits, and wrap after 49.7 days.
        return ((ctypes.windll.kernel32.GetTickCount() - info.dwTime) % 2**32) / 1000

    _BUSY, _RUNNING_D3D_FULL_SCREEN, _PRESENTATION_MODE = 2, 3, 4

    def _windows_full_screen() -> bool | None:
        state = ctypes.c_int()
        if ctypes.windll.shell32.SHQueryUserNotificationState(ctypes.byref(state)) != 0:
            return None
        return state.value in (_BUSY, _RUNNING_D3D_FULL_SCREEN, _PRESENTATION_MODE)
