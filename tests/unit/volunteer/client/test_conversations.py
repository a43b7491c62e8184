from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from volunteer.client.conversation_database import StorageFull
from volunteer.client.conversation_store import ConversationStore
from volunteer.client.conversation_values import NotFound
from volunteer.client.conversations import Conversations
from volunteer.errors import UserError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "conversations.sqlite"


def test_a_full_disk_is_said_and_the_file_stays_as_it_was(path: Path) -> None:
    async def run() -> None:
        async with Conversations(path) as conversations:
            made = await conversations.run(lambda store: store.create(model="m"))
            await conversations.run(lambda store: store._connection.execute("PRAGMA max_page_count = 1"))
            with pytest.raises(StorageFull, match="disk is full"):
                await conversations.run(lambda store: store.ask(made.id, "x" * 100_000))
            assert (await conversations.run(lambda store: store.branch(made.id))).messages == ()
            assert await conversations.run(ConversationStore.recent) == [made]
            await conversations.run(lambda store: store._connection.execute("PRAGMA max_page_count = 1000000"))
            await conversations.run(lambda store: store.ask(made.id, "x" * 100_000))

    asyncio.run(run())


def test_a_damaged_index_is_made_anew(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def damage(store: ConversationStore) -> None:
        store._connection.execute("UPDATE message_text_data SET block = zeroblob(7) WHERE id > 10")

    async def run() -> None:
        async with Conversations(path) as conversations:
            made = await conversations.run(lambda store: store.create(model="m"))
            await conversations.run(lambda store: store.ask(made.id, "Where is the harbour?"))
            await conversations.run(damage)
            await conversations.run(lambda store: store.delete(made.id))
            assert await conversations.run(ConversationStore.recent) == []

    asyncio.run(run())
    assert caplog.text.count("made anew") == 1


@pytest.mark.parametrize("number", [-1, 2**63 - 1, 2**63, 10**30])
def test_numbers_that_are_no_ids_are_not_found(path: Path, number: int) -> None:
    async def run() -> None:
        async with Conversations(path) as conversations:
            for act in (
                lambda store: store.conversation(number),
                lambda store: store.message(number),
                lambda store: store.delete(number),
                lambda store: store.ask(number, "q"),
            ):
                with pytest.raises(NotFound):
                    await conversations.run(act)

    asyncio.run(run())


def test_the_loop_goes_on_while_the_file_is_busy_and_calls_keep_their_order(path: Path) -> None:
    async def run() -> list[int]:
        async with Conversations(path) as conversations:
            order: list[int] = []
            calls = [asyncio.create_task(conversations.run(lambda _, n=n: order.append(n))) for n in range(50)]
            await asyncio.gather(*calls)
            return order

    assert asyncio.run(run()) == list(range(50))


def test_a_file_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def run() -> None:
        with pytest.raises(UserError):
            async with Conversations(tmp_path / "file" / "c.sqlite"):
                pass

    asyncio.run(run())


def test_neither_torch_nor_qt_is_loaded() -> None:
    code = "import sys, volunteer.client.conversations; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "hivemind", "PySide6"} & set(loaded)
