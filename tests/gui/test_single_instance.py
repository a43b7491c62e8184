from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from gui.single_instance import SingleInstance
from volunteer.errors import ConfigurationError

_SECOND_START = """
import sys
from pathlib import Path
from PySide6.QtCore import QCoreApplication
from gui.single_instance import SingleInstance
app = QCoreApplication([])
second = SingleInstance(Path(sys.argv[1]), app)
sys.exit(0 if not second.is_first() and second.ask_first("token-1") else 1)
"""


def test_a_second_start_raises_the_first_and_hands_over_its_leave(qtbot: QtBot, tmp_path: Path) -> None:
    first = SingleInstance(tmp_path, None)
    assert first.is_first()
    heard: list[str] = []
    first.raise_wanted.connect(heard.append)
    with subprocess.Popen([sys.executable, "-c", _SECOND_START, str(tmp_path)]) as second:
        qtbot.waitUntil(lambda: second.poll() is not None, timeout=20_000)
    assert second.returncode == 0
    assert heard == ["token-1"]
    first.close()


def test_another_data_folder_is_another_window(qapp: object, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    first, other = SingleInstance(tmp_path / "one", None), SingleInstance(tmp_path / "two", None)
    assert first.is_first()
    assert other.is_first()
    first.close()
    other.close()


def test_once_the_first_is_closed_the_next_is_the_first(qapp: object, tmp_path: Path) -> None:
    first = SingleInstance(tmp_path, None)
    assert first.is_first()
    first.close()
    second = SingleInstance(tmp_path, None)
    assert second.is_first()
    second.close()


def test_a_socket_that_a_killed_window_left_is_no_hindrance(qapp: object, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "window.sock").touch()
    first = SingleInstance(tmp_path, None)
    assert first.is_first()
    first.close()


def test_a_path_too_long_for_a_socket_is_no_hindrance(qapp: object, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    first = SingleInstance(deep, None)
    assert first.is_first()
    assert not list(deep.rglob("*.sock"))
    first.close()


@pytest.mark.skipif(os.name != "posix", reason="Windows has other permissions")
def test_a_folder_that_is_made_is_its_users_alone(qapp: object, tmp_path: Path) -> None:
    SingleInstance(tmp_path / "data", None)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_to_is_no_window_that_is_open(
    qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        SingleInstance(tmp_path / "file", None)
    monkeypatch.setattr("gui.single_instance._LOCK_FILE", "no such folder/window.lock")
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        SingleInstance(tmp_path, None).is_first()


def test_nobody_answers_where_there_is_no_window(qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gui.single_instance._ANSWER_MS", 100)
    assert not SingleInstance(tmp_path, None).ask_first("")
