"""Who a caller is to this server, by its ledger: its owner, somebody to whom it owes work, or a guest.

Work is a transfer between two peers. A server honours those whom it owes; then those who are owed by peers whom it
owes, as far as these gave (NetFlow: Meulpolder et al., "BarterCast", 2009; Seuken and Parkes, 2014). Whoever comes new
has given nothing to anybody, so a fresh identity is worth as much as none.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from volunteer.errors import UserError
from volunteer.points.balances import Balance, net_owed, shown_debts
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
        self.prefix_of = prefix_of
        self._open: weakref.WeakValueDictionary[tuple[str, ...], _Owed] = weakref.WeakValueDictionary()
        """What is owed to accounts with open sessions, and by vouchers to their clients."""
        self._lock = asyncio.Lock()
        """While what the ledger says is read and taken over: what was read before something was written does not take
        the place of what was read after."""

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
        """What a caller is to this server now.

        Raises:
            BadMessage: it shows vouchers that are not good.
        """
        prefix = await self.prefix_of(caller)
        if is_owners or (order is not None and order.account == self._own_id):
            return Credit(Standing(Rank.OWNER, self._own_id, prefix))
        if order is None:
            return Credit(Standing(Rank.GUEST, caller, prefix))
        receipts = _vouchers(metadata.get("vouchers"))
        try:
            shown = await asyncio.to_thread(shown_debts, order.account, receipts)
        except BadReceipt as error:
            raise BadMessage(f"a voucher that is forged: {error}") from error
        standing = Standing(Rank.GUEST, order.account, prefix, order.price_milli / 1000)
        own = self._shared(order.account)
        vouchers = [_Voucher(account, self._shared(account), self._shared(account, order.account)) for account in shown]
        async with self._lock:
            balance, debts = await asyncio.to_thread(self._read, order.account, shown)
            own.owed = net_owed(balance)
            for voucher in vouchers:
                debt = debts[voucher.account]
                voucher.credit.owed = net_owed(debt.balance)
                voucher.debt.owed = debt.units - debt.vouched
        return Credit(standing, self._ledger, own, vouchers, self._lock)

    def _read(self, account: str, shown: Mapping[str, int]) -> tuple[Balance, dict[str, _Debt]]:
        """What the ledger says of an account, and of those who owe it something by their own signatures."""
        vouched = self._ledger.vouched_for(account) if shown else {}
        debts = {
            voucher: _Debt(units, self._ledger.balance(voucher), vouched.get(voucher, 0))
            for voucher, units in shown.items()
        }
        return self._ledger.balance(account), debts

    def _shared(self, *names: str) -> _Owed:
        return self._open.setdefault(names, _Owed())


@dataclass(frozen=True)
class _Debt:
    """What an account owes a client, what we owe the account, and what we have given the client on its word."""

    units: int
    balance: Balance
    vouched: int


@dataclass(eq=False)
class _Owed:
    """What is owed to somebody: one for all open sessions that draw on it, so that none of it is used twice.

    Args:
        owed: as the ledger says, in units; below zero where more was given.
        drawn: what open sessions were given of it, and the ledger does not know yet.
    """

    owed: int = 0
    drawn: int = 0

    @property
    def left(self) -> int:
        return self.owed - self.drawn


@dataclass(eq=False)
class _Voucher:
    """An account that we owe, and that owes the client.

    Args:
        credit: what we owe it.
        debt: what it owes the client, and the client had nothing for here yet.
        drawn: by this session, and not written down yet.
    """

    account: str
    credit: _Owed
    debt: _Owed
    drawn: int = 0

    @property
    def left(self) -> int:
        return max(0, min(self.credit.left, self.debt.left))

    def draw(self, units: int) -> None:
        """Below zero: gives back."""
        self.drawn += units
        self.credit.drawn += units
        self.debt.drawn += units

    def note_written(self, units: int) -> None:
        self.draw(-units)
        self.credit.owed -= units
        self.debt.owed -= units


class Credit:
    """What one session may still be given before the others; all sessions of an account share what it is owed.

    Work is taken off when it is given. Were it only when it is signed for, one unit that is owed would be as good for
    a hundred sessions at once as for one, and for ever to those who do not sign.

    Args:
        standing: as a guest; the owner's as it is.
        own: what this server owes the account.
        vouchers: peers who owe the account something and are owed by this server.
        lock: held while what the ledger says is taken over.
    """

    def __init__(
        self,
        standing: Standing,
        ledger: Ledger | None = None,
        own: _Owed | None = None,
        vouchers: Sequence[_Voucher] = (),
        lock: asyncio.Lock | None = None,
    ):
        self._guest = standing
        self._ledger = ledger
        self._own = own or _Owed()
        self._vouchers = tuple(vouchers)
        self._lock = lock or asyncio.Lock()
        self._drawn = 0

    def standing_for(self, units: int) -> Standing:
        """As whom work is done that is worth so much: as a contributor's only if all of it is owed."""
        left = max(0, self._own.left) + sum(voucher.left for voucher in self._vouchers)
        return self.standing if self._guest.rank is Rank.OWNER or units <= left else self._guest

    @property
    def standing(self) -> Standing:
        if self._own.left > 0:
            return dataclasses.replace(self._guest, rank=Rank.CONTRIBUTOR)
        for voucher in self._vouchers:
            if voucher.left > 0:
                return dataclasses.replace(self._guest, rank=Rank.CONTRIBUTOR, payer=voucher.account)
        return self._guest

    def draw(self, units: int) -> None:
        """So much is about to be given: off what is owed to the account, and beyond that off what others vouch for."""
        beyond = units - min(units, max(0, self._own.left))
        self._drawn += units
        self._own.drawn += units
        for voucher in self._vouchers:
            part = min(beyond, voucher.left)
            voucher.draw(part)
            beyond -= part

    async def note_claimed(self, units: int) -> None:
        """So much of what was drawn stands in the ledger now, as work for the account."""
        if self._ledger is None:
            return
        on_word = {voucher.account: voucher.drawn for voucher in self._vouchers if voucher.drawn}
        async with self._lock:
            try:
                balance = await asyncio.to_thread(self._written, self._ledger, on_word)
            except UserError as error:
                logger.warning("What was given to %s could not be written down: %s", self._guest.account, error)
                return  # it stays drawn
            for voucher in self._vouchers:
                voucher.note_written(on_word.get(voucher.account, 0))
            self._own.owed = net_owed(balance)
            self._give_back(units)

    def _written(self, ledger: Ledger, on_word: Mapping[str, int]) -> Balance:
        if on_word:
            ledger.add_vouched(self._guest.account, on_word)
        return ledger.balance(self._guest.account)

    def close(self) -> None:
        """Gives back what was drawn for work that was never done."""
        self._give_back(self._drawn)
        for voucher in self._vouchers:
            voucher.draw(-voucher.drawn)

    def _give_back(self, units: int) -> None:
        self._drawn -= units
        self._own.drawn -= units


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
