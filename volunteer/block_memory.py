"""How much memory a block takes, and how many of them fit: the same arithmetic for the worker and for the forecast.

Knows neither devices nor models; sizes are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from volunteer.errors import ConfigurationError, UserError

KV_TOKENS_PER_BLOCK = 16384
"""KV room in tokens of each block: eight sessions of 2,048, as Petals' servers keep."""
RAM_RESERVE_BYTES = 2 * 1024**3
"""For activations, and for other programs."""
GPU_RESERVE_BYTES = 1024**3
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NUMBER_FORMATS = (*DTYPE_BYTES, "int8", "nf4")
_NF4_GROUP = 64  # values that share one float32 scale in bitsandbytes, without its double quantisation


class NotEnoughMemory(UserError):
    """Not even one block fits."""


@dataclass(frozen=True)
class BlockShape:
    """One block of a model, as far as it takes memory; all blocks of a model are alike.

    Args:
        linear_parameters: values in the weight matrices of the linear layers, which int8 and nf4 shrink.
        linear_rows: output rows of those matrices together: each has a scale in int8.
        other_parameters: norms, biases and whatever else stays as it is.
    """

    linear_parameters: int
    linear_rows: int
    other_parameters: int
    num_kv_heads: int
    head_dim: int

    @property
    def parameters(self) -> int:
        return self.linear_parameters + self.other_parameters


@dataclass(frozen=True)
class BlockNeeds:
    """Bytes of one block that is served."""

    weights_bytes: int
    cache_bytes: int

    @property
    def bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes


def block_needs(shape: BlockShape, *, number_format: str, dtype: str, kv_tokens: int) -> BlockNeeds:
    """
    Args:
        number_format: of the weights.
        dtype: of activations, norms and KV caches.

    Raises:
        ConfigurationError: there is no such format.
    """
    weights = block_bytes(
        number_format,
        linear_parameters=shape.linear_parameters,
        linear_rows=shape.linear_rows,
        other_parameters=shape.other_parameters,
        other_bytes=DTYPE_BYTES[dtype],
    )
    return BlockNeeds(weights, kv_tokens * kv_bytes_per_token(shape.num_kv_heads, shape.head_dim, DTYPE_BYTES[dtype]))


def fitting_blocks(
    free_bytes: int, needs: BlockNeeds, *, reserve_bytes: int, limit_bytes: int | None, of_blocks: int
) -> int:
    """How many blocks to hold.

    Args:
        limit_bytes: the most that blocks and caches may take; None for what is free.
        of_blocks: of the whole model.

    Raises:
        NotEnoughMemory
    """
    if limit_bytes is not None:
        # The reserve is for the others, whom the limit is for as well.
        free_bytes = min(free_bytes, limit_bytes + reserve_bytes)
    fitting = blocks_that_fit(
        free_bytes,
        block_bytes=needs.weights_bytes,
        cache_bytes_per_block=needs.cache_bytes,
        reserve_bytes=reserve_bytes,
    )
    if fitting < 1:
        raise NotEnoughMemory(
            f"One block needs {(needs.bytes + reserve_bytes) / 1e9:.1f} GB with room for sessions, "
            f"{free_bytes / 1e9:.1f} GB are free."
        )
    return min(fitting, of_blocks)


def block_bytes(
    number_format: str,
    *,
    linear_parameters: int,
    linear_rows: int,
    other_parameters: int,
    other_bytes: int = 4,
) -> int:
    """Bytes that the weights of one block take; see `BlockShape`.

    The scale of a row in int8 is counted as float32, which bitsandbytes' are (those on a processor are bfloat16).

    Args:
        other_bytes: of each of the other parameters beside int8 or nf4 matrices, 2 or 4.
    """
    if number_format in DTYPE_BYTES:
        return (linear_parameters + other_parameters) * DTYPE_BYTES[number_format]
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
