"""Which blocks the swarm needs most: arithmetic on records.

Knows neither devices nor the network; servers are handed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from volunteer.errors import ConfigurationError
from volunteer.swarm.records import ServerInfo, ServerState, blocks_in_words, uncovered_blocks


@dataclass(frozen=True)
class BlockPlan:
    """Blocks [start, end) to serve, and why these: "because nobody else serves blocks 12-15"."""

    start: int
    end: int
    reason: str


def choose_blocks(
    servers: Mapping[str, ServerInfo], *, num_blocks_total: int, num_blocks: int, own_peer_id: str | None = None
) -> BlockPlan:
    """The span of `num_blocks` blocks (at most all of them) where the swarm is weakest without us.

    Petals' rule, so that our servers and Petals' settle in one swarm: add up the throughputs of the servers of each
    block, joining ones too, and take the first of the spans whose throughputs, weakest first, are the lowest.
    """
    if num_blocks < 1 or num_blocks_total < 1:
        raise ValueError("There is no span of no blocks.")
    num_blocks = min(num_blocks, num_blocks_total)
    # Sorted by peer id: float sums depend on the order, and a sum changed in its last bit would choose other blocks.
    others = sorted(
        (
            server
            for server in servers.values()
            if server.record.state >= ServerState.JOINING and server.peer_id != own_peer_id
        ),
        key=lambda server: server.peer_id,
    )
    throughputs = [0.0] * num_blocks_total
    holders = [0] * num_blocks_total
    for server in others:
        for block in range(max(server.start, 0), min(server.end, num_blocks_total)):
            throughputs[block] += server.record.throughput
            holders[block] += 1
    start = min(
        range(num_blocks_total - num_blocks + 1),
        key=lambda first: (sorted(throughputs[first : first + num_blocks]), first),
    )
    chosen = range(start, start + num_blocks)
    return BlockPlan(chosen.start, chosen.stop, _reason(chosen, holders))


def _reason(chosen: range, holders: list[int]) -> str:
    """Why the blocks were chosen, in words that end a sentence: by how many others hold the least held of them."""
    fewest = min(holders[block] for block in chosen)
    rarest = uncovered_blocks((range(block, block + 1) for block in chosen if holders[block] > fewest), chosen)
    if fewest == 0:
        return f"because nobody else serves {blocks_in_words(rarest)}"
    if fewest > min(holders):
        return "because the servers that hold them are together the slowest"
    what = "them" if rarest == (chosen,) else blocks_in_words(rarest)
    return f"because only {'1 other server holds' if fewest == 1 else f'{fewest} other servers hold'} {what}"


def missing_blocks(servers: Mapping[str, ServerInfo], num_blocks_total: int) -> tuple[range, ...]:
    """The runs of blocks that no server has online, in order; empty when the whole model is served."""
    return uncovered_blocks((server.blocks for server in servers.values() if server.is_online), range(num_blocks_total))


def parse_blocks(text: str, num_blocks_total: int) -> range:
    """The value of the option --blocks, "0:12", for a model of so many blocks.

    Raises:
        ConfigurationError: it is not such a span.
    """
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*:\s*([0-9]{1,9})\s*", text)
    if match is None:
        raise ConfigurationError(
            f"--blocks {text[:40]!r} is not a span of blocks. Write it as START:END, such as 0:12 for the first twelve."
        )
    start, end = int(match[1]), int(match[2])
    if start >= end:
        raise ConfigurationError(
            f"--blocks {start}:{end} names no blocks: the end is not part of the span, so it must be above the start."
        )
    if end > num_blocks_total:
        raise ConfigurationError(
            f"--blocks {start}:{end} goes beyond the model, which has {num_blocks_total} blocks: 0:{num_blocks_total}."
        )
    return range(start, end)
