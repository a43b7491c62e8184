"""The chat page and the worker's own chat service, over the control channel and a real file; the swarm is played."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PySide6.QtCore import QObject, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from gui.viewmodels.chat import ChatViewModel
from gui.viewmodels.chat_values import AnswerState
from gui.viewmodels.conversations import ConversationsViewModel
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.swarm import SwarmViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.widgets.chat.chat_page import ChatPage
from gui.worker_link import Connection, WorkerLink
from tests.gui.chat_values import SEEN
from volunteer.chat_service import ChatService
from volunteer.client.chat import Answer, Progress
from volunteer.client.conversations import Conversations
from volunteer.client.routing import Hop, NoRoute
from volunteer.control.channel import ControlServer, Peer
from volunteer.control.lifecycle import State
from volunteer.control.messages import ChatCommand, Command, Done, Status, StatusChanged, Subscribe
from volunteer.owner_services import ChatCommands, OwnerServices

ROUTE = (Hop("QmFirst", 0, 15), Hop("QmOwn", 15, 30))


class PlayedSwarm:
    """Answers each question when and as the test says."""

    def __init__(self) -> None:
        self.say: Callable[[str], None] | None = None
        self.ended = asyncio.Event()

    async def chat(self) -> Any:
        return SimpleNamespace(context_length=None, prompt=lambda messages, raw=False: SimpleNamespace(shape=(1, 1)))

    async def answer(
        self, question: Any, *, on_text: Callable[[str], None], on_started: Any, stop: threading.Event
    ) -> Answer:
        on_started(lambda: Progress(ROUTE, 3, 9.4, 0.8))
        self.say, self.ended = on_text, asyncio.Event()
        while not (self.ended.is_set() or stop.is_set()):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), 0.002)
        return Answer("", 5, (1, 2, 3), 0.8, 1.5, ROUTE, 3)


class PlayedServices(OwnerServices):
    """What of them is for chats."""

    def __init__(self, chats: ChatService[Any]):
        self.chats = chats
        self.commands = ChatCommands(chats)


class ChattingWorker:
    """The worker's end in a thread of this process; leaving it is the worker's end."""

    def __init__(self, data_dir: Path):
        self._data_dir = data_dir
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))
        self.swarm = PlayedSwarm()

    def __enter__(self) -> ChattingWorker:
        self._thread.start()
        self._ready.result(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    def say(self, text: str) -> None:
        def say() -> None:
            assert self.swarm.say is not None
            self.swarm.say(text)

        self._loop.call_soon_threadsafe(say)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(lambda: self.swarm.ended.set())

    def lose_route(self, error: NoRoute | None) -> None:
        self._services.chats.note_route(error)

    async def _serve(self) -> None:
        async with (
            Conversations(self._data_dir / "conversations.sqlite") as conversations,
            ChatService(conversations, self.swarm, lambda messages, sampling: messages) as chats,
        ):
            self._services = PlayedServices(chats)
            async with ControlServer(self._data_dir, self._answer):
                self._ready.set_result(None)
                await self._stop.wait()

    async def _answer(self, peer: Peer, command: Command) -> Done:
        match command:
            case Subscribe(topics=topics):
                peer.topics = topics
                status = Status(state=State.SERVING, model="bigscience/bloom", peer_id="QmOwn")
                peer.post(StatusChanged(status=status))
                if topics.chats:
                    peer.do(self._services.forward(peer))
            case ChatCommand():
                return Done(id=command.id, result=await self._services.commands.run(command.action, command.arguments))
        return Done(id=command.id)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[ChattingWorker]:
    with ChattingWorker(tmp_path) as running:
        yield running


@pytest.fixture
def page(qtbot: QtBot, tmp_path: Path) -> Iterator[ChatPage]:
    owner = QObject()
    link = WorkerLink(tmp_path, owner, command=[sys.executable, "-c", "raise SystemExit(3)"])
    worker = WorkerViewModel(link, owner)
    swarm = SwarmViewModel(link, worker, owner)
    chat = ChatViewModel(link, worker, SettingsViewModel(link, SEEN, owner), swarm, owner)
    made = ChatPage(chat, ConversationsViewModel(link, owner))
    qtbot.addWidget(made)
    made.resize(960, 640)
    made.show()
    link.start()
    yield made
    link.close()


def connected(page: ChatPage, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: page._chat._link.connection is Connection.CONNECTED, timeout=20_000)


def ask(page: ChatPage, worker: ChattingWorker, qtbot: QtBot, text: str) -> None:
    page.composer.put(text)
    QTest.keyClick(page.composer.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: page._chat.is_answering and worker.swarm.say is not None)


def answer(page: ChatPage) -> Any:
    return page._chat.talk.messages[-1]


def shown(page: ChatPage) -> str:
    return "\n".join(view.toPlainText() for view in page.messages._views())


def test_a_question_is_answered_word_by_word(page: ChatPage, worker: ChattingWorker, qtbot: QtBot) -> None:
    connected(page, qtbot)
    ask(page, worker, qtbot, "What is a petal?")
    for word in ("A part ", "of a **flower**", "."):
        worker.say(word)
    qtbot.waitUntil(lambda: "A part of a flower." in shown(page))
    qtbot.waitUntil(lambda: len(answer(page).figures.route) == 2)
    assert answer(page).is_growing
    worker.end()
    qtbot.waitUntil(lambda: answer(page).state is AnswerState.COMPLETE)
    assert answer(page).figures.tokens == 3 and page._chat.can_ask
    entry = page._conversations.list.entries[0]
    assert entry.conversation.title == "What is a petal?" == page._chat.title


def test_an_answer_is_stopped_and_made_anew(page: ChatPage, worker: ChattingWorker, qtbot: QtBot) -> None:
    connected(page, qtbot)
    ask(page, worker, qtbot, "Count.")
    worker.say("One, two")
    qtbot.waitUntil(lambda: "One, two" in shown(page))
    page.composer.button.click()
    qtbot.waitUntil(lambda: answer(page).state is AnswerState.STOPPED)
    worker.swarm.say = None
    page._chat.regenerate(answer(page).id)
    qtbot.waitUntil(lambda: page._chat.is_answering and worker.swarm.say is not None)
    worker.say("Three")
    worker.end()
    qtbot.waitUntil(lambda: answer(page).state is AnswerState.COMPLETE)
    assert answer(page).version == 2
    page._chat.choose(answer(page).versions[0])
    qtbot.waitUntil(lambda: "One, two" in shown(page))


def test_a_lost_route_is_told_until_it_is_found(page: ChatPage, worker: ChattingWorker, qtbot: QtBot) -> None:
    connected(page, qtbot)
    ask(page, worker, qtbot, "Anybody?")
    worker.lose_route(NoRoute((range(31, 39),)))
    qtbot.waitUntil(lambda: [each.kind for each in page._chat.talk.notices(answer(page).id)] == ["route"])
    worker.say("Here.")
    qtbot.waitUntil(lambda: "Here." in shown(page))
    assert page._chat.talk.notices(answer(page).id) == ()


def test_a_worker_that_ends_and_comes_back_takes_nothing_from_the_page(
    page: ChatPage, tmp_path: Path, qtbot: QtBot
) -> None:
    with ChattingWorker(tmp_path) as worker:
        connected(page, qtbot)
        ask(page, worker, qtbot, "A long story.")
        worker.say("Once upon a time")
        qtbot.waitUntil(lambda: "Once upon a time" in shown(page))
    qtbot.waitUntil(lambda: page._chat._link.connection is not Connection.CONNECTED)
    assert "Once upon a time" in shown(page) and page.connection.isVisible()
    with ChattingWorker(tmp_path):
        connected(page, qtbot)
        qtbot.waitUntil(lambda: answer(page).state is AnswerState.INTERRUPTED)
        assert "Once upon a time" in shown(page) and not page.connection.isVisible()


def test_a_search_finds_a_message_and_a_chat_is_deleted(page: ChatPage, worker: ChattingWorker, qtbot: QtBot) -> None:
    connected(page, qtbot)
    ask(page, worker, qtbot, "Where do lilies grow?")
    worker.end()
    qtbot.waitUntil(lambda: page._chat.can_ask)
    page.pane.search.setText("lilies")
    qtbot.waitUntil(lambda: bool(page._conversations.list.entries and page._conversations.list.entries[0].excerpt))
    page._conversations.delete(page._conversations.list.entries[0].conversation.id)
    qtbot.waitUntil(lambda: page._chat.talk.id is None)
    assert page.stack.currentWidget() is page.first and page._conversations.list.entries == []
