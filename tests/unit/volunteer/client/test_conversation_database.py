from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from volunteer import sqlite_file
from volunteer.client import conversation_database
from volunteer.client.conversation_database import MIGRATIONS, StorageFailed, open_database, storage_errors
from volunteer.client.conversation_store import ConversationStore
from volunteer.client.conversation_values import Figures, State
from volunteer.errors import ConfigurationError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def with_one_answer(path: Path) -> None:
    store = ConversationStore.of(path)
    begun = store.ask(store.create(model="m").id, "Where is the harbour?")
    store.end(begun.answer.id, State.COMPLETE, piece="By the sea.", figures=Figures())
    store.close()


def contents(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT * FROM message").fetchall()
    finally:
        connection.close()


def test_files_are_for_the_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        database = open_database(tmp_path / "new" / "conversations.sqlite")
        database.connection.execute("INSERT INTO conversation VALUES (1, '', '', '', '{}', 0, 0, NULL)")
        files = list((tmp_path / "new").iterdir())
        assert len(files) == 3
        assert all(mode(file) == 0o600 for file in files)
        assert mode(tmp_path / "new") == 0o700
        database.connection.close()
    finally:
        os.umask(umask)


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with_one_answer(path)
    path.chmod(0o644)
    open_database(path).connection.close()
    assert mode(path) == 0o600


def test_every_migration_runs_once_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with_one_answer(path)
    newer = (*MIGRATIONS, "ALTER TABLE message ADD COLUMN stars INTEGER NOT NULL DEFAULT 5")
    for _ in range(2):
        connection = open_database(path, migrations=newer).connection
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(newer)
        assert [tuple(row) for row in connection.execute("SELECT text, stars FROM message")] == [
            ("Where is the harbour?", 5),
            ("By the sea.", 5),
        ]
        connection.close()


@pytest.mark.parametrize(
    "step",
    [
        "DELETE FROM message; SELECT nothing FROM nowhere",
        "UPDATE message SET parent_id = 99",  # refers to nothing
    ],
)
def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path, step: str) -> None:
    path = tmp_path / "c.sqlite"
    with_one_answer(path)
    before = contents(path)
    with pytest.raises(sqlite3.Error):
        open_database(path, migrations=(*MIGRATIONS, step))
    database = open_database(path)
    assert database.put_aside is None
    database.connection.close()
    assert contents(path) == before


def test_a_file_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with_one_answer(path)
    open_database(path, migrations=(*MIGRATIONS, "CREATE TABLE later (id)")).connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="newer version"):
        open_database(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["text", "middle", "truncated"])
def test_a_damaged_file_is_put_aside(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "c.sqlite"
    with_one_answer(path)
    sound = path.read_bytes()
    damaged = {
        "text": b"This is no database. " * 1000,
        "middle": sound[:4096] + os.urandom(len(sound) - 4096),
        "truncated": sound[: len(sound) // 2],
    }[damage]
    path.write_bytes(damaged)
    database = open_database(path)
    database.connection.close()
    assert database.put_aside is not None
    assert database.put_aside.read_bytes()[100:] == damaged[100:]  # SQLite may have noted in its header that it looked
    assert contents(path) == []
    with_one_answer(path)


def test_two_damaged_files_of_the_same_second_are_both_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file.time, "strftime", lambda format: "20261125-120000")
    path = tmp_path / "c.sqlite"
    for _ in range(2):
        path.write_bytes(b"no database" * 100)
        open_database(path).connection.close()
    assert {file.name for file in tmp_path.glob("*damaged*")} == {
        "c.damaged-20261125-120000.sqlite",
        "c.damaged-20261125-120000-2.sqlite",
    }


def test_a_folder_that_cannot_be_written_is_the_owners_matter(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="conversations"):
        open_database(tmp_path / "file" / "c.sqlite")


def test_a_file_that_is_locked_is_said_and_not_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation_database, "_BUSY_TIMEOUT_S", 0.0)
    path = tmp_path / "c.sqlite"
    with_one_answer(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageFailed, match="Another program"):
        ConversationStore.of(path)
    other.close()
    assert not list(tmp_path.glob("*damaged*"))


def test_errors_of_ours_are_not_the_owners() -> None:
    with pytest.raises(sqlite3.ProgrammingError), storage_errors():
        raise sqlite3.ProgrammingError("Incorrect number of bindings")


def test_an_sqlite_without_fts5_writes_too_and_the_next_with_it_finds_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.sqlite"
    with_one_answer(path)
    with monkeypatch.context() as without:
        without.setattr(conversation_database, "_TRIAL_INDEX", "CREATE VIRTUAL TABLE temp.trial USING nothing(text)")
        store = ConversationStore.of(path)
        begun = store.ask(store.create(model="m").id, "Who keeps the lighthouse?")
        store.end(begun.answer.id, State.COMPLETE, piece="An old sailor.", figures=Figures())
        assert [found.excerpt for found in store.search("LIGHTHOUSE")] == ["Who keeps the lighthouse?"]
        assert [found.excerpt for found in store.search("sailor old")] == ["An old sailor."]
        store.close()
    store = ConversationStore.of(path)
    for query in ("lighthouse", "sailor", "harbour"):
        assert len(store.search(query)) == 1
    store.close()
