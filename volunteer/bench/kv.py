"""How many chats one worker holds at once in a KV room of known size, when each asks for far more than it uses.

Real sessions on a real worker: each opens with `max_length` 2048, says 300 tokens and stays. Compared with what fits in
the same room when every session's `max_length` is set aside. At the end all go on, and all must get the same answer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from volunteer.bench.machine import LoadMeter
from volunteer.bench.report import Bar, Chart, Result
from volunteer.bench.rounds import Stage
from volunteer.bench.statistics import Spread, quantile
from volunteer.bench.swarms import joined_swarm, spans_of
from volunteer.bench.table import Table
from volunteer.client.model import SwarmForCausalLM
from volunteer.client.session import Session
from volunteer.errors import Unavailable

MAX_LENGTH = 2048
LENGTH = 300
LAST_TOKENS = 4
"""Of these 300, the ones that come when all sessions are open."""
_PATIENCE_S = 10.0
"""A session that is not let in within so long (and four times the first one's time) counts as refused."""
_TOLERANCE = 1e-3
"""Of outputs relative to their size: sessions in one batch sum in another order than one alone."""


@dataclass(frozen=True)
class Admitted:
    """What became of the sessions, in the order in which they asked."""

    open_s: Sequence[float]
    """Time of each admitted one to its answer."""
    last_s: Sequence[float]
    """Time of each one's last step, all at once."""
    refused: str
    """Why no more: what the first session heard that was not let in, or empty."""
    wrong: int
    """Sessions with another answer than the first."""


def measure_kv(stage: Stage) -> Result:
    """Sessions admitted in the room given, against the sessions whose `max_length` would fit."""
    options, family = stage.options, stage.model.family
    spans = spans_of(stage, options.servers_of("kv"))
    stage.say(f"kv: starting {len(spans)} workers with room for {options.kv_tokens} tokens ...")
    hidden_states = torch.randn(1, LENGTH, family.hidden_size, generator=torch.Generator().manual_seed(0))
    with (
        joined_swarm(stage, spans, options=("--kv-tokens", str(options.kv_tokens))) as swarm,
        LoadMeter() as meter,
    ):
        # No more than fit if a session takes just what it uses: beyond that, others would have to give way.
        admitted = swarm.connection.run(fill(swarm, hidden_states, options.kv_tokens // LENGTH, stage.say))
    token_bytes = family.num_blocks * 2 * family.num_kv_heads * family.head_dim * 4
    return report(admitted, options.kv_tokens, token_bytes, meter)


async def fill(model: SwarmForCausalLM, hidden_states: torch.Tensor, most: int, say: Any) -> Admitted:
    """Opens sessions one after another until one is refused or there are `most`, then one more step in all of them.

    Args:
        hidden_states: [1, 300, hidden], the same for all.
    """
    first, last = hidden_states[:, :-LAST_TOKENS], hidden_states[:, -LAST_TOKENS:]
    sessions: list[Session] = []
    open_s: list[float] = []
    refused = ""
    opened = Session(model.connection.servers, max_length=MAX_LENGTH)
    try:
        while len(sessions) < most:
            patience_s = None if not open_s else _PATIENCE_S + 4 * open_s[0]
            started = time.perf_counter()
            try:
                async with asyncio.timeout(patience_s):
                    await opened.step(first)
            except (Unavailable, TimeoutError) as error:
                refused = str(error) or f"no answer within {patience_s:.0f} s"
                break
            open_s.append(time.perf_counter() - started)
            sessions.append(opened)
            say(f"kv: {len(sessions)} of at most {most} sessions")
            opened = Session(model.connection.servers, max_length=MAX_LENGTH)

        async def finish(session: Session) -> tuple[float, torch.Tensor]:
            started = time.perf_counter()
            outputs = await session.step(last)
            return time.perf_counter() - started, outputs

        finished = await asyncio.gather(*(finish(session) for session in sessions))
    finally:
        await asyncio.gather(*(session.close() for session in (*sessions, opened)))
    expected = finished[0][1]
    wrong = sum(
        not torch.allclose(outputs, expected, rtol=_TOLERANCE, atol=_TOLERANCE * float(expected.abs().max()))
        for _, outputs in finished
    )
    return Admitted(open_s, [last_s for last_s, _ in finished], refused, wrong)


def report(admitted: Admitted, room_tokens: int, token_bytes: int, meter: LoadMeter) -> Result:
    """The table and the JSON.

    Args:
        token_bytes: keys and values of one token in all blocks.
    """
    room_bytes = room_tokens * token_bytes
    counts = {
        "max_length set aside": room_tokens // MAX_LENGTH,
        "admitted": len(admitted.open_s),
        "limit: what is used": room_tokens // LENGTH,
    }
    reserved = max(1, counts["max_length set aside"])
    title = (
        f"kv: sessions of {LENGTH} tokens that ask for {MAX_LENGTH}, in room for {room_tokens} tokens "
        f"({room_bytes / 1e6:.0f} MB)"
    )
    rows = [
        (name, str(count), f"{count / (room_bytes / 1e6):.3f}", f"{count / reserved:.2f}")
        for name, count in counts.items()
    ]
    notes = [
        f"To its answer to {LENGTH - LAST_TOKENS} tokens a session took {quantile(admitted.open_s, 0.5):.2f} s (half), "
        f"at most {max(admitted.open_s):.2f} s; the last {LAST_TOKENS} tokens, in all of them at once, at most "
        f"{max(admitted.last_s):.2f} s.",
        f"Other answers than the first session's: {admitted.wrong} of {len(admitted.last_s)}.",
    ]
    if admitted.refused:
        notes.append(f"The next one was refused: {admitted.refused}")
    ratio = len(admitted.open_s) / reserved
    values = {
        "room_tokens": room_tokens,
        "room_bytes": room_bytes,
        "sessions": counts,
        "ratio": ratio,
        "admitted": dataclasses.asdict(admitted),
        "load": dataclasses.asdict(meter.load),
    }
    bars = [Bar(name, Spread(count, count, count)) for name, count in list(counts.items())[:2]]
    chart = Chart(title, "sessions", bars, {"what is used": counts["limit: what is used"]})
    return Result(Table(title, ("", "sessions", "a MB", "ratio"), rows, notes), values, [meter.load], chart)
