"""From measured rounds to tables and JSON, without running anything."""

from __future__ import annotations

import json

import pytest

from volunteer.bench import hop, single
from volunteer.bench.answers import Answer
from volunteer.bench.machine import Load, LoadMeter
from volunteer.bench.options import BENCHMARKS
from volunteer.bench.rounds import Round, run_rounds
from volunteer.bench.run import BENCHMARK_FUNCTIONS
from volunteer.bench.statistics import agreement
from volunteer.bench.table import Table

QUIET = Load(ours_cores=1.0, others_cores=0.0, stolen_cores=0.0)


def answer(seconds: float, *, token_ids: tuple[int, ...] = (1, 2, 3, 4, 5)) -> Answer:
    """A fifth of the time for the first token, the rest evenly for the others."""
    return Answer(token_ids, seconds / 5, seconds)


def single_round(number: int, *, local_s: float = 1.0, swarm_s: float = 1.0, swarm_ids=(1, 2, 3, 4, 5)) -> Round:
    return Round(number, {"local": answer(local_s), "swarm": answer(swarm_s, token_ids=swarm_ids)}, QUIET)


def test_every_benchmark_that_can_be_named_can_be_run():
    assert tuple(BENCHMARK_FUNCTIONS) == BENCHMARKS


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
    assert values["equal_rounds"] == 2


def test_other_tokens_are_shown_with_the_gap_where_they_begin():
    rounds = [single_round(1, swarm_ids=(1, 2, 9, 9, 9))]
    agreements = [agreement((1, 2, 3, 4, 5), (1, 2, 9, 9, 9), [1.0, 1.0, 2e-5, 1.0, 1.0])]
    result = single.report("title", rounds, agreements, 2)
    assert result.values["equal_rounds"] == 0
    assert result.values["rounds"][0]["agreement"]["first_difference"] == 2
    assert "Round 1: other tokens from 2 on; the two largest logits lie 2e-05 apart there." in result.table.notes


def test_a_hop_costs_what_the_computation_does_not_explain():
    rounds = [Round(1, {"compute": [0.001] * 3, "swarm": [0.004, 0.007, 0.010]}, QUIET)]
    values = hop.report("title", rounds, 3).values
    assert values["p50_s"] == pytest.approx(0.002)
    assert values["p90_s"] == pytest.approx(0.0028)


def test_reports_are_json():
    rounds = [single_round(1)]
    agreements = [agreement((1,), (1,), [1.0])]
    text = json.dumps(single.report("title", rounds, agreements, 2).values, allow_nan=False)
    assert json.loads(text)["rounds"][0]["swarm"]["token_ids"] == [1, 2, 3, 4, 5]


def test_tables_align_names_left_and_numbers_right():
    table = Table("numbers", ("round", "ms"), [("1", "10.25"), ("median", "9.00")], ["a note"])
    assert str(table) == "numbers\n  round      ms\n  1       10.25\n  median   9.00\n  a note"


def test_the_work_of_this_process_is_not_load_of_others():
    with LoadMeter() as meter:
        total = sum(number * number for number in range(2_000_000))
    assert total > 0
    assert 0 < meter.load.ours_cores < 2
    assert meter.load.disturbance_cores >= 0
