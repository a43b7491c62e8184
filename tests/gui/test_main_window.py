from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_link import FakeLink
from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from gui import theme
from gui.main_window import LEAST_SIZE, MainWindow, PageEntry, PagesView
from gui.viewmodels.worker import WorkerViewModel
from gui.widgets.banner import Banner
from gui.widgets.rail import Place
from gui.worker_link import Connection

KEYS = ("home", "chat", "swarm")


@pytest.fixture
def memory(tmp_path: Path) -> QSettings:
    return QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)


@pytest.fixture
def window(qtbot: QtBot, memory: QSettings) -> Iterator[MainWindow]:
    made = MainWindow(memory)
    yield made
    made.let_go()
    made.close()


class PageOfParts(QLabel):
    def __init__(self, parts: list[str]):
        super().__init__("parts")
        self._parts = parts

    def show_section(self, key: str) -> None:
        self._parts.append(key)


class Pages:
    """Builds pages and keeps which were built."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.parts: list[str] = []

    def entries(self) -> list[PageEntry]:
        return [PageEntry(Place(key, key.title(), "home"), lambda key=key: self._build(key)) for key in KEYS]

    def _build(self, key: str) -> QWidget:
        self.built.append(key)
        return PageOfParts(self.parts) if key == "swarm" else QLabel(key)


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def view(qtbot: QtBot, link: FakeLink, pages: Pages) -> PagesView:
    made = PagesView(pages.entries(), WorkerViewModel(link, link), [Banner()])  # type: ignore[arg-type]
    qtbot.addWidget(made)
    return made


def test_a_page_is_made_when_it_is_first_looked_at(view: PagesView, pages: Pages) -> None:
    view.show_page("home")
    assert pages.built == ["home"]
    view.show_page("swarm")
    view.show_page("home")
    assert pages.built == ["home", "swarm"]


def test_the_rail_leads_to_pages_by_mouse_and_keyboard(
    qtbot: QtBot, view: PagesView, pages: Pages, qapp: QApplication
) -> None:
    view.show_page("home")
    view.show()
    view.activateWindow()
    qtbot.waitUntil(view.isActiveWindow)
    shown: list[str] = []
    view.shown.connect(shown.append)
    view.rail.focus()
    focused = qapp.focusWidget()
    assert focused is not None and focused.accessibleName() == "Home"
    qtbot.keyClick(focused, Qt.Key.Key_Down)
    assert shown == ["chat"]
    qtbot.keyClick(view, Qt.Key.Key_3, Qt.KeyboardModifier.ControlModifier)
    assert shown == ["chat", "swarm"]


def test_a_page_can_lead_to_a_part_of_another(view: PagesView, pages: Pages) -> None:
    view.show_part("chat", "serving")
    assert pages.built == ["chat"]  # a page without parts is just shown
    view.show_part("swarm", "serving")
    assert pages.parts == ["serving"]


def test_a_page_that_is_no_more_leads_to_the_first(view: PagesView) -> None:
    assert view.known("points") == "home"
    assert view.known("chat") == "chat"


def test_a_hidden_banner_takes_no_room(qtbot: QtBot, view: PagesView) -> None:
    view.show_page("home")
    view.resize(800, 600)
    view.show()
    assert view.page("home").height() == 600


def test_the_foot_of_the_rail_says_how_it_is(view: PagesView, link: FakeLink) -> None:
    link.say()
    words = [label.text() for label in view.rail.findChildren(QLabel)]
    assert words == ["Serving"]
    link.become(Connection.GAVE_UP, "The worker failed 5 times in a row.")
    assert [label.text() for label in view.rail.findChildren(QLabel)] == ["Problem"]


def test_the_window_remembers_its_size(window: MainWindow, memory: QSettings) -> None:
    window.resize(780, 700)
    window.remember_geometry()
    other = MainWindow(memory)
    assert (other.width(), other.height()) == (780, 700)
    other.let_go()
    other.close()


def test_a_memory_that_is_damaged_is_no_hindrance(qtbot: QtBot, tmp_path: Path) -> None:
    file = tmp_path / "window.ini"
    file.write_text("[window]\ngeometry=@ByteArray(nonsense)\npage=7")
    made = MainWindow(QSettings(str(file), QSettings.Format.IniFormat))
    assert made.width() >= LEAST_SIZE[0]
    made.let_go()
    made.close()


def test_closing_is_asked_for_and_not_done(qtbot: QtBot, window: MainWindow) -> None:
    window.show()
    with qtbot.waitSignal(window.close_wanted):
        window.close()
    assert window.isVisible()
    window.let_go()
    window.close()
    assert not window.isVisible()


def test_a_new_view_takes_the_place_of_the_old(qtbot: QtBot, window: MainWindow) -> None:
    first, second = QLabel("first run"), QLabel("pages")
    window.show_view(first)
    with qtbot.waitSignal(first.destroyed):
        window.show_view(second)
    assert window.view is second


def test_a_minimised_window_comes_back_to_the_front(window: MainWindow) -> None:
    window.showMinimized()
    window.come_to_front()
    assert not window.isMinimized()
    assert window.isVisible()


def test_no_word_of_the_rail_is_cut_off_however_large_text_is(
    qtbot: QtBot, qapp: QApplication, view: PagesView
) -> None:
    view.show_page("home")
    view.resize(*LEAST_SIZE)
    view.show()
    before = view.rail.width()
    theme.apply(qapp, "light", 2.0)
    qtbot.waitUntil(lambda: view.rail.width() > before)
    items = [item for item in view.rail.findChildren(QAbstractButton) if item.isVisible()]
    assert all(item.width() >= item.sizeHint().width() for item in items)
