"""The key and the ledger of this computer's owner: opened when they are first needed, shared by all who need them."""

from __future__ import annotations

import datetime
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from volunteer.points.identity import Identity, load_identity
from volunteer.points.ledger import Ledger
from volunteer.points.ledger_file import LEDGER_FILE, read_ledger_file
from volunteer.points.totals import PointsSummary, Total, read_days, read_points

IDENTITY_FILE = "identity.key"

T = TypeVar("T")


@dataclass(frozen=True)
class Holder:
    """Args:
    identity: signs; its peer id is the owner's account, and that of the owner's server.
    ledger: where what was signed stands.
    """

    identity: Identity
    ledger: Ledger


class Wallet:
    """One per data folder and process; any thread may ask. Use as `with`.

    Args:
        identity_file: another place for the key than the data folder.
    """

    def __init__(self, data_dir: Path, identity_file: Path | None = None):
        self.identity_file = identity_file or data_dir / IDENTITY_FILE
        self._ledger_file = data_dir / LEDGER_FILE
        self._lock = threading.Lock()
        self._holder: Holder | None = None

    def open(self) -> Holder:
        """Made now if there is none yet.

        Raises:
            UserError: key or ledger cannot be used.
        """
        with self._lock:
            if self._holder is None:
                identity = load_identity(self.identity_file)
                self._holder = Holder(identity, Ledger(self._ledger_file, identity))
            return self._holder

    def points(self) -> PointsSummary | None:
        """What the ledger says, open or not; None where there is none yet.

        Raises:
            UserError: it cannot be read.
        """
        return self._look(lambda connection: read_points(connection, datetime.date.today()))

    def days(self) -> dict[str, Total]:
        """By date, as 2026-11-25, the first one first. Raises UserError."""
        return self._look(read_days) or {}

    def _look(self, read: Callable[[sqlite3.Connection], T]) -> T | None:
        """Over a connection of its own: the ledger is opened, and made, by who signs."""
        if not self._ledger_file.exists():
            return None
        with read_ledger_file(self._ledger_file) as connection:
            return read(connection)

    def close(self) -> None:
        with self._lock:
            holder, self._holder = self._holder, None
        if holder is not None:
            holder.ledger.close()

    def __enter__(self) -> Wallet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
