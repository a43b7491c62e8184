import pytest
import torch

from volunteer.models import onednn
from volunteer.models.onednn import (
    BYTE_ZERO,
    exact_levels,
    has_onednn,
    int8_product,
    packed_int8,
    padded_rows,
    split_product,
    split_rows,
)

CPU = torch.device("cpu")
needs_kernel = pytest.mark.skipif(exact_levels(64) is None, reason="this processor has no kernel for bytes")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("rows", [1, 3, 4, 8, 9, 17, 33, 64, 65, 129, 257, 511, 8192])
def test_onednn_meets_few_numbers_of_rows(rows: int) -> None:
    padded = padded_rows(rows)
    assert rows <= padded <= max(rows + 1, 1.25 * rows)
    assert len({padded_rows(each) for each in range(1, 8193)}) < 50


def test_onednn_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_onednn(torch.float32, torch.device("cuda"))
    assert not has_onednn(torch.float64, CPU)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert not has_onednn(torch.float32, CPU)


def test_two_bytes_stand_for_a_number() -> None:
    x = torch.randn(7, 300) * torch.tensor([1e-20, 1e-6, 1e-3, 1.0, 1e3, 1e9, 0.0])[:, None]
    halves, scales = split_rows(x)
    low, high = halves.double().sub(BYTE_ZERO).chunk(2)
    error = ((256 * high + low) / scales - x).abs().amax(dim=1)
    # Half a step of 32,639, and the rounding of float32 before it.
    assert (error <= 0.51 / onednn.SPLIT_LEVELS * x.abs().amax(dim=1)).all()
    assert (halves[-1] == BYTE_ZERO).all()


def test_the_extremes_of_two_bytes_do_not_wrap_around() -> None:
    halves, scales = split_rows(torch.tensor([[1.0, -1.0, 0.0]]))
    assert halves.tolist() == [[255, 1, 128], [255, 1, 128]]
    assert scales.item() == onednn.SPLIT_LEVELS


@needs_kernel
@pytest.mark.parametrize("rows", [1, 2, 5, 16, 100])
def test_sums_of_bytes_are_exact(rows: int) -> None:
    levels = exact_levels(500) or 0
    matrix = torch.randint(-levels, levels + 1, (70, 500), dtype=torch.int8)
    x = torch.randint(0, 256, (rows, 500), dtype=torch.uint8)
    found = int8_product(x, packed_int8(matrix), torch.ones(70))
    assert torch.equal(found.double(), (x.double() - BYTE_ZERO) @ matrix.double().T)  # below 2^24


@needs_kernel
@pytest.mark.parametrize("rows", [1, 16, 100])
def test_a_split_product_is_as_exact_as_sixteen_bits(rows: int) -> None:
    levels = exact_levels(576) or 0
    matrix, scales = torch.randint(-levels, levels + 1, (96, 576), dtype=torch.int8), torch.rand(96) + 0.5
    x = torch.randn(rows, 576)
    exact = x.double() @ matrix.double().T * scales.double()
    error = (split_product(x, packed_int8(matrix), scales) - exact).norm() / exact.norm()
    assert error < 1e-4  # measured 2.6e-5; bfloat16 has 2e-3
