"""Measures how fast the loaded blocks are here, in the units that records announce."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch

from volunteer.server.kv_cache import PAGE_TOKENS, KVPool
from volunteer.server.span import Part, RowPlace, Span, Tick
from volunteer.server.ticks import PREFILL_TOKENS

_DECODE_STEPS = 5
_FORWARD_TOKENS = 128
PREFILL_TICK_S = 0.07
"""A step that comes just after a tick began waits for it, and shares the next one with a quarter as many tokens: on a
route of two servers that makes less than the quarter second that a long prompt may hold up others."""
_MIN_PREFILL_TOKENS = 16
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


def measure_throughput(span: Span, pool: KVPool) -> Throughput:
    """Runs a few steps through the whole span; for the compute thread, before the pool has anything in it."""
    num_blocks = span.end - span.start
    token = torch.randn(1, 1, span.family.hidden_size, generator=torch.Generator().manual_seed(0))
    prompt = token.expand(1, min(_FORWARD_TOKENS, pool.num_pages * PAGE_TOKENS), -1)
    span.tick(pool, _tick(span, token, past=0))
    decode_s = statistics.median(_seconds(span, pool, token, past=1 + step) for step in range(_DECODE_STEPS))
    forward_s = _seconds(span, pool, prompt, past=0)
    return Throughput(
        inference_rps=num_blocks / decode_s,
        forward_rps=prompt.shape[1] * num_blocks / forward_s,
        network_rps=_ASSUMED_NETWORK_BITS_PER_S / (16 * span.family.hidden_size),
    )


def prefill_tokens(throughput: Throughput, num_blocks: int) -> int:
    """How many tokens of long prompts a tick takes while others wait for theirs, so that they wait no longer than
    `PREFILL_TICK_S` for it."""
    tokens = int(throughput.forward_rps / num_blocks * PREFILL_TICK_S)
    return max(_MIN_PREFILL_TOKENS, min(PREFILL_TOKENS, tokens))


def _tick(span: Span, hidden_states: torch.Tensor, *, past: int) -> Tick:
    part = Part(hidden_states, (RowPlace(start=0, past=past, padding=0),))
    return Tick(span.start, span.end, (part,))


def _seconds(span: Span, pool: KVPool, hidden_states: torch.Tensor, *, past: int) -> float:
    started = time.perf_counter()
    span.tick(pool, _tick(span, hidden_states, past=past))
    return time.perf_counter() - started
