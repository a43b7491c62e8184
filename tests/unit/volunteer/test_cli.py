"""What every role has in common: how it ends, and what it says on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from volunteer import cli
from volunteer.control.elsewhere import set_elsewhere
from volunteer.errors import ExitCode
from volunteer.own_process import only_worker


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


@pytest.mark.parametrize(
    "words",
    [
        "pause --for soon",
        "pause --for 200000d",
        "mode sometimes",
        "config get",
        "config get limits.nonsense",
        "config set limits.nice",
        "config set limits.nice much",
        "config reset limits.nonsense",
        "connect --here ssh lab",
        "points show file.jsonl",
        "swarm rekey",
        "--num-blocks many status",
    ],
)
def test_wrong_words_are_wrong_usage(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--data-dir", str(tmp_path / "data"), *words.split()]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == "" and said.err.strip()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("variable", ["VOLUNTEER_NUM_BLOCKS", "VOLUNTEER_DTYPE"])
def test_a_wrong_variable_is_wrong_configuration(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "much")
    assert ended(["--data-dir", str(tmp_path), "quit"]) == ExitCode.BAD_CONFIGURATION
    assert capsys.readouterr().err.startswith(f"{variable} cannot be 'much'")
    assert ended(["--version"]) == ExitCode.OK
    option = variable.removeprefix("VOLUNTEER_").lower().replace("_", "-")
    value = "3" if option == "num-blocks" else "float32"
    assert ended([f"--{option}", value, "--data-dir", str(tmp_path), "quit"]) == ExitCode.OK


def test_a_settings_file_that_cannot_be_read_is_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "settings.json").mkdir()
    assert ended(["--data-dir", str(tmp_path), "config"]) == ExitCode.BAD_CONFIGURATION


def test_blocks_are_pruned_where_no_worker_runs(tmp_path: Path) -> None:
    block = stored_block(tmp_path)
    assert ended(["--data-dir", str(tmp_path), "blocks", "prune"]) == ExitCode.OK
    assert not block.exists()


def test_no_block_is_pruned_while_a_worker_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = stored_block(tmp_path)
    with only_worker(tmp_path):
        assert ended(["--data-dir", str(tmp_path), "blocks", "prune"]) == ExitCode.TRY_LATER
        assert "does not answer" in capsys.readouterr().err
        set_elsewhere(tmp_path, ["ssh", "lab", "volunteer", "bridge"])
        assert ended(["--data-dir", str(tmp_path), "blocks", "prune"]) == ExitCode.TRY_LATER
    assert block.exists()
    assert ended(["--data-dir", str(tmp_path), "blocks", "prune"]) == ExitCode.OK
    assert not block.exists()


def stored_block(data_dir: Path) -> Path:
    folder = data_dir / "models" / "big--model" / ("0123456789" * 4)
    folder.mkdir(parents=True)
    block = folder / "block-2.safetensors"
    block.write_bytes(b"x")
    return block


def ended(arguments: list[str]) -> int:
    """The exit code, also where argparse itself ends the program."""
    try:
        return cli.main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
