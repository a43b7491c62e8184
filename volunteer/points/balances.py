"""What peers owe each other, and for how much of it one answers for another. Arithmetic on receipts that were read.

Nobody can make credit here out of nothing: all of it is work that this peer itself has received, from the client or
from who vouches for it (NetFlow: Seuken and Parkes, "Sybil-proof accounting mechanisms with transitive trust", 2014;
one hop, as BarterCast: Meulpolder et al., 2009).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from volunteer.points.receipts import Receipt, Work, open_receipt


@dataclass(frozen=True)
class Balance:
    """Between this peer and one account, in charged units.

    Args:
        given: work that we did for it.
        received: work that it did for us.
        vouched: work that we did for others on its word.
    """

    given: int = 0
    received: int = 0
    vouched: int = 0


def own_credit(balance: Balance) -> int:
    """What we owe the account, in units."""
    # What was given to others on its word is spent, too. A peer that is owed something could otherwise use it once
    # itself, and once more through each name that it makes up and vouches for.
    return max(0, balance.received - balance.given - balance.vouched)


def vouched_credit(
    client: str, receipts: Iterable[Receipt], balances: Mapping[str, Balance], already_vouched: Mapping[str, int]
) -> dict[str, int]:
    """How much work others, whom we owe something, owe the client by their own signatures.

    Args:
        client: account.
        receipts: as it showed them; those in which it is not the server count for nothing.
        balances: ours, by account; this peer itself is not among them.
        already_vouched: units by voucher that are promised, beside those that its balance says.

    Returns:
        Units by voucher, none of them zero.

    Raises:
        BadReceipt: one of the receipts is forged.
    """
    last: dict[tuple[str, bytes], Work] = {}  # claims are cumulative: the last one of a session says all of it
    for receipt in receipts:
        work = open_receipt(receipt)[0].work
        session = work.client, work.nonce
        if work.server == client and (session not in last or work.counter > last[session].counter):
            last[session] = work
    owed: dict[str, int] = {}
    for work in last.values():
        owed[work.client] = owed.get(work.client, 0) + work.charged
    credit = {
        voucher: min(units, own_credit(balances.get(voucher, Balance())) - already_vouched.get(voucher, 0))
        for voucher, units in owed.items()
    }
    return {voucher: units for voucher, units in credit.items() if units > 0}
