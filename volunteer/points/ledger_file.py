"""The SQLite file of the ledger: its tables, and what is done about one that cannot be used.

Signed halves are only ever added. The other tables are what follows from them, kept beside them so that nothing has to
be added up anew; the audit compares both.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from volunteer.errors import ConfigurationError, ExitCode, UserError
from volunteer.sqlite_file import existing_files, make_file, primary_code, statements, transaction, version_of

LEDGER_FILE = "ledger.sqlite"
"""In the data folder."""
OWN = 1
"""Row of this peer's own account in `peer`."""
_BUSY_TIMEOUT_S = 10.0
_VERSION = 1

_SCHEMA = """
    CREATE TABLE peer (
        id INTEGER PRIMARY KEY,
        peer_id TEXT NOT NULL UNIQUE,
        public_key BLOB  -- known from the first half that the peer has signed
    );
    CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        server INTEGER NOT NULL REFERENCES peer(id),
        client INTEGER NOT NULL REFERENCES peer(id),
        nonce BLOB NOT NULL,
        model TEXT NOT NULL,
        claimed_counter INTEGER NOT NULL DEFAULT 0,
        claimed_units INTEGER NOT NULL DEFAULT 0,
        settled_counter INTEGER NOT NULL DEFAULT 0,
        settled_tokens INTEGER NOT NULL DEFAULT 0,
        settled_units INTEGER NOT NULL DEFAULT 0,
        settled_charged INTEGER NOT NULL DEFAULT 0,
        UNIQUE (server, client, nonce)
    );
    CREATE INDEX session_pending ON session(server) WHERE claimed_counter > settled_counter;
    CREATE TABLE half (
        id INTEGER PRIMARY KEY,
        maker INTEGER NOT NULL REFERENCES peer(id),
        sequence INTEGER NOT NULL,
        session INTEGER NOT NULL REFERENCES session(id),
        counter INTEGER NOT NULL,
        is_claim INTEGER NOT NULL CHECK (is_claim IN (0, 1)),
        mark INTEGER,  -- of a claim of ours: the first bytes of its hash, by which its countersignature finds it
        day INTEGER NOT NULL,  -- of the owner's calendar, as Python's ordinal
        saved INTEGER NOT NULL,  -- in seconds since 1970
        body BLOB NOT NULL,
        signature BLOB NOT NULL,
        UNIQUE (maker, sequence),
        UNIQUE (session, counter, is_claim)
    );
    CREATE INDEX half_by_mark ON half(mark) WHERE mark IS NOT NULL;
    CREATE TRIGGER half_is_not_changed BEFORE UPDATE ON half BEGIN
        SELECT RAISE(ABORT, 'receipts are only added');
    END;
    CREATE TRIGGER half_is_not_deleted BEFORE DELETE ON half BEGIN
        SELECT RAISE(ABORT, 'receipts are only added');
    END;
    CREATE TABLE total (
        peer INTEGER NOT NULL REFERENCES peer(id),
        day INTEGER NOT NULL,
        model TEXT NOT NULL,
        served_tokens INTEGER NOT NULL DEFAULT 0,
        earned INTEGER NOT NULL DEFAULT 0,
        given INTEGER NOT NULL DEFAULT 0,
        used_tokens INTEGER NOT NULL DEFAULT 0,
        used INTEGER NOT NULL DEFAULT 0,
        spent INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (peer, day, model)
    ) WITHOUT ROWID;
    CREATE TABLE unreceipted (
        day INTEGER NOT NULL,
        model TEXT NOT NULL,
        tokens INTEGER NOT NULL,
        units INTEGER NOT NULL,
        PRIMARY KEY (day, model)
    ) WITHOUT ROWID;
    CREATE TABLE vouched (
        voucher INTEGER PRIMARY KEY REFERENCES peer(id),
        units INTEGER NOT NULL
    );
"""


class LedgerFailed(UserError):
    """The ledger cannot be read or written just now."""

    exit_code = ExitCode.TRY_LATER


class LedgerDamaged(ConfigurationError):
    """What is in the file is no longer a ledger."""


def open_ledger_file(path: Path, *, peer_id: str, public_key: bytes) -> sqlite3.Connection:
    """Opens or makes the file. The connection may be used by any thread, one at a time.

    Args:
        peer_id, public_key: of the account whose ledger it is.

    Raises:
        ConfigurationError: others can read it, it is another account's, or a newer version of this program wrote it.
        LedgerDamaged, LedgerFailed.
    """
    with storage_errors(path):
        make_file(path)
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # A receipt is on the disk before anybody is told of it, even if the power fails.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            with transaction(connection):
                if version_of(connection) == 0:
                    for statement in statements(_SCHEMA):
                        connection.execute(statement)
                    connection.execute("INSERT INTO peer VALUES (?, ?, ?)", (OWN, peer_id, public_key))
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
            owner = own_peer_id(connection)
            if owner != peer_id:
                raise ConfigurationError(
                    f"{path} is the ledger of {owner}, but identity.key is that of {peer_id}. These two belong "
                    "together: put the right key back, or move the ledger away."
                )
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def read_ledger_file(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as it stands at this moment: what is written meanwhile is not seen, and waits for nothing.

    Raises:
        ConfigurationError, LedgerDamaged, LedgerFailed.
    """
    with storage_errors(path), contextlib.closing(_connect(path)) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        yield connection


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """What the owner can act on as a `UserError`; other errors of SQLite are ours."""
    try:
        yield
    except sqlite3.Error as error:
        match primary_code(error):
            case sqlite3.SQLITE_FULL:
                raise LedgerFailed("The disk is full: no receipt can be saved until there is room.") from error
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                raise LedgerFailed(f"Another program keeps {path} to itself.") from error
            case sqlite3.SQLITE_IOERR:
                raise LedgerFailed(f"{path} cannot be read or written: {error}.") from error
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                raise LedgerDamaged(
                    f"{path} is damaged. Put a copy back that is not older than the last receipt, or move it away "
                    "together with identity.key to begin anew."
                ) from error
            case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
                raise ConfigurationError(f"{path} cannot be written: {error}.") from error
        raise
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be used: {error}.") from error


def own_peer_id(connection: sqlite3.Connection) -> str:
    row = connection.execute("SELECT peer_id FROM peer WHERE id = ?", (OWN,)).fetchone()
    return "" if row is None else row["peer_id"]


def _connect(path: Path) -> sqlite3.Connection:
    for file in existing_files(path):
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise ConfigurationError(f"{file} can be read by other users; run chmod 600 on it.")
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        if version_of(connection) > _VERSION:
            raise ConfigurationError(
                f"{path} was written by a newer version of this program. Update the program, or move the file away."
            )
    except BaseException:
        connection.close()
        raise
    return connection
