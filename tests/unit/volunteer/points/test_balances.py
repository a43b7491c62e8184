from __future__ import annotations

import dataclasses

import pytest

from volunteer.points.balances import Balance, own_credit, vouched_credit
from volunteer.points.identity import Identity, new_identity
from volunteer.points.receipts import NO_PREVIOUS, BadReceipt, Receipt, Work, make_claim, make_countersignature


def receipt(server: Identity, client: Identity, units: int, *, nonce: bytes = bytes(16), counter: int = 1) -> Receipt:
    work = Work(
        server=server.peer_id,
        client=client.peer_id,
        model="m",
        revision="",
        start=0,
        end=1,
        number_format="float32",
        nonce=nonce,
        counter=counter,
        tokens=1,
        units=units,
        charged=units,
        price_milli=1000,
        digest=bytes(32),
    )
    claim = make_claim(server, work, 1, NO_PREVIOUS)
    return Receipt(claim, make_countersignature(client, claim, 1, NO_PREVIOUS))


def test_what_is_owed_is_what_was_received_and_not_given_back() -> None:
    assert own_credit(Balance(given=3, received=10)) == 7
    assert own_credit(Balance(given=3, received=10, vouched=5)) == 2
    assert own_credit(Balance(given=10, received=3)) == own_credit(Balance()) == 0


def test_a_peer_that_we_owe_answers_for_no_more_than_that() -> None:
    friend, voucher = new_identity(), new_identity()
    shown = [receipt(friend, voucher, 100), receipt(friend, voucher, 300, nonce=b"n" * 16)]
    for balance, promised, credit in (
        (Balance(received=1000), {}, 400),
        (Balance(received=250), {}, 250),
        (Balance(received=250, given=100, vouched=50), {voucher.peer_id: 30}, 70),
    ):
        found = vouched_credit(friend.peer_id, shown, {voucher.peer_id: balance}, promised)
        assert found == {voucher.peer_id: credit}
    assert vouched_credit(friend.peer_id, shown, {voucher.peer_id: Balance(received=250)}, {voucher.peer_id: 250}) == {}


def test_receipts_of_a_session_are_cumulative() -> None:
    friend, voucher = new_identity(), new_identity()
    shown = [receipt(friend, voucher, 300, counter=2), receipt(friend, voucher, 200)]
    balances = {voucher.peer_id: Balance(received=1000)}
    assert vouched_credit(friend.peer_id, shown * 3, balances, {}) == {voucher.peer_id: 300}


def test_peers_of_one_owner_that_pay_each_other_gain_nothing() -> None:
    client, server = new_identity(), new_identity()
    shown = [receipt(client, server, 10**9), receipt(server, client, 10**9)]
    assert vouched_credit(client.peer_id, shown, {}, {}) == {}
    assert vouched_credit(client.peer_id, shown, {server.peer_id: Balance(given=500)}, {}) == {}
    # What one of them has earned is spent once, under whatever name.
    owed = Balance(received=100)
    credit = vouched_credit(client.peer_id, shown, {server.peer_id: owed}, {})
    spent = dataclasses.replace(owed, vouched=credit[server.peer_id])
    assert credit[server.peer_id] + own_credit(spent) == 100


def test_work_for_a_stranger_or_of_another_vouches_nothing() -> None:
    friend, voucher, other = new_identity(), new_identity(), new_identity()
    balances = {voucher.peer_id: Balance(received=1000)}
    assert vouched_credit(friend.peer_id, [receipt(friend, other, 5)], balances, {}) == {}
    assert vouched_credit(friend.peer_id, [receipt(other, voucher, 5)], balances, {}) == {}


def test_a_forged_voucher_is_refused() -> None:
    friend, voucher = new_identity(), new_identity()
    good, other = receipt(friend, voucher, 5), receipt(friend, voucher, 50)
    with pytest.raises(BadReceipt):
        vouched_credit(friend.peer_id, [Receipt(other.claim, good.countersignature)], {}, {})
