from __future__ import annotations

import pytest
from fake_link import FakeLink
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from gui.viewmodels.worker import WorkerViewModel
from gui.widgets.worker_banner import WorkerBanner
from gui.worker_link import Connection


@pytest.fixture
def banner(qtbot: QtBot, link: FakeLink) -> WorkerBanner:
    made = WorkerBanner(WorkerViewModel(link, link))  # type: ignore[arg-type]
    qtbot.addWidget(made)
    return made


def crash(link: FakeLink) -> None:
    link.become(Connection.RESTARTING, "The worker ended with signal 9.", 2.0)


def test_while_all_is_well_there_is_no_banner(banner: WorkerBanner, link: FakeLink) -> None:
    link.say()
    assert not banner.isVisible()


def test_a_crash_is_told_with_what_is_done_about_it(banner: WorkerBanner, link: FakeLink) -> None:
    crash(link)
    assert banner.text.text() == "The worker ended with signal 9. Starting it again in 2\u202fs."
    assert banner.isVisible()
    assert banner.property("state") == "warn"


def test_after_a_restart_the_report_can_still_be_had_until_the_banner_is_closed(
    banner: WorkerBanner, link: FakeLink
) -> None:
    crash(link)
    link.become(Connection.STARTING)
    assert banner.isVisible()
    link.become(Connection.CONNECTED)
    assert banner.text.text() == "The worker ended with signal 9. It was started again."
    assert banner.action.text() == "Copy report"
    banner.close_button.click()
    link.say()
    assert not banner.isVisible()


def test_a_worker_that_was_given_up_can_be_tried_again(banner: WorkerBanner, link: FakeLink) -> None:
    link.become(Connection.GAVE_UP, "The settings are those of a newer version.")
    assert banner.text.text() == "The settings are those of a newer version."
    assert banner.property("state") == "bad"
    banner.second.click()
    assert link.starts == 1


def test_the_report_goes_to_the_clipboard(qtbot: QtBot, banner: WorkerBanner, link: FakeLink) -> None:
    crash(link)
    with qtbot.waitSignal(banner.report_wanted):
        banner.action.click()
    assert not banner.action.isEnabled()
    banner.take_report("== Checks")
    assert QGuiApplication.clipboard().text() == "== Checks"
    assert banner.action.text() == "Copied"
    qtbot.waitUntil(lambda: banner.action.text() == "Copy report" and banner.action.isEnabled())


def test_a_report_that_could_not_be_made_is_told(banner: WorkerBanner, link: FakeLink) -> None:
    crash(link)
    banner.action.click()
    banner.report_failed("The folder cannot be read.")
    assert banner.text.text().endswith("The folder cannot be read.")
    assert banner.action.isEnabled()


def test_a_worker_that_was_told_to_end_needs_no_banner(banner: WorkerBanner, link: FakeLink) -> None:
    crash(link)
    link.become(Connection.ENDED)
    assert not banner.isVisible()
