"""Every state of every page of the window, told by a worker that the test plays, for tests of all of them.

A state is told after those before it, in one window, as a day of its owner goes.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from PySide6.QtCore import QEvent, QObject, QSettings, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from gui.main_window import MainWindow, PagesView
from gui.viewmodels.first_run import FirstRunViewModel
from gui.viewmodels.settings import SettingsViewModel
from gui.widgets.about_page import AboutPage
from gui.widgets.autostart_part import AutostartPart
from gui.widgets.chat.chat_page import ChatPage
from gui.widgets.endpoint_key_part import EndpointKeyPart
from gui.widgets.first_run import FirstRun
from gui.widgets.list_control import ListControl
from gui.widgets.logs_page import LogsPage
from gui.widgets.private_swarms import PrivateSwarms, SwarmCard
from gui.widgets.server_view import ServerView
from gui.widgets.settings_page import SettingsPage
from gui.widgets.swarm_page import SwarmPage
from gui.widgets.worker_banner import WorkerBanner
from gui.worker_link import Connection
from gui.workspace import Workspace
from tests.gui.chat_values import branch, conversation, event, growing, message
from tests.gui.fake_link import FakeLink
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import (
    ChatCommand,
    Day,
    Download,
    GetHistory,
    GpuReading,
    GpuSample,
    History,
    LogLine,
    Points,
    Sample,
    SwarmChanged,
    SwarmServer,
)
from volunteer.hardware import Disk, Gpu, Hardware, Memory, Processor
from volunteer.settings import AppSettings, EndpointSettings, Limits, Settings

PAGES = ("home", "chat", "swarm", "history", "settings")
GIB = 2**30
NOW_S = 1_795_000_000.0
LONG_TEXT = (
    "Some *prose* with `code`, [a link](https://example.org) and\n\n> a quotation\n\n- one\n- two\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\n# why\nprint('a line', 1)\n```\n\nThe end."
)

W = TypeVar("W", bound=QWidget)
Told = Callable[["Stage"], None]


class _WindowWatch(QObject):
    def __init__(self, tell: Callable[[str], None], parent: QObject):
        super().__init__(parent)
        self._tell = tell

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
            self._tell(type(watched).__name__)
        return False


class Stage:
    """The window over a worker that is played."""

    def __init__(self, link: FakeLink):
        memory = QSettings(str(link.data_dir / "window.ini"), QSettings.Format.IniFormat)
        self.link = link
        self.window = MainWindow(memory)
        settings = Settings(
            app=AppSettings(consented=True),
            limits=Limits(exclusive_programs=("blender",)),
            endpoint=EndpointSettings(enabled=True),
        )
        workspace = Workspace(link, settings, link)  # type: ignore[arg-type]
        banner = WorkerBanner(workspace.worker)
        self.view = PagesView(workspace.entries(), workspace.worker, [banner])
        self.window.show_view(self.view)

    def show(self, key: str) -> None:
        self.view.show_page(key)
        settle()

    def watch_windows(self, tell: Callable[[str], None]) -> None:
        """Tells of what is shown as a window of its own from now on."""
        app = QApplication.instance()
        if app is not None:
            app.installEventFilter(_WindowWatch(tell, self.window))

    def one(self, kind: type[W]) -> W:
        """The widget of this kind that is seen, or else that there is."""
        found = self.window.findChildren(kind)
        return next((each for each in found if each.isVisible()), found[0])

    def chat_answer(self, action: str, result: Any) -> None:
        """Answers what the chat service was asked last."""
        asked = [each for each in self.link.asked if _is_chat(each.command, action)]
        asked[-1].done(result)


@contextmanager
def stage(link: FakeLink, width: int = 960, height: int = 640) -> Iterator[Stage]:
    made = Stage(link)
    made.window.resize(width, height)
    made.window.show()
    made.window.activateWindow()
    wait_until_active(made.window)
    try:
        yield made
    finally:
        made.window.let_go()
        made.window.close()
        made.window.deleteLater()


def states(page: str) -> tuple[tuple[str, Told], ...]:
    """By their names; each shows its page, and what it tells has been laid out when it returns."""
    return tuple((_name(told), partial(_tell, page, told)) for told in _STATES[page])


def settle() -> None:
    """Layouts, and what waits for the next turn of the event loop."""
    for _ in range(4):
        QApplication.processEvents()
        QTest.qWait(1)


def wait_until_active(window: QWidget) -> None:
    for _ in range(500):
        if window.isActiveWindow():
            return
        QTest.qWait(10)
    raise AssertionError("the window does not get the keyboard")


def _tell(page: str, told: Told, on: Stage) -> None:
    on.show(page)
    told(on)
    settle()


def _name(told: Told) -> str:
    return getattr(told, "__name__", "") or f"{told.func.__name__}{told.args}"  # type: ignore[attr-defined]


def _is_chat(command: object, action: str) -> bool:
    return isinstance(command, ChatCommand) and command.action == action


# The first run

HARDWARE = Hardware(
    Processor("AMD Ryzen 7 5800X 8-Core Processor", 8, 16),
    Memory(32 * GIB, 20 * GIB),
    gpus=(Gpu(0, "NVIDIA GeForce RTX 3060", total_bytes=12 * GIB, free_bytes=11 * GIB),),
    disk=Disk(10**12, 2 * 10**11),
)


@contextmanager
def first_run(link: FakeLink, width: int = 960, height: int = 640) -> Iterator[FirstRun]:
    link.become(Connection.OFF)
    settings = SettingsViewModel(link, Settings(), link)  # type: ignore[arg-type]
    made = FirstRun(FirstRunViewModel(link, settings, link, detect=lambda _: HARDWARE))  # type: ignore[arg-type]
    made.resize(width, height)
    made.show()
    made.activateWindow()
    wait_until_active(made)
    try:
        yield made
    finally:
        made.close()
        made.deleteLater()


def first_run_states(page: FirstRun) -> Iterator[str]:
    """Goes from one to the next."""
    settle()
    yield "welcome"
    page.forward.click()
    settle()
    yield "hardware"
    page.hardware.swarm.join.click()
    settle()
    yield "an address is asked for"
    page.hardware.swarm.new.click()
    page.forward.click()
    settle()
    if not page.consent.isVisible():
        raise AssertionError("the first run does not lead to its last page")
    yield "consent"
    page.consent.autostart.show_plan.click()
    settle()
    yield "what autostart would write"


# The worker


def serving(on: Stage) -> None:
    on.link.become(Connection.CONNECTED)
    gpu = GpuReading(name="NVIDIA RTX 3060", free_bytes=3 * GIB, total_bytes=12 * GIB, temperature_c=61, power_w=118.0)
    broken = GpuReading(name="NVIDIA GTX 750", problem="Its driver is too old.")
    on.link.say(
        model="meta-llama/Llama-3.3-70B-Instruct",
        blocks=(12, 16),
        blocks_reason="because nobody else serves blocks 12-15",
        peer_id="Qm1",
        reach="relayed",
        advice="Others reach this computer over a relay. Opening port 31330 in the router makes it faster.",
        cannot_tell=("which programs run",),
        gpus=(gpu, broken),
        points=Points(today=1240.0),
        endpoint="http://127.0.0.1:11435/v1",
    )
    on.link.sampled.emit(Sample(time_s=NOW_S, tokens_per_s=41.0, open_sessions=6))


def without_gpu(on: Stage) -> None:
    on.link.say(gpus=())


def paused(on: Stage) -> None:
    on.link.say(state=State.PAUSED, reason="Paused by you", mode=Mode.NEVER)


def paused_by_limit(on: Stage) -> None:
    on.link.say(state=State.PAUSED, reason="Paused while you play (Steam)")


def downloading(on: Stage) -> None:
    download = Download(done_bytes=10**9, total_bytes=3 * 10**9, bytes_per_s=4e6, eta_s=500.0)
    on.link.say(state=State.DOWNLOADING, blocks=(12, 16), download=download)


def failed(on: Stage) -> None:
    on.link.say(state=State.FAILED, reason="The disk is full: 42 GB are needed, 12 GB are free.")


def gave_up(on: Stage) -> None:
    on.link.become(Connection.GAVE_UP, "The worker failed 5 times in a row.")


def restarting(on: Stage) -> None:
    serving(on)
    on.link.become(Connection.RESTARTING, "The worker ended with signal 9.", 2.0)


def crashed(on: Stage) -> None:
    restarting(on)
    on.link.become(Connection.CONNECTED)


def off(on: Stage) -> None:
    on.link.become(Connection.OFF)


# Chat


def empty_chat(on: Stage) -> None:
    serving(on)
    on.chat_answer("recent", [])


def notice(on: Stage) -> None:
    page = on.one(ChatPage)
    page.composer.put("Why is the sky blue?")
    page.composer.submit()


def talk(on: Stage) -> None:
    page = on.one(ChatPage)
    page._chat.answer_notice(agreed=False)
    on.chat_answer("recent", [conversation(1, title="Why is the sky blue?"), conversation(2)])
    page._chat.open(1)
    figures = {"tokens": 9, "tokens_per_s": 9.4, "first_token_s": 0.8, "route": _route(3)}
    messages = [
        message(1, text="Why?"),
        message(2, "assistant", "Because.", versions=[2, 5], figures=figures),
        message(3, text="And then?"),
        message(4, "assistant", LONG_TEXT, figures=figures),
    ]
    on.chat_answer("open", branch(messages))


def editing(on: Stage) -> None:
    on.one(ChatPage)._chat.edit(3)


def sheet(on: Stage) -> None:
    page = on.one(ChatPage)
    page._chat.cancel_edit()
    page.head.sheet.click()
    server = SwarmServer(peer_id="QmAnna", start=0, end=12, state="online", throughput=1.0, public_name="Anna")
    on.link.swarm_changed.emit(SwarmChanged(num_blocks=70, servers=(server,)))
    page.sheet.servers.only.setChecked(True)


def answering(on: Stage) -> None:
    page = on.one(ChatPage)
    page.sheet.close_button.click()
    page._chat.open(2)
    messages = [message(7, text="Why?", conversation_id=2), growing(8, "The sky", conversation_id=2)]
    on.chat_answer("open", branch(messages, of=conversation(2)))
    of_answer = {"conversation_id": 2, "message_id": 8}
    on.link.chat_happened.emit(event("answer_route", route=_route(8), tokens=3, tokens_per_s=9.4, **of_answer))
    text = "No route: nobody serves blocks 31-38. Trying again."
    on.link.chat_happened.emit(event("answer_notice", kind="route", text=text, **of_answer))


def lost(on: Stage) -> None:
    on.link.become(Connection.RESTARTING, "The worker ended with signal 9.", 2.0)


def nothing_found(on: Stage) -> None:
    serving(on)
    page = on.one(ChatPage)
    page.pane.search.setText("no such words")
    page._conversations._wait.timeout.emit()
    on.chat_answer("search", [])


def _route(hops: int) -> list[dict[str, Any]]:
    return [{"peer_id": f"Qm{number}", "start": 4 * number, "end": 4 * number + 4} for number in range(hops)]


# Swarm


def joining(on: Stage) -> None:
    on.link.become(Connection.CONNECTED)
    on.link.say(state=State.JOINING)


def map_seen(on: Stage) -> None:
    serving(on)
    servers = (
        SwarmServer(peer_id="Qm1", start=12, end=16, state="online", throughput=41.0, public_name="me"),
        SwarmServer(peer_id="QmAnna", start=0, end=30, state="online", throughput=4100.0, public_name="Anna"),
        SwarmServer(peer_id="QmZoe", start=14, end=60, state="joining", throughput=1.0, using_relay=True),
    )
    on.link.swarm_changed.emit(SwarmChanged(num_blocks=70, servers=servers))


def details(on: Stage) -> None:
    on.one(ServerView).selectRow(1)


def no_server_found(on: Stage) -> None:
    on.one(SwarmPage).search.setText("no such name")


def private_swarms(on: Stage) -> None:
    on.one(SwarmPage).search.clear()
    on.link.become(Connection.OFF)
    on.one(SwarmPage).show_part("private")


def making_a_swarm(on: Stage) -> None:
    pane = on.one(PrivateSwarms)
    pane.make.click()
    pane.create_form.name.setText("my lab")


def joining_a_swarm(on: Stage) -> None:
    pane = on.one(PrivateSwarms)
    pane.join.click()
    pane.join_form.invitation.setPlainText("petals:nonsense")


def invitation(on: Stage) -> None:
    pane = on.one(PrivateSwarms)
    pane.make.click()
    pane.create_form.name.setText("lab")
    pane.create_form.go.click()


def leaving_a_swarm(on: Stage) -> None:
    on.one(PrivateSwarms).invitation.done.click()
    on.one(SwarmCard).leave.click()


# History


def nothing_measured(on: Stage) -> None:
    serving(on)
    _answer_history(on, History())


def measured(on: Stage) -> None:
    now = time.time()
    gpu = GpuSample(temperature_c=61.0, power_w=118.0, used_bytes=9 * GIB)
    samples = tuple(Sample(time_s=now - 10 * back, tokens_per_s=20.0, gpus=(gpu, gpu)) for back in range(60, -1, -1))
    today = datetime.date.today()
    days = tuple(
        Day(date=(today - datetime.timedelta(back)).isoformat(), served_tokens=182_400, earned=1240.0, serving_s=8e4)
        for back in range(40, -1, -1)
    )
    on.link.become(Connection.CONNECTED)
    _answer_history(on, History(samples=samples, days=days))


def _answer_history(on: Stage, history: History) -> None:
    for asked in list(on.link.asked):
        if isinstance(asked.command, GetHistory):
            asked.done(history.model_dump(mode="json"))


# Settings


def section(number: int, on: Stage) -> None:
    page = on.one(SettingsPage)
    page.show_section(page._keys[number])


def last_section(on: Stage) -> None:
    """So that a section more is not forgotten here."""
    if len(on.one(SettingsPage)._keys) != _SECTIONS:
        raise AssertionError("the settings have another number of sections than every_state.py goes through")


def a_list_with_items(on: Stage) -> None:
    on.one(SettingsPage).show_section("limits")
    on.one(ListControl).line.setText("steam")


def a_new_key(on: Stage) -> None:
    on.one(SettingsPage).show_section("endpoint")
    on.one(EndpointKeyPart).renew.click()


def autostart(on: Stage) -> None:
    on.one(SettingsPage).show_section("general")
    on.one(AutostartPart).switch.click()


def unfolded(on: Stage) -> None:
    on.one(SettingsPage).show_section("about")
    on.one(AboutPage).parts.click()


def a_long_record(on: Stage) -> None:
    on.one(SettingsPage).show_section("logs")
    text = "It broke.\n" + "A line of a traceback. " * 20
    on.link.logged.emit([LogLine(number=1, level="ERROR", topic="worker", text=text)])
    settle()
    on.one(LogsPage).lines.selectRow(0)


def found_settings(on: Stage) -> None:
    on.one(SettingsPage).search.setText("memory")
    page = on.one(SettingsPage)
    for _ in range(20):
        if not page.sections.findChildren(QTimer)[0].isActive():
            return
        settle()


def no_such_setting(on: Stage) -> None:
    on.one(SettingsPage).search.setText("no such thing")


def back_from_search(on: Stage) -> None:
    on.one(SettingsPage).search.clear()


_WORKER = (serving, without_gpu, paused, paused_by_limit, downloading, failed, gave_up, restarting, crashed, off)
_SECTIONS = 11
_STATES: dict[str, tuple[Told, ...]] = {
    "home": _WORKER,
    "chat": (gave_up, empty_chat, notice, talk, editing, sheet, answering, lost, nothing_found),
    "swarm": (
        *(off, paused, joining, map_seen, details, no_server_found),
        *(private_swarms, making_a_swarm, joining_a_swarm, invitation, leaving_a_swarm),
    ),
    "history": (off, nothing_measured, measured),
    "settings": (
        *(serving, *(partial(section, number) for number in range(_SECTIONS)), last_section),
        *(a_list_with_items, a_new_key, autostart, unfolded, a_long_record),
        *(found_settings, no_such_setting, back_from_search),
    ),
}
