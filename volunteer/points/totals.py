"""What the ledger adds up to, by day, model and peer. Reads a connection, writes nothing."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from volunteer.points.balances import Balance
from volunteer.points.receipts import UNITS_PER_POINT

_KEYS = {"peer", "peer_id", "day", "model"}
_BALANCES = """
    SELECT peer_id,
        (SELECT coalesce(sum(given), 0) FROM total WHERE peer = p.id),
        (SELECT coalesce(sum(spent), 0) FROM total WHERE peer = p.id),
        (SELECT coalesce(sum(units), 0) FROM vouched WHERE voucher = p.id),
        (SELECT coalesce(sum(claimed_charged - settled_charged), 0) FROM session
            WHERE server = 1 AND client = p.id AND claimed_counter > settled_counter)
    FROM peer AS p WHERE p.id != 1
"""


@dataclass(frozen=True)
class PointsSummary:
    """In units of work (`UNITS_PER_POINT`).

    Args:
        earned_today, earned_total: work that clients have signed for.
        pending: claimed, and not signed for.
        spent_today, spent_total: what this peer has signed for, at the price that it offered.
        unreceipted_today, unreceipted_total: work for guests, who sign nothing.
    """

    earned_today: int = 0
    earned_total: int = 0
    pending: int = 0
    spent_today: int = 0
    spent_total: int = 0
    unreceipted_today: int = 0
    unreceipted_total: int = 0


@dataclass(frozen=True)
class Total:
    """Of one day, model or peer.

    Args:
        served_tokens, earned, given: what was done for others: tokens, units, and units x price.
        used_tokens, used, spent: what others did for this peer, in the same.
        unreceipted_tokens, unreceipted: for guests; of no peer.
    """

    served_tokens: int = 0
    earned: int = 0
    given: int = 0
    used_tokens: int = 0
    used: int = 0
    spent: int = 0
    unreceipted_tokens: int = 0
    unreceipted: int = 0


def points_of(units: int) -> float:
    """A point is 10**12 FLOPs."""
    return units / UNITS_PER_POINT


def read_points(connection: sqlite3.Connection, today: datetime.date) -> PointsSummary:
    day = today.toordinal()
    earned_total, spent_total, earned_today, spent_today = connection.execute(
        """
        SELECT coalesce(sum(earned), 0), coalesce(sum(spent), 0),
            coalesce(sum(iif(day = ?1, earned, 0)), 0), coalesce(sum(iif(day = ?1, spent, 0)), 0) FROM total
        """,
        (day,),
    ).fetchone()
    pending = connection.execute(
        """
        SELECT coalesce(sum(claimed_units - settled_units), 0) FROM session
        WHERE server = 1 AND claimed_counter > settled_counter
        """
    ).fetchone()[0]
    unreceipted_total, unreceipted_today = connection.execute(
        "SELECT coalesce(sum(units), 0), coalesce(sum(iif(day = ?, units, 0)), 0) FROM unreceipted", (day,)
    ).fetchone()
    return PointsSummary(
        earned_today=earned_today,
        earned_total=earned_total,
        pending=pending,
        spent_today=spent_today,
        spent_total=spent_total,
        unreceipted_today=unreceipted_today,
        unreceipted_total=unreceipted_total,
    )


def read_days(connection: sqlite3.Connection) -> dict[str, Total]:
    """By date, as 2026-11-25, the first one first."""
    return {
        datetime.date.fromordinal(day).isoformat(): total
        for day, total in _added_up(connection, lambda row: row["day"]).items()
    }


def read_models(connection: sqlite3.Connection) -> dict[str, Total]:
    """By DHT prefix."""
    return _added_up(connection, lambda row: row["model"])


def read_peers(connection: sqlite3.Connection) -> dict[str, Total]:
    """By account."""
    return _added_up(connection, lambda row: row["peer_id"], with_guests=False)


def read_balances(connection: sqlite3.Connection, account: str | None = None) -> dict[str, Balance]:
    """By account; of one alone if it is named."""
    one = "" if account is None else "AND peer_id = ?"
    rows = connection.execute(f"{_BALANCES} {one}", () if account is None else (account,))
    return {row[0]: Balance(given=row[1], received=row[2], vouched=row[3], pending=row[4]) for row in rows}


def _added_up(
    connection: sqlite3.Connection, key_of: Callable[[sqlite3.Row], Any], *, with_guests: bool = True
) -> dict[Any, Total]:
    """In the order of the keys."""
    sums: dict[Any, dict[str, int]] = {}
    rows = list(connection.execute("SELECT total.*, peer_id FROM total JOIN peer ON peer.id = peer"))
    if with_guests:
        rows += connection.execute(
            "SELECT day, model, tokens AS unreceipted_tokens, units AS unreceipted FROM unreceipted"
        )
    for row in rows:
        added = sums.setdefault(key_of(row), {})
        for name in set(row.keys()) - _KEYS:
            added[name] = added.get(name, 0) + row[name]
    return {key: Total(**sums[key]) for key in sorted(sums)}
