import contextlib

import pytest

from volunteer.server.fair_queue import Rank, Standing
from volunteer.server.fair_use import (
    ACCOUNT_SESSIONS,
    ACCOUNT_TOKENS_PER_S,
    BURST_S,
    PREFIX_SESSIONS,
    PREFIX_TOKENS_PER_S,
    SHORT_BILLS,
    SHORT_BILLS_PER_S,
    UNPAID_CLAIMS,
    UNPAID_S,
    FairUse,
    UnfairUse,
)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def guest(account: str = "a", prefix: str = "10.0.0") -> Standing:
    return Standing(Rank.GUEST, account, prefix)


def test_an_account_has_no_more_sessions_than_its_share_and_may_open_another_when_one_ends() -> None:
    fair_use = FairUse()
    with contextlib.ExitStack() as stack:
        for _ in range(ACCOUNT_SESSIONS - 1):
            stack.enter_context(fair_use.session(guest()))
        for _ in range(2):
            with fair_use.session(guest()), pytest.raises(UnfairUse, match="account"):
                stack.enter_context(fair_use.session(guest()))
        stack.enter_context(fair_use.session(guest("b")))
    assert not fair_use._sessions


def test_many_accounts_of_one_network_have_no_more_than_the_network() -> None:
    fair_use = FairUse()
    with contextlib.ExitStack() as stack:
        for number in range(PREFIX_SESSIONS):
            stack.enter_context(fair_use.session(guest(str(number))))
        with pytest.raises(UnfairUse, match="network"):
            stack.enter_context(fair_use.session(guest("one more")))
        stack.enter_context(fair_use.session(guest("one more", "10.0.1")))
        stack.enter_context(fair_use.session(guest("behind a relay", "")))
        stack.enter_context(fair_use.session(Standing(Rank.CONTRIBUTOR, "worker", "10.0.0")))
        with pytest.raises(UnfairUse, match="network"):
            stack.enter_context(fair_use.session(Standing(Rank.CONTRIBUTOR, "its friend", "10.0.0", payer="worker")))


def test_who_takes_more_than_its_rate_is_over_it_until_time_has_passed() -> None:
    clock = Clock()
    fair_use = FairUse(clock=clock)
    fair_use.note_tokens(guest(), round(BURST_S * ACCOUNT_TOKENS_PER_S))
    assert not fair_use.is_over(guest())
    fair_use.note_tokens(guest(), 100)
    assert fair_use.is_over(guest()) and not fair_use.is_over(guest("b"))
    clock.now_s += 100 / ACCOUNT_TOKENS_PER_S
    assert not fair_use.is_over(guest())


def test_a_network_is_over_its_rate_whatever_its_accounts_are_called() -> None:
    fair_use = FairUse(clock=Clock())
    for number in range(101):
        fair_use.note_tokens(guest(str(number)), round(BURST_S * PREFIX_TOKENS_PER_S / 100))
    assert fair_use.is_over(guest("fresh")) and not fair_use.is_over(guest("fresh", "10.0.1"))


def test_the_owner_has_no_limits() -> None:
    fair_use, owner = FairUse(clock=Clock()), Standing(Rank.OWNER, "me")
    fair_use.note_tokens(owner, 10**9)
    assert not fair_use.is_over(owner)
    with contextlib.ExitStack() as stack:
        for _ in range(2 * ACCOUNT_SESSIONS):
            stack.enter_context(fair_use.session(owner))


def test_work_that_is_left_unpaid_closes_the_door_to_the_network_for_a_while() -> None:
    clock = Clock()
    fair_use = FairUse(clock=clock)
    for number in range(UNPAID_CLAIMS):
        with fair_use.session(guest("fresh")):
            fair_use.note_unpaid(guest(str(number)))
    with pytest.raises(UnfairUse, match="unsigned"), fair_use.session(guest("fresh")):
        pass
    with fair_use.session(guest("fresh", "10.0.1")):
        pass
    clock.now_s += UNPAID_S
    with fair_use.session(guest("fresh")):
        pass


def test_strangers_do_not_fill_the_memory() -> None:
    fair_use = FairUse(clock=Clock())
    for number in range(20_000):
        stranger = guest(str(number), str(number))
        fair_use.note_tokens(stranger, 1)
        if number % 4 == 0:
            fair_use.note_unpaid(stranger)
    assert len(fair_use._unpaid) <= 4096 + 2


def test_a_network_of_guests_has_few_receipts_for_next_to_nothing() -> None:
    clock = Clock()
    fair_use = FairUse(clock=clock)
    for number in range(SHORT_BILLS):
        assert fair_use.may_be_billed(guest(str(number)))
        fair_use.note_short_bill(guest(str(number)))
    assert not fair_use.may_be_billed(guest("fresh"))
    assert fair_use.may_be_billed(guest("fresh", "10.0.1"))
    assert fair_use.may_be_billed(Standing(Rank.CONTRIBUTOR, "worker", "10.0.0"))  # what it is owed pays for them
    clock.now_s += 1 / SHORT_BILLS_PER_S
    assert fair_use.may_be_billed(guest("fresh"))
