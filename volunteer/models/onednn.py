"""Matrix products by oneDNN, in the layouts that its kernels read: floats, and bytes summed in whole numbers.

Knows matrices, not layers. oneDNN comes inside PyTorch, and only on x86 are its speed and rounding known.
"""

from __future__ import annotations

import functools
import platform

import torch
from torch import Tensor
from torch.nn import functional

ROUNDING = 2.0**-24
"""Relative rounding of one float32 operation."""
BYTE_ZERO = 128
"""What stands for zero in rows of unsigned bytes. The kernels multiply unsigned by signed bytes; on a processor without
AMX a product of two signed ones takes another way that is 500 times as slow."""
SPLIT_LEVELS = 127 * 257
"""Greatest number that two bytes stand for: 256 x 127 + 127."""
_PACKED_FOR_ROWS = 4
"""oneDNN chooses a layout for a number of rows. That for 4 is within 3 % of the best for one row, and as fast as any
for many; that for one row takes a quarter longer for 8."""


def has_onednn(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether oneDNN multiplies by matrices of `dtype` here."""
    # Elsewhere than on x86 the same operations end in other libraries, whose speed and rounding are not known here.
    if device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if dtype == torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    return dtype == torch.float32


def packed(weight: Tensor) -> Tensor:
    """A matrix [out, in] of floats in oneDNN's layout; as it is, a product would rearrange it every time."""
    matrix: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _PACKED_FOR_ROWS)
    return matrix


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [..., in] times a matrix [out, in], packed or not, of the same dtype, and a bias; knows no gradient."""
    flat = x.reshape(-1, x.shape[-1])
    rows = len(flat)
    padding = padded_rows(rows) - rows
    flat = (functional.pad(flat, (0, 0, 0, padding)) if padding else flat).contiguous()
    outputs: Tensor = torch.ops.mkldnn._linear_pointwise(flat, weight, bias, "none", [], "")
    if padding:
        outputs = outputs[:rows]
    return outputs if x.ndim == 2 else outputs.view(*x.shape[:-1], outputs.shape[-1])


def padded_rows(rows: int) -> int:
    """With how many rows a product of `rows` rows is computed.

    For every number of rows that it meets, oneDNN generates code and keeps it: 2 ms and 0.6 MB for each shape of
    weights. So there are few numbers, the closer the fewer the rows are.
    """
    if rows <= 8:
        return rows
    steps = ((16, 2), (32, 4), (64, 8), (128, 16), (256, 32), (512, 64), (rows, 512))
    step = next(step for limit, step in steps if rows <= limit)
    return -(-rows // step) * step


def packed_int8(integers: Tensor) -> Tensor:
    """A matrix [out, in] of int8 in oneDNN's layout."""
    matrix: Tensor = torch.ops.onednn.qlinear_prepack(integers, None)
    return matrix


def int8_product(x: Tensor, matrix: Tensor, scales: Tensor) -> Tensor:
    """x - 128 times a packed int8 matrix, summed in whole numbers, times the scale of each of its rows.

    Args:
        x: [rows, in] uint8.
        matrix: from `packed_int8`, its values within what `exact_levels` says.
        scales: [out] float32.

    Returns:
        [rows, out] float32: rounded when the sum is turned into a float, and by its scale.
    """
    outputs: Tensor = torch.ops.onednn.qlinear_pointwise(
        x, 1.0, BYTE_ZERO, matrix, scales, _zeros(len(scales)), None, 1.0, 0, torch.float32, "none", [], ""
    )
    return outputs


@functools.lru_cache(maxsize=64)
def _zeros(count: int) -> Tensor:
    """Zero points of a matrix. Made outside of inference mode, as it is shared with what wants gradients."""
    with torch.inference_mode(False):
        return torch.zeros(count, dtype=torch.int32)


def split_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of floats as whole numbers of 16 bits, in two rows of bytes each: x is about (256 high + low) / scale.

    One product of bytes then does for both halves, which read the matrix once. An error is at most 2^-16 of the largest
    value of its row, where a row of single bytes would have 2^-8, which ruins small models.

    Args:
        x: [rows, columns] float32, finite.

    Returns:
        [2 rows, columns] uint8, the low halves first, both with 128 for zero; and the scales, [rows, 1] float32.
    """
    scales = SPLIT_LEVELS / x.abs().amax(dim=1, keepdim=True).clamp_min_(1e-30)
    # Half a step is added to round and not to cut. All are positive, and the low half of zero is 128 as well.
    numbers = (x * scales).add_(257 * BYTE_ZERO + 0.5).to(torch.int32)
    return torch.cat([numbers, numbers >> 8]).to(torch.uint8), scales


def split_product(x: Tensor, matrix: Tensor, scales: Tensor) -> Tensor:
    """x [rows, in] float32 times an int8 matrix and the scales of its rows, [rows, out] float32."""
    halves, row_scales = split_rows(x)
    outputs = int8_product(halves, matrix, scales)
    return torch.add(outputs[: len(x)], outputs[len(x) :], alpha=256).div_(row_scales)


@functools.cache
def exact_levels(columns: int) -> int | None:
    """How large the integers of a matrix may be for this processor's kernel to add their products without saturating.

    127 where it adds them in 32 bits (VNNI, AMX); processors before that add pairs in 16 bits, where no more fits than
    2 x 255 x 63. Tried with the greatest sums that there are, and with random ones. None where there is no such kernel.
    """
    if not has_onednn(torch.float32, torch.device("cpu")):
        return None
    generator = torch.Generator().manual_seed(0)
    for levels in (127, 63):
        extremes = torch.full((1, columns), levels, dtype=torch.int8)
        others = torch.randint(-levels, levels + 1, (64, columns), dtype=torch.int8, generator=generator)
        rows = torch.cat([torch.cat([extremes, -extremes]).repeat(128, 1), others])
        ends = torch.tensor([255, 1], dtype=torch.uint8)[:, None].expand(2, columns)
        x = torch.cat([ends, torch.randint(0, 256, (6, columns), dtype=torch.uint8, generator=generator)])
        if all(_is_exact(part, rows) for part in (x[:1], x[1:2], x, x.repeat(2, 1))):
            return levels
    return None


def _is_exact(x: Tensor, integers: Tensor) -> bool:
    expected = (x.double() - BYTE_ZERO) @ integers.double().T
    try:
        found = int8_product(x.contiguous(), packed_int8(integers), torch.ones(len(integers)))
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    return bool(((found - expected).abs() <= 2 * ROUNDING * expected.abs()).all())
