"""What signed receipts cost: answers for which both sides sign, in turns with the same answers as a guest's.

The client's key and ledger are real files, like those of the workers; a receipt is signed every 256 tokens and at the
end of a session, by both. Nothing else differs between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from volunteer.bench.answers import Answer, random_prompt
from volunteer.bench.report import Bar, Chart, Column, Result, round_table, round_values, summarise
from volunteer.bench.rounds import Round, Stage, run_rounds
from volunteer.bench.single import answer_values
from volunteer.bench.statistics import first_difference
from volunteer.bench.swarms import in_words, joined_swarm, spans_of, through_swarm
from volunteer.client.account import Account
from volunteer.errors import UserError
from volunteer.points.totals import points_of
from volunteer.points.wallet import Wallet

GUEST, PAYING = "guest", "paying"
COLUMNS = (
    Column("guest_tokens_per_s", "without tokens/s"),
    Column("paying_tokens_per_s", "with tokens/s"),
    Column("ratio", "ratio", 3),
)


class NotSigned(UserError):
    """There was nothing to be measured: no receipt came."""


def measure_receipts(stage: Stage) -> Result:
    """Tokens/s with and without receipts, and their ratio in each round.

    Raises:
        NotSigned: the answers with receipts had none.
    """
    options = stage.options
    spans = spans_of(stage, options.servers_of("receipts"))
    vocabulary = stage.model.family.config.vocab_size
    prompts = [random_prompt(vocabulary, options.prompt_tokens, seed=number) for number in range(options.rounds + 1)]
    stage.say(f"receipts: starting {len(spans)} workers ...")
    with Wallet(stage.work_dir / "client") as wallet, joined_swarm(stage, spans) as swarm:
        account = Account(wallet.open().identity, wallet.open().ledger)

        def answer(number: int, payer: Account | None) -> Answer:
            swarm.account = payer
            return through_swarm(swarm, prompts[number], options.new_tokens)

        rounds: list[Round[Answer]] = run_rounds(
            {GUEST: lambda number: answer(number, None), PAYING: lambda number: answer(number, account)},
            rounds=options.rounds,
            on_round=lambda done: stage.say(
                f"receipts: round {done.number} of {options.rounds}, ratio {row_of(done)['ratio']:.3f}"
            ),
        )
        signed = sum(total.spent for total in wallet.days().values())
    if not signed:
        raise NotSigned("No worker asked for a signature, so receipts could not be measured.")
    title = (
        f"receipts: greedy answers of {options.new_tokens} tokens to {options.prompt_tokens} with and without them, "
        f"through {in_words(spans)}"
    )
    return report(title, rounds, points_of(signed))


def row_of(done: Round[Answer]) -> dict[str, float]:
    """The numbers of one round."""
    guest, paying = done[GUEST].tokens_per_s, done[PAYING].tokens_per_s
    return {"guest_tokens_per_s": guest, "paying_tokens_per_s": paying, "ratio": paying / guest}


def report(title: str, rounds: Sequence[Round[Answer]], signed_points: float) -> Result:
    """The table and the JSON of measured rounds.

    Args:
        signed_points: that the client signed for, the warm-up with it.
    """
    rows = [row_of(done) for done in rounds]
    loads = [done.load for done in rounds]
    spreads = summarise(rows)
    equal = sum(first_difference(done[GUEST].token_ids, done[PAYING].token_ids) is None for done in rounds)
    notes = [
        f"Signed by both sides: {signed_points:.3g} points, the warm-up with them.",
        f"Answers equal with and without: {equal} of {len(rounds)}.",
    ]
    values: dict[str, Any] = {
        **round_values(rows, loads),
        "signed_points": signed_points,
        "equal": equal,
        "answers": [{name: answer_values(done[name]) for name in (GUEST, PAYING)} for done in rounds],
    }
    bars = [Bar("without", spreads["guest_tokens_per_s"]), Bar("with", spreads["paying_tokens_per_s"])]
    return Result(round_table(title, COLUMNS, rows, loads, notes), values, loads, Chart(title, "tokens/s", bars))
