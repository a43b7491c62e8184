"""What this machine will serve, from the volunteer's options and what is free: device, number format, blocks."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from volunteer.block_memory import (
    GPU_RESERVE_BYTES,
    RAM_RESERVE_BYTES,
    BlockShape,
    block_needs,
    fitting_blocks,
)
from volunteer.errors import ConfigurationError
from volunteer.hardware import detect
from volunteer.models.families import Family
from volunteer.models.linear import NumberFormat, Processor, fast_formats
from volunteer.models.loading import block_size
from volunteer.server.block_selection import BlockPlan, choose_blocks, parse_blocks
from volunteer.swarm.node import SwarmNode

logger = logging.getLogger(__name__)

MAX_SESSION_TOKENS = 8192


@dataclass(frozen=True)
class Format:
    """On what, and in which numbers, blocks are computed."""

    device: torch.device
    weights: NumberFormat
    dtype: torch.dtype
    """Of activations, norms and KV caches."""


def choose_format(family: Family, *, device: str | None, dtype: str | None, quantization: str | None) -> Format:
    """The volunteer's choice, or the best device and the checkpoint's own dtype.

    On a processor that is float32, however fast others are: answers are then those of the model itself, and volunteers
    whose processors differ give the same ones. A choice that is slow here is taken, with a warning.

    Raises:
        ConfigurationError: the device cannot be used, or there is no such format.
    """
    chosen = _device(device)
    name = dtype or ("float32" if chosen.type == "cpu" else str(family.dtype).removeprefix("torch."))
    plain = (NumberFormat.FLOAT32, NumberFormat.BFLOAT16, NumberFormat.FLOAT16)
    if name not in plain:
        raise ConfigurationError(f"--dtype {name!r} is not one of {', '.join(plain)}.")
    weights = NumberFormat(name)
    if quantization not in (None, "none"):
        if quantization not in (NumberFormat.INT8, NumberFormat.NF4):
            raise ConfigurationError(f"--quantization {quantization!r} is not one of none, int8, nf4.")
        weights = NumberFormat(quantization)
    if chosen.type == "cpu" and (warning := slow_format_warning(weights, Processor.here())):
        logger.warning(warning)
    return Format(chosen, weights, getattr(torch, name))


def slow_format_warning(weights: NumberFormat, processor: Processor) -> str | None:
    """What to tell a volunteer whose processor is slower in this format than in float32; None if it is not."""
    fast = fast_formats(processor)
    if weights in fast:
        return None
    names = [number_format.value for number_format in NumberFormat if number_format in fast]
    return f"{weights} saves memory on this processor, but it is slow. Fast here: {', '.join(names)}."


async def plan_blocks(
    node: SwarmNode,
    family: Family,
    dht_prefix: str,
    chosen_format: Format,
    *,
    blocks: str | None,
    num_blocks: int | None,
    kv_tokens: int,
    memory_bytes: int | None,
    data_dir: Path,
) -> BlockPlan:
    """The blocks that the volunteer named, or as many as asked for or as fit, where the swarm needs them most.

    Args:
        kv_tokens: of KV room in each block.
        memory_bytes: the most to take where as many as fit are chosen; None for what is free.

    Raises:
        ConfigurationError: the model has no such blocks.
        NotEnoughMemory: not even one block fits.
    """
    if blocks is not None:
        chosen = parse_blocks(blocks, family.num_blocks)
        return BlockPlan(chosen.start, chosen.stop, "because you chose them")
    if num_blocks is None:
        num_blocks = await asyncio.to_thread(_blocks_that_fit, family, chosen_format, kv_tokens, memory_bytes, data_dir)
    elif num_blocks < 1:
        raise ConfigurationError("--num-blocks must be at least 1.")
    servers = await node.servers(dht_prefix, family.num_blocks)
    return choose_blocks(servers, num_blocks_total=family.num_blocks, num_blocks=num_blocks, own_peer_id=node.peer_id)


def max_session_tokens(family: Family) -> int:
    """The longest session that this server takes."""
    return min(MAX_SESSION_TOKENS, family.max_length or MAX_SESSION_TOKENS)


def _blocks_that_fit(
    family: Family, chosen_format: Format, kv_tokens: int, memory_bytes: int | None, data_dir: Path
) -> int:
    needs = block_needs(
        shape_of(family),
        number_format=chosen_format.weights,
        dtype=str(chosen_format.dtype).removeprefix("torch."),
        kv_tokens=kv_tokens,
    )
    if chosen_format.device.type == "cuda":
        free, reserve = torch.cuda.mem_get_info(chosen_format.device)[0], GPU_RESERVE_BYTES
    else:
        free, reserve = detect(data_dir).memory.available_bytes, RAM_RESERVE_BYTES
    return fitting_blocks(free, needs, reserve_bytes=reserve, limit_bytes=memory_bytes, of_blocks=family.num_blocks)


def shape_of(family: Family) -> BlockShape:
    """Of its blocks."""
    size = block_size(family)
    return BlockShape(
        linear_parameters=size.linear_parameters,
        linear_rows=size.linear_rows,
        other_parameters=size.other_parameters,
        num_kv_heads=family.num_kv_heads,
        head_dim=family.head_dim,
    )


def _device(name: str | None) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
        raise ConfigurationError(f"The device {name!r} cannot be used: {error}") from error
    return device
