"""A long prompt through servers, against the same prompt by `transformers` in one process; and what it does to others.

Piece by piece, the second server computes a piece while the first has the next one, so more than local speed is
possible. While a long prompt is computed, another chat goes on through the same servers: its slowest token is measured.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
from volunteer.bench.statistics import Agreement, agreement
from volunteer.bench.swarms import in_words, joined_swarm, spans_of

LIMITS, LOCAL, WHOLE, PIPELINED, DISTURBED = "limits", "local", "whole", "pipelined", "disturbed"
OTHER_CHAT_TOKENS = 1024
"""More than the other chat says while the long prompt is computed."""
OWN_STEPS = 8
"""Tokens of the other chat, after its first one, before the long prompt begins."""
ALLOWED_GAP_S = 0.25
"""What a long prompt may add to another chat's slowest token: a goal of this project."""


@dataclass(frozen=True)
class Disturbance:
    """A chat while a long prompt is computed."""

    token_ids: tuple[int, ...]
    own_step_s: float
    """Median before the long prompt begins."""
    slowest_gap_s: float
    """Of the gaps that overlap with the long prompt."""
    long_prompt: Answer


def measure_prefill(stage: Stage) -> Result:
    """Prompt tokens/s local, whole and in pieces, and the slowest token of another chat meanwhile."""
    options = stage.options
    vocabulary, num_tokens = stage.model.family.config.vocab_size, options.prefill_tokens
    spans = spans_of(stage, options.servers_of("prefill"))
    prompts = [random_prompt(vocabulary, num_tokens, seed=number) for number in range(options.rounds + 1)]
    other_prompt = random_prompt(vocabulary, options.prompt_tokens, seed=options.rounds + 1)
    stage.say(f"prefill: starting {len(spans)} workers and transformers ...")
    with ReferenceProcess(stage.model.checkpoint.folder) as reference, joined_swarm(stage, spans) as swarm:
        whole, pipelined = (Chats(swarm, **arguments) for arguments in session_arguments(num_tokens))
        rounds: list[Round[Any]] = run_rounds(
            {
                LIMITS: lambda number: reference.limits(),
                LOCAL: lambda number: reference.greedy(prompts[number], 1),
                WHOLE: lambda number: whole.answer(prompts[number], 1),
                PIPELINED: lambda number: pipelined.answer(prompts[number], 1),
                DISTURBED: lambda number: disturb(pipelined, other_prompt, prompts[number]),
            },
            rounds=options.rounds,
            on_round=lambda done: stage.say(
                f"prefill: round {done.number} of {options.rounds}, ratio {row_of(done, num_tokens)['ratio']:.2f}, "
                f"in pieces {row_of(done, num_tokens)['pipelined_ratio']:.2f}"
            ),
        )
        agreements: dict[str, Agreement] = {}
        for done in rounds:
            gaps = reference.gaps(prompts[done.number], done[LOCAL].token_ids)
            answers = {WHOLE: done[WHOLE], PIPELINED: done[PIPELINED], DISTURBED: done[DISTURBED].long_prompt}
            for name, answer in answers.items():
                agreements[f"Round {done.number}, {name}"] = agreement(done[LOCAL].token_ids, answer.token_ids, gaps)
        # The same question each round: the longest of its answers has the others in it.
        others = [done[DISTURBED].token_ids for done in rounds]
        local_other = reference.greedy(other_prompt, max(map(len, others)))
        gaps = reference.gaps(other_prompt, local_other.token_ids)
        for done, token_ids in zip(rounds, others, strict=True):
            expected = local_other.token_ids[: len(token_ids)]
            agreements[f"Round {done.number}, other chat"] = agreement(expected, token_ids, gaps[: len(token_ids)])
    title = f"prefill: a prompt of {num_tokens} tokens and its first new one, through {in_words(spans)}"
    return report(title, rounds, agreements, num_tokens)


def session_arguments(num_tokens: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """For `Session`: a prompt of so many tokens in one piece, and in pieces as it does by itself."""
    return {"chunk_tokens": num_tokens}, {}


def disturb(chats: Chats, other_prompt: Sequence[int], long_prompt: Sequence[int]) -> Disturbance:
    """A chat that has begun, then a long prompt, until the chat's first token after it."""
    token_ids: list[int] = []
    times: list[float] = []
    has_begun, is_over = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def talk() -> None:
        try:
            for token_id in chats.tokens(other_prompt, OTHER_CHAT_TOKENS):
                times.append(time.perf_counter())
                token_ids.append(token_id)
                if len(token_ids) > OWN_STEPS:
                    has_begun.set()
                if is_over.is_set():
                    break
        except Exception as error:
            errors.append(error)
        finally:
            has_begun.set()

    talking = threading.Thread(target=talk, name="other chat")
    talking.start()
    try:
        has_begun.wait()
        began = time.perf_counter()
        answer = chats.answer(long_prompt, 1)
        ended = time.perf_counter()
    finally:
        is_over.set()
        talking.join()
    if errors:
        raise errors[0]
    own_steps_s = [after - before for before, after in itertools.pairwise(times) if after <= began]
    meanwhile_s = [after - before for before, after in itertools.pairwise(times) if after > began and before < ended]
    return Disturbance(tuple(token_ids), statistics.median(own_steps_s), max(meanwhile_s), answer)


def row_of(done: Round[Any], num_tokens: int) -> dict[str, float]:
    """The numbers of one round."""
    local_s, disturbed = done[LOCAL].first_token_s, done[DISTURBED]
    return {
        "local_tokens_per_s": num_tokens / local_s,
        "tokens_per_s": num_tokens / done[WHOLE].first_token_s,
        "ratio": local_s / done[WHOLE].first_token_s,
        "pipelined_tokens_per_s": num_tokens / done[PIPELINED].first_token_s,
        "pipelined_ratio": local_s / done[PIPELINED].first_token_s,
        "limit_tokens_per_s": num_tokens / done[LIMITS].prefill_s(num_tokens),
        "own_step_s": disturbed.own_step_s,
        "slowest_gap_s": disturbed.slowest_gap_s,
        "added_gap_s": disturbed.slowest_gap_s - disturbed.own_step_s,
        "disturbed_tokens_per_s": num_tokens / disturbed.long_prompt.first_token_s,
    }


COLUMNS = (
    Column("local_tokens_per_s", "local tokens/s", 0),
    Column("tokens_per_s", "whole", 0),
    Column("ratio", "ratio", 3),
    Column("pipelined_tokens_per_s", "in pieces", 0),
    Column("pipelined_ratio", "ratio", 3),
    Column("own_step_s", "other's step ms", 0, 1000),
    Column("slowest_gap_s", "slowest gap ms", 0, 1000),
)


def report(title: str, rounds: list[Round[Any]], agreements: dict[str, Agreement], num_tokens: int) -> Result:
    """The table and the JSON of measured rounds."""
    rows = [row_of(done, num_tokens) for done in rounds]
    loads = [done.load for done in rounds]
    spreads = summarise(rows)
    limit = spreads["limit_tokens_per_s"].high
    added = spreads["added_gap_s"]
    notes = [
        f"Multiplications alone allow {limit:.0f} prompt tokens/s in one thread here; servers that work at the same "
        "time have a thread each.",
        f"While the prompt is computed, the slowest token of another chat comes {1000 * added.median:.0f} ms later "
        f"than usual ({1000 * added.low:.0f} to {1000 * added.high:.0f}; aimed at: {1000 * ALLOWED_GAP_S:.0f}).",
        *exactness_notes(agreements),
    ]
    values = {**round_values(rows, loads), "exactness": exactness_values(agreements)}
    bars = [
        Bar("local", spreads["local_tokens_per_s"]),
        Bar("whole", spreads["tokens_per_s"]),
        Bar("in pieces", spreads["pipelined_tokens_per_s"]),
    ]
    chart = Chart(title, "prompt tokens/s", bars, {"multiplications, one thread": limit})
    return Result(round_table(title, COLUMNS, rows, loads, notes), values, loads, chart)
