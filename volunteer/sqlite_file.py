"""What every SQLite file of this program needs: readable by its owner alone, all or nothing, put aside when damaged.

Knows no table. What the owner is told of a failure belongs to whoever knows what is in the file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

_COMPANIONS = ("", "-wal", "-shm")
"""What SQLite keeps beside a file is named after it."""
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Damaged(sqlite3.DatabaseError):
    """For what a check has found, as SQLite says it of what it stumbles over."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def make_file(path: Path) -> None:
    """Makes it, and its folder, for the owner's eyes alone if it is missing: SQLite itself would ask the umask."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def existing_files(path: Path) -> Iterator[Path]:
    """The file and its companions, as far as they are there."""
    for suffix in _COMPANIONS:
        companion = Path(f"{path}{suffix}")
        if companion.exists():
            yield companion


def put_aside(path: Path) -> Path:
    """Renames the file and its companions; returns where it is now."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.stem}.damaged-{stamp}-{number}{path.suffix}")
    for companion in existing_files(path):
        companion.replace(f"{aside}{companion.name.removeprefix(path.name)}")
    return aside


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; other processes that write wait."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends some by itself, as when the disk is full
            connection.execute("ROLLBACK")
        raise


def statements(script: str) -> Iterator[str]:
    """One by one: `executescript` would end the transaction that it is in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def version_of(connection: sqlite3.Connection) -> int:
    """0 of a file that was just made."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def primary_code(error: sqlite3.Error) -> int:
    """0 for errors that do not come from SQLite itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    return primary_code(error) in _DAMAGE
