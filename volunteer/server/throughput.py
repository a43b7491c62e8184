"""Measures how fast the loaded blocks are here, in the units that records announce."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch

from volunteer.server.kv_cache import SessionCache
from volunteer.server.span import Span

_DECODE_STEPS = 5
_FORWARD_TOKENS = 256
# No outside service is asked how fast the line is: a number of a common home line, until hops are measured.
_ASSUMED_NETWORK_BITS_PER_S = 100e6
_RELAY_SHARE = 0.2


@dataclass(frozen=True)
class Throughput:
    """Speeds of one server as Petals' records give them."""

    inference_rps: float
    """One-token steps/s of one block."""
    forward_rps: float
    """Tokens/s of one block in a batch of many."""
    network_rps: float
    """Tokens/s that the line can carry, assumed."""

    def overall(self, num_blocks: int, *, using_relay: bool = False) -> float:
        """Petals' announced `throughput`: tokens/s of half the span (the mean use), or of the line if that is less."""
        network = self.network_rps * (_RELAY_SHARE if using_relay else 1.0)
        return min(self.forward_rps / ((num_blocks + 1) / 2), network)


def measure_throughput(span: Span) -> Throughput:
    """Runs a few steps through the whole span; for the compute thread, before it serves."""
    num_blocks = span.end - span.start
    hidden_size = span.family.hidden_size
    token = torch.randn(1, 1, hidden_size, generator=torch.Generator().manual_seed(0))
    cache = SessionCache(start=span.start, end=span.end, max_length=_DECODE_STEPS + 2)
    span.step(token, cache)
    decode_s = statistics.median(_seconds(span, token, cache) for _ in range(_DECODE_STEPS))

    batch = token.expand(1, _FORWARD_TOKENS, hidden_size)
    started = time.perf_counter()
    span.forward(batch, span.start, span.end)
    forward_s = time.perf_counter() - started
    return Throughput(
        inference_rps=num_blocks / decode_s,
        forward_rps=_FORWARD_TOKENS * num_blocks / forward_s,
        network_rps=_ASSUMED_NETWORK_BITS_PER_S / (16 * hidden_size),
    )


def _seconds(span: Span, token: torch.Tensor, cache: SessionCache) -> float:
    started = time.perf_counter()
    span.step(token, cache)
    return time.perf_counter() - started
