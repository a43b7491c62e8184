"""What every role has in common: how it ends, and what it says on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from volunteer import cli
from volunteer.errors import ExitCode


def test_a_file_of_somebody_else_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied", str(tmp_path / "settings.json"))

    monkeypatch.setattr(cli, "_run", refuse)
    assert cli.main(["status"]) == ExitCode.NO_PERMISSION
    assert capsys.readouterr().err == f"This user may not use {tmp_path / 'settings.json'}.\n"


@pytest.mark.parametrize(("role", "said"), [("True", "loud"), ("False", "quiet loud")])
def test_a_supervised_worker_says_only_what_may_be_its_last_words(role: str, said: str) -> None:
    code = (
        f"import logging; from volunteer import cli; cli._set_up_logging(False, is_supervised={role})\n"
        "logger = logging.getLogger('volunteer.test'); logger.info('quiet'); logger.warning('loud')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert " ".join(line.split()[-1] for line in done.stderr.splitlines()) == said
