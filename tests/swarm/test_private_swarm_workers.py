"""A private swarm as its members use it: real workers, and the commands."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from volunteer.local_swarm import Worker

ANSWER_S = 120.0


def volunteer(data_dir: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VOLUNTEER_")}
    return subprocess.run(
        [sys.executable, "-m", "volunteer", "--data-dir", str(data_dir), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
        env=environment,
        check=False,
    )


def invitation_in(text: str) -> str:
    (word,) = [word for word in text.split() if word.startswith("petals-volunteer://")]
    return word


@pytest.mark.long
@pytest.mark.timeout(280)
def test_members_serve_one_model_together_and_who_has_no_new_key_is_out(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert volunteer(first, "swarm", "create", "lab").returncode == 0
    here = ["--host-maddrs", "/ip4/127.0.0.1/tcp/0"]
    with Worker(["--blocks", "0:15", *here], first) as one:
        one.wait_for("ready")
        invitation = invitation_in(volunteer(first, "swarm", "invite").stdout)
        assert volunteer(second, "swarm", "join", stdin=invitation + "\n").returncode == 0
        with Worker(["--blocks", "15:30", *here], second) as two:
            two.wait_for("ready")
            for member in (first, second):
                shown = volunteer(member, "swarm")
                assert "All 30 blocks are served." in shown.stdout, shown
            asked = ("chat", "Hi", "--max-new-tokens", "4", "--temperature", "0", "--raw")
            assert len({volunteer(member, *asked).stdout for member in (first, second)}) == 1
            assert "4 tokens" in volunteer(second, *asked).stderr

            # The first member changes the key while its worker runs: the second is out.
            renewed = invitation_in(volunteer(first, "swarm", "rekey").stdout)
            assert renewed != invitation
            deadline = time.monotonic() + ANSWER_S
            while "blocks 15-29" not in (shown := volunteer(first, "swarm")).stdout:
                assert time.monotonic() < deadline, shown
                time.sleep(1.0)
