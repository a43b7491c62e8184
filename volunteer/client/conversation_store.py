"""Conversations in one SQLite file. Knows neither how answers are made nor who looks at them.

The messages of a conversation are a tree: an edited question, or an answer made anew, is a sibling of the earlier one.
The branch that ends with the conversation's current message is the one that is shown and continued.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from volunteer.client.conversation_database import make_search_index, open_database, storage_errors
from volunteer.client.conversation_text import TooLong, checked_text, checked_title, excerpt, title_of, words_of
from volunteer.client.conversation_values import (
    Branch,
    Conversation,
    Exchange,
    Figures,
    Found,
    Message,
    NotFound,
    Role,
    State,
)
from volunteer.client.routing import Hop
from volunteer.errors import UserError
from volunteer.sqlite_file import transaction

_TRIGRAM = 3
"""Shorter words are not in the index of a search."""
_MAX_SAMPLING_LENGTH = 10_000


class ConversationStore:
    """What can be done with the file. It blocks; each method does all or nothing."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        has_search_index: bool,
        put_aside: Path | None = None,
        clock: Callable[[], float] = time.time,
    ):
        self.put_aside = put_aside
        self._connection = connection
        self._has_search_index = has_search_index
        self._clock = clock

    @classmethod
    def of(cls, path: Path, clock: Callable[[], float] = time.time) -> Self:
        """As `open_database`; what was left growing is interrupted from now on."""
        opened = open_database(path)
        try:
            with storage_errors(), transaction(opened.connection):
                opened.connection.execute("UPDATE message SET state = 'interrupted' WHERE state = 'growing'")
        except BaseException:
            opened.connection.close()
            raise
        return cls(opened.connection, has_search_index=opened.has_search_index, put_aside=opened.put_aside, clock=clock)

    def close(self) -> None:
        self._connection.close()

    def make_search_index(self) -> None:
        make_search_index(self._connection)

    # Conversations

    def create(
        self, *, model: str, system_prompt: str = "", sampling: Mapping[str, Any] | None = None, title: str = ""
    ) -> Conversation:
        """An empty title is later made of the first question's first words."""
        now = self._clock()
        with transaction(self._connection):
            cursor = self._connection.execute(
                "INSERT INTO conversation (title, model, system_prompt, sampling, created, updated)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    checked_title(title),
                    checked_title(model),
                    checked_text(system_prompt),
                    _sampling_json(sampling or {}),
                    now,
                    now,
                ),
            )
            return self.conversation(_row_id(cursor))

    def conversation(self, conversation_id: int) -> Conversation:
        """
        Raises:
            NotFound: there is none with this id.
        """
        return _conversation(self._conversation_row(conversation_id))

    def recent(self, *, limit: int = 50, after: Conversation | None = None) -> list[Conversation]:
        """A page of all conversations, the one changed last first; the next page is `after` the last of this one."""
        rows = self._connection.execute(
            "SELECT * FROM conversation WHERE (updated, id) < (?, ?) ORDER BY updated DESC, id DESC LIMIT ?",
            (float("inf"), 0, limit) if after is None else (after.updated, after.id, limit),
        )
        return [_conversation(row) for row in rows]

    def search(self, query: str, *, limit: int = 50) -> list[Found]:
        """Conversations in which every word of `query` occurs, also within a longer word; those changed last first.

        Upper and lower case are the same; beyond ASCII only for words that the index knows, of three characters and
        more. Answers are found once they have ended.
        """
        words = words_of(query)
        if not words:
            return []
        indexed = [word for word in words if len(word) >= _TRIGRAM] if self._has_search_index else []
        arguments = {
            "match": " AND ".join('"' + word.replace('"', '""') + '"' for word in indexed),
            "others": json.dumps([_like(word) for word in words if word not in indexed]),
            "words": json.dumps([_like(word) for word in words]),
            "limit": limit,
        }
        rows = self._connection.execute(_SEARCH_INDEXED if indexed else _SEARCH_ALL, arguments)
        return [
            Found(_conversation(row), row["message_id"], excerpt(row["message_text"] or row["title"], words))
            for row in rows
        ]

    def rename(self, conversation_id: int, title: str) -> Conversation:
        """An empty title is made of the next question's first words."""
        with transaction(self._connection):
            self._connection.execute(
                "UPDATE conversation SET title = ? WHERE id = ?", (checked_title(title), conversation_id)
            )
            return self.conversation(conversation_id)

    def configure(
        self,
        conversation_id: int,
        *,
        model: str | None = None,
        system_prompt: str | None = None,
        sampling: Mapping[str, Any] | None = None,
    ) -> Conversation:
        """Changes what is given, for the answers to come."""
        with transaction(self._connection):
            known = self.conversation(conversation_id)
            self._connection.execute(
                "UPDATE conversation SET model = ?, system_prompt = ?, sampling = ? WHERE id = ?",
                (
                    known.model if model is None else checked_title(model),
                    known.system_prompt if system_prompt is None else checked_text(system_prompt),
                    _sampling_json(known.sampling if sampling is None else sampling),
                    conversation_id,
                ),
            )
            return self.conversation(conversation_id)

    def delete(self, conversation_id: int) -> None:
        """The conversation and all its messages; nothing of them is left in the file or beside it."""
        with transaction(self._connection):
            self.conversation(conversation_id)
            self._connection.execute("DELETE FROM message WHERE conversation_id = ?", (conversation_id,))
            self._connection.execute("DELETE FROM conversation WHERE id = ?", (conversation_id,))
            if self._has_search_index:
                # The index only notes what is gone until its parts are merged.
                self._connection.execute("INSERT INTO message_text(message_text) VALUES ('optimize')")
        # Rows that are gone are overwritten in the file (secure_delete) but would stay in the log until that is reused.
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # Messages

    def ask(self, conversation_id: int, text: str) -> Exchange:
        """Adds a question at the end of the current branch, and an answer that grows."""
        with transaction(self._connection):
            return self._begin(conversation_id, self._conversation_row(conversation_id)["current_id"], text)

    def edit(self, message_id: int, text: str) -> Exchange:
        """Adds a question in the place of an earlier one, which is kept, and an answer that grows."""
        with transaction(self._connection):
            earlier = self.message(message_id)
            if earlier.role is not Role.USER:
                raise UserError("Only questions can be edited.")
            return self._begin(earlier.conversation_id, earlier.parent_id, text)

    def regenerate(self, message_id: int) -> Exchange:
        """Adds an answer that grows to a question, or in the place of an earlier answer, which is kept."""
        with transaction(self._connection):
            message = self.message(message_id)
            if message.role is Role.ASSISTANT and message.parent_id is not None:
                message = self.message(message.parent_id)
            return self._begin_answer(message)

    def append(self, message_id: int, piece: str) -> None:
        """Adds to the text of an answer that grows."""
        with transaction(self._connection):
            cursor = self._connection.execute(
                "UPDATE message SET text = text || ? WHERE id = ? AND state = 'growing'", (piece, message_id)
            )
            if cursor.rowcount != 1:
                raise NotFound("There is no such growing answer any more.")

    def end(self, message_id: int, state: State, *, piece: str = "", note: str = "", figures: Figures) -> Conversation:
        """Adds the last of its text to an answer, which does not change any more."""
        with transaction(self._connection):
            cursor = self._connection.execute(
                "UPDATE message SET text = text || ?, state = ?, note = ?, tokens = ?, tokens_per_s = ?,"
                " first_token_s = ?, route = ?, spent_points = ? WHERE id = ? AND state = 'growing'",
                (
                    piece,
                    state,
                    note,
                    figures.tokens,
                    figures.tokens_per_s,
                    figures.first_token_s,
                    json.dumps([dataclasses.asdict(hop) for hop in figures.route]),
                    figures.spent_points,
                    message_id,
                ),
            )
            if cursor.rowcount != 1:
                raise NotFound("There is no such growing answer any more.")
            return self._touch(self.message(message_id).conversation_id)

    def message(self, message_id: int) -> Message:
        """
        Raises:
            NotFound: there is none with this id.
        """
        rows = self._messages_up(message_id, limit=1)
        if not rows:
            raise NotFound("There is no such message any more.")
        return rows[0]

    def branch(self, conversation_id: int, *, limit: int | None = 200, before: int | None = None) -> Branch:
        """The last `limit` messages of the current branch, or those before the message `before`, in order."""
        row = self._conversation_row(conversation_id)
        last_id = row["current_id"]
        if before is not None:
            first = self.message(before)
            if first.conversation_id != conversation_id:
                raise NotFound("The message is of another conversation.")
            last_id = first.parent_id
        messages = () if last_id is None else self._messages_up(last_id, limit=limit)
        return Branch(_conversation(row), messages, bool(messages) and messages[0].parent_id is not None)

    def history(self, message_id: int) -> list[tuple[Role, str]]:
        """Who said what, from the beginning of a branch down to this message."""
        rows = self._connection.execute(_HISTORY, (message_id,))
        return [(Role(role), text) for role, text in rows]

    def choose(self, message_id: int) -> Conversation:
        """Makes a branch that goes through this message the current one: of those after it, always the newest."""
        with transaction(self._connection):
            conversation_id = self.message(message_id).conversation_id
            self._connection.execute(
                "UPDATE conversation SET current_id = ? WHERE id = ?", (self._newest_end(message_id), conversation_id)
            )
            return self.conversation(conversation_id)

    # Within a transaction

    def _begin(self, conversation_id: int, parent_id: int | None, text: str) -> Exchange:
        question_id = self._insert(conversation_id, parent_id, Role.USER, State.COMPLETE, checked_text(text))
        self._connection.execute(
            "UPDATE conversation SET title = ? WHERE id = ? AND title = ''", (title_of(text), conversation_id)
        )
        return self._begin_answer(self.message(question_id))

    def _begin_answer(self, question: Message) -> Exchange:
        answer_id = self._insert(question.conversation_id, question.id, Role.ASSISTANT, State.GROWING, "")
        self._connection.execute(
            "UPDATE conversation SET current_id = ? WHERE id = ?", (answer_id, question.conversation_id)
        )
        return Exchange(self._touch(question.conversation_id), question, self.message(answer_id))

    def _insert(self, conversation_id: int, parent_id: int | None, role: Role, state: State, text: str) -> int:
        cursor = self._connection.execute(
            "INSERT INTO message (conversation_id, parent_id, role, state, created, text) VALUES (?, ?, ?, ?, ?, ?)",
            (conversation_id, parent_id, role, state, self._clock(), text),
        )
        return _row_id(cursor)

    def _touch(self, conversation_id: int) -> Conversation:
        self._connection.execute("UPDATE conversation SET updated = ? WHERE id = ?", (self._clock(), conversation_id))
        return self.conversation(conversation_id)

    # Reading

    def _conversation_row(self, conversation_id: int) -> sqlite3.Row:
        row = self._connection.execute("SELECT * FROM conversation WHERE id = ?", (conversation_id,)).fetchone()
        if row is None:
            raise NotFound("There is no such conversation any more.")
        return row

    def _newest_end(self, message_id: int) -> int:
        # A reply always has a greater id than what it replies to.
        return self._connection.execute(_NEWEST_END, (message_id,)).fetchone()[0]

    def _messages_up(self, message_id: int, *, limit: int | None) -> tuple[Message, ...]:
        rows = self._connection.execute(_MESSAGES_UP, {"id": message_id, "limit": -1 if limit is None else limit})
        return tuple(map(_message, rows))


_SEARCH_INDEXED = """
    WITH hit(conversation_id, message_id) AS (
        SELECT message.conversation_id, max(message.id)
        FROM message_text JOIN message ON message.id = message_text.rowid
        WHERE message_text MATCH :match
            AND NOT EXISTS (SELECT 1 FROM json_each(:others) WHERE message.text NOT LIKE value ESCAPE '\\')
        GROUP BY message.conversation_id
    )
    SELECT conversation.*, hit.message_id, message.text AS message_text
    FROM conversation
        LEFT JOIN hit ON hit.conversation_id = conversation.id
        LEFT JOIN message ON message.id = hit.message_id
    WHERE hit.message_id IS NOT NULL
        OR NOT EXISTS (SELECT 1 FROM json_each(:words) WHERE conversation.title NOT LIKE value ESCAPE '\\')
    ORDER BY conversation.updated DESC, conversation.id DESC
    LIMIT :limit
"""
_SEARCH_ALL = """
    WITH hit(conversation_id, message_id) AS (
        SELECT conversation_id, max(id) FROM message
        WHERE state != 'growing'
            AND NOT EXISTS (SELECT 1 FROM json_each(:words) WHERE message.text NOT LIKE value ESCAPE '\\')
        GROUP BY conversation_id
    )
    SELECT conversation.*, hit.message_id, message.text AS message_text
    FROM conversation
        LEFT JOIN hit ON hit.conversation_id = conversation.id
        LEFT JOIN message ON message.id = hit.message_id
    WHERE hit.message_id IS NOT NULL
        OR NOT EXISTS (SELECT 1 FROM json_each(:words) WHERE conversation.title NOT LIKE value ESCAPE '\\')
    ORDER BY conversation.updated DESC, conversation.id DESC
    LIMIT :limit
"""
_MESSAGES_UP = """
    WITH RECURSIVE up(id, parent_id, height) AS (
        SELECT id, parent_id, 0 FROM message WHERE id = :id
        UNION ALL
        SELECT message.id, message.parent_id, height + 1 FROM up JOIN message ON message.id = up.parent_id
        LIMIT :limit
    )
    SELECT message.*, (
        SELECT json_group_array(id) FROM (
            SELECT sibling.id FROM message AS sibling
            WHERE sibling.parent_id IS message.parent_id AND sibling.conversation_id = message.conversation_id
            ORDER BY sibling.id
        )
    ) AS versions
    FROM up JOIN message ON message.id = up.id
    ORDER BY height DESC
"""
_HISTORY = """
    WITH RECURSIVE up(id, parent_id, height) AS (
        SELECT id, parent_id, 0 FROM message WHERE id = ?
        UNION ALL
        SELECT message.id, message.parent_id, height + 1 FROM up JOIN message ON message.id = up.parent_id
    )
    SELECT role, text FROM up JOIN message ON message.id = up.id ORDER BY height DESC
"""
_NEWEST_END = """
    WITH RECURSIVE down(id) AS (
        VALUES (?)
        UNION ALL
        SELECT (SELECT max(message.id) FROM message WHERE message.parent_id = down.id) FROM down
        WHERE down.id IS NOT NULL
    )
    SELECT max(id) FROM down
"""


def _conversation(row: sqlite3.Row) -> Conversation:
    return Conversation(
        row["id"],
        row["title"],
        row["model"],
        row["system_prompt"],
        json.loads(row["sampling"]),
        row["created"],
        row["updated"],
    )


def _message(row: sqlite3.Row) -> Message:
    return Message(
        id=row["id"],
        conversation_id=row["conversation_id"],
        parent_id=row["parent_id"],
        role=Role(row["role"]),
        text=row["text"],
        state=State(row["state"]),
        note=row["note"],
        created=row["created"],
        figures=Figures(
            row["tokens"],
            row["tokens_per_s"],
            row["first_token_s"],
            tuple(Hop(**hop) for hop in json.loads(row["route"])),
            row["spent_points"],
        ),
        versions=tuple(json.loads(row["versions"])),
    )


def _row_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise RuntimeError("Nothing was inserted.")
    return cursor.lastrowid


def _like(word: str) -> str:
    """A pattern for texts that contain the word, with \\ as the escape."""
    escaped = word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


def _sampling_json(sampling: Mapping[str, Any]) -> str:
    text = json.dumps(dict(sampling))
    if len(text) > _MAX_SAMPLING_LENGTH:
        raise TooLong("The options of sampling are too long.")
    return text
