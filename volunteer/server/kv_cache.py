"""Room for the keys and values of sessions: how much there is, and one session's share of it.

Knows tensors and tokens; knows neither peers nor which session should go first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import torch


class KVRoomFull(Exception):
    """The room asked for was not free, and did not become free in time."""


class KVRoom:
    """Counts the KV room of this server. Its unit is one token of one row in one block.

    Args:
        capacity_tokens: all there is.
    """

    def __init__(self, capacity_tokens: int):
        self.capacity_tokens = capacity_tokens
        self.free_tokens = capacity_tokens
        self._given_back = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def reserve(self, num_tokens: int, *, timeout_s: float = 0.0) -> AsyncIterator[None]:
        """Holds `num_tokens` for the length of the `async with`, waiting up to `timeout_s` for others to leave.

        Raises:
            KVRoomFull: it is more than there is, or more than became free in time.
        """
        if num_tokens > self.capacity_tokens:
            raise KVRoomFull(f"{num_tokens} tokens of KV room asked for, this server has {self.capacity_tokens}")
        async with self._given_back:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._given_back.wait_for(lambda: self.free_tokens >= num_tokens)
            except TimeoutError:
                if self.free_tokens < num_tokens:
                    raise KVRoomFull(f"{num_tokens} tokens of KV room asked for, {self.free_tokens} are free") from None
            self.free_tokens -= num_tokens
        try:
            yield
        finally:
            self.free_tokens += num_tokens
            async with self._given_back:
                self._given_back.notify_all()


class SessionCache:
    """Keys and values of one session in the blocks `start:end`, for all of its rows.

    The buffers grow by doubling up to `max_length`, so that a session that asked for much and says little costs
    little. Not thread-safe: the compute thread alone touches it.
    """

    FIRST_CAPACITY_TOKENS = 64

    def __init__(self, *, start: int, end: int, max_length: int, left_padding: tuple[int, ...] | None = None):
        self.start = start
        self.end = end
        self.max_length = max_length
        self.length = 0
        self.left_padding = left_padding
        self._new = 0
        self._capacity = 0
        self._keys: list[torch.Tensor | None] = [None] * (end - start)
        self._values: list[torch.Tensor | None] = [None] * (end - start)

    def begin(self, num_new_tokens: int) -> None:
        """Makes the next `update` calls write after the first `length` tokens.

        Raises:
            ValueError: the session would grow beyond `max_length`.
        """
        if self.length + num_new_tokens > self.max_length:
            raise ValueError(
                f"Maximum length exceeded: {self.length} tokens in the cache and {num_new_tokens} new ones, "
                f"the session asked for {self.max_length}"
            )
        self._new = num_new_tokens
        while self._capacity < self.length + num_new_tokens:
            self._capacity = min(self.max_length, max(self.FIRST_CAPACITY_TOKENS, 2 * self._capacity))

    def commit(self) -> None:
        """Counts the tokens of this step as stored; without it the next step overwrites them."""
        self.length += self._new
        self._new = 0

    def truncate(self, length: int) -> None:
        """Forgets all tokens from `length` on.

        Raises:
            ValueError: there are fewer tokens than that.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot go back to position {length}: the session holds {self.length} tokens")
        self.length = length

    def reorder(self, rows: torch.Tensor) -> None:
        """Row i becomes what row `rows[i]` was; `rows` is [batch] int64."""
        for buffers in (self._keys, self._values):
            for buffer in buffers:
                if buffer is not None:
                    buffer[:, :, : self.length] = buffer[:, :, : self.length].index_select(0, rows.to(buffer.device))
        if self.left_padding is not None:
            self.left_padding = tuple(self.left_padding[row] for row in rows.tolist())

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_index: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores what the attention of block `layer_index` made of the new tokens, [batch, kv_heads, new, head_dim].

        Returns all keys and values up to and with the new ones, [batch, kv_heads, length + new, head_dim].
        """
        index = layer_index - self.start
        return self._store(self._keys, index, keys), self._store(self._values, index, values)

    def _store(self, buffers: list[torch.Tensor | None], index: int, new: torch.Tensor) -> torch.Tensor:
        buffer = buffers[index]
        if buffer is None or buffer.shape[2] < self._capacity:
            grown = new.new_empty(*new.shape[:2], self._capacity, new.shape[3])
            if buffer is not None:
                grown[:, :, : self.length] = buffer[:, :, : self.length]
            buffers[index] = buffer = grown
        end = self.length + new.shape[2]
        buffer[:, :, self.length : end] = new
        return buffer[:, :, :end]
