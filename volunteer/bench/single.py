"""One greedy answer through servers on loopback, against the same answer from `transformers` in one process."""

from __future__ import annotations

from typing import Any

from volunteer.bench.answers import Answer, random_prompt
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
from volunteer.bench.rounds import Round, Stage, Turn, run_rounds
from volunteer.bench.statistics import Agreement, agreement
from volunteer.bench.swarms import in_words, joined_swarm, spans_of, through_swarm

LIMITS, LOCAL, SWARM = "limits", "local", "swarm"
COLUMNS = (
    Column("local_tokens_per_s", "local tokens/s"),
    Column("swarm_tokens_per_s", "swarm tokens/s"),
    Column("ratio", "ratio", 3),
    Column("step_ratio", "ratio of steps", 3),
)


def measure_single(stage: Stage) -> Result:
    """Tokens/s of both, their ratio in each round, and whether the tokens are the same ones."""
    options, model = stage.options, stage.model
    spans = spans_of(stage, options.servers_of("single"))
    prompts = [
        random_prompt(model.family.config.vocab_size, options.prompt_tokens, seed=number)
        for number in range(options.rounds + 1)
    ]
    stage.say(f"single: starting {len(spans)} workers and transformers ...")
    with ReferenceProcess(model.checkpoint.folder) as reference, joined_swarm(stage, spans) as swarm:
        contestants: dict[str, Turn[Any]] = {
            LIMITS: lambda number: reference.limits(),
            LOCAL: lambda number: reference.greedy(prompts[number], options.new_tokens),
            SWARM: lambda number: through_swarm(swarm, prompts[number], options.new_tokens),
        }
        rounds: list[Round[Any]] = run_rounds(
            contestants,
            rounds=options.rounds,
            on_round=lambda done: stage.say(
                f"single: round {done.number} of {options.rounds}, ratio {row_of(done, len(spans))['ratio']:.3f}"
            ),
        )
        agreements = [
            agreement(
                done[LOCAL].token_ids,
                done[SWARM].token_ids,
                reference.gaps(prompts[done.number], done[LOCAL].token_ids),
            )
            for done in rounds
        ]
    weights = "float32" if options.quantization == "none" else f"{options.quantization} (local float32)"
    title = (
        f"single: one greedy answer of {options.new_tokens} tokens to {options.prompt_tokens}, {weights}, "
        f"through {in_words(spans)}"
    )
    return report(title, rounds, agreements, len(spans))


def row_of(done: Round[Any], hops: int) -> dict[str, float]:
    """The numbers of one round."""
    local, swarm, limits = done[LOCAL], done[SWARM], done[LIMITS]
    # Without a second token there is no step to time.
    step_ratio = local.step_s / swarm.step_s if swarm.step_s > 0 else local.first_token_s / swarm.first_token_s
    added_s = swarm.step_s - local.step_s
    return {
        "local_tokens_per_s": local.tokens_per_s,
        "swarm_tokens_per_s": swarm.tokens_per_s,
        "ratio": swarm.tokens_per_s / local.tokens_per_s,
        "step_ratio": step_ratio,
        "added_step_s": added_s,
        "added_hop_s": added_s / hops,
        "local_first_token_s": local.first_token_s,
        "swarm_first_token_s": swarm.first_token_s,
        "limit_tokens_per_s": 1 / limits.token_s,
    }


def report(title: str, rounds: list[Round[Any]], agreements: list[Agreement], hops: int) -> Result:
    """The table and the JSON of measured rounds."""
    rows = [row_of(done, hops) for done in rounds]
    loads = [done.load for done in rounds]
    spreads = summarise(rows)
    named = {f"Round {done.number}": agreed for done, agreed in zip(rounds, agreements, strict=True)}
    added, first = spreads["added_step_s"], spreads["swarm_first_token_s"]
    # The machine at its best: a disturbed moment is no limit.
    limit = spreads["limit_tokens_per_s"].high
    notes = [
        f"Through the swarm a token takes {1000 * added.median:+.1f} ms ({1000 * added.low:+.1f} to "
        f"{1000 * added.high:+.1f}), {1000 * spreads['added_hop_s'].median:+.1f} ms a hop.",
        f"The first token comes after {first.median:.2f} s, local {spreads['local_first_token_s'].median:.2f} s.",
        f"Reading every float32 weight once a token allows {limit:.2f} tokens/s in one thread here.",
        *exactness_notes(named),
    ]
    words = {
        "same tokens": [
            f"all {len(done[LOCAL].token_ids)}" if agreed.is_equal else f"first {agreed.first_difference}"
            for done, agreed in zip(rounds, agreements, strict=True)
        ]
    }
    values = {
        **round_values(rows, loads),
        "exactness": exactness_values(named),
        "answers": [{name: answer_values(done[name]) for name in (LOCAL, SWARM)} for done in rounds],
    }
    bars = [Bar("local", spreads["local_tokens_per_s"]), Bar("swarm", spreads["swarm_tokens_per_s"])]
    return Result(
        round_table(title, COLUMNS, rows, loads, notes, words=words),
        values,
        loads,
        Chart(title, "tokens/s", bars, {"float32 weights read once a token": limit}),
    )


def answer_values(answer: Answer) -> dict[str, Any]:
    """One answer for JSON."""
    return {
        "tokens_per_s": answer.tokens_per_s,
        "first_token_s": answer.first_token_s,
        "step_s": answer.step_s,
        "token_ids": list(answer.token_ids),
    }
