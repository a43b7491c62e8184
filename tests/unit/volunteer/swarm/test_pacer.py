from __future__ import annotations

import asyncio

import pytest

from volunteer.swarm.pacer import BURST_S, Pacer


class Clock:
    """Time that goes by while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_much_is_spread_and_little_never_waits() -> None:
    clock = Clock()
    pacer = Pacer(1000.0, clock=clock, sleep=clock.sleep)

    async def send(*sizes: int) -> float:
        started = clock.now_s
        for num_bytes in sizes:
            await pacer.spend(num_bytes)
        return clock.now_s - started

    assert asyncio.run(send(100, 100)) == 0.0
    assert asyncio.run(send(*[1000] * 10)) == pytest.approx(9.2 - BURST_S)
    clock.now_s += 60.0
    assert asyncio.run(send(100)) == 0.0, "a debt is paid by waiting"
    assert asyncio.run(send(5000, 1)) == pytest.approx(5.1 - BURST_S), "and a pause is no credit"


def test_without_a_limit_nobody_waits() -> None:
    clock = Clock()
    asyncio.run(Pacer(None, clock=clock, sleep=clock.sleep).spend(10**12))
    assert clock.now_s == 100.0
