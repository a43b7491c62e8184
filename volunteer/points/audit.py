"""Looks through a whole ledger again: every signature, both chains as far as they are known, and all sums."""

from __future__ import annotations

import base64
import collections
import dataclasses
import json
import sqlite3
from typing import IO, Any

from volunteer.points.ledger_file import OWN, LedgerDamaged
from volunteer.points.receipts import (
    NO_PREVIOUS,
    BadReceipt,
    SignedHalf,
    Work,
    check_follows,
    check_pair,
    open_claim,
    open_countersignature,
    parse_claim,
)

_MAX_PROBLEMS = 100
"""Of a file that is damaged all over, so many are told."""
_HALVES = "SELECT half.*, public_key FROM half JOIN peer ON peer.id = maker ORDER BY half.id"


def find_problems(connection: sqlite3.Connection) -> list[str]:
    """A sentence for each."""
    damage = [row[0] for row in connection.execute("PRAGMA integrity_check(10)") if row[0] != "ok"]
    if damage:
        return [f"The file is damaged: {each}" for each in damage]
    audit = _Audit(connection)
    audit.run()
    return audit.problems[:_MAX_PROBLEMS]


def export_receipts(connection: sqlite3.Connection, file: IO[str]) -> int:
    """A line of JSON for each claim, with its countersignature (null if none came); returns how many.

    Raises:
        LedgerDamaged: one cannot be read.
    """
    rows = connection.execute(
        "SELECT c.*, cp.public_key AS key, s.body AS s_body, s.signature AS s_signature, sp.public_key AS s_key, "
        "s.saved AS s_saved FROM half AS c JOIN peer AS cp ON cp.id = c.maker "
        "LEFT JOIN half AS s ON s.session = c.session AND s.counter = c.counter AND NOT s.is_claim "
        "LEFT JOIN peer AS sp ON sp.id = s.maker WHERE c.is_claim ORDER BY c.id"
    )
    count = 0
    for row in rows:
        claim = SignedHalf(row["body"], row["key"] or b"", row["signature"])
        try:
            work = parse_claim(claim.body).work  # whoever reads it checks the signature
        except BadReceipt as error:
            raise LedgerDamaged("A claim in the ledger is damaged; `volunteer points verify` says which.") from error
        line: dict[str, Any] = {
            **{name: _plain(value) for name, value in dataclasses.asdict(work).items()},
            "claim": _half_as_json(claim, row["saved"]),
            "countersignature": None,
        }
        if row["s_body"] is not None:
            signed = SignedHalf(row["s_body"], row["s_key"] or b"", row["s_signature"])
            line["countersignature"] = _half_as_json(signed, row["s_saved"])
        file.write(json.dumps(line) + "\n")
        count += 1
    return count


class _Audit:
    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection
        self.problems: list[str] = []
        self._peers = {row["id"]: row["peer_id"] for row in connection.execute("SELECT id, peer_id FROM peer")}
        self._rows = {peer_id: row for row, peer_id in self._peers.items()}
        self._sessions: dict[int, _Session] = {}
        self._totals: dict[tuple[int, int, str], list[int]] = collections.defaultdict(lambda: [0] * 6)
        self._links: dict[int, dict[int, tuple[bytes, bytes]]] = collections.defaultdict(dict)
        """Hash and previous, by maker and sequence."""

    def run(self) -> None:
        for row in self._connection.execute(_HALVES):
            try:
                self._look_at(row)
            except BadReceipt as error:
                kind = "Claim" if row["is_claim"] else "Countersignature"
                self.problems.append(
                    f"{kind} {row['sequence']} of {self._peers[row['maker']]} (row {row['id']}) is bad: {error}."
                )
            if len(self.problems) >= _MAX_PROBLEMS:
                return
        self._check_chains()
        self._check_sessions()
        self._check_totals()

    def _look_at(self, row: sqlite3.Row) -> None:
        half = SignedHalf(row["body"], row["public_key"] or b"", row["signature"])
        if row["is_claim"]:
            claim = open_claim(half)
            link, work = claim.link, claim.work
            session = self._sessions.setdefault(row["session"], _Session())
            check_follows(session.claimed, work)
            session.claimed = work
            session.is_ours = row["maker"] == OWN
            session.waiting[work.counter] = half
            counter = work.counter
        else:
            countersignature = open_countersignature(half)
            link, counter = countersignature.link, row["counter"]
            self._settle(row, half, countersignature)
        if (self._peers[row["maker"]], row["sequence"], row["counter"]) != (link.maker, link.sequence, counter):
            raise BadReceipt("it is filed in another place than it names")
        self._links[row["maker"]][link.sequence] = (half.hash, link.previous)

    def _settle(self, row: sqlite3.Row, half: SignedHalf, countersignature: Any) -> None:
        session = self._sessions.get(row["session"])
        claim = None if session is None else session.waiting.pop(row["counter"], None)
        if session is None or claim is None:
            raise BadReceipt("its claim is missing")
        opened = open_claim(claim)
        check_pair(claim, opened, countersignature)
        work, before = opened.work, session.settled
        if before is not None and before.counter >= work.counter:
            raise BadReceipt("a later claim of the session was settled before")
        peer, first = (work.client, 0) if session.is_ours else (work.server, 3)
        sums = self._totals[self._rows.get(peer, 0), row["day"], work.model]
        for place, name in enumerate(("tokens", "units", "charged"), start=first):
            sums[place] += getattr(work, name) - (0 if before is None else getattr(before, name))
        session.settled = work

    def _check_chains(self) -> None:
        for maker, links in self._links.items():
            for sequence, (_, previous) in links.items():
                before = links.get(sequence - 1)
                if before is None and maker == OWN and sequence > 1:
                    self.problems.append(f"Half {sequence - 1} of this peer's own chain is missing.")
                elif (before is not None and before[0] != previous) or (sequence == 1 and previous != NO_PREVIOUS):
                    self.problems.append(f"The chain of {self._peers[maker]} is broken before half {sequence}.")

    def _check_sessions(self) -> None:
        rows = {row["id"]: row for row in self._connection.execute("SELECT * FROM session")}
        for session_id, row in rows.items():
            session = self._sessions.get(session_id)
            claimed = None if session is None else session.claimed
            settled = None if session is None else session.settled
            found = {
                f"{prefix}_{name}": 0 if work is None else getattr(work, name)
                for prefix, work in (("claimed", claimed), ("settled", settled))
                for name in ("counter", "tokens", "units", "charged")
            }
            if (
                claimed is None
                # A file of an older version, before a worker has opened it, lacks some of these.
                or any(row[name] != number for name, number in found.items() if name in row.keys())  # noqa: SIM118
                or self._named(row)
                != (
                    claimed.server,
                    claimed.client,
                    claimed.nonce,
                    claimed.model,
                )
            ):
                self.problems.append(f"Session {session_id} says something else than its receipts.")

    def _named(self, row: sqlite3.Row) -> tuple[str | None, str | None, bytes, str]:
        return self._peers.get(row["server"]), self._peers.get(row["client"]), row["nonce"], row["model"]

    def _check_totals(self) -> None:
        kept = {tuple(row)[:3]: list(row)[3:] for row in self._connection.execute("SELECT * FROM total")}
        for key in kept.keys() | self._totals.keys():
            if kept.get(key, [0] * 6) != self._totals.get(key, [0] * 6):
                peer, _, model = key
                self.problems.append(
                    f"The totals of {self._peers.get(peer)} and {model} are not those of its receipts."
                )


@dataclasses.dataclass
class _Session:
    """As its halves say, while they are read."""

    is_ours: bool = False
    """This peer was the server."""
    claimed: Work | None = None
    settled: Work | None = None
    waiting: dict[int, SignedHalf] = dataclasses.field(default_factory=dict)
    """Claims without a countersignature, by counter."""


def _half_as_json(half: SignedHalf, saved: int) -> dict[str, Any]:
    return {
        "body": base64.b64encode(half.body).decode(),
        "public_key": base64.b64encode(half.public_key).decode(),
        "signature": base64.b64encode(half.signature).decode(),
        "saved": saved,
    }


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
