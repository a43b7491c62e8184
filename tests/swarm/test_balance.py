"""Servers that chose their blocks themselves go where the swarm needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from volunteer.events import Ready
from volunteer.server import balancer


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers look at the swarm often enough for a test."""
    monkeypatch.setattr(balancer, "CHECK_S", 0.5)
    monkeypatch.setattr(balancer, "_CONFIRM_S", 0.2)


def hidden(num_tokens: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, num_tokens, 64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("restless")
def test_a_server_moves_to_blocks_that_nobody_serves_and_the_answer_goes_on(
    random_bloom: Path, start_swarm: Callable[..., Any]
) -> None:
    swarm = start_swarm(random_bloom)
    servers = [swarm.start(None, num_blocks=3) for _ in range(3)]
    held = [server.blocks for server in servers]
    assert set(held) == {(0, 3), (3, 6)}
    (alone,) = (server for server in servers if held.count(server.blocks) == 1)
    inputs = [hidden(7), hidden(1, seed=1), hidden(1, seed=2)]
    with swarm.client() as model:
        with model.session(max_length=32) as session:
            expected = [session.step(each) for each in inputs]
        with model.session(max_length=32) as session:
            outputs = [session.step(each) for each in inputs[:2]]
            swarm.stop(alone)
            outputs.append(session.step(inputs[2]))  # waits until one of the others has moved
            assert [(hop.start, hop.end) for hop in session.route] == [(0, 3), (3, 6)]
    for each, reference in zip(outputs, expected, strict=True):
        torch.testing.assert_close(each, reference, atol=1e-5, rtol=1e-5)
    moved = [server for server in swarm.servers if swarm.seen(server, Ready)[-1].blocks == alone.blocks]
    assert len(moved) == 1


@pytest.mark.usefixtures("restless")
def test_a_server_whose_blocks_were_named_stays(random_bloom: Path, start_swarm: Callable[..., Any]) -> None:
    swarm = start_swarm(random_bloom, "0:3", "0:3", "3:6")
    swarm.stop(swarm.servers[2])
    swarm.run(asyncio.sleep(2.0))
    assert all(len(swarm.seen(server, Ready)) == 1 for server in swarm.servers)
