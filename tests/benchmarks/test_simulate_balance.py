"""The rule of balance on simulated swarms; `simulate_balance.py` by hand tries more and larger ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import simulate_balance


@pytest.mark.parametrize("num_blocks", [24, 70])
def test_two_minutes_after_losing_a_third_the_weakest_block_is_nearly_as_strong_as_it_can_be(num_blocks: int) -> None:
    seen = simulate_balance.losses(100, num_blocks, seed=1)
    assert seen.servers == 70
    assert seen.before < 0.85
    assert seen.after >= 0.9
    assert seen.moves_per_server <= 1.0
    assert seen.uncovered == 0


def test_newcomers_in_one_place_spread() -> None:
    seen = simulate_balance.joins(100, 24, seed=1)
    assert seen.after >= 0.9
    assert seen.moves_per_server <= 1.0
