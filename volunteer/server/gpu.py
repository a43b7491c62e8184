"""What makes a tick cheap on an NVIDIA GPU: few launches, few shapes, copies through page-locked memory.

Written from the documentation of PyTorch; never run on a GPU so far. On a processor nothing here is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from volunteer.models.lean import Attend, Block


def compiled(blocks: Sequence[Block], *, backend: str = "inductor") -> tuple[Block, ...]:
    """The blocks with their torch calls fused, and replayed as CUDA graphs wherever shapes repeat.

    Attention looks keys up in places that change with every token, so it stays outside: a block becomes two graphs, up
    to its attention and after it ("piecewise" CUDA graphs, as vLLM has them). The weights are captured by address.

    Args:
        backend: of `torch.compile`; others than inductor are for tests.
    """
    options: dict[str, Any] = {"backend": backend, "dynamic": False}
    if backend == "inductor":
        options["mode"] = "reduce-overhead"
    return tuple(cast(Block, torch.compile(cast(nn.Module, block), **options)) for block in blocks)


def begin_compiled_tick(attend: Attend) -> Attend:
    """`attend` as compiled blocks may call it: outside their graphs, whose outputs of the tick before are done with."""
    torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
    return cast(Attend, torch.compiler.disable(attend))  # type: ignore[no-untyped-call]


class PinnedTransfer:
    """Hidden states to a GPU and back through page-locked memory, which its copy engine reads without a detour.

    The buffers grow and stay: page-locking memory takes longer than most ticks. For one thread.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype):
        self._device = device
        self._dtype = dtype
        self._sent: torch.Tensor | None = None
        self._received: torch.Tensor | None = None

    def to_device(self, parts: Sequence[torch.Tensor], num_rows: int) -> torch.Tensor:
        """Rows of several parts, [tokens, hidden] each, as one matrix [num_rows, hidden], filled up with zeros."""
        self._sent = self._at_least(self._sent, num_rows, parts[0].shape[1])
        rows = self._sent[:num_rows]
        at = 0
        for part in parts:
            rows[at : at + len(part)].copy_(part)
            at += len(part)
        rows[at:].zero_()
        return rows.to(self._device, non_blocking=True)

    def to_cpu(self, rows: torch.Tensor) -> torch.Tensor:
        """A copy of `rows` in ordinary memory, once everything before it on this thread's stream is computed."""
        self._received = self._at_least(self._received, *rows.shape)
        received = self._received[: len(rows)]
        received.copy_(rows, non_blocking=True)
        torch.cuda.current_stream(self._device).synchronize()
        return received.clone()

    def _at_least(self, buffer: torch.Tensor | None, num_rows: int, width: int) -> torch.Tensor:
        if buffer is not None and len(buffer) >= num_rows:
            return buffer
        return torch.empty(max(64, 2 * num_rows), width, dtype=self._dtype, pin_memory=True)
