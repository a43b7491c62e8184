"""Which of several layers that compute the same is the fastest on this machine: found by trying, once a process.

Processors differ more than any rule of ours knows: the layout that is best on one takes twice as long as another on the
next. Knows layers as things that are made of a weight matrix and called with rows.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

MANY_ROWS = 64
ROWS = {1: 1, 8: 1, MANY_ROWS: 3}
"""Rows of a product -> how many tokens go through in such ones, as shares: chats write some alone and some in a batch,
and read about three tokens for each that they write."""
_ROUNDS = 3
_MAX_VALUES = 2**22
"""Larger matrices are tried with fewer rows of theirs: neither loading nor memory should be felt."""
_COLD_BYTES = 48 * 1024**2
"""So many bytes of matrices are gone through: those of a model do not lie in the processor's caches either."""
_MAX_COPIES = 32

Layer = Callable[[Tensor, None], nn.Module]
Kind = TypeVar("Kind", bound=Layer)


def fastest(kinds: Sequence[Kind], shape: tuple[int, ...], dtype: torch.dtype) -> Kind:
    """The kind of layer for a matrix of this shape [out, in] and activations of this dtype; see `choose`."""
    out, columns = shape
    return kinds[0] if len(kinds) == 1 else _fastest(tuple(kinds), min(out, _MAX_VALUES // columns + 1), columns, dtype)


@functools.cache
def _fastest(kinds: tuple[Kind, ...], out: int, columns: int, dtype: torch.dtype) -> Kind:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(out, columns, generator=generator).to(dtype)
    layers = {kind: _cold(kind, weight) for kind in kinds}
    times: dict[Kind, dict[int, float]] = {kind: dict.fromkeys(ROWS, math.inf) for kind in kinds}
    with torch.inference_mode():
        for rows in ROWS:
            x = torch.randn(rows, columns, generator=generator).to(dtype)
            # Many rows are bound by arithmetic, not by memory.
            tried = {kind: each if rows < MANY_ROWS else each[:1] for kind, each in layers.items()}
            for _ in range(1 + _ROUNDS):  # in turns; the least of them, as whatever disturbs makes it longer
                for kind, each in tried.items():
                    times[kind][rows] = min(times[kind][rows], _seconds(each, x))
    return choose(times)


def choose(times: Mapping[Kind, Mapping[int, float]]) -> Kind:
    """The one that takes the least time for a token, by the seconds that a product of so many rows takes."""

    def token_s(kind: Kind) -> float:
        return sum(share * times[kind][rows] / rows for rows, share in ROWS.items())

    return min(times, key=token_s)


def _cold(kind: Layer, weight: Tensor) -> list[nn.Module]:
    """So many of a kind that the first one is out of the caches when its turn comes again."""
    layers = [kind(weight.clone(), None)]
    held_bytes = sum(buffer.numel() * buffer.itemsize for buffer in layers[0].buffers())
    copies = max(1, min(_MAX_COPIES, _COLD_BYTES // held_bytes))
    return layers + [kind(weight.clone(), None) for _ in range(copies - 1)]


def _seconds(layers: Sequence[nn.Module], x: Tensor) -> float:
    """Of one of them."""
    started = time.perf_counter()
    for layer in layers:
        layer(x)
    return (time.perf_counter() - started) / len(layers)
