"""What one hop costs in software: everything that a server adds to a token beside the computation of its blocks.

Measured on a model of hidden states as wide as the chosen model's, with blocks that compute next to nothing, one on
each server. The cost is (time of one token through all hops - time of the same blocks in this process) / hops; it holds
the client's part, packing, two libp2p daemons each way, and the server's hand-over to its compute thread.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable

import torch

from volunteer.bench.checkpoints import hop_shape, save_random
from volunteer.bench.report import Bar, Chart, Result
from volunteer.bench.rounds import Round, Stage, run_rounds
from volunteer.bench.statistics import quantile, spread
from volunteer.bench.swarms import format_options
from volunteer.bench.table import Table
from volunteer.client.model import SwarmForCausalLM
from volunteer.local_swarm import even_spans, local_swarm
from volunteer.models.linear import NumberFormat
from volunteer.models.loading import load_blocks
from volunteer.server.kv_cache import pages_of
from volunteer.server.span import Part, RowPlace, Span, Tick
from volunteer.swarm_model import SwarmModel, open_swarm_model

COMPUTE, SWARM = "compute", "swarm"
STEPS = 100
"""One-token steps in each round, after one that does not count: it opens the session."""


def measure_hop(stage: Stage) -> Result:
    """Half and nine tenths of the steps cost at most so much per hop."""
    hops, width = stage.options.servers_of("hop"), stage.model.family.hidden_size
    folder = stage.work_dir / "hop" / "model"
    save_random(hop_shape(width, hops), folder, std=0.02)
    model = open_swarm_model(str(folder), models_dir=stage.work_dir)
    span = _span(model)
    pool = span.new_pool(pages_of(STEPS + 1))
    token = torch.randn(1, 1, width, generator=torch.Generator().manual_seed(0))

    def compute(number: int) -> list[float]:
        past = itertools.count()
        return timed_steps(lambda: span.tick(pool, _one_token(token, next(past), hops)))

    stage.say(f"hop: starting {hops} workers ...")
    with (
        local_swarm(
            str(folder), even_spans(hops, hops), stage.work_dir / "hop", options=format_options("none"), threads=1
        ) as members,
        SwarmForCausalLM.join(model, initial_peers=members[0][1].maddrs) as swarm,
    ):

        def through_swarm(number: int) -> list[float]:
            with swarm.session(max_length=STEPS + 1) as session:
                return timed_steps(lambda: session.step(token))

        rounds = run_rounds(
            {COMPUTE: compute, SWARM: through_swarm},
            rounds=stage.options.rounds,
            on_round=lambda done: stage.say(
                f"hop: round {done.number} of {stage.options.rounds}, "
                f"{1000 * statistics.median(costs_s(done, hops)):.2f} ms a hop"
            ),
        )
    title = f"hop: software cost of one of {hops} hops, one token of {width} x float32, {STEPS} steps a round"
    return report(title, rounds, hops)


def _span(model: SwarmModel) -> Span:
    cpu = torch.device("cpu")
    blocks = load_blocks(
        model.family,
        model.checkpoint,
        0,
        model.family.num_blocks,
        number_format=NumberFormat.FLOAT32,
        dtype=torch.float32,
        device=cpu,
    )
    return Span(model.family, 0, blocks, torch.float32, cpu)


def _one_token(token: torch.Tensor, past: int, num_blocks: int) -> Tick:
    return Tick(0, num_blocks, (Part(token, (RowPlace(start=0, past=past, padding=0),)),))


def timed_steps(step: Callable[[], object]) -> list[float]:
    """Seconds of each of `STEPS` steps after a first one."""
    step()
    times_s = []
    for _ in range(STEPS):
        started = time.perf_counter()
        step()
        times_s.append(time.perf_counter() - started)
    return times_s


def costs_s(done: Round[list[float]], hops: int) -> list[float]:
    """Cost per hop of each step of a round, in seconds."""
    compute_s = statistics.median(done[COMPUTE])
    return [(step_s - compute_s) / hops for step_s in done[SWARM]]


def report(title: str, rounds: list[Round[list[float]]], hops: int) -> Result:
    """The table and the JSON of measured rounds."""
    per_round = [costs_s(done, hops) for done in rounds]
    together = [cost_s for each in per_round for cost_s in each]
    compute = spread([statistics.median(done[COMPUTE]) for done in rounds])
    rows = [
        (
            str(done.number),
            f"{1000 * quantile(each, 0.5):.2f}",
            f"{1000 * quantile(each, 0.9):.2f}",
            f"{100 * done.load.disturbance_cores:.0f} %",
        )
        for done, each in zip(rounds, per_round, strict=True)
    ]
    rows.append(("all", f"{1000 * quantile(together, 0.5):.2f}", f"{1000 * quantile(together, 0.9):.2f}", ""))
    table = Table(
        title,
        ("round", "p50 ms", "p90 ms", "other load"),
        rows,
        [f"Taken off: {1000 * compute.median:.2f} ms a token, the computation of all {hops} blocks in one process."],
    )
    values = {
        "hops": hops,
        "p50_s": quantile(together, 0.5),
        "p90_s": quantile(together, 0.9),
        "compute_s": dataclasses.asdict(compute),
        "rounds": [
            {"p50_s": quantile(each, 0.5), "p90_s": quantile(each, 0.9), "load": dataclasses.asdict(done.load)}
            for done, each in zip(rounds, per_round, strict=True)
        ],
    }
    medians = spread([1000 * quantile(each, 0.5) for each in per_round])
    bars = [
        Bar("half of the steps", medians),
        Bar("nine tenths", spread([1000 * quantile(each, 0.9) for each in per_round])),
    ]
    return Result(table, values, [done.load for done in rounds], Chart(title, "ms a hop", bars))
