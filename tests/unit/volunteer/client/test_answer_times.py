import pytest

from volunteer.client.answer_times import AnswerTimes


def test_before_anything_is_known_an_answer_is_overdue_after_a_second() -> None:
    assert AnswerTimes().overdue_s(1) == AnswerTimes().overdue_s(500) == 1.0
    assert AnswerTimes().block_s is None


def test_steady_answers_make_short_deadlines_and_unsteady_ones_long() -> None:
    steady, unsteady = AnswerTimes(), AnswerTimes()
    for number in range(100):
        steady.came(1, 10, 0.4)
        unsteady.came(1, 10, 0.2 if number % 2 else 0.6)
    assert steady.overdue_s(1) == pytest.approx(0.4, rel=0.01)
    assert 0.9 < unsteady.overdue_s(1) < 1.6


def test_deadlines_have_bounds() -> None:
    times = AnswerTimes()
    for _ in range(20):
        times.came(1, 10, 0.001)
    assert times.overdue_s(1) == 0.25
    for _ in range(50):
        times.came(1, 10, 1000.0)
    assert times.overdue_s(1) == 20.0


def test_a_long_step_is_judged_by_its_tokens() -> None:
    times = AnswerTimes()
    for _ in range(100):
        times.came(100, 10, 0.5)
    assert times.overdue_s(400) == pytest.approx(2.0, rel=0.01)
    assert times.overdue_s(1) == 1.0  # nothing is known of short ones
    assert times.block_s is None


def test_single_tokens_tell_what_a_block_costs() -> None:
    times = AnswerTimes()
    for _ in range(100):
        times.came(1, 20, 0.1)
        times.came(8, 20, 9.0)
    assert times.block_s == pytest.approx(0.005)
