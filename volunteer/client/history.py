"""What a hop was ever given: hidden states and deep prompts by position. Knows torch alone."""

from __future__ import annotations

import asyncio

import torch


class History:
    """Everything that a hop was given, [batch, length, hidden]: what a replacement has to be told.

    The buffer doubles, so that a token costs a row and not a copy of all rows before it.
    """

    def __init__(self) -> None:
        self.length = 0
        self.prompts: dict[int, torch.Tensor] = {}
        """Position of a step -> the deep prompts that came with it, [blocks, batch or 1, prefix, hidden]."""
        self._buffer: torch.Tensor | None = None
        self._grown: asyncio.Future[None] | None = None

    def extend(self, first: int, hidden_states: torch.Tensor) -> None:
        """Keeps what is new of the inputs from position `first` on: after a replay the older ones come again."""
        known, end = self.length - first, first + hidden_states.shape[1]
        if known < 0:
            raise IndexError(f"inputs from position {first} on after {self.length} positions")
        if end <= self.length:
            return
        if self._buffer is None or self._buffer.shape[1] < end:
            batch_size, _, hidden_size = hidden_states.shape
            grown = hidden_states.new_empty(batch_size, max(64, end, 2 * self.length), hidden_size)
            if self._buffer is not None:
                grown[:, : self.length] = self._buffer[:, : self.length]
            self._buffer = grown
        self._buffer[:, self.length : end] = hidden_states[:, known:]
        self.length = end
        if self._grown is not None:
            if not self._grown.done():  # whoever waited may have been cancelled in this moment
                self._grown.set_result(None)
            self._grown = None

    async def reach(self, length: int) -> None:
        """Returns once there are so many positions. One at a time may wait."""
        while self.length < length:
            self._grown = asyncio.get_running_loop().create_future()
            try:
                await self._grown
            except asyncio.CancelledError:
                self._grown = None
                raise

    def __getitem__(self, positions: slice) -> torch.Tensor:
        if self._buffer is None:
            raise IndexError("nothing was sent yet")
        return self._buffer[:, : self.length][:, positions]

    def truncate(self, length: int) -> None:
        self.length = min(self.length, length)
        self.prompts = {position: prompts for position, prompts in self.prompts.items() if position < length}

    def reorder(self, rows: torch.Tensor) -> None:
        if self._buffer is not None:
            self._buffer[:, : self.length] = self._buffer[:, : self.length].index_select(0, rows)
        for position, prompts in self.prompts.items():
            if prompts.shape[1] > 1:
                self.prompts[position] = prompts.index_select(1, rows)
