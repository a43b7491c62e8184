"""The program as its user starts it: processes of their own, without a display, offscreen, twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from volunteer.errors import ExitCode
from volunteer.settings import AppSettings, Settings, save_settings

_HEAVY = ("torch", "transformers", "hivemind", "numpy", "huggingface_hub")
_START_S = 60.0
"""Much more than it takes: these processes share two cores with other tests."""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return kept | more


def start(data_dir: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "volunteer", "--data-dir", str(data_dir), *arguments],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_listens(data_dir: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not (data_dir / "run" / "window.sock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # nothing of another process can be awaited


def test_without_a_display_one_sentence_says_what_there_is_instead(tmp_path: Path) -> None:
    with start(tmp_path, QT_QPA_PLATFORM="") as program:
        _, said = program.communicate(timeout=_START_S)
    assert program.returncode == ExitCode.UNAVAILABLE
    assert "--no-gui" in said and "demo" in said
    assert len(said.strip().splitlines()) == 1


def test_a_display_that_does_not_answer_is_no_crash(tmp_path: Path) -> None:
    with start(tmp_path, QT_QPA_PLATFORM="", DISPLAY="127.0.0.1:97") as program:
        _, said = program.communicate(timeout=_START_S)
    assert program.returncode == ExitCode.UNAVAILABLE
    assert "--no-gui" in said


@pytest.mark.parametrize("arguments", [(), ("--hidden",)], ids=["shown", "hidden"])
def test_a_second_start_ends_at_once_and_a_signal_ends_the_first(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with start(tmp_path, *arguments, QT_QPA_PLATFORM="offscreen") as first:
        until_listens(tmp_path)
        with start(tmp_path, QT_QPA_PLATFORM="offscreen") as second:
            second.communicate(timeout=_START_S)
        assert second.returncode == ExitCode.OK
        assert first.poll() is None
        first.send_signal(signal.SIGTERM)
        _, said = first.communicate(timeout=_START_S)
    assert first.returncode == ExitCode.OK
    assert "Traceback" not in said


def test_before_consent_nothing_but_the_window_is_started(tmp_path: Path) -> None:
    with start(tmp_path, QT_QPA_PLATFORM="offscreen") as program:
        until_listens(tmp_path)
        time.sleep(0.5)  # for what must not come
        children = Path(f"/proc/{program.pid}/task/{program.pid}/children")
        found = children.read_text() if children.exists() else ""
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=_START_S)
    assert not (tmp_path / "control.json").exists()
    assert not (tmp_path / "worker-stderr.txt").exists()
    assert found.split() == []


_ON_A_SCREEN = """
import sys
from pathlib import Path
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMessageBox
from gui import application
from volunteer import cli

QApplication.platformName = staticmethod(lambda: "xcb")
show = QMessageBox.exec

def shown(box):
    print(box.text(), flush=True)
    QTimer.singleShot(0, box.accept)
    return show(box)

QMessageBox.exec = shown
sys.exit(cli.main(["--data-dir", sys.argv[1]]))
"""


def test_a_window_that_cannot_be_opened_says_why_on_the_screen(tmp_path: Path) -> None:
    (tmp_path / "settings.json").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _ON_A_SCREEN, str(tmp_path)],
        env=environment(QT_QPA_PLATFORM="offscreen"),
        capture_output=True,
        text=True,
        timeout=_START_S,
    )
    assert done.returncode == ExitCode.BAD_CONFIGURATION
    assert done.stdout == f"The settings in {tmp_path / 'settings.json'} cannot be read: Is a directory.\n"
    assert done.stderr.endswith(done.stdout)


_LOADED = """
import json, sys, importlib, pkgutil
import gui
for module in pkgutil.walk_packages(gui.__path__, "gui."):
    importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""


def test_the_window_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED],
        env=environment(QT_QPA_PLATFORM="offscreen"),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout))
    assert loaded & set(_HEAVY) == set()


def test_a_killed_window_is_no_hindrance_to_the_next(tmp_path: Path) -> None:
    with start(tmp_path, QT_QPA_PLATFORM="offscreen") as killed:
        until_listens(tmp_path)
        killed.kill()
    (tmp_path / "run" / "window.sock").unlink()  # so that it can be seen to come again
    with start(tmp_path, QT_QPA_PLATFORM="offscreen") as program:
        until_listens(tmp_path)
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=_START_S)
    assert program.returncode == ExitCode.OK


_FIRST_PICTURE = """
import json, os, sys, time
from pathlib import Path
import psutil
from PySide6.QtCore import QEvent, QTimer
from gui import application, main_window, worker_link

def event(window, event):
    done = super(main_window.MainWindow, window).event(event)
    if event.type() is QEvent.Type.Paint:
        print(json.dumps([time.process_time(), psutil.Process().memory_info().rss, sorted(sys.modules)]), flush=True)
        os._exit(0)
    return done

main_window.MainWindow.event = event
worker_link.WorkerLink.start = lambda link: None
application.run(Path(sys.argv[1]))
"""


def test_the_first_window_is_quick_and_small(tmp_path: Path) -> None:
    save_settings(tmp_path, Settings(app=AppSettings(consented=True)))
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_PICTURE, str(tmp_path)],
        env=environment(QT_QPA_PLATFORM="offscreen"),
        capture_output=True,
        text=True,
        check=True,
    )
    # Of the processor: the clock on the wall would tell how many tests run side by side.
    processor_s, rss_bytes, loaded = json.loads(done.stdout)
    assert processor_s < 1.5
    assert rss_bytes < 250e6
    assert set(loaded) & set(_HEAVY) == set()
