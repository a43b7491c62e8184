"""How many blocks fit on this machine, and which of them the swarm needs most: arithmetic on numbers and records.

Knows neither devices nor the network; sizes and servers are handed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from volunteer.errors import ConfigurationError
from volunteer.swarm.records import ServerInfo, ServerState, blocks_in_words, uncovered_blocks

_PLAIN_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NUMBER_FORMATS = (*_PLAIN_BYTES, "int8", "nf4")
_NF4_GROUP = 64  # values that share one float32 scale in bitsandbytes, without its double quantisation


def block_bytes(
    number_format: str,
    *,
    linear_parameters: int,
    linear_rows: int,
    other_parameters: int,
    other_bytes: int = 4,
) -> int:
    """Bytes that the weights of one block take.

    Args:
        linear_parameters: values in the weight matrices of the linear layers, which int8 and nf4 shrink.
        linear_rows: output rows of those matrices together; int8 keeps a scale for each, counted as float32, which
            bitsandbytes' are (those on a processor are bfloat16).
        other_parameters: norms, biases and whatever else stays as it is.
        other_bytes: bytes of each of these beside int8 or nf4 matrices, 2 or 4.
    """
    if number_format in _PLAIN_BYTES:
        return (linear_parameters + other_parameters) * _PLAIN_BYTES[number_format]
    if number_format == "int8":
        linear_bytes = linear_parameters + 4 * linear_rows
    elif number_format == "nf4":
        linear_bytes = _divide_up(linear_parameters, 2) + 4 * _divide_up(linear_parameters, _NF4_GROUP)
    else:
        raise ConfigurationError(f"{number_format!r} is not a number format. Use one of {', '.join(NUMBER_FORMATS)}.")
    return linear_bytes + other_parameters * other_bytes


def kv_bytes_per_token(num_kv_heads: int, head_dim: int, dtype_bytes: int) -> int:
    """Bytes of KV cache that one token takes in one block: a key and a value for every head."""
    return 2 * num_kv_heads * head_dim * dtype_bytes


def blocks_that_fit(free_bytes: int, *, block_bytes: int, cache_bytes_per_block: int, reserve_bytes: int) -> int:
    """How many blocks fit beside their KV caches, leaving `reserve_bytes` for activations and other programs."""
    return max(0, (free_bytes - reserve_bytes) // (block_bytes + cache_bytes_per_block))


def _divide_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


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
