"""What can be shown of the GPU path without a GPU: the blocks compile with attention outside, and answer the same."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from volunteer.server.gpu import PinnedTransfer, compiled
from volunteer.server.span import Span

TOLERANCE = {"atol": 2e-4, "rtol": 1e-4}  # float32, added up in another order


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_blocks_answer_as_the_others_do(
    random_model: Any, span_of: Callable[..., Span], new_engine: Callable[..., Any]
) -> None:
    span = span_of(random_model, 0, 2)
    plain = new_engine(span)
    # Traced by the compiler and run as it stands: what a GPU would have in graphs is found here, without their code.
    fast = new_engine(dataclasses.replace(span, blocks=compiled(span.blocks, backend="eager"), is_compiled=True))
    hidden_states = torch.randn(2, 20, 64, generator=torch.Generator().manual_seed(0))
    sessions = [(engine, engine.open(2)) for engine in (plain, fast)]
    # 22 and 30 rows are padded to 24 and 32, 2 rows are not.
    for start, end in ((0, 11), (11, 12), (12, 13), (13, 20)):
        expected, found = (engine.step(session, hidden_states[:, start:end]) for engine, session in sessions)
        torch.testing.assert_close(found, expected, **TOLERANCE)
    torch._dynamo.reset()


@pytest.mark.gpu
def test_rows_come_back_from_a_gpu_as_they_went() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    transfer = PinnedTransfer(torch.device("cuda"), torch.float16)
    parts = [torch.randn(3, 8), torch.randn(100, 8)]
    rows = transfer.to_device(parts, 128)
    expected = torch.cat([*parts, torch.zeros(25, 8)]).half()
    assert rows.device.type == "cuda" and torch.equal(transfer.to_cpu(rows), expected)
