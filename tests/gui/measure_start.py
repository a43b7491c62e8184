"""How long the first window takes, from the start of the program until it is on the screen, and how much memory it is.

    python tests/gui/measure_start.py [--program dist/petals-volunteer/volunteer] [--starts 7]

Starts the program as its owner would, on a display of its own (Xvfb): first with an empty data folder, where the
first run is shown, then with one in which there was consent. Each start ends before the next; the first of all is not
counted, since it reads the program from the disk. With `--program` the built program takes turns with the clone.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:  # started by its file
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from desktop import desktop, missing_programs  # noqa: E402

from volunteer.control.lifecycle import Mode, Wish  # noqa: E402
from volunteer.control.wish_file import save_wish  # noqa: E402
from volunteer.settings import AppSettings, Settings, save_settings  # noqa: E402

TITLE = "^Petals Volunteer$"
_APPEARS_S = 60.0
_LOOK_S = 0.02
_SETTLES_S = 3.0


@dataclass(frozen=True)
class Start:
    window_s: float
    processor_s: float
    """Of the program itself until its window was there."""
    memory_bytes: int
    """Some seconds later: its own, and its share of what it has in common with others (PSS)."""


def start(command: list[str], data_dir: Path, environment: dict[str, str]) -> Start:
    began = time.monotonic()
    process = psutil.Popen([*command, "--data-dir", str(data_dir)], env=environment, stdout=subprocess.DEVNULL)
    try:
        # Not by its --sync, which looks every half second.
        search = ["xdotool", "search", "--onlyvisible", "--name", TITLE]
        while subprocess.run(search, env=environment, capture_output=True).returncode:
            if time.monotonic() - began > _APPEARS_S:
                raise TimeoutError("no window was there")
            time.sleep(_LOOK_S)
        window_s = time.monotonic() - began
        used = process.cpu_times()
        time.sleep(_SETTLES_S)
        memory_bytes = process.memory_full_info().pss
    finally:
        process.terminate()
        process.wait(_APPEARS_S)
    return Start(window_s, used.user + used.system, memory_bytes)


def agreed_folder(folder: Path) -> Path:
    """In which the first run is over, and the worker, which starts beside the window, is to stay paused."""
    save_settings(folder, Settings(app=AppSettings(consented=True)))
    save_wish(folder, Wish(Mode.NEVER))
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, help="the built program, to be compared with the clone")
    parser.add_argument("--starts", type=int, default=7)
    options = parser.parse_args()
    if missing := missing_programs():
        print(f"Missing here: {', '.join(missing)}", file=sys.stderr)
        return 69
    commands = {"clone": [sys.executable, "-m", "volunteer"]}
    if options.program:
        commands["built"] = [str(options.program)]
    with tempfile.TemporaryDirectory(prefix="volunteer-start-") as scratch, desktop() as environment:
        environment = {**environment, "PYTHONPATH": str(ROOT)}
        for page in ("first run", "home"):
            seen: dict[str, list[Start]] = {name: [] for name in commands}
            for number in range(options.starts + 1):
                for name, command in commands.items():
                    folder = Path(scratch) / f"{page}-{name}-{number}"
                    one = start(command, folder if page == "first run" else agreed_folder(folder), environment)
                    seen[name] += [one] if number else []
            for name, starts in seen.items():
                print(f"{page:<10} {name:<6} {told(starts)}", flush=True)
    return 0


def told(starts: list[Start]) -> str:
    windows_s = sorted(start.window_s for start in starts)
    processor_s = statistics.median(start.processor_s for start in starts)
    memory_mb = max(start.memory_bytes for start in starts) / 1e6
    return (
        f"window after {statistics.median(windows_s):.2f} s ({windows_s[0]:.2f} to {windows_s[-1]:.2f}), "
        f"{processor_s:.2f} s of the processor, {memory_mb:.0f} MB"
    )


if __name__ == "__main__":
    raise SystemExit(main())
