"""A screen that nobody sits at: Xvfb with a tray, hands in the form of xdotool, and pictures of what is seen."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

_SIZE = "1280x900x24"
_APPEARS_S = 60.0
_A_MOMENT_S = 1.0


class NotSeen(Exception):
    """What should be on the screen is not."""


class Screen:
    """Use as `with`. The programs are this machine's, so that a root has only what its packages brought."""

    def __init__(self, pictures: Path) -> None:
        self._pictures = pictures
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Screen:
        self._pictures.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        server = ["Xvfb", "-displayfd", str(writing), "-screen", "0", _SIZE, "-nolisten", "tcp"]
        self._processes.append(subprocess.Popen(server, pass_fds=[writing], stderr=subprocess.DEVNULL))
        os.close(writing)
        with os.fdopen(reading) as answer:
            self.display = f":{answer.readline().strip()}"
        tray = ["trayer", "--edge", "bottom", "--align", "right", "--widthtype", "request", "--height", "32"]
        self._start(*tray, "--SetDockType", "true")
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    def window(self, title: str, timeout_s: float = _APPEARS_S) -> str:
        """The number of the window with that title, once it is seen."""
        ends = time.monotonic() + timeout_s
        while time.monotonic() < ends:
            found = self._do("search", "--onlyvisible", "--name", f"^{title}$", may_fail=True).split()
            if found:
                return found[-1]
            time.sleep(0.1)
        raise NotSeen(f"There was no window {title!r} within {timeout_s:.0f} s.")

    def is_seen(self, title: str) -> bool:
        return bool(self._do("search", "--onlyvisible", "--name", f"^{title}$", may_fail=True).strip())

    def press(self, window: str, *keys: str) -> None:
        """Without a window manager nobody gives the window the keyboard, so this does."""
        self._do("windowfocus", "--sync", window)
        for key in keys:
            time.sleep(_A_MOMENT_S)
            self._do("key", "--clearmodifiers", key)

    def write(self, window: str, text: str) -> None:
        self._do("windowfocus", "--sync", window)
        time.sleep(_A_MOMENT_S)
        self._do("type", "--delay", "20", text)

    def click(self, window: str, *, right_of_middle_px: int, above_foot_px: int) -> None:
        place = self._place(window)
        self._click(place["X"] + place["WIDTH"] // 2 + right_of_middle_px, place["Y"] + place["HEIGHT"] - above_foot_px)

    def choose_in_tray(self, *keys: str) -> None:
        """Opens the menu of the icon in the tray, and answers it with keys."""
        place = self._place(self._do("search", "--onlyvisible", "--class", "trayer").split()[-1])
        self._click(place["X"] + place["WIDTH"] // 2, place["Y"] + place["HEIGHT"] // 2, button=3)
        for key in keys:
            time.sleep(_A_MOMENT_S)
            self.picture("tray-menu")
            self._do("key", key)

    def _place(self, window: str) -> dict[str, int]:
        lines = self._do("getwindowgeometry", "--shell", window).splitlines()
        return {name: int(value) for name, value in (line.split("=", 1) for line in lines)}

    def _click(self, x: int, y: int, button: int = 1) -> None:
        self._do("mousemove", str(x), str(y), "click", str(button))

    def picture(self, name: str) -> Path:
        file = self._pictures / f"{name}.png"
        subprocess.run(["import", "-window", "root", str(file)], env=self._environment(), check=True)
        return file

    def _start(self, *words: str) -> None:
        self._processes.append(
            subprocess.Popen(words, env=self._environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )

    def _do(self, *words: str, may_fail: bool = False) -> str:
        done = subprocess.run(["xdotool", *words], env=self._environment(), capture_output=True, text=True)
        if done.returncode and not may_fail:
            raise NotSeen(f"xdotool {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "DISPLAY": self.display}
