"""From measured rounds to tables and JSON, without running anything."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from volunteer.bench import concurrent, delay, hop, kv, plot, prefill, receipts, single, speculation
from volunteer.bench.answers import Answer
from volunteer.bench.machine import Load, LoadMeter
from volunteer.bench.options import BENCHMARKS, SMOLLM2, BenchOptions, judged
from volunteer.bench.reference import Limits
from volunteer.bench.report import Result, exactness_notes, exactness_values
from volunteer.bench.rounds import Round, run_rounds
from volunteer.bench.run import BENCHMARK_FUNCTIONS
from volunteer.bench.statistics import Agreement, agreement
from volunteer.bench.table import Table
from volunteer.errors import ConfigurationError

QUIET = Load(ours_cores=1.0, others_cores=0.0, stolen_cores=0.0)
LIMITS = Limits(read_s=0.08, read_head_s=0.02, multiply_s=0.01)
EQUAL = Agreement(first_difference=None, gap_there=None, near_ties=0, smallest_gap=0.5)


def answer(seconds: float, *, token_ids: tuple[int, ...] = (1, 2, 3, 4, 5)) -> Answer:
    """Each token as long as every other."""
    return Answer(token_ids, tuple(seconds * (number + 1) / len(token_ids) for number in range(len(token_ids))))


def single_round(number: int, *, local_s: float = 1.0, swarm_s: float = 1.0, swarm_ids=(1, 2, 3, 4, 5)) -> Round:
    measured = {"limits": LIMITS, "local": answer(local_s), "swarm": answer(swarm_s, token_ids=swarm_ids)}
    return Round(number, measured, QUIET)


def concurrent_result() -> Result:
    measured = {
        "one by one": [answer(1.0), answer(1.0), answer(2.0)],
        "2 at once": [answer(1.0), answer(1.25)],
        "3 at once": [answer(1.0), answer(1.0), answer(2.0)],
        "1 rows": 0.1,
        "2 rows": 0.1,
        "3 rows": 0.2,
    }
    return concurrent.report("title", [Round(1, measured, QUIET)], {"chat": EQUAL}, (2, 3), 4.0)


def prefill_result() -> Result:
    measured = {
        "limits": LIMITS,
        "local": answer(2.0, token_ids=(1,)),
        "whole": answer(2.5, token_ids=(1,)),
        "pipelined": answer(1.25, token_ids=(1,)),
        "disturbed": prefill.Disturbance((1, 2, 3), 0.1, 0.3, answer(3.0, token_ids=(1,))),
    }
    return prefill.report("title", [Round(1, measured, QUIET)], {"prompt": EQUAL}, 1000)


def delay_result() -> Result:
    # A fifth of a second a token, and half a second with distance: three servers, 50 ms four times, and 100 ms lost.
    measured = {"local": answer(1.0), "near": answer(1.0), "far": (answer(2.5), (0.0505, 0.052))}
    return delay.report("title", [Round(1, measured, QUIET)], {"far": EQUAL}, 3, 0.05, {"client to 0:2": 0.1})


def speculation_result() -> Result:
    at_once = Answer((1, 2, 3, 4, 5), (0.5, 1.0))
    measured = {
        name: at_once if "lookup" in name else answer(4.0)
        for place in ("local", "near", "far")
        for name in (place, f"{place} with lookup")
    }
    return speculation.report("title", [Round(1, measured, QUIET)], {"far": EQUAL}, {"client to 0:2": 0.1})


def kv_result(*, refused: str = "") -> Result:
    meter = LoadMeter()
    meter.load = QUIET
    return kv.report(kv.Admitted([0.5] * 20, [0.1] * 20, refused, wrong=0), 8192, 46_080, meter)


def hop_result() -> Result:
    return hop.report("title", [Round(1, {"compute": [0.001] * 3, "swarm": [0.004, 0.007, 0.010]}, QUIET)], 3)


def single_result() -> Result:
    return single.report("title", [single_round(1)], [EQUAL], 2)


def receipts_result() -> Result:
    return receipts.report("title", [Round(1, {"both": receipts.Turns(5, 1.0, 1.25, True)}, QUIET)], 0.5)


RESULTS = (
    single_result,
    concurrent_result,
    prefill_result,
    hop_result,
    delay_result,
    speculation_result,
    kv_result,
    receipts_result,
)


def test_every_benchmark_that_can_be_named_can_be_run():
    assert tuple(BENCHMARK_FUNCTIONS) == tuple(BENCHMARKS)


def test_the_judged_runs_have_every_benchmark_and_the_given_sizes():
    runs = judged(BenchOptions(data_dir=Path("data"), rounds=7, servers=5, chats=(8, 16)))
    assert {name for run in runs for name in run.benchmarks} == set(BENCHMARKS)
    assert {run.rounds for run in runs} == {7}
    # Chosen ones keep their models.
    (chosen,) = judged(BenchOptions(data_dir=Path("data"), benchmarks=("kv",)))
    assert (chosen.benchmarks, chosen.model) == (("kv",), SMOLLM2)
    # Through two servers only eight chats; everything else with the servers that its goal names.
    assert [(run.servers, run.chats) for run in runs if run.servers] == [(2, (8,))]


def test_contestants_take_turns_and_the_first_round_does_not_count():
    turns, seen = [], []

    def turn(name: str):
        def run(number: int) -> str:
            turns.append((name, number))
            return f"{name}{number}"

        return run

    rounds = run_rounds({"local": turn("local"), "swarm": turn("swarm")}, rounds=2, on_round=seen.append)
    assert turns == [(name, number) for number in range(3) for name in ("local", "swarm")]
    assert [(done["local"], done["swarm"]) for done in rounds] == [("local1", "swarm1"), ("local2", "swarm2")]
    assert seen == rounds


def test_ratios_are_taken_within_a_round():
    # Both slow down together in round 2: its ratio is the same.
    rounds = [single_round(1, local_s=1.0, swarm_s=1.25), single_round(2, local_s=4.0, swarm_s=5.0)]
    agreements = [agreement(done["local"].token_ids, done["swarm"].token_ids, [1.0] * 5) for done in rounds]
    values = single.report("title", rounds, agreements, 2).values
    assert values["summary"]["ratio"] == pytest.approx({"median": 0.8, "low": 0.8, "high": 0.8})
    assert values["summary"]["local_tokens_per_s"] == pytest.approx({"median": 3.125, "low": 1.25, "high": 5.0})
    assert values["summary"]["added_step_s"]["high"] == pytest.approx(0.2)
    assert values["summary"]["added_hop_s"]["high"] == pytest.approx(0.1)
    assert values["exactness"]["equal"] == 2


def test_other_tokens_are_shown_with_the_gap_where_they_begin():
    rounds = [single_round(1, swarm_ids=(1, 2, 9, 9, 9))]
    agreements = [agreement((1, 2, 3, 4, 5), (1, 2, 9, 9, 9), [1.0, 1.0, 2e-5, 1.0, 1.0])]
    result = single.report("title", rounds, agreements, 2)
    assert result.values["exactness"]["equal"] == 0
    assert result.values["exactness"]["each"]["Round 1"]["first_difference"] == 2
    assert (
        "Round 1: other tokens from 2 on; the two largest logits lie 2e-05 apart (rounding decides) there."
        in result.table.notes
    )


def test_a_difference_where_rounding_decides_is_counted_by_itself():
    near, far = agreement((1, 2), (1, 9), [1.0, 2e-5]), agreement((1, 2), (1, 9), [1.0, 0.5])
    values = exactness_values({"a": EQUAL, "b": near, "c": far})
    assert (values["answers"], values["equal"]) == (3, 1)
    assert (values["different_at_near_ties"], values["different"]) == (1, 1)
    notes = exactness_notes({"a": EQUAL, "b": near, "c": far})
    assert notes[0].startswith("Greedy answers equal to local transformers: 1 of 3.")
    assert "b: other tokens from 1 on; the two largest logits lie 2e-05 apart (rounding decides) there." in notes
    assert "c: other tokens from 1 on; the two largest logits lie 0.5 apart there." in notes


def test_chats_at_once_are_compared_with_just_the_same_chats_alone():
    summary = concurrent_result().values["summary"]
    # 10 tokens in 2 s and in 1.25 s; 15 in 4 s and in 2 s.
    assert summary["ratio_2"]["median"] == pytest.approx(1.6)
    assert summary["ratio_3"]["median"] == pytest.approx(2.0)
    assert summary["rows_ratio_2"]["median"] == pytest.approx(2.0)
    assert summary["rows_ratio_3"]["median"] == pytest.approx(1.5)
    assert summary["slowest_gap_s_3"]["median"] == pytest.approx(0.4)


def test_a_prefill_is_compared_with_local_and_with_the_speed_of_a_matrix_product():
    summary = prefill_result().values["summary"]
    assert summary["ratio"]["median"] == pytest.approx(0.8)
    assert summary["pipelined_ratio"]["median"] == pytest.approx(1.6)
    assert summary["limit_tokens_per_s"]["median"] == pytest.approx(1000 / 10.02)
    assert summary["added_gap_s"]["median"] == pytest.approx(0.2)


def test_distance_is_compared_with_a_near_token_and_one_way_to_each_peer():
    summary = delay_result().values["summary"]
    assert summary["limit_tokens_per_s"]["median"] == pytest.approx(2.5)
    assert summary["share_of_limit"]["median"] == pytest.approx(0.8)
    assert summary["one_ways"]["median"] == pytest.approx(6.0)


def test_speculation_tells_how_many_tokens_a_step_gave():
    summary = speculation_result().values["summary"]
    assert summary["far_ratio"]["median"] == pytest.approx(4.0)
    assert summary["tokens_a_step"]["median"] == pytest.approx(2.5)


def test_sessions_are_counted_against_those_whose_whole_length_is_set_aside():
    values = kv_result().values
    assert values["sessions"] == {"max_length set aside": 4, "admitted": 20, "limit: what is used": 27}
    assert values["ratio"] == 5
    assert values["room_bytes"] == 8192 * 46_080


def test_why_a_session_was_refused_is_shown():
    assert "The next one was refused: no room" in kv_result(refused="no room").table.notes


def test_a_hop_costs_what_the_computation_does_not_explain():
    values = hop_result().values
    assert values["p50_s"] == pytest.approx(0.002)
    assert values["p90_s"] == pytest.approx(0.0028)


@pytest.mark.parametrize("result", RESULTS)
def test_reports_are_json(result):
    assert json.loads(json.dumps(result().values, allow_nan=False))


def test_all_charts_become_one_picture(tmp_path: Path):
    pytest.importorskip("matplotlib")
    plot.save_plot([result().chart for result in RESULTS], tmp_path / "plot.png", "machine")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_without_matplotlib_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigurationError, match=r"^A plot needs matplotlib: pip install 'petals-volunteer\[bench\]'\.$"
    ):
        plot.need_matplotlib()


def test_tables_align_names_left_and_numbers_right():
    table = Table("numbers", ("round", "ms"), [("1", "10.25"), ("median", "9.00")], ["a note"])
    assert str(table) == "numbers\n  round      ms\n  1       10.25\n  median   9.00\n  a note"


def test_the_work_of_this_process_is_not_load_of_others():
    with LoadMeter() as meter:
        total = sum(number * number for number in range(2_000_000))
    assert total > 0
    assert 0 < meter.load.ours_cores < 2
    assert meter.load.disturbance_cores >= 0
