from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from volunteer.block_memory import block_bytes
from volunteer.models import linear, onednn
from volunteer.models.linear import (
    Int8Linear,
    NumberFormat,
    PlainLinear,
    Processor,
    fast_formats,
    layouts,
    make_linear,
)
from volunteer.models.onednn import has_onednn

CPU = torch.device("cpu")
COLUMNS, OUT = 576, 1536
CPU_FORMATS = [NumberFormat.FLOAT32, NumberFormat.BFLOAT16, NumberFormat.FLOAT16, NumberFormat.INT8]

# How far outputs and gradients may be from those in float64, as a share of the largest of them; about twice what was
# measured. float32 adds up 1536 rounded products, the halves round to 8 and 11 bits, int8 to 127 steps a row.
TOLERANCES = {
    NumberFormat.FLOAT32: 2e-6,
    NumberFormat.BFLOAT16: 8e-3,
    NumberFormat.FLOAT16: 1e-3,
    NumberFormat.INT8: 2e-2,
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def dtype_of(number_format: NumberFormat) -> torch.dtype:
    return torch.float32 if number_format.is_quantised else getattr(torch, number_format.value)


def layer(
    number_format: NumberFormat, *, columns: int = COLUMNS, out: int = OUT, has_bias: bool = True
) -> tuple[torch.nn.Module, Tensor, Tensor | None]:
    weight, bias = torch.randn(out, columns) / columns**0.5, torch.randn(out) if has_bias else None
    return make_linear(weight, bias, number_format, dtype=dtype_of(number_format), device=CPU), weight, bias


def assert_close(found: Tensor, expected: Tensor, tolerance: float, *, at_least: float = 0.0) -> None:
    assert found.shape == expected.shape
    assert (found.double() - expected).abs().max() <= tolerance * max(expected.abs().max().item(), at_least)


LAYOUTS = [(each, layout) for each in CPU_FORMATS for layout in layouts(each, COLUMNS)]


def force(monkeypatch: pytest.MonkeyPatch, layout: linear.Layout) -> None:
    """Instead of the one that happens to be the fastest here."""
    monkeypatch.setattr(linear, "fastest", lambda kinds, shape, dtype: layout)


@pytest.fixture(params=LAYOUTS, ids=lambda pair: f"{pair[0]}-{pair[1].__name__}")
def number_format(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> NumberFormat:
    """Each format in each way to lay a matrix out."""
    force(monkeypatch, request.param[1])
    return request.param[0]


@pytest.fixture(params=layouts(NumberFormat.INT8, COLUMNS), ids=lambda layout: layout.__name__)
def int8_layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, request.param)


def check(number_format: NumberFormat, x: Tensor, **shape: int | bool) -> None:
    """Output and gradient of a layer beside those in float64."""
    made, weight, bias = layer(number_format, **shape)
    exact_bias = None if bias is None else bias.double()
    expected = functional.linear(x.detach().double(), weight.double(), exact_bias)
    with torch.inference_mode():
        found = made(x)
    assert found.dtype == x.dtype
    # Products have a standard deviation of one; a few of them may all happen to be small sums of larger terms.
    assert_close(found, expected, TOLERANCES[number_format], at_least=1.0)
    x = x.detach().requires_grad_()
    output = made(x)
    assert_close(output.detach(), expected, TOLERANCES[number_format], at_least=1.0)
    gradient = torch.randn_like(output)
    (towards_x,) = torch.autograd.grad(output, x, gradient)
    assert towards_x.dtype == x.dtype
    assert_close(towards_x, gradient.double() @ weight.double(), TOLERANCES[number_format])


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 8, 12, 13, 512])
def test_outputs_and_gradients_are_those_of_the_matrix(number_format: NumberFormat, rows: int, has_bias: bool) -> None:
    check(number_format, torch.randn(rows, COLUMNS).to(dtype_of(number_format)), has_bias=has_bias)


@pytest.mark.parametrize("columns", [7, 16, 577])
@pytest.mark.parametrize("out", [1, 33, 100])
def test_odd_sizes_are_no_exception(number_format: NumberFormat, out: int, columns: int) -> None:
    for rows in (1, 2, 5, 20):
        check(number_format, torch.randn(rows, columns).to(dtype_of(number_format)), columns=columns, out=out)


def test_any_number_of_dimensions_and_any_strides_will_do(number_format: NumberFormat) -> None:
    dtype = dtype_of(number_format)
    for x in (
        torch.randn(COLUMNS),
        torch.randn(2, 3, COLUMNS),
        torch.randn(2, 1, 5, COLUMNS),
        torch.randn(COLUMNS, 6).t(),
        torch.randn(6, 2 * COLUMNS)[:, ::2],
        torch.randn(6 * COLUMNS + 1)[1:].view(6, COLUMNS),
        torch.randn(1, COLUMNS).expand(6, COLUMNS),
    ):
        strided = torch.empty_strided(x.shape, x.stride(), dtype=dtype) if x.stride()[0] else x.to(dtype)
        check(number_format, strided.copy_(x) if x.stride()[0] else strided)


def test_no_rows_give_no_rows(number_format: NumberFormat) -> None:
    made, _, _ = layer(number_format)
    for shape in ((0, COLUMNS), (2, 0, COLUMNS)):
        x = torch.empty(shape, dtype=dtype_of(number_format), requires_grad=True)
        output = made(x)
        assert output.shape == (*shape[:-1], OUT)
        (gradient,) = torch.autograd.grad(output.sum(), x)
        assert gradient.shape == x.shape


@pytest.mark.usefixtures("int8_layout")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("rows", [1, 100])
def test_int8_takes_activations_of_any_width(rows: int, dtype: torch.dtype) -> None:
    weight, bias = torch.randn(OUT, COLUMNS), torch.randn(OUT)
    made = make_linear(weight, bias, NumberFormat.INT8, dtype=dtype, device=CPU)
    x = torch.randn(rows, COLUMNS).to(dtype)
    assert made(x).dtype == dtype
    assert_close(made(x), functional.linear(x.double(), weight.double(), bias.double()), 2e-2)


@pytest.mark.usefixtures("int8_layout")
def test_int8_products_may_be_large_before_they_are_scaled() -> None:
    """The steps of a row, up to 127 each, add up to more than float16 holds."""
    weight = torch.full((16, 1024), 1e-3)
    made = make_linear(weight, None, NumberFormat.INT8, dtype=torch.float16, device=CPU)
    for rows in (1, 100):
        assert made(torch.ones(rows, 1024, dtype=torch.float16)) == pytest.approx(1.024, rel=1e-2)


@pytest.mark.usefixtures("int8_layout")
def test_a_row_of_zeros_stays_zero_in_int8() -> None:
    weight = torch.randn(32, 64)
    weight[5] = 0
    made = make_linear(weight, None, NumberFormat.INT8, dtype=torch.float32, device=CPU)
    assert (made(torch.randn(4, 64))[:, 5] == 0).all()
    assert (made(torch.randn(40, 64))[:, 5] == 0).all()


@pytest.mark.parametrize("has_amx", [True, False])
@pytest.mark.parametrize("vectors", ["AVX512", "DEFAULT"])
def test_int8_is_right_on_other_processors_too(vectors: str, has_amx: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Processor(vectors=vectors, has_bfloat16=has_amx, has_amx_bfloat16=has_amx, has_float16=False)
    monkeypatch.setattr(linear.Processor, "here", lambda: other)
    monkeypatch.setattr(onednn, "exact_levels", lambda columns: 63)
    assert layouts(NumberFormat.INT8, COLUMNS) == (Int8Linear,)
    for rows in (1, 40):
        check(NumberFormat.INT8, torch.randn(rows, COLUMNS))


@pytest.mark.parametrize("number_format", CPU_FORMATS[:3], ids=str)
def test_where_onednn_is_not_matrices_stay_plain(number_format: NumberFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    made, weight, bias = layer(number_format)
    monkeypatch.setattr(onednn.platform, "machine", lambda: "arm64")
    elsewhere = make_linear(weight, bias, number_format, dtype=dtype_of(number_format), device=CPU)
    assert isinstance(elsewhere, PlainLinear)
    x = torch.randn(8, COLUMNS).to(dtype_of(number_format))
    # Twice a tolerance: each of the two may round its own way.
    assert_close(made(x), elsewhere(x).double(), 2 * TOLERANCES[number_format])


def test_a_format_and_another_dtype_are_a_bug() -> None:
    with pytest.raises(ValueError, match="bfloat16 weights take activations of that dtype"):
        make_linear(torch.ones(2, 2), None, NumberFormat.BFLOAT16, dtype=torch.float32, device=CPU)


@pytest.mark.usefixtures("int8_layout")
def test_int8_takes_the_memory_that_is_planned() -> None:
    made, weight, _ = layer(NumberFormat.INT8, has_bias=False)
    held = sum(buffer.numel() * buffer.itemsize for buffer in made.buffers())
    planned = block_bytes("int8", linear_parameters=weight.numel(), linear_rows=OUT, other_parameters=0)
    assert 0.99 * planned <= held <= planned  # scales of two bytes or of four


def test_fast_formats_follow_from_the_processor() -> None:
    old = Processor(vectors="DEFAULT", has_bfloat16=False, has_amx_bfloat16=False, has_float16=False)
    float32, bfloat16, _, int8 = CPU_FORMATS
    assert fast_formats(old) == {float32}
    assert fast_formats(replace(old, vectors="AVX2")) == {float32, int8}
    assert fast_formats(replace(old, vectors="AVX512", has_bfloat16=True)) == {float32, int8, bfloat16}
    assert fast_formats(replace(old, vectors="AVX512", has_bfloat16=True, has_float16=True)) == set(CPU_FORMATS)


def test_this_processor_is_known() -> None:
    here = Processor.here()
    assert here.vectors == torch.backends.cpu.get_cpu_capability()
    assert not here.has_bfloat16 or has_onednn(torch.bfloat16, CPU)
    assert here.has_bfloat16 or not here.has_amx_bfloat16
    assert NumberFormat.NF4 not in fast_formats(here)
