"""Messages by two ways, what is read and what is told, in whatever order they come."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from gui.viewmodels.chat_values import AnswerState
from gui.viewmodels.open_conversation import OpenConversation
from gui.worker_link import Connection
from tests.gui.chat_values import action, branch, conversation, ended, event, exchanges, growing, message
from tests.gui.fake_link import FakeLink


@pytest.fixture
def talk(link: FakeLink) -> OpenConversation:
    return OpenConversation(link, link)  # type: ignore[arg-type]


def opened(talk: OpenConversation, link: FakeLink, *messages: dict[str, object], has_earlier: bool = False) -> None:
    talk.open(1)
    link.answer(branch(list(messages), has_earlier=has_earlier))


def texts(talk: OpenConversation) -> list[str]:
    return [each.text for each in talk.messages]


def test_a_conversation_is_read_from_its_end(talk: OpenConversation, link: FakeLink, qtbot: QtBot) -> None:
    opened(talk, link, *exchanges(101, 104), has_earlier=True)
    assert action(link) == ("open", {"conversation_id": 1, "limit": 100})
    assert texts(talk) == ["Question 101", "Answer 102", "Question 103", "Answer 104"]
    with qtbot.waitSignal(talk.earlier_read) as read:
        talk.read_earlier()
        talk.read_earlier()  # while it is being read
        assert action(link) == ("open", {"conversation_id": 1, "limit": 100, "before": 101})
        link.answer(branch(exchanges(1, 100)))
    assert read.args == [100] and len(talk.messages) == 104 and not talk.has_earlier
    asked = len(link.sent)
    talk.read_earlier()
    assert len(link.sent) == asked


def test_a_reply_to_what_was_left_is_of_no_use(talk: OpenConversation, link: FakeLink) -> None:
    talk.open(1)
    talk.open(2)
    link.answer(branch(exchanges(1, 2)), 0)
    assert not talk.is_read and talk.messages == []
    link.answer(branch([], of=conversation(2)), 1)
    assert talk.is_read and talk.id == 2


def test_pieces_and_what_was_read_meet_at_their_offsets(talk: OpenConversation, link: FakeLink, qtbot: QtBot) -> None:
    link.chat_happened.emit(event("answer_began", question_id=1, message_id=2))
    link.chat_happened.emit(event("answer_text", message_id=2, offset=0, piece="One two "))
    opened(talk, link, message(1), growing(2, "One two three "))
    assert texts(talk)[1] == "One two three "
    link.chat_happened.emit(event("answer_text", message_id=2, offset=8, piece="three four"))
    qtbot.waitUntil(lambda: texts(talk)[1] == "One two three four")
    link.chat_happened.emit(event("answer_text", message_id=2, offset=0, piece="One"))
    link.chat_happened.emit(ended(2, len("One two three four"), tokens=4))
    assert texts(talk)[1] == "One two three four"
    assert talk.messages[1].state is AnswerState.COMPLETE and talk.messages[1].figures.tokens == 4


def test_an_answer_that_ended_before_it_was_read_is_not_shown_as_growing(
    talk: OpenConversation, link: FakeLink
) -> None:
    link.chat_happened.emit(event("answer_began", question_id=1, message_id=2))
    link.chat_happened.emit(event("answer_text", message_id=2, offset=0, piece="All of it"))
    talk.open(1)
    link.chat_happened.emit(ended(2, 9))
    link.answer(branch([message(1), growing(2, "All")]))
    assert texts(talk)[1] == "All of it" and talk.growing is None


def test_a_gap_in_the_text_is_read_again(talk: OpenConversation, link: FakeLink) -> None:
    opened(talk, link, message(1), growing(2, "One "))
    link.chat_happened.emit(event("answer_text", message_id=2, offset=10, piece="later"))
    assert len(link.sent) == 2
    link.answer(branch([message(1), growing(2, "One two threelater")]))
    assert texts(talk)[1] == "One two threelater"


def test_lost_events_are_made_up_for_by_reading_again(talk: OpenConversation, link: FakeLink) -> None:
    opened(talk, link, message(1), growing(2, "One "))
    link.chat_happened.emit(event("events_lost"))
    link.answer(branch([message(1), message(2, "assistant", "One two.")]))
    assert texts(talk)[1] == "One two." and talk.growing is None


def test_a_growing_answer_is_shown_ten_times_a_second_at_most(
    talk: OpenConversation, link: FakeLink, qtbot: QtBot
) -> None:
    opened(talk, link, message(1), growing(2))
    shown: list[int] = []
    talk.message_changed.connect(shown.append)
    for offset in range(2000):
        link.chat_happened.emit(event("answer_text", message_id=2, offset=offset, piece="x"))
    assert shown == []
    qtbot.waitUntil(lambda: texts(talk)[1] == "x" * 2000)
    assert shown == [1]


def test_a_question_asked_elsewhere_appears_here(talk: OpenConversation, link: FakeLink, qtbot: QtBot) -> None:
    opened(talk, link, *exchanges(1, 2))
    link.chat_happened.emit(event("answer_began", question_id=3, message_id=4))
    with qtbot.waitSignal(talk.end_changed) as changed:
        link.answer(branch([*exchanges(1, 3), growing(4)]))
    assert changed.args == [2]


def test_a_restarted_worker_takes_nothing_away_that_was_shown(talk: OpenConversation, link: FakeLink) -> None:
    opened(talk, link, message(1, text="Why?"), growing(2))
    link.chat_happened.emit(event("answer_text", message_id=2, offset=0, piece="Because of the sea"))
    link.chat_happened.emit(event("answer_notice", message_id=2, kind="route", text="No route."))
    talk._show_grown()
    link.become(Connection.RESTARTING)
    assert texts(talk) == ["Why?", "Because of the sea"]
    link.become(Connection.CONNECTED)
    link.answer(branch([message(1, text="Why?"), message(2, "assistant", "Because of", state="interrupted")]))
    assert texts(talk) == ["Why?", "Because of the sea"]
    assert talk.messages[1].state is AnswerState.INTERRUPTED and talk.notices(2) == ()


def test_what_is_opened_without_a_worker_is_read_when_there_is_one(talk: OpenConversation, link: FakeLink) -> None:
    link.become(Connection.RESTARTING)
    talk.open(1)
    assert link.sent == []
    link.become(Connection.CONNECTED)
    link.answer(branch(exchanges(1, 2)))
    assert talk.is_read


def test_a_message_far_up_is_sought_page_by_page(talk: OpenConversation, link: FakeLink, qtbot: QtBot) -> None:
    talk.open(1, 3)
    link.answer(branch(exchanges(901, 1000), has_earlier=True))
    assert action(link)[1]["before"] == 901
    link.answer(branch(exchanges(401, 900), has_earlier=True))
    with qtbot.waitSignal(talk.revealed) as revealed:
        link.answer(branch(exchanges(1, 400)))
    assert revealed.args == [2]


def test_a_message_of_another_branch_is_not_sought_for_ever(talk: OpenConversation, link: FakeLink) -> None:
    talk.open(1, 950)
    kept = [each for each in exchanges(901, 1000) if each["id"] != 950]
    link.answer(branch(kept, has_earlier=True))
    assert len(link.sent) == 1


def test_notices_come_and_go(talk: OpenConversation, link: FakeLink) -> None:
    opened(talk, link, message(1), growing(2))
    link.chat_happened.emit(event("answer_notice", message_id=2, kind="route", text="No route: nobody serves block 5."))
    assert [(each.kind, each.text) for each in talk.notices(2)] == [("route", "No route: nobody serves block 5.")]
    link.chat_happened.emit(event("answer_notice", message_id=2, kind="route", text=""))
    assert talk.notices(2) == ()


def test_a_running_answer_has_its_route_and_speed(talk: OpenConversation, link: FakeLink, qtbot: QtBot) -> None:
    opened(talk, link, message(1), growing(2))
    hop = {"peer_id": "QmA", "start": 0, "end": 15, "newer_field": 1}
    route = event("answer_route", message_id=2, route=[hop], tokens=7, tokens_per_s=9.4, first_token_s=0.8)
    link.chat_happened.emit(route)
    qtbot.waitUntil(lambda: talk.messages[1].figures.tokens == 7)
    assert talk.messages[1].figures.route[0].end == 15
    link.chat_happened.emit(ended(2, 0, "failed", "The route broke."))
    assert talk.messages[1].figures.route
    assert talk.messages[1].note == "The route broke."


def test_a_deleted_conversation_is_closed(talk: OpenConversation, link: FakeLink) -> None:
    opened(talk, link, *exchanges(1, 2))
    link.chat_happened.emit(event("conversation_changed", conversation=None))
    assert talk.id is None and talk.messages == []


def test_a_conversation_that_cannot_be_read_is_closed_with_the_reason(
    talk: OpenConversation, link: FakeLink, qtbot: QtBot
) -> None:
    talk.open(7)
    with qtbot.waitSignal(talk.failed) as failed:
        link.refuse("There is no such conversation any more.")
    assert failed.args == ["There is no such conversation any more."] and talk.id is None
