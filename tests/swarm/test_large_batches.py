"""What is too much for one message goes in several, and the result is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from volunteer.client.model import BlockingSession, SwarmForCausalLM
from volunteer.client.session import Session

HIDDEN, BLOCKS = 64, 6


@pytest.fixture(scope="module")
def model(random_bloom: Path, start_swarm: Callable[..., Any]) -> Iterator[SwarmForCausalLM]:
    swarm = start_swarm(random_bloom, "0:3", "3:6")
    with swarm.client() as model:
        yield model
    for server in tuple(swarm.servers):
        swarm.stop(server)


def hidden(rows: int, tokens: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, tokens, HIDDEN, generator=torch.Generator().manual_seed(seed))


def deep_prompts(rows: int, prefix: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(9)
    return 0.1 * torch.randn(BLOCKS, rows, prefix, HIDDEN, generator=generator)


@pytest.mark.parametrize("prefix", [0, 2, 5])
def test_a_long_step_is_sent_in_parts(model: SwarmForCausalLM, prefix: int) -> None:
    inputs = hidden(3, 11)
    prompts = deep_prompts(3, prefix) if prefix else None
    borders: list[torch.Tensor] = []
    in_parts = Session(model.connection.servers, max_length=16, chunk_tokens=9)  # 3 rows: 3 tokens at once
    with BlockingSession(model.connection, in_parts) as session:
        outputs = session.step(inputs, prompts=prompts, borders=borders)
        following = session.step(hidden(3, 1, seed=1))
    expected = model.blocks(inputs, prompts=prompts)
    torch.testing.assert_close(outputs, expected, atol=1e-4, rtol=1e-4)
    assert [tuple(each.shape) for each in borders] == [(3, 11, HIDDEN)] * 2
    if prompts is None:
        whole = model.blocks(torch.cat([inputs, hidden(3, 1, seed=1)], dim=1))
        torch.testing.assert_close(following, whole[:, -1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prompt_rows", [1, 100])
def test_a_batch_of_many_calls_has_the_gradients_of_one(
    model: SwarmForCausalLM, monkeypatch: pytest.MonkeyPatch, prompt_rows: int
) -> None:
    results = []
    for call_tokens in (1024, 8):
        monkeypatch.setattr("volunteer.client.forward.MAX_CALL_TOKENS", call_tokens)
        inputs = hidden(100, 5).requires_grad_(True)
        prompts = deep_prompts(prompt_rows, 2).requires_grad_(True)
        outputs = model.blocks(inputs, prompts=prompts)
        (outputs**2).mean().backward()
        results.append((outputs.detach(), inputs.grad, prompts.grad))
    for found, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
