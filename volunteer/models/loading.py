"""Turns checkpoint tensors into layers on a device, in a number format.

Knows nothing of sessions and the network.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from volunteer.models.families import Ends, Family
from volunteer.models.lean import Block
from volunteer.models.linear import NumberFormat, make_linear
from volunteer.models.store import Checkpoint

ENDS_PART = "ends"


def block_part(index: int) -> str:
    """Name under which the store keeps the tensors of block `index`."""
    return f"block-{index:05}"


def compute_dtype(number_format: NumberFormat, preferred: torch.dtype) -> torch.dtype:
    """The dtype of activations and KV caches: that of the weights, or `preferred` when those are quantised."""
    return preferred if number_format.is_quantised else getattr(torch, number_format.value)


@dataclass(frozen=True)
class BlockSize:
    """Parameters of one block, by what quantisation does to them."""

    linear_parameters: int
    """In weight matrices of linear layers, which int8 and NF4 shrink."""
    linear_rows: int
    """Output rows of those matrices: each has a scale in int8."""
    other_parameters: int
    """Norms and biases, which stay in the compute dtype."""


def block_size(family: Family) -> BlockSize:
    """Counts the parameters of a block (all blocks of a family have one shape)."""
    linear_weights = [module.weight for module in family.build_block(0).modules() if isinstance(module, nn.Linear)]
    linear = sum(weight.numel() for weight in linear_weights)
    total = sum(parameter.numel() for parameter in family.build_block(0).parameters())
    return BlockSize(linear, sum(weight.shape[0] for weight in linear_weights), total - linear)


def span_parts(family: Family, checkpoint: Checkpoint, start: int, end: int) -> dict[str, list[str]]:
    """The store's parts, and their tensor names, that blocks `start:end` need."""
    names = checkpoint.tensors.keys()
    return {block_part(index): list(family.block_tensors(names, index)) for index in range(start, end)}


def ends_parts(family: Family, checkpoint: Checkpoint) -> dict[str, list[str]]:
    """The store's parts, and their tensor names, that embeddings, final norm and head need."""
    return {ENDS_PART: list(family.ends_tensors(checkpoint.tensors.keys()))}


def load_blocks(
    family: Family,
    checkpoint: Checkpoint,
    start: int,
    end: int,
    *,
    number_format: NumberFormat,
    dtype: torch.dtype,
    device: torch.device,
    on_block: Callable[[int], None] = lambda index: None,
) -> tuple[Block, ...]:
    """Blocks `start:end` on `device`, one after another so that memory never holds a second copy of more than one.

    Args:
        dtype: of activations, norms and biases; equal to the weights' unless those are quantised.
        on_block: called with the index of each block once it is loaded.
    """

    def make(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
        return make_linear(weight, bias, number_format, dtype=dtype, device=device)

    def load(index: int) -> Block:
        names = family.block_tensors(checkpoint.tensors.keys(), index)
        tensors = checkpoint.load(block_part(index), list(names))
        layer = family.build_block(index)
        _fill(layer, {parameter: tensors[name] for name, parameter in names.items()}, dtype)
        block = family.runnable(layer.requires_grad_(False), index, make).to(device)
        on_block(index)
        return block

    blocks = tuple(load(index) for index in range(start, end))
    gc.collect()
    return blocks


def load_ends(family: Family, checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device) -> Ends:
    """Embeddings, final norm and head on `device`; a tied head shares the embeddings' memory."""
    ends = family.build_ends()
    names = family.ends_tensors(checkpoint.tensors.keys())
    tensors = checkpoint.load(ENDS_PART, list(names))
    filled = {parameter: tensors[name] for name, parameter in names.items()}
    _fill(ends.model, filled, dtype, tied="lm_head.weight" not in filled)
    ends.model.tie_weights()
    return ends.to(device).requires_grad_(False)


def _fill(module: Any, tensors: dict[str, torch.Tensor], dtype: torch.dtype, *, tied: bool = False) -> None:
    # `clone` where nothing was cast: a tensor that is still a view of the mapped file would page in again, and fail
    # if the file goes away.
    owned = {name: tensor.clone() if tensor.dtype == dtype else tensor.to(dtype) for name, tensor in tensors.items()}
    missing, unexpected = module.load_state_dict(owned, strict=False, assign=True)
    if unexpected or [name for name in missing if not (tied and name == "lm_head.weight")]:
        raise ValueError(f"tensors do not fit the layer: missing {missing}, unexpected {unexpected}")
