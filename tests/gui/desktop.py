"""A display with a tray, as a desktop has one: Xvfb and trayer, where both are installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

SIZE = "1280x900x24"
_APPEARS_S = 60.0


def missing_programs() -> list[str]:
    return [name for name in ("Xvfb", "trayer", "xdotool") if shutil.which(name) is None]


@contextlib.contextmanager
def desktop() -> Iterator[dict[str, str]]:
    """The environment of programs that are to be seen on it."""
    reading, writing = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", SIZE, "-nolisten", "tcp"],
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with contextlib.ExitStack() as stack:
        stack.callback(_end, screen)
        with os.fdopen(reading) as numbers:
            display = f":{numbers.readline().strip()}"
        environment = {
            **{name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"},
            "DISPLAY": display,
            "QT_QPA_PLATFORM": "xcb",
        }
        tray = subprocess.Popen(
            ["trayer", "--edge", "bottom", "--widthtype", "request", "--height", "24"],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(_end, tray)
        _wait_for_tray(environment)
        yield environment


def _wait_for_tray(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + _APPEARS_S
    while time.monotonic() < deadline:
        found = subprocess.run(
            ["xdotool", "search", "--class", "trayer"], env=environment, capture_output=True, text=True, check=False
        )
        if found.stdout.strip():
            return
        time.sleep(0.1)
    raise TimeoutError("the tray did not appear")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
