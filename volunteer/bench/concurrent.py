"""Many chats at once through the same servers, against the same chats one after another.

The limit is what more rows in one batch cost the blocks of `transformers`, on the same machine in the same run: servers
that put all chats in one pass can come close to it, servers that take turns cannot do better than 1.
"""

from __future__ import annotations

from typing import Any

from volunteer.bench.answers import Answer, random_prompt
from volunteer.bench.chats import Chats
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
from volunteer.bench.statistics import Agreement, agreement, quantile
from volunteer.bench.swarms import in_words, joined_swarm, spans_of

ONE_BY_ONE = "one by one"
ROWS_STEPS = 8
"""One-token steps of each batch whose median is its time."""


def measure_concurrent(stage: Stage) -> Result:
    """Tokens/s of all chats together, one after another and so many at once."""
    options, model = stage.options, stage.model
    spans = spans_of(stage, options.servers_of("concurrent"))
    prompts = prompts_of_all_lengths(model.family.config.vocab_size, options.prompt_tokens, max(options.chats))
    stage.say(f"concurrent: starting {len(spans)} workers and transformers ...")
    with ReferenceProcess(model.checkpoint.folder) as reference, joined_swarm(stage, spans) as swarm:
        chats = Chats(swarm)
        stage.say(f"concurrent: {len(prompts)} answers of transformers ...")
        local = [reference.greedy(prompt, options.new_tokens) for prompt in prompts]
        gaps = [reference.gaps(prompt, answer.token_ids) for prompt, answer in zip(prompts, local, strict=True)]

        def at_once(count: int) -> Any:
            return lambda number: chats.answers(prompts[:count], options.new_tokens)

        def rows(count: int) -> Any:
            return lambda number: reference.rows_s(count, options.prompt_tokens, ROWS_STEPS)

        rounds = run_rounds(
            {
                ONE_BY_ONE: lambda number: [chats.answer(prompt, options.new_tokens) for prompt in prompts],
                **{at_once_name(count): at_once(count) for count in options.chats},
                **{rows_name(count): rows(count) for count in {1: None, **dict.fromkeys(options.chats)}},
            },
            rounds=options.rounds,
            on_round=lambda done: stage.say(
                f"concurrent: round {done.number} of {options.rounds}, ratios "
                + ", ".join(f"{row_of(done, options.chats)[f'ratio_{count}']:.2f}" for count in options.chats)
            ),
        )
    agreements = {
        f"Round {done.number}, {name}, chat {number}": agreement(one.token_ids, other.token_ids, gaps[number])
        for done in rounds
        for name in (ONE_BY_ONE, *(at_once_name(count) for count in options.chats))
        for number, (one, other) in enumerate(zip(local, done[name], strict=False))
    }
    title = (
        f"concurrent: {', '.join(map(str, options.chats))} chats at once, {options.new_tokens} tokens to "
        f"{len(prompts[0])}-{len(prompts[-1])} each, through {in_words(spans)}"
    )
    local_tokens_per_s = sum(len(answer.token_ids) for answer in local) / sum(answer.last_token_s for answer in local)
    return report(title, rounds, agreements, options.chats, local_tokens_per_s)


def prompts_of_all_lengths(vocabulary: int, middle: int, count: int) -> list[list[int]]:
    """From half of the usual length to one and a half."""
    return [
        random_prompt(vocabulary, max(1, round(middle * (0.5 + number / max(1, count - 1)))), seed=number)
        for number in range(count)
    ]


def at_once_name(count: int) -> str:
    return f"{count} at once"


def rows_name(count: int) -> str:
    return f"{count} rows"


def row_of(done: Round[Any], counts: tuple[int, ...]) -> dict[str, float]:
    """The numbers of one round."""
    row: dict[str, float] = {}
    for count in counts:
        alone, together = done[ONE_BY_ONE][:count], done[at_once_name(count)]
        num_tokens = sum(len(answer.token_ids) for answer in together)
        alone_tokens_per_s = num_tokens / sum(answer.last_token_s for answer in alone)
        tokens_per_s = num_tokens / max(answer.last_token_s for answer in together)
        gaps_s = _gaps_s(together)
        row |= {
            f"one_by_one_tokens_per_s_{count}": alone_tokens_per_s,
            f"tokens_per_s_{count}": tokens_per_s,
            f"ratio_{count}": tokens_per_s / alone_tokens_per_s,
            f"rows_ratio_{count}": count * done[rows_name(1)] / done[rows_name(count)],
            f"gap_p50_s_{count}": quantile(gaps_s, 0.5),
            f"gap_p95_s_{count}": quantile(gaps_s, 0.95),
            f"slowest_gap_s_{count}": max(gaps_s),
        }
    return row | {"gap_alone_p50_s": quantile(_gaps_s(done[ONE_BY_ONE]), 0.5)}


def _gaps_s(answers: list[Answer]) -> list[float]:
    """Between the tokens of each; the time of a first token stands for answers that have no other."""
    return [gap_s for answer in answers for gap_s in answer.gaps_s or [answer.first_token_s]]


def report(
    title: str,
    rounds: list[Round[Any]],
    agreements: dict[str, Agreement],
    counts: tuple[int, ...],
    local_tokens_per_s: float,
) -> Result:
    """The table and the JSON of measured rounds."""
    rows = [row_of(done, counts) for done in rounds]
    loads = [done.load for done in rounds]
    spreads = summarise(rows)
    columns = [
        column
        for count in counts
        for column in (
            Column(f"one_by_one_tokens_per_s_{count}", f"{count} one by one"),
            Column(f"tokens_per_s_{count}", f"{count} at once"),
            Column(f"ratio_{count}", "ratio"),
            Column(f"rows_ratio_{count}", "rows alone"),
        )
    ]
    notes = [
        f"{count} at once: between two tokens of a chat {1000 * spreads[f'gap_p50_s_{count}'].median:.0f} ms (half), "
        f"{1000 * spreads[f'gap_p95_s_{count}'].median:.0f} ms (95 %), at most "
        f"{1000 * spreads[f'slowest_gap_s_{count}'].high:.0f} ms; alone "
        f"{1000 * spreads['gap_alone_p50_s'].median:.0f} ms."
        for count in counts
    ]
    notes += [
        "All in tokens/s. Rows alone: what a batch of so many rows gains in the blocks of transformers.",
        f"Local transformers, one after another: {local_tokens_per_s:.2f} tokens/s.",
        *exactness_notes(agreements),
    ]
    values = {
        **round_values(rows, loads),
        "local_tokens_per_s": local_tokens_per_s,
        "exactness": exactness_values(agreements),
    }
    bars = [Bar(f"{count} at once", spreads[f"ratio_{count}"]) for count in counts]
    limits = {f"rows alone, {count}": spreads[f"rows_ratio_{count}"].median for count in counts}
    chart = Chart(title, "tokens/s of one chat after another", bars, limits)
    return Result(round_table(title, columns, rows, loads, notes), values, loads, chart)
