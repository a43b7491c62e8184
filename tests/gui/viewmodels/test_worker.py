from __future__ import annotations

from typing import Any

import pytest
from fake_link import FakeLink

from gui.viewmodels.worker import TrayState, WorkerViewModel, headline, served_in_words, why
from gui.worker_link import Connection
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import Download, Finish, Pause, Resume, Sample, SetMode, Status

NOW_S = 1_000_000.0


@pytest.fixture
def worker(link: FakeLink) -> WorkerViewModel:
    return WorkerViewModel(link, None, clock=lambda: NOW_S)  # type: ignore[arg-type]


def status(state: State, **more: Any) -> Status:
    return Status(**({"state": state, "model": "bigscience/bloom", "blocks": (12, 16)} | more))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State.SERVING, "Serving blocks 12–15 of bloom"),
        (State.DOWNLOADING, "Downloading blocks 12–15 of bloom"),
        (State.LOADING, "Loading blocks 12–15 of bloom"),
        (State.JOINING, "Joining the swarm"),
        (State.STARTING, "Getting ready"),
        (State.DRAINING, "Letting running chats end"),
        (State.FAILED, "Stopped by a problem"),
        (State.STOPPED, "Stopped"),
    ],
)
def test_the_headline_says_what_the_worker_does(state: State, said: str) -> None:
    assert headline(status(state)) == said


def test_a_pause_is_its_own_reason() -> None:
    assert headline(status(State.PAUSED, reason="Paused while you play (Steam).")) == "Paused while you play (Steam)"


def test_before_blocks_are_chosen_none_are_named() -> None:
    assert served_in_words(status(State.LOADING, blocks=None)) == ""
    assert headline(status(State.DOWNLOADING, blocks=None)) == "Downloading"


def test_a_pause_with_an_end_says_when_it_ends() -> None:
    assert why(status(State.PAUSED, until_s=NOW_S + 60), NOW_S).startswith("Until ")
    assert why(status(State.PAUSED, until_s=NOW_S - 60), NOW_S) == ""


def test_a_failure_says_why() -> None:
    assert why(status(State.FAILED, reason="The disk is full."), NOW_S) == "The disk is full."


def test_before_the_first_status_it_is_starting(worker: WorkerViewModel, link: FakeLink) -> None:
    assert (worker.headline, worker.word, worker.tray_state) == ("Starting the worker", "Starting", TrayState.BUSY)
    assert not (worker.can_pause or worker.can_resume or worker.can_finish or worker.can_override)


@pytest.mark.parametrize(
    ("connection", "word", "tray"),
    [
        (Connection.OFF, "Off", TrayState.PAUSED),
        (Connection.STARTING, "Starting", TrayState.BUSY),
        (Connection.RESTARTING, "Restarting", TrayState.PROBLEM),
        (Connection.GAVE_UP, "Problem", TrayState.PROBLEM),
        (Connection.ENDED, "Off", TrayState.PAUSED),
    ],
)
def test_without_a_connection_it_goes_by_that(
    worker: WorkerViewModel, link: FakeLink, connection: Connection, word: str, tray: TrayState
) -> None:
    link.say()
    link.become(connection, "The worker ended with signal 9.")
    assert (worker.word, worker.tray_state) == (word, tray)
    assert worker.why == "The worker ended with signal 9."
    assert not worker.can_pause
    assert worker.status is not None


@pytest.mark.parametrize(
    ("state", "tray"),
    [
        (State.SERVING, TrayState.SERVING),
        (State.DOWNLOADING, TrayState.DOWNLOADING),
        (State.LOADING, TrayState.BUSY),
        (State.DRAINING, TrayState.BUSY),
        (State.PAUSED, TrayState.PAUSED),
        (State.FAILED, TrayState.PROBLEM),
    ],
)
def test_the_tray_goes_by_the_state(worker: WorkerViewModel, link: FakeLink, state: State, tray: TrayState) -> None:
    link.say(state=state)
    assert worker.tray_state is tray


def test_the_share_of_a_download(worker: WorkerViewModel, link: FakeLink) -> None:
    link.say(state=State.DOWNLOADING, download=Download(done_bytes=30, total_bytes=120, bytes_per_s=1.0, eta_s=None))
    assert worker.download_share == 0.25
    link.say(state=State.SERVING)
    assert worker.download_share is None


def test_what_can_be_asked_while_it_serves(worker: WorkerViewModel, link: FakeLink) -> None:
    link.say(state=State.SERVING)
    assert worker.can_pause and worker.can_finish
    assert not worker.can_resume and not worker.can_override


def test_what_can_be_asked_while_a_limit_holds_it_back(worker: WorkerViewModel, link: FakeLink) -> None:
    link.say(state=State.PAUSED, reason="Paused on battery")
    assert worker.can_pause and worker.can_override
    assert not worker.can_resume and not worker.can_finish


def test_what_cools_down_is_not_served_with(worker: WorkerViewModel, link: FakeLink) -> None:
    link.say(state=State.PAUSED, reason="Paused while RTX 3060 cools down", may_override=False)
    assert worker.can_pause and not worker.can_override and not worker.can_resume


def test_what_can_be_asked_while_its_owner_pauses_it(worker: WorkerViewModel, link: FakeLink) -> None:
    link.say(state=State.PAUSED, mode=Mode.NEVER, reason="Paused by you")
    assert worker.can_resume
    assert not worker.can_pause and not worker.can_override


def test_what_can_be_asked_after_a_failure(worker: WorkerViewModel, link: FakeLink) -> None:
    link.say(state=State.FAILED)
    assert worker.can_resume
    assert not worker.can_pause


def test_wishes_are_sent_and_their_answer_is_the_new_status(worker: WorkerViewModel, link: FakeLink) -> None:
    worker.pause(3600.0)
    worker.finish()
    worker.override_limits(60.0)
    worker.resume()
    assert link.sent == [Pause(for_s=3600.0), Finish(), SetMode(mode=Mode.ALWAYS, for_s=60.0), Resume()]
    link.answer({"state": "paused", "reason": "Paused by you"}, 0)
    assert worker.headline == "Paused by you"


def test_a_refusal_is_told(worker: WorkerViewModel, link: FakeLink) -> None:
    heard: list[str] = []
    worker.refused.connect(heard.append)
    worker.pause()
    link.refuse("Not now.")
    assert heard == ["Not now."]


def test_trying_again_starts_a_worker_that_was_given_up(worker: WorkerViewModel, link: FakeLink) -> None:
    worker.retry()
    assert link.sent == [Resume()]
    link.become(Connection.GAVE_UP, "The worker failed 5 times in a row.")
    worker.retry()
    assert link.starts == 1


def test_samples_of_two_hours_are_kept(worker: WorkerViewModel, link: FakeLink) -> None:
    for number in range(800):
        link.sampled.emit(Sample(time_s=10.0 * number))
    assert len(worker.samples) == 720
    assert worker.samples[-1].time_s == 7990.0
