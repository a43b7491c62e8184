"""The SQLite file of conversations: its tables, how older files are brought up to date, what is done about bad ones.

Knows nothing of what the tables mean to a chat.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from volunteer.errors import ConfigurationError, ExitCode, UserError
from volunteer.sqlite_file import (
    Damaged,
    existing_files,
    is_damage,
    make_file,
    primary_code,
    put_aside,
    statements,
    transaction,
    version_of,
)

logger = logging.getLogger(__name__)

_BUSY_TIMEOUT_S = 5.0

MIGRATIONS: tuple[str, ...] = (
    # Ids are never given twice (AUTOINCREMENT): a client that still holds the id of something deleted finds nothing.
    # No cascade from a message to its replies: SQLite follows one to a depth of 1,000, a conversation may be longer.
    """
    CREATE TABLE conversation (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        title TEXT NOT NULL,
        model TEXT NOT NULL,
        system_prompt TEXT NOT NULL,
        sampling TEXT NOT NULL,
        created REAL NOT NULL,
        updated REAL NOT NULL,
        current_id INTEGER REFERENCES message(id) DEFERRABLE INITIALLY DEFERRED
    );
    CREATE INDEX conversation_by_update ON conversation(updated, id);
    CREATE TABLE message (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation_id INTEGER NOT NULL REFERENCES conversation(id) DEFERRABLE INITIALLY DEFERRED,
        parent_id INTEGER REFERENCES message(id) DEFERRABLE INITIALLY DEFERRED,
        role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
        state TEXT NOT NULL CHECK (state IN ('complete', 'growing', 'stopped', 'interrupted', 'failed')),
        note TEXT NOT NULL DEFAULT '',
        created REAL NOT NULL,
        tokens INTEGER,
        tokens_per_s REAL,
        first_token_s REAL,
        route TEXT NOT NULL DEFAULT '[]',
        text TEXT NOT NULL
    );
    CREATE INDEX message_by_parent ON message(parent_id, conversation_id);
    CREATE INDEX message_by_conversation ON message(conversation_id);
    CREATE UNIQUE INDEX message_growing ON message(conversation_id) WHERE state = 'growing';
    CREATE INDEX conversation_by_current ON conversation(current_id);
    """,
    "ALTER TABLE message ADD COLUMN spent_points REAL;",
)
"""One script for each version of the file, from an empty one on; those that were released are never changed."""

# Trigrams find parts of words, in languages that put no spaces between them too. An answer is added when it has ended:
# its text is not changed after that.
_SEARCH_INDEX = """
    DROP TABLE IF EXISTS message_text;
    CREATE VIRTUAL TABLE message_text
        USING fts5(text, content='message', content_rowid='id', tokenize='trigram');
    INSERT INTO message_text(message_text) VALUES ('rebuild');
    CREATE TRIGGER message_text_inserted AFTER INSERT ON message WHEN new.state != 'growing' BEGIN
        INSERT INTO message_text(rowid, text) VALUES (new.id, new.text);
    END;
    CREATE TRIGGER message_text_ended AFTER UPDATE OF state ON message
        WHEN old.state = 'growing' AND new.state != 'growing' BEGIN
        INSERT INTO message_text(rowid, text) VALUES (new.id, new.text);
    END;
    CREATE TRIGGER message_text_deleted AFTER DELETE ON message WHEN old.state != 'growing' BEGIN
        INSERT INTO message_text(message_text, rowid, text) VALUES ('delete', old.id, old.text);
    END;
"""
_TRIAL_INDEX = "CREATE VIRTUAL TABLE temp.trial USING fts5(text, tokenize='trigram')"
_SEARCH_TRIGGERS = ("message_text_inserted", "message_text_ended", "message_text_deleted")


class StorageFull(UserError):
    """The disk has no room for what should be saved."""

    exit_code = ExitCode.TRY_LATER


class StorageFailed(UserError):
    """The file can no longer be read or written."""


@dataclass(frozen=True)
class OpenedDatabase:
    connection: sqlite3.Connection
    has_search_index: bool
    put_aside: Path | None
    """Where the file that was found went, if it was damaged."""


def open_database(path: Path, *, migrations: Sequence[str] = MIGRATIONS) -> OpenedDatabase:
    """Opens or makes the file, readable by its owner alone, and brings it up to date.

    A damaged one is put aside, with a new one in its place. The connection may be used by any thread, one at a time.

    Raises:
        ConfigurationError: the file cannot be used, or a newer version of this program wrote it.
        StorageFull: the disk is full.
    """
    aside = None
    with storage_errors():
        try:
            connection = _open(path, migrations)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            aside = put_aside(path)
            logger.warning("%s is damaged (%s) and was put aside as %s", path, error, aside)
            connection = _open(path, migrations)
        try:
            has_search_index = _has_search_index(connection)
        except BaseException:
            connection.close()
            raise
    return OpenedDatabase(connection, has_search_index, aside)


@contextlib.contextmanager
def storage_errors() -> Iterator[None]:
    """What the owner can act on as a `UserError`; other errors of SQLite are ours."""
    try:
        yield
    except sqlite3.Error as error:
        match primary_code(error):
            case sqlite3.SQLITE_FULL:
                raise StorageFull("The disk is full: conversations cannot be saved until there is room.") from error
            case sqlite3.SQLITE_IOERR:
                raise StorageFailed(f"The file of conversations cannot be read or written: {error}.") from error
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                raise StorageFailed(
                    "The file of conversations is damaged; when the program starts again, it is put aside."
                ) from error
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                raise StorageFailed("Another program uses the file of conversations.") from error
            case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
                raise ConfigurationError(f"The file of conversations cannot be written: {error}.") from error
        raise
    except OSError as error:
        raise ConfigurationError(f"The file of conversations cannot be used: {error}.") from error


def is_index_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether it is the index of searches that is damaged, which `make_search_index` makes good."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CORRUPT_VTAB


def make_search_index(connection: sqlite3.Connection) -> None:
    """Anew, out of the messages."""
    with transaction(connection):
        for trigger in _SEARCH_TRIGGERS:
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        for statement in statements(_SEARCH_INDEX):
            connection.execute(statement)


def _open(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    make_file(path)
    for companion in existing_files(path):
        companion.chmod(0o600)
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit waits for no disk: a process that is killed loses nothing, a power cut the last seconds at most.
        connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise Damaged("quick_check found an error")
        _migrate(connection, migrations)
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Each step is a transaction with its own number, and foreign keys are not looked at before the end of each."""
    version = version_of(connection)
    if version > len(migrations):
        raise ConfigurationError(
            f"The file of conversations was written by a newer version of this program (its format is {version}, "
            f"this version knows {len(migrations)}). Update the program, or move the file away."
        )
    for number, script in enumerate(migrations[version:], start=version + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script};\nPRAGMA user_version = {number};")
            if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise sqlite3.IntegrityError(f"step {number} leaves rows that refer to nothing")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _has_search_index(connection: sqlite3.Connection) -> bool:
    """Makes the index, or makes it up to date, if this SQLite can.

    The triggers are there as long as the index is whole. An SQLite without FTS5 could write nothing while they are, so
    it drops them, and the next one that has it builds the index anew.
    """
    found = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name IN (?, ?, ?)", _SEARCH_TRIGGERS
    ).fetchone()[0]
    try:
        connection.execute(_TRIAL_INDEX)
        connection.execute("DROP TABLE temp.trial")
    except sqlite3.OperationalError:
        for trigger in _SEARCH_TRIGGERS:
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        return False
    if found != len(_SEARCH_TRIGGERS):
        make_search_index(connection)
    return True
