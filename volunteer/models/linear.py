"""One weight matrix of a linear layer, held in a number format, and its product with activations.

The one place where bitsandbytes is imported. Weights are frozen: gradients flow to the activations alone. Where a
format can be laid out in several ways, the fastest one here is found by trying. Knows neither layers nor checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from volunteer.models import onednn
from volunteer.models.fastest import fastest
from volunteer.models.onednn import has_onednn

_MKL_ROWS = 3
"""Up to so many rows MKL multiplies by a float32 matrix fastest: its time for three is that for one, and jumps then."""
_ONEDNN_ROWS = 64
"""From so many rows on, both take as long, and MKL keeps nothing for each number of rows that it meets."""
_INT8_KERNEL_ROWS = 12
"""Up to so many rows PyTorch's int8 kernel, which takes a row at a time, is faster than widening the matrix first."""


class NumberFormat(StrEnum):
    """How the weights of a block are held in memory."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    INT8 = "int8"
    """On a GPU LLM.int8() (Dettmers et al., arXiv 2208.07339), by bitsandbytes; on a processor the weights alone."""
    NF4 = "nf4"
    """4-bit NormalFloat of QLoRA (Dettmers et al., arXiv 2305.14314), by bitsandbytes."""

    @property
    def is_quantised(self) -> bool:
        return self in (NumberFormat.INT8, NumberFormat.NF4)


def make_linear(
    weight: Tensor, bias: Tensor | None, number_format: NumberFormat, *, dtype: torch.dtype, device: torch.device
) -> nn.Module:
    """The layer `x -> x @ weight.T + bias` on `device`, differentiable with respect to x.

    Its forward takes activations [..., in] of `dtype` on `device` and gives [..., out] of `dtype`.

    Args:
        weight: [out, in], of any floating dtype. A format that keeps it as it is shares its memory, so a view of a
            mapped file must be cloned before.
        bias: [out] or None.
        dtype: of activations and bias; that of the format unless the format is quantised.

    Raises:
        ValueError: `dtype` is not that of a format that is not quantised.
    """
    weight = weight.detach()
    bias = None if bias is None else bias.detach().to(device, dtype)
    if number_format is NumberFormat.INT8 and device.type == "cpu":
        return _fastest_layout(number_format, weight.shape, dtype)(weight, bias)
    if number_format.is_quantised:
        return _bitsandbytes_linear(weight, bias, number_format, dtype).to(device).requires_grad_(False)
    if dtype != getattr(torch, number_format.value):
        raise ValueError(f"{number_format} weights take activations of that dtype, not {dtype}")
    weight = weight.to(device, dtype)
    if device.type == "cpu":
        return _fastest_layout(number_format, weight.shape, dtype)(weight, bias)
    return PlainLinear(weight, bias)


Layout = (
    type["PlainLinear"] | type["ColumnsLinear"] | type["PackedLinear"] | type["Int8Linear"] | type["SplitInt8Linear"]
)


def layouts(number_format: NumberFormat, columns: int) -> tuple[Layout, ...]:
    """The ways in which this processor can multiply by a matrix of so many columns; the safest one is the first."""
    if number_format is NumberFormat.INT8:
        return (Int8Linear, SplitInt8Linear) if onednn.exact_levels(columns) == 127 else (Int8Linear,)
    if not has_onednn(getattr(torch, number_format.value), torch.device("cpu")):
        return (PlainLinear,)
    # oneDNN rearranges a plain matrix of half precision for every product, at half as much time again.
    return (PlainLinear, ColumnsLinear, PackedLinear) if number_format is NumberFormat.FLOAT32 else (PackedLinear,)


def _fastest_layout(number_format: NumberFormat, shape: torch.Size, dtype: torch.dtype) -> Layout:
    return fastest(layouts(number_format, shape[1]), tuple(shape), dtype)


@dataclass(frozen=True)
class Processor:
    """What decides how fast a processor computes in each number format."""

    vectors: str
    """The widest instructions of PyTorch's own kernels: "AVX512", "AVX2", or others, which have no int8 kernel."""
    has_bfloat16: bool
    """It multiplies bfloat16 itself, in AVX512_BF16 or AMX; widening each value to float32 is slower from 8 rows on."""
    has_amx_bfloat16: bool
    has_float16: bool

    @classmethod
    def here(cls) -> Processor:
        """This machine's."""
        abilities = torch.cpu.get_capabilities()
        cpu = torch.device("cpu")
        has_bfloat16, has_float16 = has_onednn(torch.bfloat16, cpu), has_onednn(torch.float16, cpu)
        has_amx = bool(abilities.get("amx_bf16"))
        return cls(
            vectors=torch.backends.cpu.get_cpu_capability(),
            has_bfloat16=has_bfloat16 and (has_amx or bool(abilities.get("avx512_bf16"))),
            has_amx_bfloat16=has_bfloat16 and has_amx,
            has_float16=has_float16 and bool(abilities.get("avx512_fp16")),
        )


def fast_formats(processor: Processor) -> frozenset[NumberFormat]:
    """The formats in which a processor decodes at least as fast as in float32. The others only save memory."""
    fast = {NumberFormat.FLOAT32}
    if processor.has_bfloat16:
        fast.add(NumberFormat.BFLOAT16)
    if processor.has_float16:
        fast.add(NumberFormat.FLOAT16)
    if processor.vectors in ("AVX2", "AVX512"):
        fast.add(NumberFormat.INT8)
    return frozenset(fast)


class PlainLinear(nn.Module):
    """A matrix as PyTorch keeps it. In float32 on x86, MKL multiplies few and many rows by it, and oneDNN a batch."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous())  # [out, in]
        self.register_buffer("bias", bias)
        self._has_onednn = weight.dtype == torch.float32 and has_onednn(weight.dtype, weight.device)

    def forward(self, x: Tensor) -> Tensor:
        if self._has_onednn and not _wants_gradient(x) and _MKL_ROWS < x.numel() // x.shape[-1] <= _ONEDNN_ROWS:
            return onednn.product(x, self.weight, self.bias)
        return functional.linear(x, self.weight, self.bias)


class ColumnsLinear(nn.Module):
    """A matrix column by column: some processors take a tenth less time for one row of SmolLM2's then."""

    columns: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("columns", weight.t().contiguous())  # [in, out]
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 2 and self.bias is None:
            return torch.mm(x, self.columns)  # what functional.linear comes to, some microseconds later
        return functional.linear(x, self.columns.t(), self.bias)


def _wants_gradient(x: Tensor) -> bool:
    return x.requires_grad and torch.is_grad_enabled()


class PackedLinear(nn.Module):
    """A matrix of floats in the layout that oneDNN's kernels read."""

    packed: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("packed", onednn.packed(weight))
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        if _wants_gradient(x):
            return _PackedProduct.apply(x, self.packed, self.bias)  # type: ignore[no-untyped-call]
        return onednn.product(x, self.packed, self.bias)


class _PackedProduct(torch.autograd.Function):
    """oneDNN's product has no gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
        ctx.packed = packed  # not by save_for_backward, which wants tensors with storage
        return onednn.product(x, packed, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient @ ctx.packed.to_dense(), None, None


def _int8_steps(weight: Tensor, scale: Tensor) -> Tensor:
    return (weight.float() / scale.float()[:, None]).round_().clamp_(-127, 127).to(torch.int8)


def _int8_scale(weight: Tensor) -> Tensor:
    """Of each row, [out] float32: its largest value is 127 steps."""
    return (weight.float().abs().amax(dim=1) / 127).clamp_min(torch.finfo(torch.bfloat16).tiny)


class SplitInt8Linear(nn.Module):
    """Weights of 8 bits with a scale a row, multiplied in whole numbers by activations of 16 bits.

    Activations of 8 bits ruin small models, SmolLM2 among them. Those of 16 are two rows of bytes
    (`onednn.split_rows`), so that the processor's instructions for bytes do the work, and the matrix is read once.
    """

    packed: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        scale = _int8_scale(weight)
        self.register_buffer("packed", onednn.packed_int8(_int8_steps(weight, scale)))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        product = _Int8Product.apply(x, self) if _wants_gradient(x) else self.product(x)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias

    def product(self, x: Tensor) -> Tensor:
        """x [..., in] times the matrix, without the bias: [..., out] of x's dtype; knows no gradient."""
        if x.ndim == 2 and len(x) == 1 and x.dtype == torch.float32:  # a single chat, where every call counts
            return onednn.split_product(x, self.packed, self.scale)
        flat = x.reshape(-1, x.shape[-1]).float()
        rows = len(flat)
        if rows == 0:
            return x.new_empty(*x.shape[:-1], len(self.scale))
        flat = functional.pad(flat, (0, 0, 0, onednn.padded_rows(rows) - rows))
        outputs = onednn.split_product(flat, self.packed, self.scale)[:rows].to(x.dtype)
        return outputs.view(*x.shape[:-1], len(self.scale))

    def steps(self) -> Tensor:
        """The matrix without its scales, [out, in] int8."""
        return self.packed.to_dense().t()


class Int8Linear(nn.Module):
    """Weights of 8 bits with a scale a row; activations stay in floating point. Needs nothing of the processor.

    `Module.to` with a dtype would change the scale's: choose the dtype of activations with `make_linear`.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        # The scale is rounded to bfloat16, which the kernel wants, before the weights are divided by it: its rounding
        # then costs a finer or coarser step, and no error of its own.
        scale = _int8_scale(weight).bfloat16()
        self.register_buffer("weight", _int8_steps(weight, scale))  # [out, in]
        self.register_buffer("scale", scale)  # [out] bfloat16
        self.register_buffer("bias", bias)
        processor = Processor.here()
        # The kernel reads 16 columns at a time, beyond the end of a matrix that has others.
        has_kernel = NumberFormat.INT8 in fast_formats(processor) and weight.shape[1] % 16 == 0
        self._kernel_rows = _INT8_KERNEL_ROWS if has_kernel else 0
        # For many rows the matrix is widened, product by product: a second copy that stays would undo the saving.
        # Without AMX a product in bfloat16 from a matrix that is not packed is slower than one in float32.
        self._wide_dtype = torch.bfloat16 if processor.has_amx_bfloat16 else torch.float32

    def forward(self, x: Tensor) -> Tensor:
        product = _Int8Product.apply(x, self) if _wants_gradient(x) else self.product(x)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias

    def product(self, x: Tensor) -> Tensor:
        """x [..., in] times the matrix, without the bias: [..., out] of x's dtype; knows no gradient."""
        if x.ndim == 2 and len(x) <= self._kernel_rows:  # the decoding of few sessions, where every call counts
            return torch._weight_int8pack_mm(x.bfloat16().contiguous(), self.weight, self.scale).to(x.dtype)
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) <= self._kernel_rows:
            # The kernel is written for bfloat16 alone: float32 activations take it five times as long.
            product = torch._weight_int8pack_mm(rows.bfloat16().contiguous(), self.weight, self.scale).to(x.dtype)
        else:
            wide = functional.linear(rows.to(self._wide_dtype), self.weight.to(self._wide_dtype))
            # Scaled before it goes back to float16, which ends at 65,504.
            product = (wide.float() * self.scale).to(x.dtype)
        return product.view(*x.shape[:-1], len(self.weight))

    def steps(self) -> Tensor:
        """The matrix without its scales, [out, in] int8."""
        return self.weight


class _Int8Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: Int8Linear | SplitInt8Linear) -> Tensor:
        ctx.linear = linear
        return linear.product(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        weight, scale = ctx.linear.steps(), ctx.linear.scale
        return (gradient * scale.to(gradient.dtype)) @ weight.to(gradient.dtype), None


def _bitsandbytes_linear(
    weight: Tensor, bias: Tensor | None, number_format: NumberFormat, dtype: torch.dtype
) -> nn.Module:
    """The weights are packed when the layer moves to its device."""
    import bitsandbytes

    rows, columns = weight.shape
    if number_format is NumberFormat.INT8:
        linear = bitsandbytes.nn.Linear8bitLt(
            columns, rows, bias=bias is not None, has_fp16_weights=False, threshold=6.0
        )
        linear.weight = bitsandbytes.nn.Int8Params(weight.to(dtype), requires_grad=False)
    else:
        linear = bitsandbytes.nn.Linear4bit(
            columns, rows, bias=bias is not None, compute_dtype=dtype, compress_statistics=False, quant_type="nf4"
        )
        linear.weight = bitsandbytes.nn.Params4bit(
            weight.to(dtype), requires_grad=False, compress_statistics=False, quant_type="nf4"
        )
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear
