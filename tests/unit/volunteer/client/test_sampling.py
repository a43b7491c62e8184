"""Choices of tokens follow the model's probabilities, and nothing but their seed decides them."""

from __future__ import annotations

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from volunteer.client.sampling import Sampling

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0, -torch.inf]])
PROMPT = torch.zeros((1, 3), dtype=torch.int64)


def draw(sampling: Sampling, count: int) -> list[int]:
    """Tokens after a prompt of three, all from the same logits."""
    processors = sampling.processors(prompt_tokens=3)
    ids, drawn = PROMPT, []
    for _ in range(count):
        drawn.append(int(processors(ids, LOGITS.clone())[0].argmax()))
        ids = torch.cat([ids, torch.tensor([[drawn[-1]]])], dim=1)
    return drawn


def test_a_greedy_choice_needs_nothing_done_to_the_logits() -> None:
    assert len(Sampling(temperature=0, top_p=0.5, top_k=3).processors(3)) == 0


def test_draws_follow_the_probabilities_that_transformers_would_draw_from() -> None:
    sampling = Sampling(temperature=1.3, top_p=0.9, top_k=3, seed=1)
    theirs = LogitsProcessorList([TemperatureLogitsWarper(1.3), TopKLogitsWarper(3), TopPLogitsWarper(0.9)])
    expected = theirs(PROMPT, LOGITS.clone())[0].softmax(dim=0)
    count = 4000
    shares = torch.bincount(torch.tensor(draw(sampling, count)), minlength=5) / count
    assert torch.allclose(shares, expected, atol=0.04)  # five standard deviations
    assert (shares[expected == 0] == 0).all()


def test_a_seed_decides_everything_whatever_others_draw() -> None:
    sampling = Sampling(temperature=1.0, top_p=1.0, seed=7)
    first = draw(sampling, 50)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert draw(sampling, 50) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert draw(Sampling(temperature=1.0, top_p=1.0, seed=8), 50) != first


def test_without_a_seed_draws_differ() -> None:
    sampling = Sampling(temperature=1.0, top_p=1.0)
    assert draw(sampling, 50) != draw(sampling, 50)


def test_a_position_that_comes_again_is_drawn_alike() -> None:
    processors = Sampling(temperature=1.0, top_p=1.0, seed=3).processors(prompt_tokens=3)
    later = torch.cat([PROMPT, PROMPT], dim=1)
    first = processors(later, LOGITS.clone())
    processors(PROMPT, LOGITS.clone())
    assert torch.equal(processors(later, LOGITS.clone()), first)
