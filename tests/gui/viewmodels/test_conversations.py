"""The list of conversations: pages, searches, and what happens to single ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QModelIndex, Qt
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from gui.viewmodels.conversations import ConversationList, ConversationsViewModel
from gui.worker_link import Connection
from tests.gui.chat_values import action, conversation, event
from tests.gui.fake_link import FakeLink


@pytest.fixture
def conversations(link: FakeLink, qtmodeltester: ModelTester) -> ConversationsViewModel:
    made = ConversationsViewModel(link, link)  # type: ignore[arg-type]
    qtmodeltester.check(made.list, force_py=True)
    return made


def page(first: int, last: int) -> list[dict[str, object]]:
    """Conversations `first` down to `last`: the greatest was changed last."""
    return [conversation(id) for id in range(first, last - 1, -1)]


def ids(conversations: ConversationsViewModel) -> list[int]:
    return [entry.conversation.id for entry in conversations.list.entries]


def test_pages_are_read_as_the_end_comes_into_view(conversations: ConversationsViewModel, link: FakeLink) -> None:
    assert action(link) == ("recent", {"limit": 50})
    link.answer(page(120, 71))
    model, root = conversations.list, QModelIndex()
    assert model.canFetchMore(root)
    model.fetchMore(root)
    model.fetchMore(root)
    assert action(link) == ("recent", {"limit": 50, "after": 71}) and len(link.sent) == 2
    link.answer(page(71, 22))
    assert ids(conversations) == list(range(120, 21, -1))
    model.fetchMore(root)
    link.answer(page(21, 1))
    assert len(ids(conversations)) == 120 and not model.canFetchMore(root)


def test_a_conversation_that_goes_on_moves_to_the_top(conversations: ConversationsViewModel, link: FakeLink) -> None:
    link.answer(page(5, 1))
    link.chat_happened.emit(event("conversation_changed", conversation=conversation(2, updated=9999.0)))
    assert ids(conversations) == [2, 5, 4, 3, 1]
    renamed = conversation(4, title="Renamed")
    link.chat_happened.emit(event("conversation_changed", conversation=renamed))
    assert ids(conversations) == [2, 5, 4, 3, 1] and conversations.list.entries[2].conversation.title == "Renamed"
    link.chat_happened.emit(event("conversation_changed", conversation=conversation(6)))
    assert ids(conversations) == [6, 2, 5, 4, 3, 1]
    gone = event("conversation_changed", conversation=None)
    link.chat_happened.emit(gone.model_copy(update={"data": {"conversation_id": 5, "conversation": None}}))
    assert ids(conversations) == [6, 2, 4, 3, 1]


def test_a_search_waits_until_typing_rests(conversations: ConversationsViewModel, link: FakeLink, qtbot: QtBot) -> None:
    link.answer(page(3, 1))
    for text in ("s", "se", "sea "):
        conversations.search(text)
    assert len(link.sent) == 1
    qtbot.waitUntil(lambda: len(link.sent) == 2)
    assert action(link) == ("search", {"query": "sea", "limit": 50})
    link.answer([{"conversation": conversation(2), "message_id": 17, "excerpt": "by the sea"}])
    entry = conversations.list.entries[0]
    assert (entry.message_id, entry.excerpt, conversations.is_searching) == (17, "by the sea", True)
    conversations.search("")
    assert action(link)[0] == "recent", "all are there again at once"


def test_an_answer_to_an_earlier_search_is_of_no_use(
    conversations: ConversationsViewModel, link: FakeLink, qtbot: QtBot
) -> None:
    link.answer(page(1, 1))
    conversations.search("sea")
    qtbot.waitUntil(lambda: len(link.sent) == 2)
    conversations.search("")
    link.answer([], 1)
    assert ids(conversations) == [1]


def test_a_title_is_edited_in_place_and_shown_when_it_is_kept(
    conversations: ConversationsViewModel, link: FakeLink
) -> None:
    link.answer(page(1, 1))
    model = conversations.list
    index = model.index(0)
    assert model.flags(index) & Qt.ItemFlag.ItemIsEditable
    model.setData(index, "  ")
    assert len(link.sent) == 1
    model.setData(index, " Flowers ")
    assert action(link) == ("rename", {"conversation_id": 1, "title": "Flowers"})
    assert index.data() == "Chat 1"


def test_a_conversation_is_exported_to_a_file(
    conversations: ConversationsViewModel, link: FakeLink, tmp_path: Path
) -> None:
    conversations.export(1, tmp_path / "chat.md")
    link.answer("# Chat 1\n")
    assert (tmp_path / "chat.md").read_text() == "# Chat 1\n"
    conversations.export(1, tmp_path / "no folder" / "chat.md")
    link.answer("# Chat 1\n")
    assert "cannot be saved" in conversations.problem
    conversations.dismiss_problem()
    assert conversations.problem == ""


def test_conversations_that_are_answered_are_marked(conversations: ConversationsViewModel, link: FakeLink) -> None:
    link.answer(page(2, 1))
    first = conversations.list.index(1)
    link.chat_happened.emit(event("answer_began", question_id=1, message_id=2))
    assert first.data(ConversationList.IS_ANSWERED)
    link.become(Connection.RESTARTING)
    link.become(Connection.CONNECTED)
    assert not first.data(ConversationList.IS_ANSWERED)
    link.answer(page(2, 1))
    assert action(link)[0] == "recent"


def test_what_was_deleted_elsewhere_is_told(conversations: ConversationsViewModel, link: FakeLink) -> None:
    conversations.delete(9)
    assert action(link) == ("delete", {"conversation_id": 9})
    link.refuse("There is no such conversation any more.")
    assert conversations.problem == "There is no such conversation any more."
