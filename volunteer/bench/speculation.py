"""Prompt lookup: pieces of the prompt are proposed as the next tokens, and one step decides over all of them.

Measured where it pays, on an answer that copies its prompt: with an instruction-tuned model a passage to be repeated,
with other weights a prompt that repeats itself. With and without distance, always beside plain greedy answers.
"""

from __future__ import annotations

from volunteer.bench.answers import Answer, random_prompt
from volunteer.bench.delay import distance_notes
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
from volunteer.client.chat import load_tokenizer
from volunteer.swarm_model import SwarmModel

LOCAL, NEAR, FAR = "local", "near", "far"
PASSAGE = """\
The lighthouse keeper rose before dawn and climbed the 212 steps to the lamp. She trimmed the wick, wiped the salt from
the glass, and wrote the weather into a blue book: wind from the north-west, sea moderate, visibility nine miles. At
noon the supply boat brought flour, lamp oil, two letters and a crate of oranges. By evening the fog had come in, and
the horn sounded every forty seconds until the morning."""
_PLACES = (LOCAL, NEAR, FAR)
COLUMNS = tuple(
    column
    for place in _PLACES
    for column in (
        Column(f"{place}_tokens_per_s", f"{place} tokens/s"),
        Column(f"{place}_lookup_tokens_per_s", "with lookup"),
        Column(f"{place}_ratio", "ratio"),
    )
)


def measure_speculation(stage: Stage) -> Result:
    """Tokens/s with and without prompt lookup: local, through the swarm, and through the swarm with distance."""
    options = stage.options
    spans = spans_of(stage, options.servers_of("speculation"))
    prompt, in_text = copy_heavy_prompt(stage.model, options.prompt_tokens)
    new_tokens, lookup = options.new_tokens, options.lookup_tokens
    stage.say(f"speculation: starting {len(spans)} workers and transformers ...")
    with (
        ReferenceProcess(stage.model.checkpoint.folder) as reference,
        far_swarm(stage, spans, options.one_way_s) as swarm,
    ):

        def far(lookup: int | None) -> Answer:
            with swarm.at(options.one_way_s):
                return through_swarm(swarm.model, prompt, new_tokens, lookup=lookup)

        rounds: list[Round[Answer]] = run_rounds(
            {
                LOCAL: lambda _: reference.greedy(prompt, new_tokens),
                with_lookup(LOCAL): lambda _: reference.greedy(prompt, new_tokens, prompt_lookup_num_tokens=lookup),
                NEAR: lambda _: through_swarm(swarm.model, prompt, new_tokens),
                with_lookup(NEAR): lambda _: through_swarm(swarm.model, prompt, new_tokens, lookup=lookup),
                FAR: lambda _: far(None),
                with_lookup(FAR): lambda _: far(lookup),
            },
            rounds=options.rounds,
            on_round=lambda done: stage.say(
                f"speculation: round {done.number} of {options.rounds}, far {row_of(done)['far_ratio']:.2f}"
            ),
        )
        gaps = reference.gaps(prompt, rounds[0][LOCAL].token_ids)
    agreements = {
        f"Round {done.number}, {name}": agreement(done[LOCAL].token_ids, done[name].token_ids, gaps)
        for done in rounds
        for name in (NEAR, with_lookup(NEAR), FAR, with_lookup(FAR))
    }
    title = (
        f"speculation: {new_tokens} tokens to {len(prompt)} ({in_text}), {lookup} drafted at a time, through "
        f"{in_words(spans)}; far: {1000 * options.one_way_s:.0f} ms each way"
    )
    return report(title, rounds, agreements, swarm.pings_s)


def with_lookup(place: str) -> str:
    return f"{place} with lookup"


def copy_heavy_prompt(model: SwarmModel, num_tokens: int) -> tuple[list[int], str]:
    """Token ids of a prompt whose answer is likely to copy it, and what it is in words.

    Args:
        num_tokens: of the prompt's piece, for models without a tokenizer.
    """
    if (model.checkpoint.folder / "tokenizer_config.json").is_file():
        tokenizer = load_tokenizer(model.checkpoint.folder)
        if tokenizer.chat_template:
            question = f"Repeat this text word for word, and nothing else:\n\n{PASSAGE}"
            inputs = tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True
            )
            return list(inputs["input_ids"]), "a passage to be repeated"
    return 4 * random_prompt(model.family.config.vocab_size, num_tokens, seed=0), "random tokens, four times the same"


def row_of(done: Round[Answer]) -> dict[str, float]:
    """The numbers of one round."""
    row: dict[str, float] = {}
    for place in _PLACES:
        plain, lookup = done[place], done[with_lookup(place)]
        row |= {
            f"{place}_tokens_per_s": plain.tokens_per_s,
            f"{place}_lookup_tokens_per_s": lookup.tokens_per_s,
            f"{place}_ratio": lookup.tokens_per_s / plain.tokens_per_s,
        }
    return row | {"tokens_a_step": tokens_a_step(done[with_lookup(FAR)])}


def tokens_a_step(answer: Answer) -> float:
    """How many tokens came out at once, on average."""
    return len(answer.token_ids) / len(answer.times_s)


def report(
    title: str, rounds: list[Round[Answer]], agreements: dict[str, Agreement], pings_s: dict[str, float]
) -> Result:
    """The table and the JSON of measured rounds."""
    rows = [row_of(done) for done in rounds]
    loads = [done.load for done in rounds]
    spreads = summarise(rows)
    most = spreads["tokens_a_step"].median
    notes = [
        f"{most:.1f} tokens came out of each step: no more than so many times the speed is possible.",
        *distance_notes(pings_s),
        *exactness_notes(agreements),
    ]
    values = {
        **round_values(rows, loads),
        "pings_s": pings_s,
        "exactness": exactness_values(agreements),
        "answers": [{name: answer_values(answer) for name, answer in done.measured.items()} for done in rounds],
    }
    bars = [Bar(place, spreads[f"{place}_ratio"]) for place in _PLACES]
    chart = Chart(title, "tokens/s of plain greedy answers", bars, {"tokens a step": most})
    return Result(round_table(title, COLUMNS, rows, loads, notes), values, loads, chart)
