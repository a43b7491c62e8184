"""What peers owe each other, and for how much of it one answers for another. Arithmetic on receipts that were read.

Nobody can make credit here out of nothing: all of it is work that this peer itself has received, from the client or
from who vouches for it (NetFlow: Seuken and Parkes, "Sybil-proof accounting mechanisms with transitive trust", 2014;
one hop, as BarterCast: Meulpolder et al., 2009).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from volunteer.points.receipts import Receipt, Work, open_receipt


@dataclass(frozen=True)
class Balance:
    """Between this peer and one account, in charged units.

    Args:
        given: work that we did for it.
        received: work that it did for us.
        vouched: work that we did for others on its word.
        pending: work that we did for it, and that it has not signed for.
    """

    given: int = 0
    received: int = 0
    vouched: int = 0
    pending: int = 0


def net_owed(balance: Balance) -> int:
    """What we owe the account, in units; below zero what it owes us."""
    # What was given to others on its word is spent, too. A peer that is owed something could otherwise use it once
    # itself, and once more through each name that it makes up and vouches for. And so is what it had without signing
    # for it: whoever does not sign would keep its credit for ever.
    return balance.received - balance.given - balance.pending - balance.vouched


def shown_debts(client: str, receipts: Iterable[Receipt]) -> dict[str, int]:
    """How much work others owe the client by their own signatures, in units by account.

    Args:
        client: account.
        receipts: as it showed them; those in which it is not the server count for nothing.

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
    return owed
