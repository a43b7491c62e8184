"""Many messages in few widgets, and what is in sight stays where it is."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QEventLoop, QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QGuiApplication, QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from gui import theme
from gui.viewmodels.chat import ChatViewModel
from gui.widgets.chat.code_card import CodeCard
from gui.widgets.chat.feet import AnswerFoot, QuestionFoot
from gui.widgets.chat.message_list import MessageList
from gui.widgets.chat.row_widget import RowWidget
from gui.widgets.chat.text_view import TextView
from tests.gui.chat_values import action, branch, ended, event, exchanges, growing, message
from tests.gui.fake_link import FakeLink
from volunteer.control.messages import SwarmChanged, SwarmServer

Read = Callable[..., None]
LONG = "A sentence that is long enough to be broken into lines. " * 20


def rows(messages: MessageList) -> list[RowWidget]:
    """In sight, from above."""
    height = messages.viewport().height()
    shown = [each for each in messages.viewport().findChildren(RowWidget) if each.isVisible()]
    return sorted(
        (each for each in shown if each.y() < height and each.y() + each.height() > 0), key=lambda each: each.y()
    )


def texts(messages: MessageList) -> list[str]:
    return [view.toPlainText() for each in rows(messages) if isinstance(view := each.text_view(), TextView)]


def places(messages: MessageList) -> list[tuple[int, str]]:
    return [(each.y(), view.toPlainText()) for each in rows(messages) if (view := each.text_view())]


def top_of(messages: MessageList, text: str) -> int:
    """How far below the upper edge a text is."""
    return next(y for y, shown in places(messages) if shown == text)


def settle(qtbot: QtBot) -> None:
    for _ in range(3):
        QTest.qWait(0)


def test_the_end_is_shown_first(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    read(exchanges(1, 200))
    qtbot.waitUntil(lambda: "Answer 200" in texts(messages))
    bottom = max(each.y() + each.height() for each in rows(messages))
    assert messages.viewport().height() - 40 < bottom <= messages.viewport().height()


def test_a_short_conversation_begins_at_the_top(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    read(exchanges(1, 2))
    qtbot.waitUntil(lambda: texts(messages) == ["Question 1", "Answer 2"])
    assert rows(messages)[0].y() == theme.XL and messages.verticalScrollBar().maximum() == 0


def test_only_what_is_in_sight_is_a_widget(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    read(exchanges(1, 2000))
    qtbot.waitUntil(lambda: "Answer 2000" in texts(messages))
    for _ in range(40):
        messages.scroll_by(-700)
        settle(qtbot)
    assert len(messages.viewport().findChildren(RowWidget)) < 60


def test_earlier_messages_come_without_moving_what_is_read(
    messages: MessageList, read: Read, link: FakeLink, qtbot: QtBot
) -> None:
    read(exchanges(101, 200), has_earlier=True)
    settle(qtbot)
    assert len(link.sent) == 1, "not before they are near"
    messages.reveal(40)
    settle(qtbot)
    where = top_of(messages, "Question 141")
    messages.scroll_by(-2000)
    qtbot.waitUntil(lambda: len(link.sent) > 1)
    assert action(link)[1]["before"] == 101
    link.answer(branch(exchanges(1, 100)))
    settle(qtbot)
    messages.scroll_by(2000)
    assert abs(top_of(messages, "Question 141") - where) <= 1
    messages.reveal(0)
    settle(qtbot)
    assert texts(messages)[0] == "Question 1"


def test_an_answer_that_grows_is_followed(messages: MessageList, read: Read, link: FakeLink, qtbot: QtBot) -> None:
    read([*exchanges(1, 9), growing(10)])
    settle(qtbot)
    link.chat_happened.emit(event("answer_text", message_id=10, offset=0, piece=f"{LONG}\n\n" * 6 + "The last words."))
    qtbot.waitUntil(lambda: any("The last words." in text for text in texts(messages)))
    assert not messages.to_end.isVisible()


def test_whoever_reads_further_up_is_left_in_peace(
    messages: MessageList, read: Read, link: FakeLink, qtbot: QtBot
) -> None:
    read([*exchanges(1, 99), growing(100, LONG)])
    settle(qtbot)
    messages.scroll_by(-900)
    settle(qtbot)
    before = places(messages)
    assert messages.to_end.isVisible()
    link.chat_happened.emit(event("answer_text", message_id=100, offset=len(LONG), piece=f"\n\n{LONG}" * 5))
    qtbot.waitUntil(lambda: len(messages._talk.messages[-1].text) > 2 * len(LONG))
    settle(qtbot)
    assert places(messages) == before
    QTest.mouseClick(messages.to_end, Qt.MouseButton.LeftButton)
    settle(qtbot)
    assert not messages.to_end.isVisible()
    more = event("answer_text", message_id=100, offset=len(LONG) * 6 + 10, piece=" And on.")
    link.chat_happened.emit(more)
    qtbot.waitUntil(lambda: any("And on." in text for text in texts(messages)))


def test_scrolling_down_to_the_end_follows_it_again(
    messages: MessageList, read: Read, link: FakeLink, qtbot: QtBot
) -> None:
    read([*exchanges(1, 49), growing(50, "Once")])
    settle(qtbot)
    messages.scroll_by(-300)
    messages.scroll_by(5000)
    link.chat_happened.emit(event("answer_text", message_id=50, offset=4, piece=f"\n\n{LONG}" * 4 + " upon"))
    qtbot.waitUntil(lambda: any(text.endswith("upon") for text in texts(messages)))


def test_keys_and_scroll_bar_move_it(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    read(exchanges(1, 400))
    settle(qtbot)
    messages.setFocus()
    for key in (Qt.Key.Key_Up, Qt.Key.Key_PageUp):
        before = messages.verticalScrollBar().value()
        QTest.keyClick(messages, key)
        assert messages.verticalScrollBar().value() < before
    QTest.keyClick(messages, Qt.Key.Key_Home)
    assert texts(messages)[0] == "Question 1"
    bar = messages.verticalScrollBar()
    bar.setValue(bar.maximum() // 2)
    assert any(150 < int(text.split()[-1]) < 250 for text in texts(messages))
    QTest.keyClick(messages, Qt.Key.Key_End)
    assert "Answer 400" in texts(messages)


def test_a_message_is_brought_into_view(messages: MessageList, chat: ChatViewModel, read: Read, qtbot: QtBot) -> None:
    read(exchanges(1, 400))
    settle(qtbot)
    chat.open(1, 51)
    settle(qtbot)
    assert texts(messages)[0] == "Question 51"


def test_a_narrower_window_keeps_the_place(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    read([message(id, "user" if id % 2 else "assistant", f"{id} {LONG}") for id in range(1, 101)])
    settle(qtbot)
    messages.reveal(40)
    settle(qtbot)
    messages.resize(420, 600)
    settle(qtbot)
    assert texts(messages)[0].startswith("41 ")


def test_another_theme_colours_what_is_shown(messages: MessageList, read: Read, qtbot: QtBot, qapp: Any) -> None:
    read([message(1), message(2, "assistant", "[link](https://example.org) and `code`")])
    settle(qtbot)
    theme.apply(qapp, "dark", 1.0)
    settle(qtbot)
    view = next(each for each in rows(messages) if isinstance(each.text_view(), TextView) and each.y() > 60).text_view()
    assert view is not None
    assert theme.DARK.accent.lower() in view.document().toHtml()


# What can be done with a message


def test_messages_and_code_are_copied(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    answer = "See **this**:\n```python\nprint(1)\n```"
    read([message(1, text="Why?"), message(2, "assistant", answer)])
    settle(qtbot)
    foot = next(each for each in rows(messages) if isinstance(each, AnswerFoot))
    foot.copy.click()
    assert QGuiApplication.clipboard().text() == answer
    card = next(each for each in rows(messages) if isinstance(each, CodeCard))
    card.copy()
    assert QGuiApplication.clipboard().text() == "print(1)"
    question = next(each for each in rows(messages) if isinstance(each, QuestionFoot))
    question.copy.click()
    assert QGuiApplication.clipboard().text() == "Why?"


def test_a_selection_goes_over_several_rows(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    read([message(1, text="First question"), message(2, "assistant", "Some prose.\n```\ncode\n```\nThe end.")])
    settle(qtbot)
    views = messages._views()
    first, last = views[0].viewport(), views[-1].viewport()
    QTest.mousePress(first, Qt.MouseButton.LeftButton, pos=QPoint(1, 5))
    end = last.mapTo(messages.viewport(), QPoint(last.width(), 8))
    QTest.mouseMove(first, first.mapFrom(messages.viewport(), end))
    drag(first, first.mapFrom(messages.viewport(), end))
    views[0].copy()
    assert QGuiApplication.clipboard().text() == "First question\n\nSome prose.\n\ncode\n\nThe end."
    QTest.mouseRelease(first, Qt.MouseButton.LeftButton)
    QTest.mouseClick(last, Qt.MouseButton.LeftButton, pos=QPoint(3, 3))
    assert not any(view.textCursor().hasSelection() for view in views[:-1])


def marked(messages: MessageList) -> list[str]:
    """What is selected in any row."""
    return [view.textCursor().selectedText() for view in messages._views() if view.textCursor().hasSelection()]


def test_what_is_selected_in_a_message_stays_with_it(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    read(exchanges(1, 400))
    settle(qtbot)
    view = messages._views()[-1]
    view.selectAll()
    view.clearFocus()
    for _ in range(10):
        messages.scroll_by(-700)
        settle(qtbot)
    assert marked(messages) == ["Answer 400"]
    assert "Answer 400" not in texts(messages)
    messages.go_to_end()
    settle(qtbot)
    assert marked(messages) == ["Answer 400"] and "Answer 400" in texts(messages)


def test_there_is_one_selection(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    read(exchanges(1, 4))
    settle(qtbot)
    first, *_, last = messages._views()
    first.selectAll()
    assert marked(messages) == ["Question 1"]
    QTest.mouseClick(last.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(3, 3))
    assert marked(messages) == []
    first.selectAll()
    read(exchanges(11, 14))
    settle(qtbot)
    assert marked(messages) == []


def drag(widget: Any, position: QPoint) -> None:
    """A move with the button held, which QTest cannot make."""
    none = Qt.KeyboardModifier.NoModifier
    where, left = QPointF(position), Qt.MouseButton.LeftButton
    moved = QMouseEvent(QEvent.Type.MouseMove, where, widget.mapToGlobal(where), Qt.MouseButton.NoButton, left, none)
    QCoreApplication.sendEvent(widget, moved)


def test_versions_are_switched_and_answers_made_anew(
    messages: MessageList, read: Read, link: FakeLink, qtbot: QtBot
) -> None:
    read([message(1), message(4, "assistant", "Second", parent_id=1, versions=[2, 4])])
    settle(qtbot)
    foot = next(each for each in rows(messages) if isinstance(each, AnswerFoot))
    assert foot.versions.label.text() == "2/2" and not foot.versions.next.isEnabled()
    foot.versions.previous.click()
    assert action(link) == ("choose", {"message_id": 2})
    foot.regenerate.click()
    assert action(link) == ("regenerate", {"message_id": 4})


def test_the_keyboard_goes_through_what_is_in_sight_in_order(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    read(exchanges(1, 6))
    settle(qtbot)
    messages.activateWindow()
    messages.setFocus()
    stops = []
    for _ in range(30):
        messages.focusNextPrevChild(True)
        focus = QApplication.focusWidget()
        if focus is None or not messages.viewport().isAncestorOf(focus):
            break
        row = next(row for row, widget in messages._pool if widget.isAncestorOf(focus))
        stops.append((row.message_id, focus.mapTo(messages, QPoint()).x()))
    assert len(stops) >= 12 and stops == sorted(stops)
    assert messages.hasFocus(), "there is nothing else in this window"


def test_how_it_was_made_is_shown_on_demand(messages: MessageList, read: Read, qtbot: QtBot) -> None:
    figures = {"tokens": 9, "tokens_per_s": 9.4, "route": [{"peer_id": "QmA", "start": 0, "end": 4}]}
    read([message(1), message(2, "assistant", "One", figures=figures), *exchanges(3, 4)])
    settle(qtbot)
    foot = next(each for each in rows(messages) if isinstance(each, AnswerFoot) and each.message.id == 2)
    assert not foot.strip.isVisible()
    foot.details.click()
    qtbot.waitUntil(foot.strip.isVisible)
    assert "A 0–3" in foot.strip.accessibleName()
    assert foot.strip.geometry().bottom() <= foot.height()


def test_servers_are_called_by_their_names_as_soon_as_these_are_known(
    messages: MessageList, read: Read, link: FakeLink, qtbot: QtBot
) -> None:
    figures = {"tokens": 9, "route": [{"peer_id": "QmA", "start": 0, "end": 4}]}
    read([message(1), message(2, "assistant", "One", figures=figures)])
    settle(qtbot)
    foot = next(each for each in rows(messages) if isinstance(each, AnswerFoot))
    assert "You → A 0–3" in foot.strip.accessibleName()
    server = SwarmServer(peer_id="QmA", start=0, end=4, state="online", throughput=1, public_name="Anna")
    link.swarm_changed.emit(SwarmChanged(num_blocks=4, servers=(server,)))
    assert "You → Anna 0–3" in foot.strip.accessibleName()
    link.say(peer_id="QmA")
    assert "you're here 0–3" in foot.strip.accessibleName()


def test_nothing_is_asked_twice(messages: MessageList, read: Read, link: FakeLink, qtbot: QtBot) -> None:
    read(exchanges(1, 2))
    settle(qtbot)
    foot = next(each for each in rows(messages) if isinstance(each, AnswerFoot))
    foot.regenerate.click()
    assert not foot.regenerate.isEnabled()
    link.refuse("This conversation is being answered.")
    assert foot.regenerate.isEnabled()


# Speed


class Heartbeat:
    """How long, in seconds, this thread computed between two beats of the event loop.

    Its processor time, not the clock on the wall: whatever else the machine does is no fault of the window.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self.forget()
        self._timer = QTimer(interval=1)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def forget(self) -> None:
        """What was done until now was not the window's work."""
        self._last = time.thread_time()

    def _beat(self) -> None:
        now = time.thread_time()
        self.count += 1
        self.longest = max(self.longest, now - self._last)
        self._last = now


def turn(ms: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(ms, loop.quit)
    loop.exec()


def tokens(number: int) -> list[str]:
    """Prose with code in it."""
    made = []
    for i in range(number):
        end = "\n\n" if i % 60 == 59 else " "
        end = "\n```python\n" if i % 400 == 200 else "\n```\n\n" if i % 400 == 300 else end
        made.append(f"word{i % 7}{end}")
    return made


@pytest.mark.parametrize("has_history", [False, True])
def test_a_streamed_answer_never_blocks_the_window(
    messages: MessageList, read: Read, link: FakeLink, has_history: bool
) -> None:
    read([*(exchanges(1, 1999) if has_history else [message(1999)]), growing(2000)])
    turn(200)
    route = [{"peer_id": f"Qm{number}", "start": number, "end": number + 1} for number in range(8)]
    length = 0
    beats = Heartbeat()
    for number, token in enumerate(tokens(2000)):
        link.chat_happened.emit(event("answer_text", message_id=2000, offset=length, piece=token))
        length += len(token)
        if number % 50 == 0:
            measured = {"tokens": number, "tokens_per_s": 9.4, "first_token_s": 0.8}
            link.chat_happened.emit(event("answer_route", message_id=2000, route=route, **measured))
        if number % 8 == 0:
            turn(1)
    link.chat_happened.emit(ended(2000, length, tokens=2000))
    turn(100)
    assert beats.count > 200 and beats.longest < 0.05


def test_ten_thousand_messages_never_block_the_window(messages: MessageList, read: Read, link: FakeLink) -> None:
    read(long_exchanges(9901, 10_000), has_earlier=True)
    turn(200)
    gc.collect()
    gc.freeze()  # what the other tests left is not the window's
    first, beats = 9901, Heartbeat()
    while first > 1:
        messages.reveal(0)
        turn(2)
        assert action(link)[1]["before"] == first
        first -= 100
        page = branch(long_exchanges(first, first + 99), has_earlier=first > 1)
        beats.forget()
        link.answer(page)
        turn(2)
    bar = messages.verticalScrollBar()
    for share in range(100):
        bar.setValue(bar.maximum() * (share * 37 % 100) // 100)
        turn(2)
    gc.unfreeze()
    assert len(messages._talk.messages) == 10_000
    assert beats.count > 200 and beats.longest < 0.05


def long_exchanges(first: int, last: int) -> list[dict[str, Any]]:
    text = f"Some *prose* with `code`.\n\n- {LONG}\n\n```python\nprint('a line')\n```\n\n{LONG}"
    return [
        message(id, "user", f"Question {id}") if id % 2 else message(id, "assistant", f"{id}: {text}")
        for id in range(first, last + 1)
    ]
