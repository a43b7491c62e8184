"""The program as its users start it: processes, events, signals, exit codes, and what is left afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from volunteer.client.connection import Connection
from volunteer.client.model import SwarmForCausalLM
from volunteer.client.routing import NoRoute
from volunteer.local_swarm import Worker, child_environment, program_command
from volunteer.swarm.records import ServerState

LOOPBACK = ["--host-maddrs", "/ip4/127.0.0.1/tcp/0"]


def start(folder: Path, blocks: str, data_dir: Path, *arguments: str) -> Worker:
    """A worker of these blocks, that ends with the `with`."""
    return Worker(["--model", str(folder), "--blocks", blocks, *LOOPBACK, *arguments], data_dir)


@pytest.fixture
def first(random_bloom: Path, tmp_path: Path) -> Iterator[tuple[Worker, list[str]]]:
    """The first worker of a swarm, with blocks 0-2, and its addresses."""
    with start(random_bloom, "0:3", tmp_path / "first", "--new-swarm") as worker:
        maddrs = worker.wait_for("listening")["maddrs"]
        ready = worker.wait_for("ready")
        assert ready["blocks"] == [0, 3]
        yield worker, maddrs


def run(
    *arguments: str, data_dir: Path, timeout_s: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program_command(), "--data-dir", str(data_dir), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=child_environment(1) | environment,
        check=False,
    )


def wait_until(is_so: Callable[[], bool], timeout_s: float) -> float:
    """Seconds until it is so; fails after `timeout_s`."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < timeout_s
        time.sleep(0.02)
    return time.monotonic() - started


def test_a_killed_worker_leaves_no_daemon(first: tuple[Worker, list[str]]) -> None:
    worker, _ = first
    children = psutil.Process(worker.pid).children(recursive=True)
    assert [child.name() for child in children] == ["p2pd"]
    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: not any(child.is_running() for child in children), 10)


_STARTS_A_WORKER = """
import sys, time
from pathlib import Path
from volunteer.local_swarm import Worker
where = ["--model", sys.argv[1], "--blocks", "0:3", "--host-maddrs", "/ip4/127.0.0.1/tcp/0", "--new-swarm"]
with Worker(where, Path(sys.argv[2])) as worker:
    worker.wait_for("listening")
    print(worker.pid, flush=True)
    time.sleep(600)
"""


def test_a_worker_of_a_private_swarm_does_not_outlive_whoever_is_killed(random_bloom: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _STARTS_A_WORKER, str(random_bloom), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        worker = psutil.Process(int(starter.stdout.readline()))
        started = [worker, *worker.children(recursive=True)]
        starter.kill()
    try:
        assert len(started) > 1
        wait_until(lambda: not any(each.is_running() for each in started), timeout_s=30)
    finally:
        for each in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def test_sigterm_says_goodbye_within_two_seconds(
    first: tuple[Worker, list[str]], random_bloom: Path, tmp_path: Path
) -> None:
    _, maddrs = first
    prefix = "random-bloom-petals"
    with start(random_bloom, "3:6", tmp_path / "second", "--initial-peers", *maddrs) as leaving:
        peer_id = leaving.wait_for("listening")["peer_id"]
        leaving.wait_for("ready")
        with Connection(maddrs, prefix, 6) as connection:

            def state() -> ServerState:
                servers = connection.run(connection.servers.node.servers(prefix, 6))
                return servers[peer_id].record.state

            assert state() is ServerState.ONLINE
            os.kill(leaving.pid, signal.SIGTERM)
            assert wait_until(lambda: state() is ServerState.OFFLINE, 5) < 2
        assert leaving.wait_for("stopped")["served_tokens"] == 0
        assert leaving.wait() == 128 + signal.SIGTERM


def is_refused(model: SwarmForCausalLM, token: torch.Tensor) -> bool:
    newcomer = model.session(max_length=16)
    try:
        newcomer.step(token)
    except NoRoute:
        return True
    finally:
        newcomer.close()
    return False


def test_the_first_interrupt_lets_a_session_end_and_the_second_cuts_it(random_bloom: Path, tmp_path: Path) -> None:
    for number, interrupts in enumerate((1, 2)):
        with start(random_bloom, "0:6", tmp_path / str(number), "--new-swarm") as worker:
            maddrs = worker.wait_for("listening")["maddrs"]
            worker.wait_for("ready")
            with SwarmForCausalLM.from_pretrained(str(random_bloom), initial_peers=maddrs) as model:
                session = model.session(max_length=16)
                token = torch.randn(1, 1, 64)
                session.step(token)
                os.kill(worker.pid, signal.SIGINT)
                model.connection.servers.patience_s = 0
                assert any(is_refused(model, token) for _ in range(50))  # the signal takes a moment to be heard
                session.step(token)
                assert worker.is_running
                if interrupts == 2:
                    os.kill(worker.pid, signal.SIGINT)
                    assert worker.wait() == 128 + signal.SIGINT
                session.close()
            assert worker.wait() == 128 + signal.SIGINT


def test_one_data_folder_has_one_worker(first: tuple[Worker, list[str]], random_bloom: Path, tmp_path: Path) -> None:
    second = run(
        "--no-gui", "--json-events", "--model", str(random_bloom), "--new-swarm", *LOOPBACK, data_dir=tmp_path / "first"
    )
    assert second.returncode == 97
    assert "already running" in json.loads(second.stdout)["message"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--no-gui", "--frobnicate"], 2, "frobnicate"),
        (["--no-gui"], 78, "--new-swarm"),
        (["--no-gui", "--new-swarm", "--host-maddrs", "localhost"], 78, "not a multiaddress"),
        (["--no-gui", "--model", "./nowhere", "--new-swarm"], 78, "nowhere"),
        (["chat", "Hello"], 78, "initial peer"),
        (["gpus"], 0, ""),
    ],
)
def test_exit_codes(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    finished = run(*arguments, data_dir=tmp_path)
    assert finished.returncode == code, finished.stderr
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_swarm_that_does_not_answer_is_unavailable(random_bloom: Path, tmp_path: Path) -> None:
    nobody = "/ip4/127.0.0.1/tcp/9/p2p/QmNV5G3hq2UmAck2htEgsqrmPFBff5goFZAdmKDcZLBZLX"
    finished = run("--no-gui", "--model", str(random_bloom), "--initial-peers", nobody, *LOOPBACK, data_dir=tmp_path)
    assert finished.returncode == 69
    assert "initial peer" in finished.stderr


def test_swarm_lists_servers_and_missing_blocks(
    first: tuple[Worker, list[str]], random_bloom: Path, tmp_path: Path
) -> None:
    _, maddrs = first
    arguments = ("swarm", "--model", str(random_bloom), "--initial-peers", *maddrs)
    listed = json.loads(run(*arguments, "--json", data_dir=tmp_path / "client").stdout)
    assert [server["blocks"] for server in listed["servers"]] == [[0, 3]]
    assert listed["missing"] == [[3, 6]]
    assert "Nobody serves blocks 3-5." in run(*arguments, data_dir=tmp_path / "client").stdout


def test_options_come_from_the_environment_too(tmp_path: Path, random_bloom: Path) -> None:
    finished = run(
        "--no-gui",
        data_dir=tmp_path,
        VOLUNTEER_MODEL=str(random_bloom),
        VOLUNTEER_BLOCKS="4:99",
        VOLUNTEER_NEW_SWARM="1",
    )
    assert finished.returncode == 78
    assert "--blocks 4:99 goes beyond the model" in finished.stderr


def test_a_worker_downloads_only_its_blocks_and_tells_how_far_it_is(
    random_bloom: Path, tmp_path: Path, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_model("bigscience/random-bloom", random_bloom)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    arguments = ["--model", "bigscience/random-bloom", "--blocks", "1:3", "--new-swarm", *LOOPBACK]
    with Worker(arguments, tmp_path / "server") as worker:
        maddrs = worker.wait_for("listening")["maddrs"]
        downloaded = worker.wait_for("download")
        assert worker.wait_for("ready")["model"] == "bigscience/random-bloom"
        listed = run(
            "swarm", "--json", "--model", "bigscience/random-bloom", "--initial-peers", *maddrs,
            data_dir=tmp_path / "client", HF_ENDPOINT=hub.endpoint,
        )  # fmt: skip
    assert json.loads(listed.stdout)["dht_prefix"] == "bigscience/random-bloom-petals"
    one_block = 4 * (64 * 192 + 192 + 64 * 64 + 64 + 2 * 64 * 256 + 256 + 64 + 4 * 64)
    assert downloaded["total_bytes"] >= 2 * one_block
    assert downloaded["total_bytes"] < 1.01 * 2 * one_block + 8192  # and the header of the checkpoint


def test_a_chat_that_is_interrupted_ends_with_the_signals_code(smollm2: Path, tmp_path: Path) -> None:
    with start(smollm2, "0:30", tmp_path / "server", "--new-swarm") as worker:
        maddrs = worker.wait_for("listening")["maddrs"]
        worker.wait_for("ready")
        words = ["chat", "The quick brown fox", "--raw", "--model", str(smollm2), "--initial-peers", *maddrs]
        with subprocess.Popen(
            [*program_command(), "--data-dir", str(tmp_path / "client"), *words, "--max-new-tokens", "2000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(1),
        ) as chat:
            assert chat.stdout is not None and chat.stdout.read(1)
            os.kill(chat.pid, signal.SIGINT)
            chat.communicate(timeout=60)
        assert chat.returncode == 128 + signal.SIGINT


def test_chat_answers_through_workers(smollm2: Path, tmp_path: Path) -> None:
    with start(smollm2, "0:30", tmp_path / "server", "--new-swarm") as worker:
        maddrs = worker.wait_for("listening")["maddrs"]
        worker.wait_for("ready")
        finished = run(
            "chat", "What is the capital of France?", "--model", str(smollm2), "--initial-peers", *maddrs,
            "--temperature", "0", "--max-new-tokens", "16", data_dir=tmp_path / "client",
        )  # fmt: skip
        assert finished.stdout == "The capital of France is Paris.\n"
        raw = run(
            "chat", "The quick brown fox", "--raw", "--model", str(smollm2), "--initial-peers", *maddrs,
            "--temperature", "0", "--max-new-tokens", "5", data_dir=tmp_path / "client",
        )  # fmt: skip
        assert raw.stdout == " with a quick brown bear\n"
        assert "5 tokens" in raw.stderr
