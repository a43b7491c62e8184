import time

import pytest
import torch
from torch import Tensor, nn

from volunteer.models.fastest import ROWS, choose, fastest


def times(one: float, eight: float, many: float) -> dict[int, float]:
    return dict(zip(ROWS, (one, eight, many), strict=True))


def test_the_least_time_for_a_token_is_chosen() -> None:
    assert choose({"a": times(1.0, 8.0, 64.0), "b": times(1.1, 4.0, 64.0)}) == "b"
    # Xeon, SmolLM2, in units of MKL's one row: what wins for many rows must not lose a third for one.
    assert choose({"columns": times(0.9, 1.8, 7.0), "packed": times(1.2, 1.4, 4.5)}) == "columns"
    # EPYC, 960 x 576, microseconds.
    assert choose({"plain": times(145, 156, 361), "packed": times(87, 111, 303)}) == "packed"


def test_a_layer_that_dawdles_is_not_chosen() -> None:
    class Quick(nn.Module):
        def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
            super().__init__()
            self.register_buffer("weight", weight)

        def forward(self, x: Tensor) -> Tensor:
            return x

    class Slow(Quick):
        def forward(self, x: Tensor) -> Tensor:
            time.sleep(0.001)
            return x

    assert fastest((Slow, Quick), (2048, 1024), torch.float32) is Quick
    assert fastest((Quick, Slow), (2048, 1024), torch.float32) is Quick


def test_what_has_no_rival_is_not_tried() -> None:
    class Only(nn.Module):
        def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
            pytest.fail("it was made")

    assert fastest((Only,), (8, 8), torch.float32) is Only
