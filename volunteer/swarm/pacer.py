"""Keeps what this peer sends below a rate that its owner chose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

BURST_S = 0.25
"""What was not sent in this time may be made up for, so that single tokens never wait."""


class Pacer:
    """Says when a message may go: the virtual scheduling of ITU-T I.371 (GCRA), with bytes for cells.

    Args:
        bytes_per_s: None for no limit.
    """

    def __init__(
        self,
        bytes_per_s: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()
        """When all that was promised so far is sent, at this rate."""

    async def spend(self, num_bytes: int) -> None:
        """Returns when so many bytes may be sent; in order of the calls."""
        if self._bytes_per_s is None:
            return
        now = self._clock()
        wait_s = self._free_at - now - BURST_S
        self._free_at = max(self._free_at, now) + num_bytes / self._bytes_per_s
        if wait_s > 0:
            await self._sleep(wait_s)
