"""The SQLite file of what this computer did: points of the plots for a day, sums of each day for a year.

Nothing in it is worth a failure: a damaged file is put aside, and where none can be written the worker goes on without.
"""

from __future__ import annotations

import datetime
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from volunteer.control.messages import GpuSample, Sample
from volunteer.sqlite_file import Damaged, existing_files, is_damage, make_file, put_aside, transaction, version_of

ACTIVITY_FILE = "activity.sqlite"
"""In the data folder."""
# Counted, and the first written go first: a clock that is wrong for a while is not to empty the file.
KEPT_SAMPLES = 8640
KEPT_DAYS = 366
_BUSY_TIMEOUT_S = 2.0
_VERSION = 1
_SCHEMA = (
    """
    CREATE TABLE sample (
        id INTEGER PRIMARY KEY,
        time_s REAL NOT NULL,  -- since 1970
        tokens_per_s REAL NOT NULL,
        open_sessions INTEGER NOT NULL,
        sent_bytes_per_s REAL NOT NULL,
        received_bytes_per_s REAL NOT NULL,
        gpus TEXT NOT NULL  -- JSON
    )
    """,
    """
    CREATE TABLE day (
        id INTEGER PRIMARY KEY,
        day INTEGER NOT NULL UNIQUE,  -- of the owner's calendar, as Python's ordinal
        served_tokens INTEGER NOT NULL,
        served_sessions INTEGER NOT NULL,
        serving_s REAL NOT NULL,
        sent_bytes INTEGER NOT NULL,
        received_bytes INTEGER NOT NULL,
        last_request_s REAL  -- since 1970
    )
    """,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Sums:
    """What was done on a day, or since the last sample."""

    served_tokens: int = 0
    served_sessions: int = 0
    serving_s: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    last_request_s: float | None = None
    """Seconds since the epoch."""


_NAMES = ("served_tokens", "served_sessions", "serving_s", "sent_bytes", "received_bytes")
_ADD = (
    f"INSERT INTO day VALUES (NULL, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "  # noqa: S608
    f"{', '.join(f'{name} = {name} + excluded.{name}' for name in _NAMES)}, "
    f"last_request_s = coalesce(excluded.last_request_s, last_request_s)"
)


class ActivityFile:
    """Any thread may call it. Opening never fails, nor does writing: what cannot be kept on the disk is not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._has_failed = False
        self._connection = _opened(path)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def add(self, sample: Sample, done: Sums, today: datetime.date) -> bool:
        """One more sample, and what was done since the one before; all of it, or nothing, as where the disk is full."""
        gpus = json.dumps([gpu.model_dump(mode="json") for gpu in sample.gpus])
        rates = (sample.tokens_per_s, sample.open_sessions, sample.sent_bytes_per_s, sample.received_bytes_per_s, gpus)
        sums = (done.served_tokens, done.served_sessions, done.serving_s, done.sent_bytes, done.received_bytes)
        with self._used() as connection, transaction(connection):
            connection.execute("INSERT INTO sample VALUES (NULL, ?, ?, ?, ?, ?, ?)", (sample.time_s, *rates))
            connection.execute("DELETE FROM sample WHERE id <= (SELECT max(id) FROM sample) - ?", (KEPT_SAMPLES,))
            if any(sums):
                connection.execute(_ADD, (today.toordinal(), *sums, done.last_request_s))
                connection.execute("DELETE FROM day WHERE id <= (SELECT max(id) FROM day) - ?", (KEPT_DAYS,))
        return not self._has_failed

    def samples(self, after_s: float, until_s: float) -> tuple[Sample, ...]:
        """Those of this time, the oldest first."""
        query = "SELECT * FROM sample WHERE time_s > ? AND time_s <= ? ORDER BY time_s"
        with self._used() as connection:
            return tuple(_sensible(_sample, connection.execute(query, (after_s, until_s)).fetchall()))
        return ()

    def days(self) -> dict[datetime.date, Sums]:
        """The oldest first."""
        with self._used() as connection:
            return dict(_sensible(_day, connection.execute("SELECT * FROM day ORDER BY day").fetchall()))
        return {}

    @contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        """Ends quietly where SQLite cannot do what is asked, and says so in the log, once."""
        with self._lock:
            try:
                yield self._connection
                self._has_failed = False
            except sqlite3.Error as error:
                if not self._has_failed:
                    logger.warning("What this computer does cannot be noted in %s: %s", self._path, error)
                self._has_failed = True


class _NewerVersion(Exception):
    """The file is for a newer program, which is to find it as it was."""


def _opened(path: Path) -> sqlite3.Connection:
    """In memory where there can be no file."""
    try:
        try:
            return _open(path)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            logger.warning("%s is damaged (%s) and was put aside as %s", path, error, put_aside(path))
            return _open(path)
    except (OSError, sqlite3.Error, _NewerVersion) as error:
        logger.warning("What this computer does is not kept, %s cannot be used: %s", path, error)
        return _prepared(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))


def _open(path: Path) -> sqlite3.Connection:
    make_file(path)
    for file in existing_files(path):
        file.chmod(0o600)
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit waits for no disk: a process that is killed loses nothing, a power cut the last seconds at most.
        connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise Damaged("quick_check found an error")
        return _prepared(connection)
    except BaseException:
        connection.close()
        raise


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.row_factory = sqlite3.Row
    with transaction(connection):
        version = version_of(connection)
        if version == 0:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise _NewerVersion(f"it is of version {version}")
    return connection


def _sensible(make: Callable[[sqlite3.Row], T], rows: Iterable[sqlite3.Row]) -> Iterator[T]:
    """Without the rows that cannot be: SQLite does not notice a number that the disk has changed."""
    for row in rows:
        with suppress(ValueError, OverflowError, TypeError):
            yield make(row)


def _day(row: sqlite3.Row) -> tuple[datetime.date, Sums]:
    return datetime.date.fromordinal(row["day"]), Sums(*tuple(row)[2:])


def _sample(row: sqlite3.Row) -> Sample:
    return Sample(
        time_s=row["time_s"],
        tokens_per_s=row["tokens_per_s"],
        open_sessions=row["open_sessions"],
        sent_bytes_per_s=row["sent_bytes_per_s"],
        received_bytes_per_s=row["received_bytes_per_s"],
        gpus=tuple(GpuSample.model_validate(gpu) for gpu in json.loads(row["gpus"])),
    )
