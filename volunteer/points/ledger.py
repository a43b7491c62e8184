"""The ledger of this peer's account: what it signed and what was signed to it, on the disk before anybody is told.

Decides by `receipts`, keeps in SQLite. Its calls wait for the disk: an event loop makes them in a thread.
"""

from __future__ import annotations

import datetime
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from volunteer.points import audit, totals
from volunteer.points.balances import Balance
from volunteer.points.identity import Identity
from volunteer.points.ledger_file import OWN, open_ledger_file, read_ledger_file, storage_errors
from volunteer.points.receipts import (
    NO_PREVIOUS,
    BadReceipt,
    Link,
    Receipt,
    SignedHalf,
    Work,
    check_follows,
    check_pair,
    make_claim,
    make_countersignature,
    open_claim,
    open_countersignature,
    parse_claim,
    parse_countersignature,
)
from volunteer.points.totals import PointsSummary, Total
from volunteer.sqlite_file import transaction


class AlreadySettled(BadReceipt):
    """A countersignature that was taken before."""


class ForkedChain(BadReceipt):
    """The peer has signed something else in this place of its chain, or on another half than the one before it.

    It signs for two versions of what it did; or it has lost its ledger, and goes on without, or with an old copy.
    """


class Ledger:
    """Use as `with`. Any thread may call it, and several processes may write to one file.

    Args:
        path: made if missing, readable by its owner alone.
        identity: of the account.
        clock: seconds since 1970.

    Raises:
        ConfigurationError: the file cannot be used; see `open_ledger_file`.
    """

    def __init__(self, path: Path, identity: Identity, *, clock: Callable[[], float] = time.time):
        self._path = path
        self._identity = identity
        self._clock = clock
        self._lock = threading.Lock()
        self._connection = open_ledger_file(path, peer_id=identity.peer_id, public_key=identity.public_key)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # Writing

    def claim(self, work: Work) -> SignedHalf:
        """Signs what was done in a session of ours, as the next link of our chain.

        Raises:
            BadReceipt: it does not follow from the last claim of the session.
            LedgerFailed: nothing is written.
        """
        if work.server != self._identity.peer_id:
            raise BadReceipt("the work of another peer")
        with self._writing() as connection:
            session = _find_session(connection, work)
            check_follows(None if session is None else _last_claim(connection, session["id"]), work)
            half = make_claim(self._identity, work, *self._next_link(connection))
            session_id = _make_session(connection, work) if session is None else session["id"]
            self._add(connection, half, parse_claim(half.body).link, session_id, work.counter, is_claim=True)
            _note_claimed(connection, session_id, work)
        return half

    def settle(self, countersignature: SignedHalf) -> Receipt:
        """Takes the client's half of a claim of ours.

        Raises:
            AlreadySettled: it was taken before.
            ForkedChain: it does not fit what else the client has signed.
            BadReceipt: it is not of a claim of ours that waits for it.
            LedgerFailed: nothing is written.
        """
        opened = open_countersignature(countersignature)
        with self._writing() as connection:
            found = _find_claim(connection, opened.claim_hash)
            if found is None:
                raise BadReceipt("a countersignature of no claim of ours")
            claim = _half(found, self._identity.public_key)
            work = parse_claim(claim.body).work
            check_pair(claim, parse_claim(claim.body), opened)
            session = _find_session(connection, work)
            if _counterpart(connection, found["session"], found["counter"], is_claim=False) is not None:
                raise AlreadySettled("a countersignature of a claim that is settled")
            if session is None or session["settled_counter"] >= work.counter:
                raise BadReceipt("a countersignature of a claim that a later one stands for")
            self._check_link(connection, countersignature, opened.link, found["session"], is_claim=False)
            self._add(connection, countersignature, opened.link, found["session"], work.counter, is_claim=False)
            self._note_settled(connection, session, work)
        return Receipt(claim, countersignature)

    def countersign(self, claim: SignedHalf, expected: Work) -> SignedHalf:
        """Signs for what a server has done for us; the same claim again gets the same half again.

        Args:
            expected: what we know it has done.

        Raises:
            ForkedChain: it does not fit what else the server has signed.
            BadReceipt: it says something else, or does not follow from the last claim of the session.
            LedgerFailed: nothing is written.
        """
        opened = open_claim(claim)
        work = opened.work
        if work != expected or work.client != self._identity.peer_id:
            raise BadReceipt("a claim of other work than was done")
        with self._writing() as connection:
            session = _find_session(connection, work)
            if session is not None:
                same = _counterpart(connection, session["id"], work.counter, is_claim=True)
                if same is not None and same["body"] == claim.body:
                    signed = _counterpart(connection, session["id"], work.counter, is_claim=False)
                    if signed is not None:
                        return _half(signed, self._identity.public_key)
            check_follows(None if session is None else _last_claim(connection, session["id"]), work)
            if session is None:
                session = _session(connection, _make_session(connection, work))
            self._check_link(connection, claim, opened.link, session["id"], is_claim=True)
            half = make_countersignature(self._identity, claim, *self._next_link(connection))
            self._add(connection, claim, opened.link, session["id"], work.counter, is_claim=True)
            own_link = parse_countersignature(half.body).link
            self._add(connection, half, own_link, session["id"], work.counter, is_claim=False)
            _note_claimed(connection, session["id"], work)
            self._note_settled(connection, session, work)
        return half

    def add_unreceipted(self, model: str, tokens: int, units: int) -> None:
        """Counts work for guests, who sign nothing, apart. Raises LedgerFailed."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO unreceipted VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
                "SET tokens = tokens + excluded.tokens, units = units + excluded.units",
                (self._today().toordinal(), model, tokens, units),
            )

    def add_vouched(self, units_by_voucher: Mapping[str, int]) -> None:
        """Notes what was given to others on the word of these accounts, which are no longer owed it.

        Raises:
            LedgerFailed: nothing is written.
        """
        with self._writing() as connection:
            for account, units in units_by_voucher.items():
                connection.execute(
                    "INSERT INTO vouched VALUES (?, ?) ON CONFLICT DO UPDATE SET units = units + excluded.units",
                    (_peer(connection, account), units),
                )

    # Reading

    def has_session(self, client: str, nonce: bytes) -> bool:
        """Whether we have claimed something in a session that this account had named so: its order is a replay."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM session JOIN peer ON peer.id = session.client "
                "WHERE server = 1 AND peer_id = ? AND nonce = ?",
                (client, nonce),
            )
            return found.fetchone() is not None

    def balance(self, account: str) -> Balance:
        """Between us and that account, in charged units."""
        with self._reading() as connection:
            return totals.read_balances(connection, account).get(account, Balance())

    def balances(self) -> dict[str, Balance]:
        """Of all accounts that we know."""
        with self._reading() as connection:
            return totals.read_balances(connection)

    def vouchers(self, limit: int) -> list[Receipt]:
        """Receipts for work of ours, to be shown to others: of the largest sessions of the most different clients."""
        with self._reading() as connection:
            sessions = connection.execute(
                """
                SELECT id, settled_counter FROM (
                    SELECT id, settled_counter, settled_charged,
                        row_number() OVER (PARTITION BY client ORDER BY settled_charged DESC, id) AS place
                    FROM session WHERE server = 1 AND settled_counter > 0
                ) ORDER BY place, settled_charged DESC, id LIMIT ?
                """,
                (limit,),
            ).fetchall()
            return [_receipt(connection, row["id"], row["settled_counter"]) for row in sessions]

    def points(self) -> PointsSummary:
        with self._reading() as connection:
            return totals.read_points(connection, self._today())

    def days(self) -> dict[str, Total]:
        with self._reading() as connection:
            return totals.read_days(connection)

    def models(self) -> dict[str, Total]:
        with self._reading() as connection:
            return totals.read_models(connection)

    def peers(self) -> dict[str, Total]:
        with self._reading() as connection:
            return totals.read_peers(connection)

    def verify(self) -> list[str]:
        """What is wrong with the ledger, a sentence each; others may go on writing meanwhile."""
        with read_ledger_file(self._path) as connection:
            return audit.find_problems(connection)

    def export(self, file: IO[str]) -> int:
        """All receipts, a line of JSON each; returns how many."""
        with read_ledger_file(self._path) as connection:
            return audit.export_receipts(connection, file)

    # Parts of these

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, storage_errors(self._path):
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection, transaction(connection):
            yield connection

    def _today(self) -> datetime.date:
        return datetime.date.fromtimestamp(self._clock())

    def _next_link(self, connection: sqlite3.Connection) -> tuple[int, bytes]:
        """Sequence and previous of our next half."""
        last = connection.execute(
            "SELECT sequence, body, signature FROM half WHERE maker = ? ORDER BY sequence DESC LIMIT 1", (OWN,)
        ).fetchone()
        if last is None:
            return 1, NO_PREVIOUS
        return last["sequence"] + 1, _half(last, self._identity.public_key).hash

    def _check_link(
        self, connection: sqlite3.Connection, half: SignedHalf, link: Link, session_id: int, *, is_claim: bool
    ) -> None:
        """Raises ForkedChain unless the half fits all that we know of its maker's chain."""
        maker = _peer(connection, link.maker)
        around = connection.execute(
            "SELECT sequence, is_claim, body, signature FROM half WHERE maker = ? AND sequence BETWEEN ? AND ?",
            (maker, link.sequence - 1, link.sequence + 1),
        ).fetchall()
        for row in around:
            other = _half(row, half.public_key)
            parse = parse_claim if row["is_claim"] else parse_countersignature
            fits = {-1: other.hash == link.previous, 1: parse(other.body).link.previous == half.hash}
            if not fits.get(row["sequence"] - link.sequence, False):
                raise ForkedChain("the peer has signed something else in this place of its chain")
        last = connection.execute(
            "SELECT max(sequence) FROM half WHERE session = ? AND is_claim = ?", (session_id, is_claim)
        ).fetchone()[0]
        if last is not None and link.sequence <= last:
            raise ForkedChain("the halves of a session are not in the order of the chain")

    def _add(
        self,
        connection: sqlite3.Connection,
        half: SignedHalf,
        link: Link,
        session: int,
        counter: int,
        *,
        is_claim: bool,
    ) -> None:
        maker = _peer(connection, link.maker)
        if maker != OWN:
            connection.execute(
                "UPDATE peer SET public_key = ? WHERE id = ? AND public_key IS NULL", (half.public_key, maker)
            )
        connection.execute(
            "INSERT INTO half (maker, sequence, session, counter, is_claim, mark, day, saved, body, signature) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                maker,
                link.sequence,
                session,
                counter,
                is_claim,
                _mark(half.hash) if is_claim and maker == OWN else None,
                self._today().toordinal(),
                int(self._clock()),
                half.body,
                half.signature,
            ),
        )

    def _note_settled(self, connection: sqlite3.Connection, session: sqlite3.Row, work: Work) -> None:
        connection.execute(
            "UPDATE session SET settled_counter = ?, settled_tokens = ?, settled_units = ?, settled_charged = ? "
            "WHERE id = ?",
            (work.counter, work.tokens, work.units, work.charged, session["id"]),
        )
        is_server = session["server"] == OWN
        tokens, units, charged = ("served_tokens", "earned", "given") if is_server else ("used_tokens", "used", "spent")
        connection.execute(
            f"INSERT INTO total (peer, day, model, {tokens}, {units}, {charged}) VALUES (?, ?, ?, ?, ?, ?) "  # noqa: S608
            f"ON CONFLICT DO UPDATE SET {tokens} = {tokens} + excluded.{tokens}, "
            f"{units} = {units} + excluded.{units}, {charged} = {charged} + excluded.{charged}",
            (
                session["client"] if is_server else session["server"],
                self._today().toordinal(),
                work.model,
                work.tokens - session["settled_tokens"],
                work.units - session["settled_units"],
                work.charged - session["settled_charged"],
            ),
        )


def _peer(connection: sqlite3.Connection, peer_id: str) -> int:
    """Its row, made if missing."""
    row = connection.execute("SELECT id FROM peer WHERE peer_id = ?", (peer_id,)).fetchone()
    if row is not None:
        return int(row["id"])
    return int(connection.execute("INSERT INTO peer (peer_id) VALUES (?)", (peer_id,)).lastrowid or 0)


def _find_session(connection: sqlite3.Connection, work: Work) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT session.* FROM session JOIN peer AS s ON s.id = server JOIN peer AS c ON c.id = client "
        "WHERE s.peer_id = ? AND c.peer_id = ? AND nonce = ?",
        (work.server, work.client, work.nonce),
    ).fetchone()
    return row


def _make_session(connection: sqlite3.Connection, work: Work) -> int:
    return int(
        connection.execute(
            "INSERT INTO session (server, client, nonce, model) VALUES (?, ?, ?, ?)",
            (_peer(connection, work.server), _peer(connection, work.client), work.nonce, work.model),
        ).lastrowid
        or 0
    )


def _session(connection: sqlite3.Connection, session_id: int) -> sqlite3.Row:
    row: sqlite3.Row = connection.execute("SELECT * FROM session WHERE id = ?", (session_id,)).fetchone()
    return row


def _last_claim(connection: sqlite3.Connection, session_id: int) -> Work | None:
    row = connection.execute(
        "SELECT body FROM half WHERE session = ? AND is_claim ORDER BY counter DESC LIMIT 1", (session_id,)
    ).fetchone()
    return None if row is None else parse_claim(row["body"]).work


def _counterpart(
    connection: sqlite3.Connection, session_id: int, counter: int, *, is_claim: bool
) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT half.*, public_key FROM half JOIN peer ON peer.id = maker "
        "WHERE session = ? AND counter = ? AND is_claim = ?",
        (session_id, counter, is_claim),
    ).fetchone()
    return row


def _find_claim(connection: sqlite3.Connection, claim_hash: bytes) -> sqlite3.Row | None:
    """That of ours with this hash."""
    rows = connection.execute("SELECT * FROM half WHERE mark = ?", (_mark(claim_hash),))
    return next((row for row in rows if _half(row, b"").hash == claim_hash), None)


def _receipt(connection: sqlite3.Connection, session_id: int, counter: int) -> Receipt:
    claim = _counterpart(connection, session_id, counter, is_claim=True)
    countersignature = _counterpart(connection, session_id, counter, is_claim=False)
    if claim is None or countersignature is None:
        raise sqlite3.IntegrityError(f"session {session_id} lacks a half")
    return Receipt(_half(claim, claim["public_key"]), _half(countersignature, countersignature["public_key"]))


def _note_claimed(connection: sqlite3.Connection, session_id: int, work: Work) -> None:
    connection.execute(
        "UPDATE session SET claimed_counter = ?, claimed_units = ? WHERE id = ?",
        (work.counter, work.units, session_id),
    )


def _half(row: sqlite3.Row, public_key: bytes) -> SignedHalf:
    return SignedHalf(row["body"], public_key, row["signature"])


def _mark(claim_hash: bytes) -> int:
    return int.from_bytes(claim_hash[:8], "big", signed=True)
