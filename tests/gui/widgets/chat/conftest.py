"""A chat page's parts over a fake link, shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from gui.viewmodels.chat import ChatViewModel
from gui.viewmodels.conversations import ConversationsViewModel
from gui.widgets.chat.chat_page import ChatPage
from gui.widgets.chat.message_list import MessageList
from tests.gui.chat_values import SEEN, branch, chat_over
from tests.gui.fake_link import FakeLink
from volunteer.settings import Settings


@pytest.fixture
def chat(link: FakeLink) -> ChatViewModel:
    return chat_over(link)


@pytest.fixture
def open_page(link: FakeLink, qtbot: QtBot) -> Callable[..., ChatPage]:
    """`open_page(settings)`: 960 x 640."""

    def made(settings: Settings = SEEN, width: int = 960, height: int = 640) -> ChatPage:
        chat = chat_over(link, settings)
        page = ChatPage(chat, ConversationsViewModel(link, link))  # type: ignore[arg-type]
        qtbot.addWidget(page)
        page.resize(width, height)
        page.show()
        page.activateWindow()
        QTest.qWaitForWindowActive(page)
        return page

    return made


@pytest.fixture
def messages(chat: ChatViewModel, qtbot: QtBot) -> MessageList:
    """An empty list of 700 x 600."""
    made = MessageList(chat)
    qtbot.addWidget(made)
    made.resize(700, 600)
    made.show()
    return made


@pytest.fixture
def read(chat: ChatViewModel, link: FakeLink) -> Callable[..., None]:
    """`read(messages, has_earlier=…)` opens a conversation that ends with these."""

    def answered(messages: list[dict[str, object]], *, has_earlier: bool = False) -> None:
        chat.open(1)
        link.answer(branch(messages, has_earlier=has_earlier))

    return answered
