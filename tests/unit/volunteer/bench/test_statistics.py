"""The arithmetic of the benchmarks."""

from __future__ import annotations

import math

import pytest

from volunteer.bench.statistics import NEAR_TIE, Agreement, Spread, agreement, first_difference, quantile, spread


def test_a_spread_is_median_and_range():
    assert spread([3.0, 1.0, 10.0, 2.0]) == Spread(median=2.5, low=1.0, high=10.0)


def test_a_single_value_is_its_own_range():
    assert spread([0.9]) == Spread(0.9, 0.9, 0.9)


def test_nothing_measured_has_no_spread_and_no_quantile():
    with pytest.raises(ValueError):
        spread([])
    with pytest.raises(ValueError):
        quantile([], 0.5)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.9, 4.6), (1.0, 5.0)])
def test_quantiles_are_linear_between_neighbours(share: float, expected: float):
    assert quantile([5.0, 1.0, 4.0, 2.0, 3.0], share) == pytest.approx(expected)


def test_a_quantile_beyond_all_values_is_refused():
    with pytest.raises(ValueError):
        quantile([1.0], 1.1)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [([1, 2, 3], [1, 2, 3], None), ([1, 2, 3], [1, 5, 3], 1), ([1, 2], [1, 2, 3], 2), ([], [], None), ([], [1], 0)],
)
def test_answers_part_at_their_first_difference(left: list[int], right: list[int], expected: int | None):
    assert first_difference(left, right) == expected


def test_equal_answers_tell_their_near_ties():
    agreed = agreement([7, 8, 9], [7, 8, 9], [0.5, NEAR_TIE / 2, 0.25])
    assert agreed == Agreement(first_difference=None, gap_there=None, near_ties=1, smallest_gap=NEAR_TIE / 2)
    assert agreed.is_equal


def test_what_comes_after_the_first_difference_is_not_compared():
    agreed = agreement([7, 8, 9], [7, 1, 9], [0.5, 0.25, 0.0])
    assert agreed == Agreement(first_difference=1, gap_there=0.25, near_ties=0, smallest_gap=0.25)
    assert not agreed.is_equal


def test_answers_of_no_tokens_agree():
    assert agreement([], [], []) == Agreement(None, None, 0, math.inf)
