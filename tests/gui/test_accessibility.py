"""Every control of every page has a name for whoever does not see it, and can be reached by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fake_link import FakeLink
from PySide6.QtCore import QSettings, Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QRadioButton,
    QScrollArea,
    QScrollBar,
    QTabBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from gui.main_window import MainWindow, PagesView
from gui.widgets.close_question import CloseQuestion
from gui.widgets.goodbye import Goodbye
from gui.widgets.settings_page import SettingsPage
from gui.widgets.swarm_page import SwarmPage
from gui.widgets.worker_banner import WorkerBanner
from gui.worker_link import Connection
from gui.workspace import Workspace
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import (
    ChatEvent,
    Download,
    GpuReading,
    LogLine,
    Points,
    Sample,
    SwarmChanged,
    SwarmServer,
)
from volunteer.settings import AppSettings, Settings

CONTROLS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QTabBar,
)
PAGES = ("home", "chat", "swarm", "history", "settings")


def serving(link: FakeLink) -> None:
    gpu = GpuReading(
        name="NVIDIA RTX 3060", free_bytes=3 * 2**30, total_bytes=12 * 2**30, temperature_c=61, power_w=118.0
    )
    link.say(
        blocks=(12, 16),
        blocks_reason="because nobody else serves blocks 12-15",
        peer_id="Qm1",
        reach="relayed",
        advice="Others reach this computer directly.",
        cannot_tell=("which programs run",),
        gpus=(gpu,),
        points=Points(today=1240.0),
        endpoint="http://127.0.0.1:11435/v1",
    )
    link.swarm_changed.emit(
        SwarmChanged(
            num_blocks=70,
            servers=(SwarmServer(peer_id="Qm1", start=12, end=16, state="online", throughput=41.0, public_name="me"),),
        )
    )
    for number in range(3):
        link.sampled.emit(Sample(time_s=10.0 * number))
    link.logged.emit([LogLine(number=1, level="INFO", topic="worker", text="Serving.")])


def paused(link: FakeLink) -> None:
    link.say(state=State.PAUSED, reason="Paused by you", mode=Mode.NEVER)


def downloading(link: FakeLink) -> None:
    download = Download(done_bytes=10**9, total_bytes=3 * 10**9, bytes_per_s=4e6, eta_s=500.0)
    link.say(state=State.DOWNLOADING, blocks=(12, 16), download=download)


def failed(link: FakeLink) -> None:
    link.say(state=State.FAILED, reason="The disk is full.")


def gave_up(link: FakeLink) -> None:
    link.become(Connection.GAVE_UP, "The worker failed 5 times in a row.")


def crashed(link: FakeLink) -> None:
    serving(link)
    link.become(Connection.RESTARTING, "The worker ended with signal 9.", 2.0)
    link.become(Connection.CONNECTED)


STATES: tuple[Callable[[FakeLink], None], ...] = (serving, paused, downloading, failed, gave_up, crashed)


@pytest.fixture
def window(qtbot: QtBot, link: FakeLink) -> Iterator[MainWindow]:
    memory = QSettings(str(link.data_dir / "window.ini"), QSettings.Format.IniFormat)
    made = MainWindow(memory)
    workspace = Workspace(link, Settings(app=AppSettings(consented=True)), link)  # type: ignore[arg-type]
    made.show_view(PagesView(workspace.entries(), workspace.worker, [WorkerBanner(workspace.worker)]))
    made.show()
    made.activateWindow()
    qtbot.waitUntil(made.isActiveWindow)
    yield made
    made.let_go()
    made.close()
    made.deleteLater()


def shown(window: MainWindow, key: str) -> None:
    view = window.view
    assert isinstance(view, PagesView)
    view.show_page(key)
    QApplication.processEvents()


def controls(root: QWidget) -> list[QWidget]:
    """Everything that is seen and can be operated or read with the keyboard."""
    return [
        widget
        for widget in root.findChildren(QWidget)
        if widget.isVisibleTo(root)
        and (isinstance(widget, CONTROLS) or widget.focusPolicy() != Qt.FocusPolicy.NoFocus)
        and not is_part_of_a_control(widget)
    ]


def is_part_of_a_control(widget: QWidget) -> bool:
    """Of a control that has the name and the keys: scroll bars, the field in a spin box, the corner of a list."""
    if isinstance(widget, QScrollBar | QHeaderView) or widget.objectName().startswith("qt_"):
        return True
    parent = widget.parentWidget()
    if isinstance(parent, QAbstractSpinBox | QComboBox | QTabBar | QLineEdit):
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


def tab_stops(root: QWidget) -> set[QWidget]:
    """What the tab key comes to, from the first widget round to it again."""
    stops: set[QWidget] = set()
    widget = root.nextInFocusChain()
    while widget is not None and widget is not root:
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isEnabled() and widget.isVisibleTo(root):
            stops.add(widget)
        widget = widget.nextInFocusChain()
    return stops


def can_be_reached(widget: QWidget, stops: set[QWidget]) -> bool:
    if widget in stops or not widget.isEnabled():
        return True
    if isinstance(widget, QLabel) and not widget.textInteractionFlags() & Qt.TextInteractionFlag.LinksAccessibleByMouse:
        return True  # it can be marked with the mouse, and is read out as it stands
    proxy = widget.focusProxy()
    if proxy is not None and proxy in stops:
        return True
    if isinstance(widget, QRadioButton | QCheckBox | QAbstractButton) and widget.group() is not None:
        return any(button in stops for button in widget.group().buttons())  # the arrow keys go on from there
    # What only shows something and is scrolled by the page around it needs no keys of its own.
    return isinstance(widget, QAbstractScrollArea) and widget.focusPolicy() == Qt.FocusPolicy.NoFocus


@pytest.mark.parametrize("key", PAGES)
def test_every_control_of_a_page_has_a_name_and_is_reached_by_keyboard(
    window: MainWindow, link: FakeLink, key: str
) -> None:
    shown(window, key)
    nameless, out_of_reach = [], []
    for state in STATES:
        state(link)
        QApplication.processEvents()
        found = controls(window)
        stops = tab_stops(window)
        nameless += [f"{state.__name__}: {describe(each)}" for each in found if not name_of(each).strip()]
        out_of_reach += [f"{state.__name__}: {describe(each)}" for each in found if not can_be_reached(each, stops)]
        link.become(Connection.CONNECTED)
    assert (nameless, out_of_reach) == ([], [])


def test_every_part_of_the_settings_too(window: MainWindow, link: FakeLink) -> None:
    shown(window, "settings")
    serving(link)
    view = window.view
    assert isinstance(view, PagesView)
    page = view.page("settings")
    assert isinstance(page, SettingsPage)
    assert page.list.count() > 8
    nameless, out_of_reach = [], []
    for row in range(page.list.count()):
        page.list.setCurrentRow(row)
        QApplication.processEvents()
        found, stops = controls(window), tab_stops(window)
        part = page.list.item(row).text()
        nameless += [f"{part}: {describe(each)}" for each in found if not name_of(each).strip()]
        out_of_reach += [f"{part}: {describe(each)}" for each in found if not can_be_reached(each, stops)]
    assert (nameless, out_of_reach) == ([], [])


def test_private_swarms_too(window: MainWindow, link: FakeLink) -> None:
    shown(window, "swarm")
    serving(link)
    view = window.view
    assert isinstance(view, PagesView)
    page = view.page("swarm")
    assert isinstance(page, SwarmPage)
    page.show_part("private")
    QApplication.processEvents()
    found, stops = controls(window), tab_stops(window)
    assert [describe(each) for each in found if not name_of(each).strip()] == []
    assert [describe(each) for each in found if not can_be_reached(each, stops)] == []


@pytest.mark.parametrize("dialog", ["close", "goodbye"])
def test_dialogs_too(qtbot: QtBot, window: MainWindow, dialog: str) -> None:
    made = CloseQuestion(window) if dialog == "close" else Goodbye()
    qtbot.addWidget(made)
    made.show()
    found = controls(made)
    assert found
    assert [describe(widget) for widget in found if not name_of(widget).strip()] == []
    stops = tab_stops(made)
    assert all(can_be_reached(widget, stops) for widget in found)


def test_the_first_run_on_each_of_its_pages(qtbot: QtBot, link: FakeLink) -> None:
    link.connection = Connection.OFF
    workspace = Workspace(link, Settings(), link)  # type: ignore[arg-type]
    first_run = workspace.first_run()
    qtbot.addWidget(first_run)
    first_run.resize(960, 640)
    first_run.show()
    nameless, out_of_reach = [], []
    for page in range(first_run.pages.count()):
        first_run.pages.setCurrentIndex(page)
        QApplication.processEvents()
        found = controls(first_run)
        stops = tab_stops(first_run)
        nameless += [describe(each) for each in found if not name_of(each).strip()]
        out_of_reach += [describe(each) for each in found if not can_be_reached(each, stops)]
    assert (nameless, out_of_reach) == ([], [])


def test_a_chat_that_is_being_answered(window: MainWindow, link: FakeLink) -> None:
    shown(window, "chat")
    serving(link)
    conversation = {"id": 1, "title": "Sky", "model": "bloom", "system_prompt": "", "sampling": {}, "created": 1.0}
    link.chat_happened.emit(
        ChatEvent(
            event="conversation_changed",
            data={"conversation_id": 1, "conversation": {**conversation, "updated": 2.0}},
        )
    )
    QApplication.processEvents()
    assert [describe(widget) for widget in controls(window) if not name_of(widget).strip()] == []
