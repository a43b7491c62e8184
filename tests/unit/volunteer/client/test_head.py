"""The quick head's argmax is the whole head's, whatever the weights and hidden states; its bounds hold."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from torch import nn

from volunteer.client import head as module
from volunteer.client.head import GreedyHead, LazyGreedyHead
from volunteer.models.onednn import exact_levels


def linear(weight: torch.Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    made.weight = nn.Parameter(weight, requires_grad=False)
    return made


def greedy(weight: torch.Tensor) -> GreedyHead:
    made = GreedyHead.of(linear(weight), min_bytes=0)
    if made is None:
        pytest.skip("this processor has no kernel for integers")
    return made


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check(weight: torch.Tensor, states: torch.Tensor) -> GreedyHead:
    """One position after another, as in a chat, then all at once, as in a batch."""
    quick, whole = greedy(weight), linear(weight)
    for each in [*states[:, None], states]:
        logits, expected = quick(each), whole(each)
        if logits is None:
            continue
        assert logits.shape == expected.shape and logits.dtype == torch.float32
        assert logits.argmax(-1).tolist() == expected.argmax(-1).tolist()
        finite = logits.isfinite()
        torch.testing.assert_close(logits[finite], expected[finite], atol=1e-3 * expected.abs().max().item(), rtol=0)
        assert (logits == logits.amax(-1, keepdim=True)).sum(-1).tolist() == [1] * len(each)
    return quick


@pytest.mark.parametrize(("rows", "columns"), [(1, 8), (300, 1), (1000, 7), (5000, 64), (9001, 577)])
def test_random_weights(rows: int, columns: int) -> None:
    check(random(rows, columns), random(12, columns, seed=1))


def test_ordinary_positions_are_decided_without_the_whole_head() -> None:
    counts = check(random(20_000, 256), random(40, 256, seed=1)).counts
    # 40 alone, and 40 in one call, which falls back as a whole when one position is a tie.
    assert counts.proposed >= 36
    assert counts.candidates < 50 * counts.proposed
    assert counts.not_finite == counts.crowded == 0


def test_outliers_in_weights_and_states() -> None:
    weight, states = random(4000, 128), random(20, 128, seed=1)
    weight[:, 5] *= 100
    weight[7::50] *= 1e4
    weight[8::50] *= 1e-6
    states[:, 9] *= 300
    check(weight, states)


@pytest.mark.parametrize("distance", [0.0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3])
def test_near_ties_are_decided_as_the_whole_head_does(distance: float) -> None:
    weight, states = random(3000, 64), random(30, 64, seed=1)
    winners = linear(weight)(states).argmax(-1)
    weight[: len(winners)] = weight[winners] * (1 + distance * random(len(winners), 1, seed=2))
    counts = check(weight, states).counts
    if distance == 0.0:
        assert counts.proposed == 0 and counts.ties == 60  # which of two equal rows wins is the whole head's business
    if distance == 1e-3:
        assert counts.proposed > 15


def test_of_equal_rows_the_lowest_wins_as_in_the_whole_head() -> None:
    weight = random(1 << 16, 128)
    state = weight[1234][None].clone()
    weight[[17, 500]] = state
    lazy = LazyGreedyHead(linear(weight))
    lazy.prepare()
    assert lazy(state).argmax().item() == linear(weight)(state).argmax().item() == 17
    assert lazy.counts.ties == (exact_levels(128) is not None)


@pytest.mark.parametrize("size", [1e-38, 1e-22, 1e-12, 1e12])
def test_very_small_and_very_large_numbers(size: float) -> None:
    weight, states = random(3000, 64), random(10, 64, seed=1)
    check(weight * size, states)
    check(weight, states * size)
    check(weight * size, states / size if size > 1e-20 else states * 1e14)


def test_a_copy_made_in_inference_mode_serves_outside_of_it() -> None:
    weight, state = random(3000, 64), random(1, 64, seed=1)
    with torch.inference_mode():
        quick = GreedyHead.of(linear(weight.clone()), min_bytes=0)
        if quick is None:
            pytest.skip("this processor has no kernel for integers")
        quick(state.clone())
    logits = quick(state.requires_grad_(True))
    assert logits is not None and logits.argmax().item() == linear(weight)(state).argmax().item()


def test_zeros() -> None:
    weight = random(2000, 32)
    assert greedy(weight)(torch.zeros(1, 32)) is None  # everything is a candidate
    weight[::2] = 0
    check(weight, random(10, 32, seed=1))
    assert greedy(torch.zeros(2000, 32))(random(1, 32)) is None
    counts = greedy(torch.zeros(2000, 32)).counts
    assert counts.proposed == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_hidden_states_that_are_not_numbers_go_to_the_whole_head(value: float) -> None:
    quick = greedy(random(2000, 32))
    states = random(3, 32, seed=1)
    states[1, 4] = value
    assert quick(states) is None
    assert quick.counts.not_finite == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_weights_that_are_not_numbers_have_no_quick_head(value: float) -> None:
    weight = random(2000, 32)
    weight[7, 3] = value
    assert GreedyHead.of(linear(weight), min_bytes=0) is None


def test_other_heads_have_no_quick_head() -> None:
    weight = random(2000, 32)
    assert GreedyHead.of(linear(weight)) is None  # too small to pay
    assert GreedyHead.of(nn.Linear(32, 2000), min_bytes=0) is None  # has a bias
    assert GreedyHead.of(linear(weight.bfloat16()), min_bytes=0) is None
    assert GreedyHead.of(nn.Identity(), min_bytes=0) is None


def test_a_copy_that_is_slower_than_the_whole_head_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on processors whose kernel for two signed bytes takes 500 times as long."""
    whole, state = linear(random(1 << 16, 128)), random(1, 128, seed=1)
    quick = module.onednn.int8_product

    def slow(*arguments: torch.Tensor) -> torch.Tensor:
        time.sleep(0.1)
        return quick(*arguments)

    monkeypatch.setattr(module.onednn, "int8_product", slow)
    lazy = LazyGreedyHead(whole)
    lazy.prepare()
    assert torch.equal(lazy(state), whole(state))
    assert lazy.counts.proposed == 0


def test_a_lower_matmul_precision_goes_to_the_whole_head() -> None:
    quick = greedy(random(2000, 32))
    previous = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert quick(random(1, 32)) is None
    finally:
        torch.set_float32_matmul_precision(previous)


def test_changed_weights_are_noticed() -> None:
    whole = linear(random(1 << 16, 128))
    lazy, state = LazyGreedyHead(whole), random(1, 128, seed=1)
    available = exact_levels(128) is not None

    def check_copy() -> None:
        assert lazy(state).argmax().item() == whole(state).argmax().item()  # by the whole head, or by the new copy
        lazy.prepare()
        before = lazy.counts.proposed + lazy.counts.ties
        assert lazy(state).argmax().item() == whole(state).argmax().item()
        assert lazy.counts.proposed + lazy.counts.ties == before + available

    check_copy()
    with torch.no_grad():
        whole.weight.copy_(random(1 << 16, 128, seed=2))
    check_copy()
    whole.weight = nn.Parameter(random(1 << 16, 128, seed=3), requires_grad=False)
    check_copy()


@pytest.mark.parametrize("levels", [127, 63])
def test_the_bounds_hold_for_every_row(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if (exact_levels(96) or 0) < levels:
        pytest.skip("this processor's kernel cannot add integers of this size")
    monkeypatch.setattr(module.onednn, "exact_levels", lambda columns: levels)
    weight, states = random(6000, 96), random(8, 96, seed=1)
    weight[::9] *= 50
    states[3] *= 1e-4
    states[4, 2] = 80
    quick = greedy(weight)
    approximate, residuals = quick._propose(states)
    norms = states.double().norm(dim=1)
    true = states.double() @ weight.double().T
    # As in the module's text, (2), in float64 and without its margins for rounding.
    integers = (weight / quick._scales[:, None]).round().clamp(-levels, levels).double()
    copy = integers * quick._scales.double()[:, None]
    errors = (copy - weight.double()).norm(dim=1)
    assert bool((errors <= quick._errors).all())
    assert bool((weight.double().norm(dim=1) <= quick._norms).all())
    bounds = norms[:, None] * quick._errors + 2 * (residuals + 64 * 2**-24 * norms)[:, None] * quick._norms
    assert bool(((approximate.double() - true).abs() <= bounds).all())
    # The bound is not idle: the copy's own error uses a good part of it somewhere.
    assert ((approximate.double() - true).abs() / bounds).max() > 0.1


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 300),
    columns=st.integers(1, 40),
    spread=st.floats(0, 6),
    grid=st.sampled_from([0, 1, 4]),
    copies=st.integers(0, 5),
)
def test_whatever_the_weights(seed: int, rows: int, columns: int, spread: float, grid: int, copies: int) -> None:
    """Rows over many orders of magnitude, on coarse grids that make exact ties, and copied rows."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator)
    states = torch.randn(4, columns, generator=generator)
    if grid:
        weight, states = (weight * grid).round() / grid, (states * grid).round() / grid
    weight *= 10 ** (spread * (torch.rand(rows, 1, generator=generator) - 0.5))
    for _ in range(copies):
        source, target = torch.randint(rows, (2,), generator=generator).tolist()
        weight[target] = weight[source]
    whole, quick = linear(weight), greedy(weight)
    with pytest.MonkeyPatch.context() as patch:
        # So that small heads are decided by the bounds too, and do not all count as crowded.
        patch.setattr(module, "_CANDIDATES_SHARE", 1.0)
        for each in [*states[:, None], states]:
            logits = quick(each)
            event("whole head" if logits is None else "decided")
            if logits is not None:
                assert logits.argmax(-1).tolist() == whole(each).argmax(-1).tolist()


def test_a_process_may_end_while_the_copy_is_being_made() -> None:
    program = (
        "import torch; from volunteer.client.head import LazyGreedyHead\n"
        "head = torch.nn.Linear(512, 100_000, bias=False).requires_grad_(False)\n"
        "LazyGreedyHead(head)(torch.ones(1, 512))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
