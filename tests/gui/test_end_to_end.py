"""The window on a real desktop with a tray, a real worker, a local swarm and a small Hub: as its owner uses it."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from volunteer.errors import UserError
from volunteer.local_swarm import Worker
from volunteer.models.embedded import EMBEDDED_MODEL
from volunteer.verbs import worker_status

if TYPE_CHECKING:
    from hub_server import HubServer

pytestmark = [pytest.mark.long, pytest.mark.swarm, pytest.mark.timeout(600)]

BESIDE = Path(__file__).parent
MODEL = "volunteers/smollm2"
DOWNLOAD_BYTES_PER_S = 60e6
PICTURES = os.environ.get("VOLUNTEER_PICTURES")
"""A folder, for whoever wants to look at what was seen."""


@pytest.fixture(scope="module")
def desktop() -> Iterator[dict[str, str]]:
    spec = importlib.util.spec_from_file_location("gui_desktop", BESIDE / "desktop.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if missing := module.missing_programs():
        pytest.skip(f"{', '.join(missing)} not installed: no desktop to open the window on")
    with module.desktop() as environment:
        yield environment


def start(scenario: str, data_dir: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    pictures = ("--pictures", PICTURES) if PICTURES else ()
    return subprocess.Popen(
        [sys.executable, str(BESIDE / "driven_window.py"), scenario, str(data_dir), *pictures],
        env={**environment, "PYTHONPATH": str(BESIDE.parent.parent), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def play(scenario: str, data_dir: Path, environment: dict[str, str]) -> str:
    """What the window told; fails with it if the scenario did not come to its end."""
    window = start(scenario, data_dir, environment)
    output, _ = window.communicate(timeout=500)
    assert window.returncode == 0, output
    return output


def left_behind(data_dir: Path) -> list[str]:
    """Processes that were started for this folder, daemons of libp2p included."""
    left = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if str(data_dir) in words or process.environ().get("VOLUNTEER_DATA_DIR", "").startswith(str(data_dir)):
                left.append(words)
        except psutil.Error:
            continue
    return left


def test_practice_answers_from_the_first_page_and_leaves_nothing(tmp_path: Path, desktop: dict[str, str]) -> None:
    play("practice", tmp_path / "data", desktop)
    assert left_behind(tmp_path) == []
    assert not (tmp_path / "data" / "practice").exists()


def test_a_life_from_the_first_run_to_the_last_goodbye(
    tmp_path: Path, desktop: dict[str, str], hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from volunteer.swarm_model import open_swarm_model

    folder = open_swarm_model(EMBEDDED_MODEL, models_dir=tmp_path / "models").checkpoint.folder
    hub.add_model(MODEL, folder)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    serve = ["--model", MODEL, "--blocks", "0:15", "--new-swarm", "--host-maddrs", "/ip4/127.0.0.1/tcp/0"]
    with Worker(serve, tmp_path / "neighbour") as neighbour:
        address = neighbour.wait_for("listening")["maddrs"][0]
        neighbour.wait_for("ready", timeout_s=120)
        hub.faults.bytes_per_s = DOWNLOAD_BYTES_PER_S
        environment = desktop | {
            "HF_ENDPOINT": hub.endpoint,
            "VOLUNTEER_TEST_MODEL": MODEL,
            "VOLUNTEER_TEST_NEIGHBOUR": address,
        }
        play("life", tmp_path / "data", environment)
        assert left_behind(tmp_path / "data") == []
        kill_the_window_in_an_answer(tmp_path / "data", environment)
    assert left_behind(tmp_path) == []


def kill_the_window_in_an_answer(data_dir: Path, environment: dict[str, str]) -> None:
    """The worker goes on, and the next window shows the answer, and quits it."""
    window = start("ask_and_be_killed", data_dir, environment)
    assert window.stdout is not None
    told = []
    for line in window.stdout:
        told.append(line)
        if line.startswith("KILL ME"):
            break
    window.send_signal(signal.SIGKILL)
    window.communicate()
    assert told and told[-1].startswith("KILL ME"), "".join(told)
    pid = worker_status(data_dir).pid
    said = play("come_back", data_dir, environment)
    assert f"worker {pid}\n" in said
    with pytest.raises(UserError):
        worker_status(data_dir)
    assert left_behind(data_dir) == []
