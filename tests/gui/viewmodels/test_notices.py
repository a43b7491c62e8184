from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from fake_link import FakeLink

from gui.viewmodels.notices import Cause, Notice, Notices
from gui.viewmodels.worker import WorkerViewModel
from gui.worker_link import Connection
from volunteer.control.lifecycle import State


@dataclass
class Heard:
    """What was notified, and the clock that a test sets."""

    now_s: float = 0.0
    is_wanted: bool = True
    notices: list[Notice] = field(default_factory=list)

    @property
    def causes(self) -> list[Cause]:
        return [notice.cause for notice in self.notices]


@pytest.fixture
def heard(link: FakeLink) -> Heard:
    made = Heard()
    worker = WorkerViewModel(link, link)  # type: ignore[arg-type]
    Notices(worker, lambda: made.is_wanted, lambda: made.now_s, link).noticed.connect(made.notices.append)
    return made


def test_a_failure_is_notified_with_its_reason(link: FakeLink, heard: Heard) -> None:
    link.say(state=State.FAILED, reason="The disk is full.")
    assert [(notice.cause, notice.text) for notice in heard.notices] == [(Cause.FAILED, "The disk is full.")]


def test_one_cause_is_notified_once(link: FakeLink, heard: Heard) -> None:
    for number in range(20):
        heard.now_s = 60.0 * number
        link.become(Connection.RESTARTING, "The worker ended with signal 9.")
        link.become(Connection.CONNECTED)
        link.say()
    assert heard.causes == [Cause.RESTARTING]


def test_a_cause_that_was_gone_for_long_is_news(link: FakeLink, heard: Heard) -> None:
    link.say(state=State.FAILED)
    heard.now_s = 601.0
    link.say(state=State.SERVING)
    link.say(state=State.FAILED)
    assert heard.causes == [Cause.FAILED, Cause.FAILED]


def test_serving_is_notified_after_a_download_only(link: FakeLink, heard: Heard) -> None:
    link.say(state=State.SERVING)
    assert heard.causes == []
    link.say(state=State.DOWNLOADING)
    link.say(state=State.LOADING)
    link.say(state=State.SERVING)
    link.say(state=State.SERVING, served_tokens=1)
    assert heard.causes == [Cause.FIRST_SERVED]
    assert not heard.notices[0].is_problem


def test_pauses_are_no_news(link: FakeLink, heard: Heard) -> None:
    link.say(state=State.PAUSED, reason="Paused on battery")
    link.become(Connection.STARTING)
    link.become(Connection.ENDED)
    assert heard.causes == []


def test_nothing_is_notified_where_that_is_not_wanted(link: FakeLink, heard: Heard) -> None:
    heard.is_wanted = False
    link.become(Connection.GAVE_UP, "The settings are those of a newer version.")
    assert heard.causes == []
