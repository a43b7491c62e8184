"""Window, tray and worker together: a real link to a process that plays the worker."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import played_worker
import psutil
import pytest
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from gui.desk import Desk
from gui.main_window import PagesView
from gui.practice import is_left_running
from gui.viewmodels.notices import Cause, Notice
from gui.widgets.banner import Banner
from gui.widgets.close_question import CloseChoice, CloseQuestion
from gui.widgets.goodbye import Goodbye
from gui.widgets.tray import Tray
from gui.widgets.worker_banner import WorkerBanner
from gui.worker_link import Connection
from gui.workspace import Workspace
from volunteer.control.channel import Place
from volunteer.control.lifecycle import State
from volunteer.settings import AppSettings, Settings, load_settings, save_settings

MakeDesk = Callable[..., Desk]


class Page(QLabel):
    pass


class FirstRun(QLabel):
    """The signals of the first run, for a test to give."""

    consented = Signal()
    practice_wanted = Signal()


def page(_: Workspace) -> QWidget:
    return Page("page")


@pytest.fixture
def make_desk(qtbot: QtBot, qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeDesk]:
    """Makes a desk whose pages are empty and whose worker is played; quits it in the end."""
    for name in ("_home_page", "_chat_page", "_swarm_page", "_history_page", "_settings_page"):
        monkeypatch.setattr(Workspace, name, page)
    monkeypatch.setattr(Workspace, "first_run", lambda _: FirstRun("first run"))
    monkeypatch.setattr(Tray, "is_there", staticmethod(lambda: True))
    monkeypatch.setattr("gui.worker_link.worker_command", played_worker.command)  # of practice mode
    made: list[tuple[Desk, list[bool]]] = []

    def make(*, hidden: bool = False, lingers_s: float = 0.0, **app: object) -> Desk:
        settings = Settings(app=AppSettings(**({"consented": True, "theme": "light"} | app)))  # type: ignore[arg-type]
        save_settings(tmp_path, settings)
        desk = Desk(qapp, tmp_path, settings, played_worker.command(tmp_path, lingers_s))
        over: list[bool] = []
        desk.over.connect(lambda: over.append(True))
        made.append((desk, over))
        desk.open(hidden=hidden)
        return desk

    yield make
    for desk, over in made:
        if not over:
            desk.quit()
        if not over:
            desk.quit()
        qtbot.waitUntil(lambda over=over: bool(over), timeout=20_000)
        desk.deleteLater()


def serving(qtbot: QtBot, desk: Desk) -> int:
    """Waits until the worker serves; its process."""
    qtbot.waitUntil(
        lambda: desk.workspace.worker.status is not None and desk.workspace.worker.status.state is State.SERVING,
        timeout=20_000,
    )
    return Place.read(desk.workspace.link.data_dir).pid


def banner(desk: Desk) -> WorkerBanner:
    view = desk.window.view
    assert view is not None
    (found,) = view.findChildren(WorkerBanner)
    return found


def test_after_consent_the_worker_is_started_and_looked_at(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk()
    serving(qtbot, desk)
    assert isinstance(desk.window.view, PagesView)
    assert desk.tray is not None
    assert desk.tray.reason.text() == "Serving blocks 12–15 of bloom"


def test_a_hidden_start_shows_no_window_and_serves(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk(hidden=True)
    serving(qtbot, desk)
    assert not desk.window.isVisible()
    desk.come_to_front("token")
    assert desk.window.isVisible()
    assert os.environ.pop("XDG_ACTIVATION_TOKEN") == "token"


def test_pausing_in_the_tray_pauses_the_worker(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk()
    serving(qtbot, desk)
    assert desk.tray is not None
    desk.tray.pause.trigger()
    qtbot.waitUntil(lambda: desk.workspace.worker.word == "Paused")
    desk.tray.resume.trigger()
    qtbot.waitUntil(lambda: desk.workspace.worker.word == "Serving")


def test_quitting_ends_the_worker_and_leaves_nothing(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk()
    pid = serving(qtbot, desk)
    with qtbot.waitSignal(desk.over, timeout=20_000):
        desk.quit()
        assert not desk.window.isVisible()
    assert not psutil.pid_exists(pid)


def test_quitting_before_the_worker_answers_leaves_nothing_either(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk()
    qtbot.waitUntil(lambda: bool(children()))
    with qtbot.waitSignal(desk.over, timeout=30_000):
        desk.quit()
    assert not children()


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "played_worker" in " ".join(child.cmdline())
    ]


def test_a_goodbye_that_takes_long_can_be_cut_short(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk(lingers_s=600)
    pid = serving(qtbot, desk)
    with qtbot.waitSignal(desk.over, timeout=20_000):
        desk.quit()
        (goodbye,) = (each for each in QApplication.topLevelWidgets() if isinstance(each, Goodbye))
        qtbot.waitUntil(goodbye.isVisible)
        qtbot.waitUntil(lambda: not listens(desk))
        goodbye.now.click()
    assert not psutil.pid_exists(pid)


def listens(desk: Desk) -> bool:
    return (desk.workspace.link.data_dir / "control.json").exists()


def test_a_crash_is_told_in_a_banner_and_mended(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk()
    pid = serving(qtbot, desk)
    os.kill(pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: banner(desk).text.text().startswith("The worker ended with signal 9."))
    assert banner(desk).isVisible()
    qtbot.waitUntil(lambda: desk.workspace.worker.word == "Serving", timeout=20_000)
    assert banner(desk).text.text() == "The worker ended with signal 9. It was started again."


def test_closing_asks_once_and_remembers_the_answer(qtbot: QtBot, make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk()
    serving(qtbot, desk)
    desk.window.close()
    (question,) = desk.window.findChildren(CloseQuestion)
    assert question.isVisible() and desk.window.isVisible()
    desk.workspace.link.connection = Connection.STARTING  # the file is changed then, which the played worker does not
    question.to_tray.click()
    assert not desk.window.isVisible()
    qtbot.waitUntil(lambda: desk.workspace.settings.settings.app.close_button == CloseChoice.TRAY)
    assert load_settings(tmp_path).settings.app.close_button == "tray"
    desk.come_to_front()
    desk.window.close()
    assert not desk.window.isVisible()


def test_escape_leaves_the_window_open_and_the_question_unanswered(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk()
    serving(qtbot, desk)
    desk.window.close()
    (question,) = desk.window.findChildren(CloseQuestion)
    question.reject()
    assert desk.window.isVisible()
    assert desk.workspace.settings.settings.app.close_button == "ask"


def test_closing_quits_where_there_is_no_tray(
    qtbot: QtBot, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk()
    pid = serving(qtbot, desk)
    monkeypatch.setattr(Tray, "is_there", staticmethod(lambda: False))
    with qtbot.waitSignal(desk.over, timeout=20_000):
        desk.window.close()
    assert not psutil.pid_exists(pid)


def test_the_page_that_was_looked_at_last_is_there_again(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk()
    view = desk.window.view
    assert isinstance(view, PagesView)
    view.show_page("swarm")
    again = make_desk().window.view
    assert isinstance(again, PagesView)
    marked = [item.text() for item in again.rail.findChildren(QWidget) if getattr(item, "isChecked", bool)()]
    assert marked == ["Swarm"]


def test_another_theme_is_worn_at_once(qtbot: QtBot, make_desk: MakeDesk) -> None:
    from gui import theme

    desk = make_desk()
    desk.workspace.link.connection = Connection.STARTING
    desk.workspace.settings.set("app.theme", "dark")
    qtbot.waitUntil(lambda: theme.current().name == "dark")


# The first run and practice mode


def test_before_consent_nothing_is_started(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk(consented=False)
    assert isinstance(desk.window.view, FirstRun)
    assert desk.workspace.link.connection is Connection.OFF
    assert not children()


def test_with_consent_the_worker_starts_and_the_pages_come(qtbot: QtBot, make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk(consented=False)
    first_run = desk.window.view
    assert isinstance(first_run, FirstRun)
    desk.workspace.settings.set("app.consented", "yes")
    qtbot.waitUntil(lambda: desk.workspace.settings.settings.app.consented)
    first_run.consented.emit()
    assert isinstance(desk.window.view, PagesView)
    serving(qtbot, desk)


def test_closing_the_first_run_quits_without_a_question(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk(consented=False)
    with qtbot.waitSignal(desk.over, timeout=20_000):
        desk.window.close()


def practice_banner(desk: Desk) -> Banner:
    view = desk.window.view
    assert view is not None
    (found,) = (each for each in view.findChildren(Banner) if type(each) is Banner)
    return found


def test_practice_mode_shows_another_worker_and_leads_back(qtbot: QtBot, make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk(consented=False)
    first_run = desk.window.view
    assert isinstance(first_run, FirstRun)
    first_run.practice_wanted.emit()
    assert desk.is_practising
    pid = serving(qtbot, desk)
    assert desk.workspace.link.data_dir == tmp_path / "practice" / "first"
    assert practice_banner(desk).isVisible()
    practice_banner(desk).action.click()
    assert not desk.is_practising
    assert isinstance(desk.window.view, FirstRun)
    qtbot.waitUntil(lambda: not psutil.pid_exists(pid), timeout=20_000)
    qtbot.waitUntil(lambda: not (tmp_path / "practice").exists(), timeout=20_000)


def test_practising_beside_a_worker_that_serves_leaves_it_alone(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk()
    pid = serving(qtbot, desk)
    desk.start_practice()
    serving(qtbot, desk)
    assert desk.window.windowTitle() == "Practice mode"
    desk.leave_practice()
    assert desk.window.windowTitle() == "Petals Volunteer"
    assert desk.window.view is not None
    assert not [each for each in desk.window.view.findChildren(Banner) if type(each) is Banner]
    assert psutil.pid_exists(pid)
    assert desk.workspace.worker.word == "Serving"


def test_quitting_while_practising_ends_every_worker(qtbot: QtBot, make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk()
    serving(qtbot, desk)
    desk.start_practice()
    serving(qtbot, desk)
    assert len(children()) == 2
    with qtbot.waitSignal(desk.over, timeout=20_000):
        desk.quit()
    assert not children()
    assert not (tmp_path / "practice").exists()


def test_a_cause_is_told_once_with_a_practice_in_between(
    qtbot: QtBot, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Notice] = []
    monkeypatch.setattr(Tray, "notify", lambda _, notice: told.append(notice))
    desk = make_desk(hidden=True)
    for _ in range(2):
        os.kill(serving(qtbot, desk), signal.SIGKILL)
        qtbot.waitUntil(lambda: desk.workspace.link.connection is Connection.RESTARTING)
        qtbot.waitUntil(lambda: desk.workspace.link.connection is Connection.CONNECTED, timeout=20_000)
        desk.start_practice()
        desk.leave_practice()
    assert [notice.cause for notice in told] == [Cause.RESTARTING]


def test_practising_again_waits_until_the_practice_before_is_gone(
    qtbot: QtBot, make_desk: MakeDesk, tmp_path: Path
) -> None:
    desk = make_desk(consented=False)
    desk.start_practice()
    before = serving(qtbot, desk)
    desk.leave_practice()
    desk.start_practice()
    assert not desk.is_practising
    qtbot.waitUntil(lambda: desk.is_practising, timeout=20_000)
    assert not psutil.pid_exists(before)
    serving(qtbot, desk)
    assert load_settings(tmp_path / "practice" / "first").settings.serving.new_swarm


def test_what_a_killed_window_practised_with_is_shown_again_and_ended_with_it(
    qtbot: QtBot, make_desk: MakeDesk, tmp_path: Path
) -> None:
    folder = tmp_path / "practice" / "first"
    folder.mkdir(parents=True)
    with subprocess.Popen(played_worker.command(folder)) as left:
        try:
            qtbot.waitUntil((folder / "control.json").exists, timeout=20_000)
            desk = make_desk(consented=False)
            qtbot.waitUntil(lambda: desk.is_practising)
            assert serving(qtbot, desk) == left.pid
            with qtbot.waitSignal(desk.over, timeout=20_000):
                desk.quit()
            assert left.wait(10) == 0
        finally:
            left.kill()
    assert not (tmp_path / "practice").exists()


def test_a_practice_whose_workers_are_gone_does_not_begin_by_itself(
    qtbot: QtBot, make_desk: MakeDesk, tmp_path: Path
) -> None:
    (tmp_path / "practice" / "first").mkdir(parents=True)
    desk = make_desk(consented=False)
    heard: list[bool] = []
    desk.workspace.link.run_aside(lambda: is_left_running(tmp_path), heard.append)
    qtbot.waitUntil(lambda: heard == [False])
    assert not desk.is_practising


def test_who_quits_starts_no_worker_by_a_consent_that_comes_too_late(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk(consented=False)
    first_run = desk.window.view
    assert isinstance(first_run, FirstRun)
    with qtbot.waitSignal(desk.over, timeout=20_000):
        desk.start_practice()
        desk.quit()
        first_run.consented.emit()
    assert not children()


def test_another_language_is_spoken_at_once(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk(language="en")
    desk.workspace.link.connection = Connection.STARTING
    desk.workspace.settings.set("app.language", "de")
    qtbot.waitUntil(lambda: desk.tray is not None and desk.tray.quit.text() == "Beenden")
    view = desk.window.view
    assert isinstance(view, PagesView)
    assert "Schwarm" in [item.text() for item in view.rail.findChildren(QAbstractButton)]
    desk.workspace.settings.set("app.language", "en")
    qtbot.waitUntil(lambda: desk.tray is not None and desk.tray.quit.text() == "Quit")


def test_a_window_that_is_about_to_end_does_not_come_back(qtbot: QtBot, make_desk: MakeDesk) -> None:
    desk = make_desk(lingers_s=1.0)
    serving(qtbot, desk)
    with qtbot.waitSignal(desk.over, timeout=20_000):
        desk.quit()
        desk.come_to_front()
        assert not desk.window.isVisible()
