import pytest

from volunteer.server.fair_queue import GUEST, Rank, Standing
from volunteer.server.ticks import DECODE_TOKENS, Waiting, linger_s, plan_tick

OWNER = Standing(Rank.OWNER)


def waiting(left: int = 1, rows: int = 1, blocks: tuple[int, int] = (0, 4), *, is_owners: bool = False) -> Waiting:
    return Waiting(rows, left, left, blocks, OWNER if is_owners else GUEST)


def test_the_owner_goes_first_and_the_others_get_what_is_left() -> None:
    long = waiting(1000)
    assert plan_tick([long, waiting(1000, is_owners=True)], prefill_tokens=400) == {1: 400}
    assert plan_tick([long, waiting(300, is_owners=True), waiting()], prefill_tokens=400) == {1: 300, 2: 1, 0: 100}
    elsewhere = waiting(blocks=(4, 8))
    assert plan_tick([elsewhere, elsewhere, waiting(1000, is_owners=True)], prefill_tokens=400) == {2: 400}
    assert plan_tick([waiting(), long, waiting(is_owners=True)], prefill_tokens=400) == {2: 1, 0: 1, 1: 100}


def test_nothing_waits_and_nothing_is_planned() -> None:
    assert plan_tick([], prefill_tokens=100) == {}


def test_all_single_tokens_go_together() -> None:
    steps = [waiting(), waiting(rows=5), waiting(left=8), waiting()]
    assert plan_tick(steps, prefill_tokens=100) == {0: 1, 1: 1, 2: 8, 3: 1}


def test_a_long_prompt_is_cut_and_has_a_quarter_of_its_tick_when_others_wait() -> None:
    assert plan_tick([waiting(left=1000)], prefill_tokens=100) == {0: 100}
    assert plan_tick([waiting(left=1000), waiting(), waiting(rows=9)], prefill_tokens=100) == {0: 25, 1: 1, 2: 1}


def test_rows_of_a_prompt_count() -> None:
    assert plan_tick([waiting(left=1000, rows=3)], prefill_tokens=100) == {0: 33}
    assert plan_tick([waiting(left=1000, rows=300)], prefill_tokens=100) == {0: 1}


def test_prompts_get_their_turn_in_order_of_arrival_and_share_what_is_left() -> None:
    assert plan_tick([waiting(left=70), waiting(left=1000), waiting(left=500)], prefill_tokens=100) == {0: 70, 1: 30}


def test_many_single_tokens_take_nothing_from_prompts() -> None:
    steps = [waiting(left=1000), *(waiting(rows=40) for _ in range(10))]
    assert plan_tick(steps, prefill_tokens=100)[0] == 25


def test_a_tick_runs_through_the_same_blocks() -> None:
    steps = [waiting(left=1000), waiting(blocks=(1, 3)), waiting(), waiting(blocks=(1, 3))]
    assert plan_tick(steps, prefill_tokens=100) == {1: 1, 3: 1}


def test_a_step_of_no_tokens_is_answered() -> None:
    assert plan_tick([waiting(left=0)], prefill_tokens=100) == {0: 0}


def test_a_step_of_no_tokens_has_its_turn_counted() -> None:
    assert waiting(left=0, rows=3, blocks=(0, 4)).claim().units == 12
    assert waiting(left=7, rows=3, blocks=(0, 4)).claim(0).units == 12
    assert waiting(left=7, rows=3, blocks=(0, 4)).claim().units == 84


def linger(now: float, *expected: float) -> float:
    return linger_s(now, ready_at=10.0, expected=expected, tick_s=1.0, share=0.3)


def test_nobody_is_waited_for_unless_expected() -> None:
    assert linger(10.0) == 0.0


def test_a_session_about_to_come_is_waited_for() -> None:
    assert linger(10.0, 10.1) == pytest.approx(0.1 + 0.03)
    assert linger(10.05, 10.1, 10.2) == pytest.approx(0.15 + 0.03)


def test_the_wait_ends_with_its_share_of_a_tick() -> None:
    assert linger(10.0, 10.29) == pytest.approx(0.3)
    assert linger(10.25, 10.29) == pytest.approx(0.05)
    assert linger(10.31, 10.32) == 0.0


def test_who_comes_later_or_is_long_overdue_is_not_waited_for() -> None:
    assert linger(10.0, 10.31) == 0.0
    assert linger(10.0, 9.69) == 0.0
    assert linger(10.0, 9.8) > 0.0


def test_drafted_tokens_count_as_decoding() -> None:
    assert waiting(left=DECODE_TOKENS).is_decode and waiting(rows=DECODE_TOKENS).is_decode
    assert not waiting(left=DECODE_TOKENS + 1).is_decode


def test_single_tokens_of_many_beams_count_as_decoding_and_the_rest_of_a_prompt_does_not() -> None:
    assert waiting(rows=1000).is_decode
    assert not Waiting(rows=1, whole=100, left=3, blocks=(0, 4)).is_decode
