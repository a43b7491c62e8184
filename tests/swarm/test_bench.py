"""`volunteer bench` on a tiny model: the numbers are whole and sane, the tokens equal, and nothing stays behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from pathlib import Path

import psutil

from volunteer.bench.options import BenchOptions
from volunteer.bench.run import run_bench
from volunteer.local_swarm import child_environment, program_command


def test_a_tiny_model_is_measured_with_equal_tokens_and_sane_ratios(random_bloom: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    options = BenchOptions(
        data_dir=tmp_path / "data",
        model=str(random_bloom),
        rounds=1,
        new_tokens=4,
        prompt_tokens=5,
        servers=2,
        json_file=results,
    )
    out = io.StringIO()
    before = psutil.Process().children(recursive=True)
    assert run_bench(options, out=out, messages=io.StringIO()) == 0
    assert set(psutil.Process().children(recursive=True)) <= set(before)

    written = json.loads(results.read_text(encoding="utf-8"))
    single, hop = written["benchmarks"]["single"], written["benchmarks"]["hop"]
    assert single["equal_rounds"] == 1
    (measured,) = single["rounds"]
    assert len(measured["local"]["token_ids"]) == 4
    assert measured["local"]["token_ids"] == measured["swarm"]["token_ids"]
    # Wide bounds: a machine in the middle of other work is no failure, a mixed-up unit is.
    assert 0.005 < measured["ratio"] < 20
    assert measured["ratio"] == measured["swarm"]["tokens_per_s"] / measured["local"]["tokens_per_s"]
    assert single["summary"]["ratio"]["median"] == measured["ratio"]
    assert hop["hops"] == 2
    assert 0 < hop["p50_s"] <= hop["p90_s"] < 1
    assert "same tokens" in out.getvalue() and "p50 ms" in out.getvalue()


def test_an_interrupt_in_the_middle_leaves_no_process(random_bloom: Path, tmp_path: Path) -> None:
    arguments = ["bench", "single", "--model", str(random_bloom), "--servers", "1", "--rounds", "100000"]
    process = subprocess.Popen(
        [*program_command(), "--data-dir", str(tmp_path), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(1),
    )
    with process:
        try:
            assert process.stderr is not None
            assert any("round 1 of" in line for line in process.stderr)
            below = psutil.Process(process.pid).children(recursive=True)
            os.kill(process.pid, signal.SIGINT)
            process.stderr.read()
            assert process.wait(30) == 130
        finally:
            process.kill()
    # The reference, a worker, its libp2p daemon, and the client's.
    assert len(below) == 4
    assert [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
