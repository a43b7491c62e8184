"""What signed receipts cost: a session for which both sides sign, in turns with the same session as a guest's.

Both are open at once, on the same workers, and have the same hidden states to compute; a turn is a few tokens long, so
that a machine that slows down slows both. The client's key and ledger are real files, like those of the workers; a
receipt is signed every 256 tokens and at the end of a session, by both. The model's head is left out, which would only
make the share of receipts smaller.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from volunteer.bench.report import Bar, Chart, Column, Result, round_table, round_values, summarise
from volunteer.bench.rounds import Round, Stage, run_rounds
from volunteer.bench.swarms import in_words, joined_swarm, spans_of
from volunteer.client.account import Account
from volunteer.client.model import SwarmForCausalLM
from volunteer.errors import UserError
from volunteer.points.totals import points_of
from volunteer.points.wallet import Wallet

TURN_TOKENS = 8
GUEST, PAYING = "guest", "paying"
BOTH = "both"
COLUMNS = (
    Column("guest_tokens_per_s", "without tokens/s"),
    Column("paying_tokens_per_s", "with tokens/s"),
    Column("ratio", "ratio", 3),
)


class NotSigned(UserError):
    """There was nothing to be measured: no receipt came."""


@dataclass(frozen=True)
class Turns:
    """Of two sessions that took turns."""

    tokens: int
    guest_s: float
    paying_s: float
    """Of all the tokens, one after the other."""
    are_equal: bool
    """What the servers answered, to the last bit."""


def measure_receipts(stage: Stage) -> Result:
    """Tokens/s through the blocks with and without receipts, and their ratio in each round.

    Raises:
        NotSigned: the session with receipts had none.
    """
    options = stage.options
    spans = spans_of(stage, options.servers_of("receipts"))
    stage.say(f"receipts: starting {len(spans)} workers ...")
    with Wallet(stage.work_dir / "client") as wallet, joined_swarm(stage, spans) as swarm:
        account = Account(wallet.open().identity, wallet.open().ledger)
        rounds: list[Round[Turns]] = run_rounds(
            {BOTH: lambda _: take_turns(swarm, account, stage.model.family.hidden_size, options.new_tokens)},
            rounds=options.rounds,
            on_round=lambda done: stage.say(
                f"receipts: round {done.number} of {options.rounds}, ratio {row_of(done)['ratio']:.3f}"
            ),
        )
        signed = sum(total.spent for total in wallet.days().values())
    if not signed:
        raise NotSigned("No worker asked for a signature, so receipts could not be measured.")
    title = (
        f"receipts: {options.new_tokens} tokens in turns of {TURN_TOKENS} with and without them, through the blocks on "
        f"{in_words(spans)}"
    )
    return report(title, rounds, points_of(signed))


def take_turns(swarm: SwarmForCausalLM, account: Account, width: int, tokens: int) -> Turns:
    """Two sessions of the same tokens; who begins a turn changes from turn to turn."""
    states = torch.randn(1, tokens + 1, width, generator=torch.Generator().manual_seed(0))
    spent_s = {GUEST: 0.0, PAYING: 0.0}
    are_equal = True
    with contextlib.ExitStack() as stack:
        sessions = {}
        for name, payer in ((GUEST, None), (PAYING, account)):
            swarm.account = payer
            sessions[name] = stack.enter_context(swarm.session(max_length=tokens + 1))
            sessions[name].step(states[:, :1])  # opens it
        for number, start in enumerate(range(1, tokens + 1, TURN_TOKENS)):
            outputs = {}
            for name in (GUEST, PAYING) if number % 2 == 0 else (PAYING, GUEST):
                began = time.perf_counter()
                outputs[name] = [
                    sessions[name].step(states[:, place : place + 1])
                    for place in range(start, min(start + TURN_TOKENS, tokens + 1))
                ]
                spent_s[name] += time.perf_counter() - began
            are_equal &= all(map(torch.equal, outputs[GUEST], outputs[PAYING]))
    return Turns(tokens, spent_s[GUEST], spent_s[PAYING], are_equal)


def row_of(done: Round[Turns]) -> dict[str, float]:
    """The numbers of one round."""
    turns = done[BOTH]
    return {
        "guest_tokens_per_s": turns.tokens / turns.guest_s,
        "paying_tokens_per_s": turns.tokens / turns.paying_s,
        "ratio": turns.guest_s / turns.paying_s,
    }


def report(title: str, rounds: Sequence[Round[Turns]], signed_points: float) -> Result:
    """The table and the JSON of measured rounds.

    Args:
        signed_points: that the client signed for, the warm-up with it.
    """
    rows = [row_of(done) for done in rounds]
    loads = [done.load for done in rounds]
    spreads = summarise(rows)
    equal = sum(done[BOTH].are_equal for done in rounds)
    notes = [
        f"Signed by both sides: {signed_points:.3g} points, the warm-up with them.",
        f"Rounds in which the servers answered the same with and without: {equal} of {len(rounds)}.",
    ]
    values: dict[str, Any] = {**round_values(rows, loads), "signed_points": signed_points, "equal": equal}
    bars = [Bar("without", spreads["guest_tokens_per_s"]), Bar("with", spreads["paying_tokens_per_s"])]
    return Result(round_table(title, COLUMNS, rows, loads, notes), values, loads, Chart(title, "tokens/s", bars))
