"""hivemind's codecs for tensors: how floats are squeezed into bytes for the wire, and out of them.

Knows bytes, shapes and torch; neither messages nor peers. hivemind's own decoders trust what they read: they do not run
on current NumPy, and one hands lengths that the sender made up to C code. Here every length follows from the shape.
"""

from __future__ import annotations

import math
from enum import IntEnum

import torch
from hivemind.proto import runtime_pb2


class Compression(IntEnum):
    """How a tensor is packed on the wire; hivemind's numbers."""

    NONE = runtime_pb2.CompressionType.NONE
    MEANSTD_16BIT = runtime_pb2.CompressionType.MEANSTD_16BIT
    """float16 of the distance from the mean of the last axis in standard deviations, then means and deviations."""
    FLOAT16 = runtime_pb2.CompressionType.FLOAT16
    QUANTILE_8BIT = runtime_pb2.CompressionType.QUANTILE_8BIT
    """A table of 256 values, and which of them; cut so that each stands for as many numbers."""
    UNIFORM_8BIT = runtime_pb2.CompressionType.UNIFORM_8BIT
    """The same table, cut evenly over six standard deviations."""
    BLOCKWISE_8BIT = runtime_pb2.CompressionType.BLOCKWISE_8BIT
    """A table of 256 values in [-1, 1], and a scale for every 4,096 numbers."""


_TABLE = 256
_GROUP = 4096
_TABLE_COMPRESSIONS = (Compression.QUANTILE_8BIT, Compression.UNIFORM_8BIT)
_RANGE_IN_DEVIATIONS = 6
_MAX_SAMPLE = 2**16


def compress(values: torch.Tensor, compression: Compression) -> bytes:
    """Floats on the CPU as bytes.

    Raises:
        ValueError: there are none, or `compression` is NONE.
    """
    if values.numel() == 0:
        raise ValueError("there are no numbers to compress")
    values = values.detach().to(torch.float32).contiguous()
    if compression is Compression.FLOAT16:
        return _bytes(_clamped_half(values))
    if compression is Compression.MEANSTD_16BIT:
        rows = values if values.ndim > 0 else values[None]
        means = rows.mean(dim=-1, keepdim=True)
        deviations = (rows - means).square().mean(dim=-1, keepdim=True).sqrt()
        deviations.clamp_min_(torch.finfo(torch.float32).eps)
        return _bytes(_clamped_half((rows - means) / deviations)) + _bytes(means) + _bytes(deviations)
    flat = values.flatten()
    if compression in _TABLE_COMPRESSIONS:
        places = _quantile_places(flat) if compression is Compression.QUANTILE_8BIT else _uniform_places(flat)
        counts = torch.bincount(places, minlength=_TABLE).clamp_min(1)
        table = (torch.bincount(places, weights=flat.double(), minlength=_TABLE) / counts).to(torch.float32)
        return _length(_TABLE) + _bytes(table) + _bytes(places.to(torch.uint8))
    if compression is Compression.BLOCKWISE_8BIT:
        num_groups = _groups(len(flat))
        padded = torch.nn.functional.pad(flat, (0, num_groups * _GROUP - len(flat))).reshape(num_groups, _GROUP)
        scales = padded.abs().amax(dim=1)
        # Squared, so that the many small numbers beside a few large ones keep more of their digits.
        steps = torch.linspace(-1, 1, _TABLE - 1)
        table = torch.cat([steps * steps.abs(), torch.ones(1)])
        shares = padded / scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
        places = torch.bucketize(shares, (table[1:] + table[:-1]) / 2).flatten()[: len(flat)]
        head = _length(num_groups) + _length(_TABLE) + _bytes(scales) + _bytes(table)
        return head + _bytes(places.to(torch.uint8))
    raise ValueError(f"{compression!r} compresses nothing")


def decompress(buffer: bytes, compression: Compression, shape: tuple[int, ...]) -> torch.Tensor:
    """What `compress` made bytes of, or hivemind: float32 of `shape`.

    Raises:
        ValueError: the bytes are not as many as the shape asks for, or contradict it.
    """
    num_values = math.prod(shape)
    if num_values == 0:
        # Petals' clients compress the prompts of a call like its hidden states, also where there are none.
        return torch.empty(shape)
    if compression is Compression.FLOAT16:
        (halves,) = _parts(buffer, (num_values, torch.float16))
        return halves.to(torch.float32).reshape(shape)
    if compression is Compression.MEANSTD_16BIT:
        rows_shape = shape or (1,)
        stats_shape = (*rows_shape[:-1], 1)
        num_rows = math.prod(stats_shape)
        halves, means, deviations = _parts(
            buffer, (num_values, torch.float16), (num_rows, torch.float32), (num_rows, torch.float32)
        )
        distances = halves.to(torch.float32).reshape(rows_shape)
        return distances.mul_(deviations.reshape(stats_shape)).add_(means.reshape(stats_shape)).reshape(shape)
    if compression in _TABLE_COMPRESSIONS:
        length, table, places = _parts(buffer, (1, torch.int64), (_TABLE, torch.float32), (num_values, torch.uint8))
        if length.item() != _TABLE:
            raise ValueError(f"a table of {length.item()} values, not {_TABLE}")
        return table[places.to(torch.int32)].reshape(shape)
    if compression is Compression.BLOCKWISE_8BIT:
        num_groups = _groups(num_values)
        lengths, scales, table, places = _parts(
            buffer,
            (2, torch.int64),
            (num_groups, torch.float32),
            (_TABLE, torch.float32),
            (num_values, torch.uint8),
        )
        if lengths.tolist() != [num_groups, _TABLE]:
            raise ValueError(f"{lengths.tolist()} scales and values, not {[num_groups, _TABLE]}")
        shares = table[places.to(torch.int32)]
        return (shares * scales.repeat_interleave(_GROUP)[:num_values]).reshape(shape)
    raise ValueError(f"{compression!r} compresses nothing")


def _parts(buffer: bytes, *parts: tuple[int, torch.dtype]) -> list[torch.Tensor]:
    """The buffer cut into so many values of each dtype; raises ValueError unless they are all of it."""
    expected = sum(count * dtype.itemsize for count, dtype in parts)
    if len(buffer) != expected:
        raise ValueError(f"{len(buffer)} bytes instead of {expected}")
    found, at = [], 0
    for count, dtype in parts:
        end = at + count * dtype.itemsize
        # A copy of its own: what is not a multiple of its width into the buffer cannot be viewed there.
        found.append(torch.frombuffer(bytearray(buffer[at:end]), dtype=dtype))
        at = end
    return found


def _quantile_places(values: torch.Tensor) -> torch.Tensor:
    sample = values[:: -(-len(values) // _MAX_SAMPLE)]
    borders = torch.quantile(sample, torch.linspace(0, 1, _TABLE + 1)[1:-1])
    return torch.bucketize(values, borders)


def _uniform_places(values: torch.Tensor) -> torch.Tensor:
    centred = values - values.mean()
    width = centred.square().mean().sqrt() * _RANGE_IN_DEVIATIONS / _TABLE
    steps = centred / width.clamp_min(torch.finfo(torch.float32).tiny)
    return (steps.round() + _TABLE // 2).nan_to_num(0).clamp_(0, _TABLE - 1).to(torch.int64)


def _clamped_half(values: torch.Tensor) -> torch.Tensor:
    limits = torch.finfo(torch.float16)
    return values.clamp(limits.min, limits.max).to(torch.float16)


def _groups(num_values: int) -> int:
    return -(-num_values // _GROUP)


def _length(count: int) -> bytes:
    return count.to_bytes(8, "little")


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.numpy().tobytes()
