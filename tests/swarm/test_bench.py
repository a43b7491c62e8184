"""`volunteer bench` on a tiny model: the numbers are whole and sane, the tokens equal, and nothing stays behind."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil

from volunteer.bench.options import BenchOptions, Outputs
from volunteer.bench.run import run_bench
from volunteer.local_swarm import child_environment, program_command


def measure(benchmark: str, model: Path, tmp_path: Path, **options: Any) -> tuple[dict[str, Any], str]:
    """The numbers of one benchmark and its table, from one short round."""
    sizes = {"rounds": 1, "new_tokens": 4, "prompt_tokens": 5, "servers": 1} | options
    run = BenchOptions(data_dir=tmp_path / "data", model=str(model), benchmarks=(benchmark,), **sizes)
    results = tmp_path / "results.json"
    out = io.StringIO()
    before = psutil.Process().children(recursive=True)
    assert run_bench([run], Outputs(json=results), out=out, messages=io.StringIO()) == 0
    assert set(psutil.Process().children(recursive=True)) <= set(before)
    (measured,) = json.loads(results.read_text(encoding="utf-8"))["runs"]
    assert measured["benchmark"] == benchmark
    if "exactness" in measured:
        exactness = measured["exactness"]
        # What the seeds of this test give: no two logits lie so close that rounding could decide.
        assert exactness["equal"] == exactness["answers"] > 0
    return measured, out.getvalue()


def median(measured: dict[str, Any], name: str) -> float:
    return measured["summary"][name]["median"]


# Bounds are wide: a machine in the middle of other work is no failure, a mixed-up unit is.


def test_single_has_equal_tokens_and_a_sane_ratio(random_bloom: Path, tmp_path: Path) -> None:
    single, table = measure("single", random_bloom, tmp_path, servers=2)
    (answers,) = single["answers"]
    assert len(answers["local"]["token_ids"]) == 4
    assert answers["local"]["token_ids"] == answers["swarm"]["token_ids"]
    assert 0.005 < median(single, "ratio") < 20
    assert single["rounds"][0]["ratio"] == answers["swarm"]["tokens_per_s"] / answers["local"]["tokens_per_s"]
    assert "same tokens" in table


def test_concurrent_chats_have_equal_tokens_and_sane_ratios(random_bloom: Path, tmp_path: Path) -> None:
    concurrent, table = measure("concurrent", random_bloom, tmp_path, chats=(2, 3))
    # Three one after another, two and three at once.
    assert concurrent["exactness"]["answers"] == 8
    assert 0.1 < median(concurrent, "ratio_3") < 10
    assert 0 < median(concurrent, "gap_p50_s_3") <= median(concurrent, "slowest_gap_s_3") < 20
    assert "3 at once" in table


def test_prefill_measures_the_prompt_and_what_it_does_to_another_chat(random_bloom: Path, tmp_path: Path) -> None:
    prefill, table = measure("prefill", random_bloom, tmp_path, prefill_tokens=48)
    # A prompt three times, and the other chat.
    assert prefill["exactness"]["answers"] == 4
    assert 0.005 < median(prefill, "pipelined_ratio") < 50
    assert 0 < median(prefill, "slowest_gap_s") < 20
    assert "slowest gap ms" in table


def test_a_hop_costs_milliseconds(random_bloom: Path, tmp_path: Path) -> None:
    hop, table = measure("hop", random_bloom, tmp_path)
    assert hop["hops"] == 1
    assert 0 < hop["p50_s"] <= hop["p90_s"] < 1
    assert "p50 ms" in table


def test_distance_delays_every_hop(random_bloom: Path, tmp_path: Path) -> None:
    delay, table = measure("delay", random_bloom, tmp_path, servers=2, one_way_s=0.02)
    # To the first server, to the second, and back; timers are never early.
    assert 3 * 0.02 < 1 / median(delay, "far_tokens_per_s") < 5
    assert 0.02 <= median(delay, "held_s") < 1
    assert min(delay["pings_s"].values()) >= 2 * 0.02
    assert "one way ms" in table


def test_speculation_gives_the_same_tokens_with_fewer_steps(random_bloom: Path, tmp_path: Path) -> None:
    speculation, table = measure("speculation", random_bloom, tmp_path, one_way_s=0.005, new_tokens=16)
    assert speculation["exactness"]["answers"] == 4
    assert 1 <= median(speculation, "tokens_a_step") <= 11
    assert "with lookup" in table


def test_more_sessions_are_admitted_than_could_be_set_aside(random_bloom: Path, tmp_path: Path) -> None:
    kv, table = measure("kv", random_bloom, tmp_path, kv_tokens=3200)
    assert kv["sessions"]["max_length set aside"] == 1
    assert 4 <= kv["sessions"]["admitted"] <= kv["sessions"]["limit: what is used"] == 10
    assert kv["admitted"]["wrong"] == 0
    assert "sessions" in table


def test_receipts_are_signed_and_change_no_answer(random_bloom: Path, tmp_path: Path) -> None:
    receipts, table = measure("receipts", random_bloom, tmp_path, servers=2)
    assert receipts["signed_points"] > 0 and receipts["equal"] == 1
    assert 0.05 < median(receipts, "ratio") < 20
    assert "with tokens/s" in table


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
