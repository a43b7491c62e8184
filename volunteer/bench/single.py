"""One greedy answer through servers on loopback, against the same answer from `transformers` in one process."""

from __future__ import annotations

import dataclasses
from typing import Any

from volunteer.bench.answers import Answer, greedy_answer, random_prompt
from volunteer.bench.reference import ReferenceProcess
from volunteer.bench.rounds import Result, Round, Stage, run_rounds
from volunteer.bench.statistics import NEAR_TIE, Agreement, Spread, agreement, spread
from volunteer.bench.table import Table
from volunteer.client.model import SwarmCache, SwarmForCausalLM
from volunteer.local_swarm import even_spans, local_swarm

LOCAL, SWARM = "local", "swarm"
FLOAT32_ON_CPU = ("--device", "cpu", "--dtype", "float32", "--quantization", "none")


def measure_single(stage: Stage) -> Result:
    """Tokens/s of both, their ratio in each round, and whether the tokens are the same ones."""
    options, model = stage.options, stage.model
    folder = model.checkpoint.folder
    spans = even_spans(model.family.num_blocks, options.servers)
    prompts = [
        random_prompt(model.family.config.vocab_size, options.prompt_tokens, seed=number)
        for number in range(options.rounds + 1)
    ]
    stage.say(f"single: starting {options.servers} workers and transformers ...")
    with (
        ReferenceProcess(folder) as reference,
        local_swarm(str(folder), spans, stage.work_dir / "single", options=FLOAT32_ON_CPU, threads=1) as members,
        SwarmForCausalLM.join(model, initial_peers=members[0][1].maddrs) as swarm,
    ):
        rounds = run_rounds(
            {
                LOCAL: lambda number: reference.greedy(prompts[number], options.new_tokens),
                SWARM: lambda number: _through_swarm(swarm, prompts[number], options.new_tokens),
            },
            rounds=options.rounds,
            on_round=lambda done: stage.say(
                f"single: round {done.number} of {options.rounds}, ratio {compare(done).ratio:.3f}"
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
    title = (
        f"single: one greedy answer of {options.new_tokens} tokens to {options.prompt_tokens}, float32, "
        f"through {options.servers} servers of {'+'.join(str(end - start) for start, end in spans)} blocks"
    )
    return report(title, rounds, agreements, len(spans))


def _through_swarm(model: SwarmForCausalLM, prompt_ids: list[int], new_tokens: int) -> Answer:
    cache = SwarmCache(model, len(prompt_ids) + new_tokens)
    try:
        return greedy_answer(model, prompt_ids, new_tokens, past_key_values=cache)
    finally:
        cache.close()


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The two answers of one round."""

    ratio: float
    """Tokens/s of the swarm over those of the local model, whole answers."""
    step_ratio: float
    """The same without prompt and first token."""
    added_step_s: float
    """How much longer one token takes through the swarm."""


def compare(done: Round[Answer]) -> Comparison:
    local, swarm = done[LOCAL], done[SWARM]
    # Without a second token there is no step to time.
    step_ratio = local.step_s / swarm.step_s if swarm.step_s > 0 else local.first_token_s / swarm.first_token_s
    return Comparison(swarm.tokens_per_s / local.tokens_per_s, step_ratio, swarm.step_s - local.step_s)


def report(title: str, rounds: list[Round[Answer]], agreements: list[Agreement], hops: int) -> Result:
    """The table and the JSON of measured rounds."""
    comparisons = [compare(done) for done in rounds]
    spreads = {
        "local_tokens_per_s": spread([done[LOCAL].tokens_per_s for done in rounds]),
        "swarm_tokens_per_s": spread([done[SWARM].tokens_per_s for done in rounds]),
        "ratio": spread([each.ratio for each in comparisons]),
        "step_ratio": spread([each.step_ratio for each in comparisons]),
        "added_step_s": spread([each.added_step_s for each in comparisons]),
        "added_hop_s": spread([each.added_step_s / hops for each in comparisons]),
        "local_first_token_s": spread([done[LOCAL].first_token_s for done in rounds]),
        "swarm_first_token_s": spread([done[SWARM].first_token_s for done in rounds]),
    }
    table = Table(
        title,
        ("round", "local tokens/s", "swarm tokens/s", "ratio", "ratio of steps", "same tokens", "other load"),
        [
            *(
                (
                    str(done.number),
                    f"{done[LOCAL].tokens_per_s:.2f}",
                    f"{done[SWARM].tokens_per_s:.2f}",
                    f"{compared.ratio:.3f}",
                    f"{compared.step_ratio:.3f}",
                    _agreement_in_words(agreed, len(done[LOCAL].token_ids)),
                    f"{100 * done.load.disturbance_cores:.0f} %",
                )
                for done, compared, agreed in zip(rounds, comparisons, agreements, strict=True)
            ),
            _row("median", spreads, lambda each: each.median),
            _row("lowest", spreads, lambda each: each.low),
            _row("highest", spreads, lambda each: each.high),
        ],
        _notes(spreads, agreements),
    )
    values = {
        "summary": {name: dataclasses.asdict(each) for name, each in spreads.items()},
        "equal_rounds": sum(agreed.is_equal for agreed in agreements),
        "near_ties": sum(agreed.near_ties for agreed in agreements),
        "rounds": [
            {
                "local": _answer_values(done[LOCAL]),
                "swarm": _answer_values(done[SWARM]),
                **dataclasses.asdict(compared),
                "equal": agreed.is_equal,
                "agreement": dataclasses.asdict(agreed),
                "load": dataclasses.asdict(done.load),
            }
            for done, compared, agreed in zip(rounds, comparisons, agreements, strict=True)
        ],
    }
    return Result(table, values, [done.load for done in rounds])


def _row(name: str, spreads: dict[str, Spread], pick: Any) -> tuple[str, ...]:
    chosen = {key: pick(each) for key, each in spreads.items()}
    return (
        name,
        f"{chosen['local_tokens_per_s']:.2f}",
        f"{chosen['swarm_tokens_per_s']:.2f}",
        f"{chosen['ratio']:.3f}",
        f"{chosen['step_ratio']:.3f}",
        "",
        "",
    )


def _agreement_in_words(agreed: Agreement, num_tokens: int) -> str:
    if agreed.first_difference is None:
        return f"all {num_tokens}"
    return f"first {agreed.first_difference}"


def _notes(spreads: dict[str, Spread], agreements: list[Agreement]) -> list[str]:
    added, first = spreads["added_step_s"], spreads["swarm_first_token_s"]
    notes = [
        f"Through the swarm a token takes {1000 * added.median:+.1f} ms ({1000 * added.low:+.1f} to "
        f"{1000 * added.high:+.1f}), {1000 * spreads['added_hop_s'].median:+.1f} ms a hop.",
        f"The first token comes after {first.median:.2f} s, local {spreads['local_first_token_s'].median:.2f} s.",
        f"Places where two logits lie within {NEAR_TIE:g} and rounding may decide: "
        f"{sum(agreed.near_ties for agreed in agreements)}; smallest gap "
        f"{min(agreed.smallest_gap for agreed in agreements):.2g}.",
    ]
    notes += [
        f"Round {number}: other tokens from {agreed.first_difference} on; the two largest logits lie "
        f"{agreed.gap_there:.2g} apart there."
        for number, agreed in enumerate(agreements, start=1)
        if agreed.gap_there is not None
    ]
    return notes


def _answer_values(answer: Answer) -> dict[str, Any]:
    return {
        "tokens_per_s": answer.tokens_per_s,
        "first_token_s": answer.first_token_s,
        "step_s": answer.step_s,
        "token_ids": list(answer.token_ids),
    }
