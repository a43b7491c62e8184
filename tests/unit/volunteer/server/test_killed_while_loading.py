from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from volunteer.server.killed_while_loading import loading, most_blocks, oom_kills

KILLED = """
import sys
from pathlib import Path
from volunteer.server.killed_while_loading import loading
with loading(Path(sys.argv[1]), 5, lambda: 7):
    print("loading", flush=True)
    sys.stdin.read()
"""


def kill_while_loading(data_dir: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "loading\n"
        os.kill(process.pid, signal.SIGKILL)


def test_after_a_kill_for_want_of_memory_one_block_less_is_loaded(tmp_path: Path) -> None:
    kill_while_loading(tmp_path)
    assert most_blocks(tmp_path, lambda: 8) == 4
    assert most_blocks(tmp_path, lambda: 7) is None, "somebody else killed it"
    assert most_blocks(tmp_path, lambda: 0) is None and most_blocks(tmp_path, lambda: None) is None


@pytest.mark.parametrize("error", [None, RuntimeError("no"), KeyboardInterrupt()])
def test_who_comes_to_an_end_leaves_no_note(tmp_path: Path, error: BaseException | None) -> None:
    with contextlib.suppress(BaseException), loading(tmp_path, 5, lambda: 7):
        if error is not None:
            raise error
    assert most_blocks(tmp_path, lambda: 8) is None and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"num_blocks": "x", "oom_kills": 1}', '{"num_blocks": 1, "oom_kills": 1}']
)
def test_a_note_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "loading.json").write_text(text)
    assert most_blocks(tmp_path, lambda: 8) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts")
def test_linux_counts_its_kills() -> None:
    count = oom_kills()
    assert count is None or count >= 0
