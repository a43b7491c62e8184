"""The chat page in all its states, and what the keyboard does in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QModelIndex, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QDoubleSpinBox,
    QFileDialog,
    QMessageBox,
    QWidget,
)
from pytestqt.qtbot import QtBot

from gui.widgets.chat.chat_page import ChatPage
from gui.widgets.chat.conversation_pane import file_name
from gui.worker_link import Connection
from tests.gui.chat_values import action, branch, conversation, event, exchanges, growing, message
from tests.gui.fake_link import FakeLink
from volunteer.control.messages import ChatCommand, SwarmChanged, SwarmServer
from volunteer.settings import ServingSettings, Settings

OpenPage = Callable[..., ChatPage]


def listed(link: FakeLink, *conversations: dict[str, Any]) -> None:
    """Answers the question for the list of conversations."""
    asked = [each for each in link.asked if isinstance(each.command, ChatCommand) and each.command.action == "recent"]
    asked[-1].done(list(conversations))


def opened(page: ChatPage, link: FakeLink, *messages: dict[str, Any]) -> None:
    page._chat.open(1)
    link.answer(branch(list(messages) or exchanges(1, 2)))
    QTest.qWait(0)


def press(page: ChatPage, keys: str) -> None:
    """A shortcut, as its owner would press it."""
    focus = QApplication.focusWidget() or page
    QTest.keySequence(focus, keys)  # type: ignore[call-overload]


def test_without_a_worker_there_is_one_thing_to_do(open_page: OpenPage, link: FakeLink) -> None:
    link.become(Connection.GAVE_UP, "The worker cannot be started: the disk is full.")
    page = open_page()
    assert page.no_worker.isVisible() and not page.composer.isVisible()
    assert page.no_worker.text.text() == "The worker cannot be started: the disk is full."
    page.no_worker.action.click()
    assert link.starts == 1
    assert "starting" in page.no_worker.text.text() and not page.no_worker.action.isVisible()
    link.become(Connection.CONNECTED)
    assert page.stack.currentWidget() is page.first and page.composer.isVisible()


def test_an_empty_chat_offers_questions_to_begin_with(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    link.say(model="bigscience/bloom")
    listed(link)
    assert page.stack.currentWidget() is page.first and "bloom" in page.first.text.text()
    assert "listed here" in page.pane.nothing.text() and not page.pane.list.isVisible()
    assert not page.composer.button.isEnabled()
    page.first.questions[0].click()
    assert page.composer.field.toPlainText() == page.first.questions[0].text()
    assert page.composer.button.isEnabled() and link.sent == link.sent[:1], "nothing is sent by itself"


def test_a_question_from_the_composer_to_its_answer(open_page: OpenPage, link: FakeLink, qtbot: QtBot) -> None:
    page = open_page()
    link.say()
    page.composer.put("What is a petal?")
    QTest.keyClick(page.composer.field, Qt.Key.Key_Return)
    assert action(link)[0] == "create"
    link.answer(conversation(1))
    assert page.composer.field.toPlainText() == "What is a petal?", "until the worker has it"
    question = message(1, text="What is a petal?")
    link.answer({"conversation": conversation(1), "question": question, "answer": growing(2)})
    assert page.composer.field.toPlainText() == "" and page.stack.currentWidget() is page.messages
    assert page.composer.button.accessibleName().startswith("Stop")
    page.composer.button.click()
    assert action(link)[0] == "stop"


def test_enter_sends_and_shift_enter_begins_a_line(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    field = page.composer.field
    height = field.height()
    QTest.keyClicks(field, "one")
    QTest.keyClick(field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClicks(field, "two")
    assert field.toPlainText() == "one\ntwo" and field.height() > height and link.sent[-1] == link.sent[0]
    field.setPlainText("line\n" * 30)
    lines = (field.height() - 16) / field.fontMetrics().lineSpacing()
    assert 7 < lines <= 8.2
    QTest.keyClick(field, Qt.Key.Key_Enter)
    assert action(link)[0] == "create"


def test_the_notice_comes_before_the_first_question(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page(Settings())
    page.composer.put("Secret?")
    page.composer.submit()
    assert page.notice.isVisible() and not page.composer.isVisible() and page.notice.send.hasFocus()
    press(page, "Esc")
    assert not page.notice.isVisible() and page.composer.field.toPlainText() == "Secret?"
    page.composer.submit()
    page.notice.send.click()
    assert action(link)[0] == "create" and not page.notice.isVisible()


def test_where_a_question_goes_is_always_said(open_page: OpenPage) -> None:
    assert "Strangers" in open_page().swarm.text()
    private = Settings(serving=ServingSettings(private_swarm="lab"))
    assert "“lab”" in open_page(private).swarm.text()
    practice = Settings(serving=ServingSettings(host_maddrs=("/ip4/127.0.0.1/tcp/0",)))
    assert "this computer" in open_page(practice).swarm.text()
    open_to_all = Settings(serving=ServingSettings(host_maddrs=("/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/tcp/0")))
    assert "Strangers" in open_page(open_to_all).swarm.text()


def test_a_chat_that_is_read_slowly_says_so(open_page: OpenPage, link: FakeLink, qtbot: QtBot) -> None:
    page = open_page()
    page._chat.open(1)
    assert page.stack.currentWidget() is page.loading and page.loading.text() == ""
    qtbot.waitUntil(lambda: page.loading.text() == "Opening the chat…")
    link.answer(branch(exchanges(1, 2)))
    assert page.stack.currentWidget() is page.messages


def test_a_lost_worker_is_told_over_the_composer(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    opened(page, link)
    link.become(Connection.RESTARTING)
    assert page.connection.isVisible() and "started again" in page.connection.text.text()
    assert page.stack.currentWidget() is page.messages
    link.become(Connection.CONNECTED)
    assert not page.connection.isVisible()


def test_a_refusal_is_told_and_put_away(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    opened(page, link)
    page.composer.put("Again")
    page.composer.submit()
    link.refuse("The disk is full.")
    assert page.problem.text.text() == "The disk is full." and page.composer.field.toPlainText() == "Again"
    page.problem.action.click()
    assert not page.problem.isVisible()


def test_an_edited_question_is_put_in_the_field_and_the_draft_comes_back(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    opened(page, link)
    page.composer.field.setPlainText("half a thought")
    page._chat.edit(1)
    assert page.composer.field.toPlainText() == "Question 1" and page.composer.cancel.isVisible()
    press(page, "Esc")
    assert page.composer.field.toPlainText() == "half a thought" and not page.composer.cancel.isVisible()


def test_a_route_that_is_missing_is_told_under_the_answer(open_page: OpenPage, link: FakeLink, qtbot: QtBot) -> None:
    page = open_page()
    opened(page, link, message(1), growing(2))
    text = "No route: nobody serves blocks 31-38. Trying again."
    link.chat_happened.emit(event("answer_notice", message_id=2, kind="route", text=text))

    def words() -> str:
        from gui.widgets.chat.remark_lines import RemarkLines

        found = (label for lines in page.findChildren(RemarkLines) for _, label in lines._lines)
        return " ".join(label.text() for label in found if label.isVisible())

    qtbot.waitUntil(lambda: text in words())
    assert "Looking for" not in words()


# Conversations


def test_a_conversation_is_opened_and_marked(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    listed(link, conversation(2), conversation(1))
    place = page.pane.list.visualRect(page.pane.list.model().index(1, 0)).center()
    QTest.mouseClick(page.pane.list.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert action(link) == ("open", {"conversation_id": 1, "limit": 100})
    press(page, "Ctrl+PgUp")
    assert action(link)[1]["conversation_id"] == 2
    entry = page.pane.entry()
    assert entry is not None and entry.conversation.id == 2


def test_a_search_opens_the_message_that_was_found(open_page: OpenPage, link: FakeLink, qtbot: QtBot) -> None:
    page = open_page()
    press(page, "Ctrl+F")
    assert page.pane.search.hasFocus()
    page.pane.search.setText("petal")
    qtbot.waitUntil(lambda: action(link)[0] == "search")
    link.answer([{"conversation": conversation(1), "message_id": 7, "excerpt": "a petal of a rose"}])
    page.pane.list.activated.emit(page.pane.list.model().index(0, 0))
    link.answer(branch(exchanges(901, 1000), has_earlier=True))
    assert action(link)[1] == {"conversation_id": 1, "limit": 500, "before": 901}
    page.pane.search.setText("nothing like it")
    qtbot.waitUntil(lambda: action(link)[0] == "search")
    link.answer([])
    assert "Nothing was found" in page.pane.nothing.text()
    page.pane.search.setFocus()
    press(page, "Esc")
    assert page.pane.search.text() == "" and action(link)[0] == "recent"


def test_nothing_is_deleted_without_a_word(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    listed(link, conversation(1))
    opened(page, link)
    for answer, is_deleted in (("Keep", False), ("Delete", True)):
        page.pane.list.setFocus()
        QTest.keyClick(page.pane.list, Qt.Key.Key_Delete)
        question = page.findChild(QMessageBox)
        assert question is not None and "“Chat 1”" in question.text()
        next(button for button in question.buttons() if button.text() == answer).click()
        QTest.qWait(0)
        assert (action(link)[0] == "delete") is is_deleted


def test_a_chat_is_exported_where_its_owner_says(open_page: OpenPage, link: FakeLink, tmp_path: Path) -> None:
    page = open_page()
    listed(link, conversation(1))
    opened(page, link)
    press(page, "Ctrl+E")
    dialog = page.findChild(QFileDialog)
    assert dialog is not None and dialog.defaultSuffix() == "md"
    dialog.fileSelected.emit(str(tmp_path / "chat.md"))
    dialog.close()
    assert action(link)[0] == "export"
    link.answer("# Chat 1")
    assert (tmp_path / "chat.md").read_text() == "# Chat 1"


def test_what_the_head_offers_is_for_the_chat_that_is_open(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    listed(link, conversation(1), conversation(2))
    opened(page, link)
    page.pane.list.setFocus()
    QTest.keyClick(page.pane.list, Qt.Key.Key_Down)
    entry = page.pane.entry()
    assert entry is not None and entry.conversation.id == 2
    menu = page.head._make_menu(page)
    entry = page.pane.entry()
    assert entry is not None and entry.conversation.id == 1
    assert all(action.isEnabled() for action in menu.actions())
    page.pane.list.setCurrentIndex(QModelIndex())
    assert not any(action.isEnabled() for action in page.pane.menu(page).actions())


@pytest.mark.parametrize(
    ("title", "name"), [("What/why: a*b?", "What why a b"), ("", "chat"), ("..", "chat"), ("x" * 200, "x" * 80)]
)
def test_a_title_becomes_the_name_of_a_file(title: str, name: str) -> None:
    from gui.viewmodels.chat_values import read_conversation

    assert file_name(read_conversation(conversation(1, title=title))) == name


def test_a_title_is_edited_in_its_line(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    listed(link, conversation(1))
    opened(page, link)
    press(page, "F2")
    editor = QApplication.focusWidget()
    assert editor is not None and editor.accessibleName() == "Title of the chat"
    QTest.keyClicks(editor, "Flowers")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    QTest.qWait(0)
    assert action(link) == ("rename", {"conversation_id": 1, "title": "Flowers"})


# The sheet


def test_options_are_kept_when_changes_rest(open_page: OpenPage, link: FakeLink, qtbot: QtBot) -> None:
    page = open_page()
    opened(page, link)
    press(page, "Ctrl+I")
    assert page.sheet.isVisible()
    page.sheet.prompt.setPlainText("Rhyme.")
    page.sheet.numbers[0]._input.setValue(0)  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: action(link)[0] == "configure")
    sampling = {"temperature": 0.0}
    assert action(link)[1] == {"conversation_id": 1, "system_prompt": "Rhyme.", "sampling": sampling}
    changed = conversation(1, system_prompt="Rhyme.", sampling=sampling)
    link.chat_happened.emit(event("conversation_changed", conversation=changed))
    page.sheet.reset.click()
    assert action(link)[1] == {"conversation_id": 1, "system_prompt": "", "sampling": {}}


def test_a_question_goes_by_what_was_changed_a_moment_before(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    opened(page, link)
    page.sheet.numbers[0]._input.setValue(0)  # type: ignore[union-attr]
    page.composer.put("And now?")
    page.composer.submit()
    assert [action(link, number)[0] for number in (-2, -1)] == ["configure", "ask"]


def test_what_was_changed_belongs_to_the_chat_in_which_it_was(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    listed(link, conversation(1), conversation(2))
    opened(page, link)
    page.sheet.numbers[0]._input.setValue(0)  # type: ignore[union-attr]
    page.pane.step(1)
    assert action(link, -2)[0] == "configure" and action(link, -2)[1]["conversation_id"] == 1
    assert action(link)[1]["conversation_id"] == 2


def test_a_field_has_room_for_what_it_says_while_nothing_is_chosen(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page(width=1200)
    press(page, "Ctrl+I")
    for number in page.sheet.numbers[-2:]:
        field = number._input
        room = field.lineEdit().width() if isinstance(field, QDoubleSpinBox) else field.width() - 18
        assert room - 6 >= field.fontMetrics().horizontalAdvance(number._unset)


def test_a_seed_of_nineteen_digits_is_kept_exactly(open_page: OpenPage, link: FakeLink, qtbot: QtBot) -> None:
    page = open_page()
    seed = page.sheet.numbers[5]._input
    QTest.keyClicks(seed, "12x34567890123456789")
    page.sheet.keep()
    assert page._chat.options.sampling == {"seed": 1234567890123456789}


def test_chosen_servers_are_asked_alone(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    server = SwarmServer(peer_id="QmAnna", start=0, end=4, state="online", throughput=1, public_name="Anna")
    link.swarm_changed.emit(SwarmChanged(num_blocks=4, servers=(server,)))
    page.sheet.servers.only.setChecked(True)
    item = page.sheet.servers.list.item(0)
    assert item.text() == "Anna: blocks 0–3"
    item.setCheckState(Qt.CheckState.Checked)
    page.sheet.keep()
    assert page._chat.options.sampling == {"peers": ["QmAnna"]}
    page.sheet.servers.only.setChecked(False)
    page.sheet.keep()
    assert page._chat.options.sampling == {}


def test_who_chooses_servers_keeps_his_place_while_the_swarm_moves(open_page: OpenPage, link: FakeLink) -> None:
    def told(speed: float, *names: str) -> None:
        servers = (SwarmServer(peer_id=f"Qm{name}", start=0, end=4, state="online", throughput=speed) for name in names)
        link.swarm_changed.emit(SwarmChanged(num_blocks=4, servers=tuple(servers)))

    page = open_page()
    told(1.0, "Anna", "Bert", "Zoe")
    choice = page.sheet.servers
    choice.only.setChecked(True)
    choice.list.setCurrentRow(1)
    item = choice.list.item(1)
    told(2.0, "Anna", "Bert", "Zoe")
    assert choice.list.item(1) is item, "what is shown has not changed"
    told(2.0, "Aaron", "Anna", "Bert", "Zoe")
    assert choice.list.currentItem().text().startswith("QmBert")


def test_another_model_than_at_the_beginning_is_told(open_page: OpenPage, link: FakeLink, qtbot: QtBot) -> None:
    page = open_page()
    link.say(model="bigscience/bloomz")
    opened(page, link)
    assert "began with bloom." in page.sheet.model_note.text()
    with qtbot.waitSignal(page.model_wanted):
        page.sheet.change_model.click()


# Room


def test_panes_make_room_for_the_messages(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page(width=1200)
    press(page, "Ctrl+I")
    assert page.pane.isVisible() and page.main.isVisible() and page.sheet.isVisible()
    page.resize(810, 640)
    assert not page.pane.isVisible() and page.main.isVisible() and page.sheet.isVisible()
    page.resize(560, 480)
    assert page.sheet.isVisible() and not page.main.isVisible()
    page.sheet.close_button.click()
    assert page.main.isVisible() and not page.pane.isVisible()
    press(page, "Ctrl+B")
    assert page.pane.isVisible() and not page.main.isVisible()
    page.pane.chosen.emit(1, None)
    assert page.main.isVisible() and not page.pane.isVisible()


# Everybody


def test_the_keyboard_does_everything(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page()
    opened(page, link)
    press(page, "Ctrl+Shift+C")
    assert QGuiApplication.clipboard().text() == "Answer 2"
    press(page, "Ctrl+R")
    assert action(link) == ("regenerate", {"message_id": 2})
    answer = growing(3, parent_id=1, versions=[2, 3])
    link.answer({"conversation": conversation(1), "question": exchanges(1, 1)[0], "answer": answer})
    press(page, "Esc")
    assert action(link)[0] == "stop"
    press(page, "Ctrl+N")
    assert page._chat.talk.id is None and page.composer.field.hasFocus()


def test_every_control_has_a_name(open_page: OpenPage, link: FakeLink) -> None:
    page = open_page(width=1300)
    opened(page, link, message(1), message(2, "assistant", "Text\n```\ncode\n```", versions=[2, 5]))
    press(page, "Ctrl+I")
    QTest.qWait(20)
    for widget in page.findChildren(QWidget):
        if widget.isVisible() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.focusProxy() is None:
            named = widget.accessibleName() or (widget.text() if isinstance(widget, QAbstractButton) else "")
            assert named, f"{widget} is a control without a name"


def test_a_link_is_opened_by_the_desktop_after_a_click(
    open_page: OpenPage, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    went: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", went.append)
    page = open_page()
    opened(page, link, message(1), message(2, "assistant", "[a](https://example.org/x)"))
    QTest.qWait(20)
    assert went == []
    view = page.messages._views()[-1]
    assert view is not None
    for target in ("file:///etc/passwd", "https://example.org/x"):
        view.anchorClicked.emit(QUrl(target))
    assert went == [QUrl("https://example.org/x")]
