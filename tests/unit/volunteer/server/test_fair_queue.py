import collections
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunteer.server.fair_queue import GUEST_SHARE, Claim, FairQueue, Rank, Standing
from volunteer.server.ticks import AGED_S, Bounds, Waiting, bounds_of, plan_tick

BLOCKS = (0, 4)
CONTRIBUTOR = Standing(Rank.CONTRIBUTOR, "contributor")


def guest(account: str = "guest", prefix: str = "10.0.0") -> Standing:
    return Standing(Rank.GUEST, account, prefix)


def simulate(
    standings: list[Standing], ticks: int, *, rows: int = 16, tokens: int = 1
) -> collections.Counter[Standing]:
    """Units that each got, when each always has a step of so many tokens waiting; the same standing is one session
    for each time that it is there."""
    queue, got = FairQueue(), collections.Counter[Standing]()
    for _ in range(ticks):
        waiting = [Waiting(1, tokens, tokens, BLOCKS, standing) for standing in standings]
        bounds = bounds_of(waiting, others_are_near=False, full_rows=rows)
        planned = plan_tick(waiting, prefill_tokens=512, queue=queue, bounds=bounds)
        units = guest_units = 0
        for index, count in planned.items():
            claim = waiting[index].claim(count)
            queue.charge(claim, are_prompts=not waiting[index].is_decode)
            got[claim.standing] += claim.units
            units += claim.units
            guest_units += claim.units * (claim.standing.rank is Rank.GUEST)
        guests_wait = any(
            each.standing.rank is Rank.GUEST and planned.get(index, -1) < each.left
            for index, each in enumerate(waiting)
        )
        queue.note_tick(guest_units=guest_units, units=units, blocks=4, guests_wait=guests_wait)
    return got


@pytest.mark.parametrize("tokens", [1, 1000])
def test_guests_get_their_share_beside_more_contributors_than_fit(tokens: int) -> None:
    contributors = [Standing(Rank.CONTRIBUTOR, str(number)) for number in range(40)]
    guests = [guest(str(number), f"10.0.{number}") for number in range(20)]
    got = simulate(contributors + guests, 400, tokens=tokens)
    share = sum(got[each] for each in guests) / got.total()
    assert GUEST_SHARE <= share < 0.35


def test_a_hundred_identities_of_one_prefix_get_what_one_gets() -> None:
    others = [guest(str(number), f"10.0.{number}") for number in range(40)]
    alone = simulate([*others, guest("a", "evil")], 2000)
    crowd = simulate([*others, *(guest(f"a{number}", "evil") for number in range(100))], 2000)

    def of_evil(got: collections.Counter[Standing]) -> int:
        return sum(units for standing, units in got.items() if standing.prefix == "evil")

    assert of_evil(crowd) <= 1.1 * of_evil(alone)


def test_fresh_identities_gain_nothing_by_coming_anew() -> None:
    """Each tick another account of the prefix, against prefixes with one account each."""
    queue, got = FairQueue(), collections.Counter[str]()
    for tick in range(2000):
        standings = [guest("x", f"10.0.{number}") for number in range(40)]
        standings += [guest(f"{tick}-{number}", "evil") for number in range(10)]
        waiting = [Waiting(1, 1, 1, BLOCKS, standing) for standing in standings]
        for index in plan_tick(waiting, prefill_tokens=512, queue=queue, bounds=Bounds(16)):
            queue.charge(waiting[index].claim(), are_prompts=False)
            got[standings[index].prefix] += 1
    assert got["evil"] <= 1.1 * min(got[f"10.0.{number}"] for number in range(40))


def test_contributors_share_by_what_they_offer() -> None:
    low, high = (Standing(Rank.CONTRIBUTOR, name, weight=weight) for name, weight in (("low", 1.0), ("high", 3.0)))
    got = simulate([low] * 40 + [high] * 40, 400)
    assert got[high] / got[low] == pytest.approx(3.0, rel=0.05)


def test_names_that_one_account_vouches_for_share_its_turns() -> None:
    others = [Standing(Rank.CONTRIBUTOR, str(number)) for number in range(20)]
    names = [Standing(Rank.CONTRIBUTOR, f"name {number}", payer="0") for number in range(30)]
    got = simulate(others + names, 2000)
    assert sum(got[each] for each in [others[0], *names]) == pytest.approx(got[others[1]], rel=0.05)


def test_who_asks_for_little_saves_little_up() -> None:
    queue = FairQueue()
    trickle, busy = guest("trickle", "a"), guest("busy", "b")
    queue.charge(Claim(trickle, 4, 4), are_prompts=False)
    for _ in range(10_000):
        queue.charge(Claim(busy, 4, 4), are_prompts=False)
    claims = [Claim(trickle, 4, 4)] * 100 + [Claim(busy, 4, 4)] * 100
    order = queue.order(claims, are_prompts=False)
    assert sum(index < 100 for index in order[:40]) <= 20 + 10


def test_an_account_that_is_over_its_rate_goes_last_and_still_goes() -> None:
    over = [Waiting(1, 1, 1, BLOCKS, guest("heavy"), is_over=True) for _ in range(20)]
    ordinary = [Waiting(1, 1, 1, BLOCKS, guest("light")) for _ in range(10)]
    planned = plan_tick(over + ordinary, prefill_tokens=512, bounds=Bounds(16))
    assert set(range(20, 30)) <= set(planned) and len(planned) == 16


def test_a_step_that_has_waited_for_long_goes_before_contributors() -> None:
    waiting = [Waiting(1, 1, 1, BLOCKS, CONTRIBUTOR) for _ in range(40)]
    waiting.append(Waiting(1, 1, 1, (2, 4), guest(), starved_s=AGED_S))
    assert set(plan_tick(waiting, prefill_tokens=512, bounds=Bounds(16))) == {40}


def test_a_crowd_that_has_waited_for_long_has_one_step_before_contributors() -> None:
    waiting = [Waiting(1, 1, 1, BLOCKS, CONTRIBUTOR) for _ in range(40)]
    waiting += [Waiting(1, 1, 1, BLOCKS, guest(str(number)), starved_s=AGED_S + number) for number in range(40)]
    planned = plan_tick(waiting, prefill_tokens=512, bounds=Bounds(16, 3))
    assert 79 in planned and sum(index >= 40 for index in planned) <= 3


def test_a_network_is_starved_since_its_last_turn_and_not_since_each_step_came() -> None:
    queue = FairQueue()
    assert queue.starved_since(guest("a"), 5.0) == 5.0
    queue.note_turn(guest("a"), 20.0)
    assert queue.starved_since(guest("b"), 5.0) == 20.0
    assert queue.starved_since(guest("b", "other"), 5.0) == 5.0
    assert queue.starved_since(CONTRIBUTOR, 5.0) == 5.0
    for number in range(10_000):
        queue.note_turn(guest("a", str(number)), 30.0)
    assert len(queue._had_turn_at) <= 4096


def test_guests_leave_short_ticks_to_contributors_only_when_the_server_is_full() -> None:
    assert bounds_of([Waiting(1, 1, 1, BLOCKS, guest(str(i))) for i in range(16)], others_are_near=True) == Bounds()
    full = [Waiting(1, 1, 1, BLOCKS, guest(str(i), str(i))) for i in range(17)]
    assert bounds_of(full, others_are_near=True) == Bounds(16, 3)
    assert bounds_of(full, others_are_near=False) == Bounds(32)
    assert bounds_of(full[:1] * 17, others_are_near=False) == Bounds()


def test_counters_of_strangers_do_not_pile_up() -> None:
    queue = FairQueue()
    for number in range(20_000):
        queue.charge(Claim(guest(str(number), str(number)), 4, 4), are_prompts=False)
    assert len(queue._counters) <= 4096 and len(queue._virtual) <= 4096 + 3


STANDINGS = st.builds(
    Standing, st.sampled_from(Rank), st.sampled_from("abcd"), st.sampled_from("xyz"), st.floats(1.0, 10.0)
)
STEPS = st.builds(
    lambda rows, whole, done, start, standing, starved_s, is_over: Waiting(
        rows, whole, max(whole - done, min(whole, 1)), (start, 4), standing, starved_s, is_over
    ),
    st.integers(1, 40),
    st.integers(0, 2000),
    st.integers(0, 2000),
    st.integers(0, 1),
    STANDINGS,
    st.floats(0, 100),
    st.booleans(),
)


@settings(deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=40), st.booleans(), st.floats(0, 5000))
def test_no_tick_is_empty_and_all_go_that_fit(steps: list[Waiting], near: bool, owed: float) -> None:
    queue = FairQueue()
    queue.owed_to_guests = owed
    bounds = bounds_of(steps, others_are_near=near)
    planned = plan_tick(steps, prefill_tokens=512, queue=queue, bounds=bounds)
    assert planned
    assert len({steps[index].blocks for index in planned}) == 1
    assert all(0 <= tokens <= steps[index].left for index, tokens in planned.items())
    (blocks,) = {steps[index].blocks for index in planned}
    if bounds == Bounds():
        short = {index for index, step in enumerate(steps) if step.is_decode and step.blocks == blocks}
        assert short <= set(planned)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(STANDINGS, st.sampled_from([1, 1, 5, 300])), min_size=1, max_size=60), st.randoms())
def test_nobody_starves(kinds: list[tuple[Standing, int]], chance: random.Random) -> None:
    """Everybody comes back at once, and everybody had a turn within the time after which a step goes first."""
    queue, served = FairQueue(), set[int]()
    arrived = dict.fromkeys(range(len(kinds)), 0)
    left = [tokens for _, tokens in kinds]
    for tick in range(600):
        indices = list(range(len(kinds)))
        waiting = [Waiting(1, kinds[i][1], left[i], BLOCKS, kinds[i][0], 0.1 * (tick - arrived[i])) for i in indices]
        bounds = bounds_of(waiting, others_are_near=True)
        for index, tokens in plan_tick(waiting, prefill_tokens=64, queue=queue, bounds=bounds).items():
            queue.charge(waiting[index].claim(tokens), are_prompts=not waiting[index].is_decode)
            left[index] -= tokens
            arrived[index] = tick
            if left[index] <= 0:
                left[index] = kinds[index][1]
            served.add(index)
    assert served == set(range(len(kinds)))
