"""A folder has one worker, and whoever cannot have it is told why."""

from __future__ import annotations

from pathlib import Path

import filelock
import pytest

from volunteer.errors import ConfigurationError, ExitCode
from volunteer.own_process import AlreadyRunning, NoPermission, only_worker


def test_a_folder_has_one_worker(tmp_path: Path) -> None:
    with only_worker(tmp_path), pytest.raises(AlreadyRunning, match="already running"), only_worker(tmp_path):
        pass
    with only_worker(tmp_path):
        pass


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError, match="cannot be used"), only_worker(folder):
            pass


def test_a_folder_of_somebody_else_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lock: filelock.BaseFileLock) -> None:
        raise PermissionError(13, "Permission denied", lock.lock_file)

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)  # tests may be run by root, who may do all
    with pytest.raises(NoPermission, match="may not write") as refusal, only_worker(tmp_path):
        pass
    assert refusal.value.exit_code == ExitCode.NO_PERMISSION
