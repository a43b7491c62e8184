"""Conversations in a real process that is killed, again and again, while it writes answers that grow."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from volunteer.client.conversation_store import ConversationStore
from volunteer.client.conversation_values import Role, State

KILLS = 50

# Imports once, then forks for every line it is given: each child is a process of its own.
WRITER = r"""
import os, sys
from pathlib import Path
from volunteer.client.conversation_store import ConversationStore
from volunteer.client.conversation_values import Figures, State

def write(path):
    store = ConversationStore.of(path)
    def say(*words):
        os.write(1, (" ".join(map(str, words)) + "\n").encode())
    conversation = store.create(model="m")
    begun = store.ask(conversation.id, "q")
    for number in range(1_000_000):
        text = ""
        for piece in range(30):
            part = f"{begun.answer.id}:{piece} "
            store.append(begun.answer.id, part)
            text += part
            say("flushed", conversation.id, begun.answer.id, len(text))
        store.end(begun.answer.id, State.COMPLETE, piece="end", figures=Figures())
        say("ended", conversation.id, begun.answer.id, len(text) + 3)
        match number % 4:
            case 0: begun = store.ask(conversation.id, "q")
            case 1: begun = store.regenerate(begun.answer.id)
            case 2: begun = store.edit(begun.question.id, "q'")
            case 3:
                doomed = conversation
                conversation = store.create(model="m")
                begun = store.ask(conversation.id, "q")
                if number % 8 == 3:
                    say("deleting", doomed.id)
                    store.delete(doomed.id)

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        write(Path(sys.argv[1]))
    print("child", pid, flush=True)
    os.waitpid(pid, 0)
    print("dead", flush=True)
"""


@dataclass
class Said:
    """What the writer said was done, as far as it came."""

    lengths: dict[int, int] = field(default_factory=dict)
    """By answer."""
    ended: set[int] = field(default_factory=set)
    conversations: dict[int, int] = field(default_factory=dict)
    """By answer."""
    deleting: set[int] = field(default_factory=set)

    def add(self, word: str, *numbers: int) -> None:
        if word == "deleting":
            self.deleting.add(numbers[0])
            return
        conversation, answer, length = numbers
        self.conversations[answer], self.lengths[answer] = conversation, length
        if word == "ended":
            self.ended.add(answer)


def text_of(answer_id: int) -> str:
    return "".join(f"{answer_id}:{piece} " for piece in range(30)) + "end"


def test_kill_9_costs_at_most_the_last_flush(tmp_path: Path) -> None:
    path = tmp_path / "conversations.sqlite"
    chance = random.Random(5)
    interrupted: set[int] = set()
    said = Said()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        for _ in range(KILLS):
            writer.stdin.write("go\n")
            writer.stdin.flush()
            pid = None
            left = chance.randrange(1, 300)
            for line in writer.stdout:
                word, *numbers = line.split()
                if word == "dead":
                    break
                if word == "child":
                    pid = int(numbers[0])
                else:
                    said.add(word, *map(int, numbers))
                left -= 1
                if left <= 0 and pid is not None:
                    os.kill(pid, signal.SIGKILL)
                    pid = None
            found = check(path, said)
            assert len(found - interrupted) <= 1
            interrupted |= found
        writer.stdin.close()
    assert len(interrupted) > KILLS / 2
    assert len(said.deleting) > KILLS / 10


def check(path: Path, said: Said) -> set[int]:
    """The answers that were interrupted."""
    assert len(list(path.parent.glob("*.sqlite"))) == 1
    store = ConversationStore.of(path)
    try:
        assert store.put_aside is None
        connection = store._connection
        assert connection.execute("PRAGMA integrity_check").fetchall()[0][0] == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.execute("INSERT INTO message_text(message_text) VALUES ('integrity-check')")
        there = {row["id"]: row for row in connection.execute("SELECT * FROM message WHERE role = 'assistant'")}
        for answer_id, length in said.lengths.items():
            if answer_id not in there:
                assert said.conversations[answer_id] in said.deleting
                continue
            text, state = there[answer_id]["text"], there[answer_id]["state"]
            assert text_of(answer_id).startswith(text)
            assert len(text) >= length
            assert state == State.COMPLETE if text.endswith("end") else state == State.INTERRUPTED
            assert state == State.COMPLETE or answer_id not in said.ended
        for conversation in store.recent(limit=1000):
            roles = [message.role for message in store.branch(conversation.id, limit=None).messages]
            assert roles == [Role.USER, Role.ASSISTANT] * (len(roles) // 2)
        return {answer_id for answer_id, row in there.items() if row["state"] == State.INTERRUPTED}
    finally:
        store.close()
