"""The private swarms that are measured: workers on loopback, near each other or as far as asked, and a client in this
process."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from volunteer.bench.answers import Answer, greedy_answer
from volunteer.bench.relay import RelayProcess, free_ports
from volunteer.bench.rounds import Stage
from volunteer.client.model import SwarmCache, SwarmForCausalLM
from volunteer.errors import UserError
from volunteer.local_swarm import even_spans, local_swarm

FLOAT32_ON_CPU = ("--device", "cpu", "--dtype", "float32")
LOOKUP_ROOM_TOKENS = 64
"""Drafted tokens may reach beyond the end of the answer before they are rolled back."""


class NotFar(UserError):
    """Somebody found a way round the relays."""


def format_options(quantization: str) -> tuple[str, ...]:
    """What workers are told of number formats."""
    return (*FLOAT32_ON_CPU, "--quantization", quantization)


def spans_of(stage: Stage, servers: int) -> list[tuple[int, int]]:
    return even_spans(stage.model.family.num_blocks, servers)


def in_words(spans: Sequence[tuple[int, int]]) -> str:
    """Such as `2 servers of 12+12 blocks`."""
    blocks = "+".join(str(end - start) for start, end in spans)
    return f"{len(spans)} server{'s' * (len(spans) > 1)} of {blocks} blocks"


@contextlib.contextmanager
def joined_swarm(
    stage: Stage, spans: Sequence[tuple[int, int]], *, options: Sequence[str] = ()
) -> Iterator[SwarmForCausalLM]:
    """The stage's model through workers of these spans.

    Args:
        options: more for the workers.
    """
    folder = str(stage.model.checkpoint.folder)
    options = (*format_options(stage.options.quantization), *options)
    with (
        local_swarm(folder, list(spans), stage.work_dir / "workers", options=options, threads=1) as members,
        SwarmForCausalLM.join(stage.model, initial_peers=members[0][1].maddrs) as swarm,
    ):
        yield swarm


@dataclass(frozen=True)
class FarSwarm:
    """A swarm whose peers are as far from each other as its relays say."""

    model: SwarmForCausalLM
    one_way_s: float
    pings_s: dict[str, float]
    """Round trips that peers measured when all were far, by who asked whom."""
    relay: RelayProcess

    @contextlib.contextmanager
    def at(self, one_way_s: float) -> Iterator[None]:
        """So far within the `with`; between such blocks, no distance at all."""
        self.relay.delay(one_way_s)
        try:
            yield
        finally:
            self.relay.delay(0.0)


@contextlib.contextmanager
def far_swarm(stage: Stage, spans: Sequence[tuple[int, int]], one_way_s: float) -> Iterator[FarSwarm]:
    """As `joined_swarm`, but all connections between peers go through relays; none is delayed at first.

    Raises:
        NotFar: somebody reached a worker without its relay.
    """
    folder = str(stage.model.checkpoint.folder)
    with RelayProcess() as relay:
        ports = free_ports(len(spans))
        addresses = [
            (
                *("--host-maddrs", f"/ip4/127.0.0.1/tcp/{port}"),
                *("--announce-maddrs", f"/ip4/127.0.0.1/tcp/{relay.open(port)}"),
            )
            for port in ports
        ]
        relay.delay(one_way_s)
        with (
            local_swarm(
                folder,
                list(spans),
                stage.work_dir / "far-workers",
                options=format_options(stage.options.quantization),
                own_options=addresses,
                threads=1,
            ) as members,
            SwarmForCausalLM.join(stage.model, initial_peers=members[0][1].maddrs) as swarm,
        ):
            pings_s = _pings_s(swarm)
            near = {who: ping_s for who, ping_s in pings_s.items() if ping_s < 1.98 * one_way_s}
            if near:
                raise NotFar(f"With {one_way_s} s each way, round trips take only {near}.")
            relay.delay(0.0)
            yield FarSwarm(swarm, one_way_s, pings_s, relay)
            # By now whoever talks to anybody has connected.
            _check_connections(set(ports), relay.pid)


def _check_connections(ports: set[int], relay_pid: int) -> None:
    """A worker tells others its addresses, and might let slip the port on which it really listens."""
    for process in psutil.Process().children(recursive=True):
        if process.pid == relay_pid:
            continue
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if connection.raddr and connection.raddr.port in ports:
                    raise NotFar(f"{process.name()} reached a worker without its relay.")


def _pings_s(swarm: SwarmForCausalLM) -> dict[str, float]:
    """From the client to every server, and between servers as far as their records tell."""
    table = swarm.connection.servers
    swarm.connection.run(table.refresh())
    names = {peer_id: f"{server.start}:{server.end}" for peer_id, server in table.servers.items()}
    pings_s = {f"client to {names[peer_id]}": ping_s for peer_id, ping_s in table.pings_s.items()}
    for peer_id, server in table.servers.items():
        for other_id, ping_s in (server.record.next_pings or {}).items():
            if other_id in names and math.isfinite(ping_s):
                pings_s[f"{names[peer_id]} to {names[other_id]}"] = ping_s
    return pings_s


def through_swarm(
    model: SwarmForCausalLM, prompt_ids: Sequence[int], new_tokens: int, *, lookup: int | None = None
) -> Answer:
    """One greedy answer by `generate`, in a session of just its length.

    Args:
        lookup: `prompt_lookup_num_tokens`, if any.
    """
    more: dict[str, Any] = {} if lookup is None else {"prompt_lookup_num_tokens": lookup}
    room = 0 if lookup is None else LOOKUP_ROOM_TOKENS
    cache = SwarmCache(model, len(prompt_ids) + new_tokens + room)
    try:
        return greedy_answer(model, prompt_ids, new_tokens, past_key_values=cache, **more)
    finally:
        cache.close()
