from __future__ import annotations

import pytest

from volunteer.points.balances import Balance, net_owed, shown_debts
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
    assert net_owed(Balance(given=3, received=10)) == 7
    assert net_owed(Balance(given=3, received=10, vouched=5)) == 2
    assert net_owed(Balance(given=3, received=10, vouched=5, pending=3)) == -1
    assert net_owed(Balance()) == 0


def test_debts_to_a_client_add_up_by_who_signed_for_them() -> None:
    friend, voucher, other = new_identity(), new_identity(), new_identity()
    shown = [
        receipt(friend, voucher, 100),
        receipt(friend, voucher, 300, nonce=b"n" * 16),
        receipt(friend, other, 5),
    ]
    assert shown_debts(friend.peer_id, shown) == {voucher.peer_id: 400, other.peer_id: 5}


def test_receipts_of_a_session_are_cumulative() -> None:
    friend, voucher = new_identity(), new_identity()
    shown = [receipt(friend, voucher, 300, counter=2), receipt(friend, voucher, 200)]
    assert shown_debts(friend.peer_id, shown * 3) == {voucher.peer_id: 300}


def test_the_work_of_another_is_no_debt_to_the_client() -> None:
    friend, voucher, other = new_identity(), new_identity(), new_identity()
    assert shown_debts(friend.peer_id, [receipt(other, voucher, 5), receipt(voucher, friend, 5)]) == {}


def test_a_forged_receipt_is_refused() -> None:
    friend, voucher = new_identity(), new_identity()
    good, other = receipt(friend, voucher, 5), receipt(friend, voucher, 50)
    with pytest.raises(BadReceipt):
        shown_debts(friend.peer_id, [Receipt(other.claim, good.countersignature)])
