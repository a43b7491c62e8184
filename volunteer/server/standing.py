"""Who a caller is to this server, by its ledger: its owner, somebody to whom it owes work, or a guest.

Work is a transfer between two peers. A server honours those whom it owes; then those who are owed by peers whom it
owes, as far as these gave (NetFlow: Meulpolder et al., "BarterCast", 2009; Seuken and Parkes, 2014). Whoever comes new
has given nothing to anybody, so a fresh identity is worth as much as none.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from volunteer.points.balances import own_credit, vouched_credit
from volunteer.points.ledger import Ledger
from volunteer.points.orders import BadOrder, Order, read_order
from volunteer.points.receipts import BadReceipt, Receipt, from_wire
from volunteer.server.fair_queue import Rank, Standing
from volunteer.swarm.rpc import BadMessage

logger = logging.getLogger(__name__)

_MAX_VOUCHERS = 8


class Standings:
    """Args:
    ledger: of this peer.
    own_id: this peer's id, which is its owner's account.
    prefix_of: the network that a peer calls from, as text; empty where it is unknown.
    """

    def __init__(self, ledger: Ledger, own_id: str, prefix_of: Callable[[str], Awaitable[str]]):
        self._ledger = ledger
        self._own_id = own_id
        self._prefix_of = prefix_of

    def order(self, metadata: Mapping[str, Any], caller: str) -> Order | None:
        """The order in a session's first request; None where there is none.

        Raises:
            BadMessage: there is one, and it is not good.
        """
        value = metadata.get("order")
        if value is None:
            return None
        try:
            return read_order(value, client=caller, server=self._own_id)
        except BadOrder as error:
            raise BadMessage(str(error)) from error

    async def credit(self, caller: str, order: Order | None, metadata: Mapping[str, Any], *, is_owners: bool) -> Credit:
        """What a caller is to this server now."""
        prefix = await self._prefix_of(caller)
        if is_owners or (order is not None and order.account == self._own_id):
            return Credit(Standing(Rank.OWNER, self._own_id, prefix))
        if order is None:
            return Credit(Standing(Rank.GUEST, caller, prefix))
        receipts = _vouchers(metadata.get("vouchers"))
        own, vouched = await asyncio.to_thread(self._credit_of, order, receipts)
        standing = Standing(Rank.GUEST, order.account, prefix, order.price_milli / 1000)
        return Credit(standing, self._ledger, own, vouched)

    def _credit_of(self, order: Order, receipts: tuple[Receipt, ...]) -> tuple[int, dict[str, int]]:
        if self._ledger.has_session(order.account, order.nonce):
            raise BadMessage("an order that was used before")
        own = own_credit(self._ledger.balance(order.account))
        if not receipts:
            return own, {}
        try:
            return own, vouched_credit(order.account, receipts, self._ledger.balances(), {})
        except BadReceipt as error:
            raise BadMessage(f"a voucher that is forged: {error}") from error


class Credit:
    """What one account may still be given before the others, in units; it shrinks as its session is paid for.

    Args:
        standing: as a guest; the owner's as it is.
        own: what this server owes the account.
        vouched: what peers owe the account who are owed by this server, by their ids.
    """

    def __init__(
        self, standing: Standing, ledger: Ledger | None = None, own: int = 0, vouched: Mapping[str, int] | None = None
    ):
        self._guest = standing
        self._ledger = ledger
        self._own = own
        self._vouched = dict(vouched or {})

    @property
    def standing(self) -> Standing:
        if self._own > 0 or any(self._vouched.values()):
            return dataclasses.replace(self._guest, rank=Rank.CONTRIBUTOR)
        return self._guest

    async def note_paid(self, units: int) -> None:
        """So much more was signed for: it comes off the balance, or off what was vouched for."""
        if self._ledger is None:
            return
        beyond = max(0, units - self._own)
        drawn: dict[str, int] = {}
        for voucher, left in self._vouched.items():
            drawn[voucher] = min(left, beyond)
            beyond -= drawn[voucher]
            self._vouched[voucher] = left - drawn[voucher]
        drawn = {voucher: units for voucher, units in drawn.items() if units}
        if drawn:
            await asyncio.to_thread(self._ledger.add_vouched, drawn)
        # Other sessions of the same account draw on it, too.
        balance = await asyncio.to_thread(self._ledger.balance, self._guest.account)
        self._own = own_credit(balance)


def _vouchers(value: object) -> tuple[Receipt, ...]:
    """Raises BadMessage for anything but a few receipts."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(value) > _MAX_VOUCHERS:
        raise BadMessage(f"vouchers are not at most {_MAX_VOUCHERS} receipts")
    receipts = []
    for each in value:
        match each:
            case [claim, countersignature]:
                try:
                    receipts.append(Receipt(from_wire(claim), from_wire(countersignature)))
                except BadReceipt as error:
                    raise BadMessage(str(error)) from error
            case _:
                raise BadMessage("a voucher is a claim and its countersignature")
    return tuple(receipts)
