"""Every control of every page, in every state, has a name for whoever does not see it, and is reached by keyboard."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QScrollBar,
    QVBoxLayout,
    QWidget,
)
from pytestqt.qtbot import QtBot

from gui.widgets.block_strip import BlockStrip
from gui.widgets.chat.chat_page import ChatPage
from gui.widgets.chat.route_strip import RouteStrip
from gui.widgets.close_question import CloseQuestion
from gui.widgets.goodbye import Goodbye
from gui.widgets.sparkline import Sparkline
from gui.worker_link import Connection
from tests.gui.every_state import (
    PAGES,
    Stage,
    first_run,
    first_run_states,
    settle,
    stage,
    states,
    talk,
    wait_until_active,
)
from tests.gui.fake_link import FakeLink

CONTROLS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
)
PICTURES = (BlockStrip, RouteStrip, Sparkline)
"""They tell something, and no key leads to them."""
MOST_STOPS = 300
MOST_LINKS = 20
"""Of one text: Tab goes from one to the next in it."""


def seen(root: QWidget) -> list[QWidget]:
    """What has to have a name: all that is seen and can be operated, read with the keyboard, or looked at."""
    return [
        widget
        for widget in root.findChildren(QWidget)
        if widget.isVisibleTo(root)
        and not is_read_out(widget)
        and (isinstance(widget, CONTROLS + PICTURES) or widget.focusPolicy() != Qt.FocusPolicy.NoFocus)
        and not is_part_of_a_control(widget)
    ]


def is_read_out(widget: QWidget) -> bool:
    """A label, which can be marked with the mouse; one with links is a control."""
    links = Qt.TextInteractionFlag.LinksAccessibleByMouse
    return isinstance(widget, QLabel) and not widget.textInteractionFlags() & links


def is_part_of_a_control(widget: QWidget) -> bool:
    """Of a control that has the name and the keys: scroll bars, the field in a spin box, the corner of a list."""
    if isinstance(widget, QScrollBar | QHeaderView) or widget.objectName().startswith("qt_"):
        return True
    parent = widget.parentWidget()
    if isinstance(parent, QAbstractSpinBox | QComboBox | QLineEdit):
        return True
    # A scroll area that only frames a page has no words of its own.
    return isinstance(widget, QScrollArea) and widget.focusPolicy() == Qt.FocusPolicy.NoFocus


def name_of(widget: QWidget) -> str:
    interface = QAccessible.queryAccessibleInterface(widget)
    return interface.text(QAccessible.Text.Name) if interface is not None else widget.accessibleName()


def describe(widget: QWidget) -> str:
    chain = []
    parent = widget.parentWidget()
    while parent is not None and len(chain) < 4:
        chain.append(type(parent).__name__)
        parent = parent.parentWidget()
    text = widget.text() if isinstance(widget, QAbstractButton | QLineEdit) else ""
    return f"{type(widget).__name__}({text!r}) in {' in '.join(chain)}"


def walked(root: QWidget) -> set[QWidget]:
    """What Tab comes to, pressed until it is where it was at first."""
    first = now = _after_tab(root)
    stops = [first]
    presses = 0
    for _ in range(MOST_STOPS):
        before, now = now, _after_tab(root)
        presses = presses + 1 if now is before else 0
        if now is first and now is not before:
            return set(stops)
        if presses > MOST_LINKS:
            break
        stops.append(now)
    if len(_tab_stops(root)) == 1:
        return set(stops)
    raise AssertionError(f"Tab does not lead out of {[describe(stop) for stop in stops]}")


def _after_tab(root: QWidget) -> QWidget:
    QTest.keyClick(QApplication.focusWidget() or root, Qt.Key.Key_Tab)
    focus = QApplication.focusWidget()
    assert focus is not None, "nothing has the keyboard"
    return focus


def _tab_stops(root: QWidget) -> list[QWidget]:
    """What says of itself that Tab comes to it."""
    return [
        widget
        for widget in root.findChildren(QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isEnabled() and widget.isVisibleTo(root)
    ]


def is_reached(widget: QWidget, stops: set[QWidget]) -> bool:
    if widget in stops or not widget.isEnabled() or isinstance(widget, PICTURES):
        return True
    if isinstance(widget, QAbstractButton) and widget.group() is not None:
        return any(button in stops for button in widget.group().buttons())  # the arrow keys go on from there
    # What only shows something and is scrolled by the page around it needs no keys of its own.
    return isinstance(widget, QAbstractScrollArea) and not widget.focusPolicy() & Qt.FocusPolicy.TabFocus


def faults(root: QWidget, state: str) -> list[str]:
    """What has no name, and what no key leads to."""
    found = seen(root)
    assert found, state
    stops = walked(root)
    nameless = [f"{state}: {describe(each)} has no name" for each in found if not name_of(each).strip()]
    return nameless + [f"{state}: no key to {describe(each)}" for each in found if not is_reached(each, stops)]


@pytest.mark.parametrize("page", PAGES)
def test_every_control_of_a_page_has_a_name_and_is_reached_by_keyboard(link: FakeLink, page: str) -> None:
    found = []
    with stage(link) as on:
        for state, tell in states(page):
            tell(on)
            found += faults(on.window, state)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_no_window_beside_the_one_that_it_is_in(link: FakeLink, page: str) -> None:
    with stage(link) as on:
        shown: list[str] = []
        on.watch_windows(shown.append)
        for state, tell in states(page):
            tell(on)
            assert shown == [], state


def test_in_a_small_window_too(link: FakeLink) -> None:
    """But for what stands under messages: Tab goes through those in sight, and these change as it goes."""
    found = []
    with stage(link, 720, 480) as on:
        for page in ("chat", "settings"):
            for state, tell in states(page):
                tell(on)
                found += [fault for fault in faults(on.window, state) if "in MessageList" not in fault]
    assert not found, "\n".join(found)


def test_a_keyboard_that_is_caught_is_noticed(qtbot: QtBot) -> None:
    """The test of the tests: a field that keeps Tab for itself, and a button without a word."""
    root = QWidget()
    qtbot.addWidget(root)
    column = QVBoxLayout(root)
    for widget in (QPushButton(), QPlainTextEdit(), QPushButton("Next")):
        column.addWidget(widget)
    root.show()
    root.activateWindow()
    wait_until_active(root)
    with pytest.raises(AssertionError, match=r"Tab does not lead out of .*QPlainTextEdit"):
        walked(root)
    root.findChildren(QPlainTextEdit)[0].setTabChangesFocus(True)
    assert [fault.split(" in ")[0] for fault in faults(root, "now")] == [
        "now: QPushButton('')",
        "now: QPlainTextEdit('')",
    ]


def test_the_keyboard_goes_along_the_rail_without_being_caught(link: FakeLink) -> None:
    with stage(link) as on:
        on.show("home")
        on.view.rail.focus()
        went = []
        for _ in PAGES[1:]:
            focus = QApplication.focusWidget()
            assert focus is not None
            QTest.keyClick(focus, Qt.Key.Key_Down)
            settle()
            went.append(getattr(QApplication.focusWidget(), "text", str)())
    assert went == ["Chat", "Swarm", "History", "Settings"]


@pytest.mark.parametrize("dialog", ["close", "goodbye", "delete"])
def test_dialogs_too(qtbot: QtBot, link: FakeLink, dialog: str) -> None:
    with stage(link) as on:
        if dialog == "delete":
            made: QWidget = _question_whether_to_delete(on)
        else:
            made = CloseQuestion(on.window) if dialog == "close" else Goodbye()
            qtbot.addWidget(made)
        made.show()
        made.activateWindow()
        wait_until_active(made)
        assert faults(made, dialog) == []


def _question_whether_to_delete(on: Stage) -> QWidget:
    on.show("chat")
    on.link.become(Connection.CONNECTED)
    talk(on)
    page = on.one(ChatPage)
    page.pane.ask_to_delete()
    question = page.findChild(QMessageBox)
    assert question is not None
    return question


def test_the_first_run_on_each_of_its_pages(link: FakeLink) -> None:
    found = []
    with first_run(link) as page:
        for state in first_run_states(page):
            found += faults(page, state)
    assert not found, "\n".join(found)
