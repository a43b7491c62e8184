"""One chat through servers far from each other, against what distance and computation leave possible.

The same swarm is measured with and without distance, so the limit is of the same run: no token can come sooner than
its computation (a token of this swarm without distance) and one way from peer to peer, round through all servers.
"""

from __future__ import annotations

from typing import Any

from volunteer.bench.answers import random_prompt
from volunteer.bench.reference import ReferenceProcess
from volunteer.bench.report import (
    Bar,
    Chart,
    Column,
    Result,
    exactness_notes,
    exactness_values,
    round_table,
    round_values,
    summarise,
)
from volunteer.bench.rounds import Round, Stage, run_rounds
from volunteer.bench.single import answer_values
from volunteer.bench.statistics import Agreement, agreement
from volunteer.bench.swarms import far_swarm, in_words, spans_of, through_swarm

LOCAL, NEAR, FAR, HELD = "local", "near", "far", "held"
COLUMNS = (
    Column("local_tokens_per_s", "local tokens/s"),
    Column("near_tokens_per_s", "no distance"),
    Column("far_tokens_per_s", "far tokens/s"),
    Column("limit_tokens_per_s", "limit"),
    Column("share_of_limit", "share", 3),
    Column("one_ways", "one ways a token", 1),
    Column("held_s", "one way ms", 1, 1000),
)


def measure_delay(stage: Stage) -> Result:
    """Tokens/s after the first token: local, without distance, and with it, as a share of the limit."""
    options = stage.options
    spans = spans_of(stage, options.servers_of("delay"))
    prompts = [
        random_prompt(stage.model.family.config.vocab_size, options.prompt_tokens, seed=number)
        for number in range(options.rounds + 1)
    ]
    stage.say(f"delay: starting {len(spans)} workers and transformers ...")
    with (
        ReferenceProcess(stage.model.checkpoint.folder) as reference,
        far_swarm(stage, spans, options.one_way_s) as swarm,
    ):

        def far(number: int) -> Any:
            with swarm.at(options.one_way_s):
                answer = through_swarm(swarm.model, prompts[number], options.new_tokens)
                return answer, swarm.relay.measured_s()

        rounds: list[Round[Any]] = run_rounds(
            {
                LOCAL: lambda number: reference.greedy(prompts[number], options.new_tokens),
                NEAR: lambda number: through_swarm(swarm.model, prompts[number], options.new_tokens),
                FAR: far,
            },
            rounds=options.rounds,
            on_round=lambda done: stage.say(
                f"delay: round {done.number} of {options.rounds}, "
                f"{row_of(done, len(spans), options.one_way_s)['share_of_limit']:.3f} of the limit"
            ),
        )
        agreements = {
            f"Round {done.number}, {name}": agreement(done[LOCAL].token_ids, answer.token_ids, gaps)
            for done in rounds
            for gaps in (reference.gaps(prompts[done.number], done[LOCAL].token_ids),)
            for name, answer in ((NEAR, done[NEAR]), (FAR, done[FAR][0]))
        }
    title = (
        f"delay: one greedy answer of {options.new_tokens} tokens, {1000 * options.one_way_s:.0f} ms each way "
        f"between all peers, through {in_words(spans)}"
    )
    return report(title, rounds, agreements, len(spans), options.one_way_s, swarm.pings_s)


def row_of(done: Round[Any], servers: int, one_way_s: float) -> dict[str, float]:
    """The numbers of one round."""
    local, near = done[LOCAL], done[NEAR]
    far, (held_s, longest_held_s) = done[FAR]
    limit_s = near.step_s + (servers + 1) * one_way_s
    return {
        "local_tokens_per_s": 1 / local.step_s,
        "near_tokens_per_s": 1 / near.step_s,
        "far_tokens_per_s": 1 / far.step_s,
        "limit_tokens_per_s": 1 / limit_s,
        "share_of_limit": limit_s / far.step_s,
        "one_ways": (far.step_s - near.step_s) / one_way_s,
        "first_token_s": far.first_token_s,
        "slowest_gap_s": max(far.gaps_s),
        "held_s": held_s,
        "longest_held_s": longest_held_s,
    }


def report(
    title: str,
    rounds: list[Round[Any]],
    agreements: dict[str, Agreement],
    servers: int,
    one_way_s: float,
    pings_s: dict[str, float],
) -> Result:
    """The table and the JSON of measured rounds."""
    rows = [row_of(done, servers, one_way_s) for done in rounds]
    loads = [done.load for done in rounds]
    spreads = summarise(rows)
    notes = [
        f"The limit: a token without distance, and {servers + 1} times {1000 * one_way_s:.0f} ms.",
        *distance_notes(pings_s),
        f"The relays held nothing longer than {1000 * spreads['longest_held_s'].high:.0f} ms.",
        f"The first token comes after {spreads['first_token_s'].median:.2f} s.",
        *exactness_notes(agreements),
    ]
    values = {
        **round_values(rows, loads),
        "one_way_s": one_way_s,
        "pings_s": pings_s,
        "exactness": exactness_values(agreements),
        "answers": [
            {LOCAL: answer_values(done[LOCAL]), NEAR: answer_values(done[NEAR]), FAR: answer_values(done[FAR][0])}
            for done in rounds
        ],
    }
    bars = [Bar("far", spreads["far_tokens_per_s"])]
    chart = Chart(title, "tokens/s", bars, {"computation and distance": spreads["limit_tokens_per_s"].median})
    return Result(round_table(title, COLUMNS, rows, loads, notes), values, loads, chart)


def distance_notes(pings_s: dict[str, float]) -> list[str]:
    """Whether all peers are as far from each other as they should be."""
    shortest, longest = (1000 * pick(pings_s.values()) for pick in (min, max))
    return [f"Round trips that peers measured: {shortest:.0f} to {longest:.0f} ms ({', '.join(sorted(pings_s))})."]
