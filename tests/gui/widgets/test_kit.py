"""The parts that pages are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from gui import theme
from gui.widgets.banner import Banner
from gui.widgets.card import Card
from gui.widgets.empty_state import EmptyState
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.page import MAX_WIDTH, Page
from gui.widgets.state_dot import DotKind, StateDot
from gui.widgets.switch import Switch


def test_a_page_stays_narrow_enough_to_read_and_scrolls_down_alone(qtbot: QtBot) -> None:
    page = Page("History")
    qtbot.addWidget(page)
    tall = QLabel("words")
    tall.setMinimumHeight(3000)
    page.body.addWidget(tall)
    page.resize(1800, 600)
    page.show()
    qtbot.waitUntil(lambda: page.scroll_area.verticalScrollBar().maximum() > 0)
    assert tall.width() <= MAX_WIDTH
    assert page.scroll_area.horizontalScrollBar().maximum() == 0


def test_a_card_without_a_title_has_no_room_for_one(qtbot: QtBot) -> None:
    with_title, without = Card("Now"), Card()
    for card in (with_title, without):
        qtbot.addWidget(card)
        card.body.addWidget(QLabel("41 tokens/s"))
    assert without.sizeHint().height() < with_title.sizeHint().height()
    assert with_title.accessibleName() == "Now"


def test_a_banner_offers_what_it_was_given_and_no_more(qtbot: QtBot) -> None:
    banner = Banner()
    qtbot.addWidget(banner)
    assert not banner.isVisible()
    pressed: list[str] = []
    banner.show_message(
        "warn",
        "The worker ended.",
        "Copy report",
        lambda: pressed.append("copy"),
        second_text="Try again",
        on_second=lambda: pressed.append("again"),
        on_close=lambda: pressed.append("close"),
    )
    for button in (banner.action, banner.second, banner.close_button):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert pressed == ["copy", "again", "close"]
    assert banner.accessibleName() == "The worker ended."
    banner.show_message("info", "It was started again.")
    assert not (banner.action.isVisible() or banner.second.isVisible() or banner.close_button.isVisible())
    banner.action.click()
    assert pressed == ["copy", "again", "close"]


def test_the_words_of_an_empty_state_are_not_cut_off(qtbot: QtBot) -> None:
    state = EmptyState("chat", "No conversations yet", "word " * 60, "New chat")
    qtbot.addWidget(state)
    state.resize(600, 500)
    state.show()
    assert state.text.height() >= state.text.heightForWidth(state.text.width())
    assert state.action.isVisible()


def test_a_switch_is_a_check_box_to_mouse_and_keyboard(qtbot: QtBot) -> None:
    switch = Switch("Only when idle")
    qtbot.addWidget(switch)
    switch.show()
    qtbot.mouseClick(switch, Qt.MouseButton.LeftButton, pos=QPoint(switch.width() - 3, 5))
    assert switch.isChecked()
    switch.setFocus()
    qtbot.keyClick(switch, Qt.Key.Key_Space)
    assert not switch.isChecked()


def test_the_knob_of_a_switch_that_is_not_seen_is_in_its_place_at_once(qtbot: QtBot) -> None:
    off, on = Switch(), Switch()
    on.setChecked(True)
    pictures = []
    for switch in (off, on):
        qtbot.addWidget(switch)
        pictures.append(switch.grab().toImage())
    middle = pictures[0].height() // 2
    assert pictures[0].pixelColor(10, middle) == QColor(theme.current().surface)
    assert pictures[1].pixelColor(30, middle) == QColor(theme.current().on_accent)
    assert pictures[1].pixelColor(10, middle) == QColor(theme.current().accent)


@pytest.fixture
def effects() -> Iterator[Callable[[bool], None]]:
    """Turns those of the desktop on or off."""
    before = QApplication.isEffectEnabled(Qt.UIEffect.UI_General)
    yield lambda are_on: QApplication.setEffectEnabled(Qt.UIEffect.UI_General, are_on)
    QApplication.setEffectEnabled(Qt.UIEffect.UI_General, before)


@pytest.mark.parametrize("are_on", [True, False])
def test_nothing_moves_where_the_desktop_asks_for_less(
    qtbot: QtBot, effects: Callable[[bool], None], are_on: bool
) -> None:
    effects(are_on)
    switch = Switch()
    qtbot.addWidget(switch)
    switch.show()
    switch.click()
    assert (switch._place < 1.0) is are_on
    qtbot.waitUntil(lambda: switch._place == 1.0)


@pytest.mark.parametrize("choice", ["light", "dark"])
def test_every_dot_has_a_shape_of_its_own(qtbot: QtBot, qapp: QApplication, choice: theme.Choice) -> None:
    theme.apply(qapp, choice, 1.0)
    kinds: tuple[DotKind, ...] = ("good", "busy", "paused", "bad", "off")
    shapes = set()
    for kind in kinds:
        dot = StateDot(size=24)
        qtbot.addWidget(dot)
        dot.show_kind(kind)
        picture = dot.grab().toImage()
        ground = picture.pixelColor(0, 0)
        filled = tuple(picture.pixelColor(x, y) != ground for x in range(24) for y in range(24))
        inner = tuple(picture.pixelColor(x, 12) != picture.pixelColor(12, 3) for x in range(6, 18))
        shapes.add((filled, inner))
    assert len(shapes) == len(kinds)


class Flow(QWidget):
    """Labels, each a letter longer than the one before."""

    def __init__(self, width: int, number: int, *, column_px: int | None = 200):
        super().__init__()
        layout = FlowLayout(self, spacing=10, column_px=column_px)
        self.items = [QLabel("x" * (index + 1)) for index in range(number)]
        for item in self.items:
            layout.addWidget(item)
        self.resize(width, 400)
        self.show()


def test_as_many_columns_as_fit_and_all_of_one_width(qtbot: QtBot) -> None:
    flow = Flow(650, 4)
    qtbot.addWidget(flow)
    items = flow.items
    assert [item.width() for item in items] == [210, 210, 210, 210]
    assert [item.x() for item in items] == [0, 220, 440, 0]
    assert items[3].y() > items[0].y()


def test_in_a_narrow_window_there_is_one_column(qtbot: QtBot) -> None:
    flow = Flow(300, 3)
    qtbot.addWidget(flow)
    assert [item.x() for item in flow.items] == [0, 0, 0]


def test_without_columns_items_follow_each_other_like_words(qtbot: QtBot) -> None:
    flow = Flow(400, 3, column_px=None)
    qtbot.addWidget(flow)
    items = flow.items
    assert items[0].x() < items[1].x() < items[2].x()
    assert items[0].width() < items[2].width()


def test_a_hidden_item_leaves_no_hole(qtbot: QtBot) -> None:
    flow = Flow(650, 3)
    qtbot.addWidget(flow)
    flow.items[0].hide()
    qtbot.waitUntil(lambda: flow.items[1].x() == 0)


def test_actions_that_do_not_fit_beside_the_title_stand_below_it(qtbot: QtBot) -> None:
    page = Page("Settings")
    qtbot.addWidget(page)
    search = QLabel("words")
    search.setMinimumWidth(300)
    page.actions.addWidget(search)
    page.resize(900, 400)
    page.show()
    assert search.geometry().center().y() == pytest.approx(page.title.geometry().center().y(), abs=3)
    page.resize(380, 400)
    qtbot.waitUntil(lambda: search.y() > page.title.geometry().bottom())
    assert search.geometry().right() < 380
    page.resize(900, 400)
    qtbot.waitUntil(lambda: search.y() < page.title.geometry().bottom())
