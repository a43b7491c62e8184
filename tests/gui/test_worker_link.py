"""The link against the worker's real end of the channel, and against a process that plays the worker."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import played_worker
import psutil
import pytest
import shiboken6
from PySide6.QtCore import QObject, Signal
from pytestqt.qtbot import QtBot

from gui.worker_link import Connection, WorkerLink, worker_command
from gui.worker_side import Became, in_short, newest
from volunteer.control.channel import ControlServer, Peer, Place
from volunteer.control.lifecycle import State
from volunteer.control.messages import (
    ChatEvent,
    Done,
    Finish,
    LogLine,
    Message,
    Pause,
    Quit,
    Refused,
    Resume,
    Sample,
    SampleTaken,
    Status,
    StatusChanged,
    Subscribe,
    SwarmChanged,
)
from volunteer.errors import ConfigurationError
from volunteer.local_swarm import program_command


def status(state: State = State.SERVING, **more: Any) -> StatusChanged:
    return StatusChanged(status=Status(state=state, **more))


class Worker:
    """The worker's end of the channel in a thread of this process."""

    def __init__(self, data_dir: Path):
        self._data_dir = data_dir
        self.loop = asyncio.new_event_loop()
        self.server: ControlServer | None = None
        self.subscribed: list[Subscribe] = []
        self._stop = asyncio.Event()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Worker:
        self._thread.start()
        self._ready.result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self.loop.close()

    def publish(self, *messages: Message) -> None:
        def post() -> None:
            assert self.server is not None
            for message in messages:
                self.server.publish(message, lambda _: True)

        self.loop.call_soon_threadsafe(post)

    def _run(self) -> None:
        self.loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with ControlServer(self._data_dir, self._answer) as self.server:
            self._ready.set_result(None)
            await self._stop.wait()

    async def _answer(self, peer: Peer, command: Any) -> Done | Refused:
        match command:
            case Subscribe():
                if command.topics.swarm:  # the supervisor has a connection of its own, for the status alone
                    self.subscribed.append(command)
                peer.topics = command.topics
                peer.post(status())
                return Done(id=command.id)
            case Pause():
                return Done(id=command.id, result={"state": "paused"})
            case Resume():
                raise ConfigurationError("There is nothing to resume.")
            case Finish():
                self._stop.set()  # as if it were killed over this
                await asyncio.sleep(60)
            case Quit():
                self._stop.set()
        return Done(id=command.id)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with Worker(tmp_path) as running:
        yield running


@pytest.fixture
def link(qtbot: QtBot, tmp_path: Path) -> Iterator[WorkerLink]:
    made = WorkerLink(tmp_path, None, command=[sys.executable, "-c", "raise SystemExit(3)"])
    yield made
    made.close()


def connected(qtbot: QtBot, link: WorkerLink) -> None:
    link.start()
    qtbot.waitUntil(lambda: link.connection is Connection.CONNECTED)


def test_a_worker_that_runs_is_found_and_its_status_arrives(qtbot: QtBot, link: WorkerLink, worker: Worker) -> None:
    with qtbot.waitSignal(link.status_changed) as arrived:
        connected(qtbot, link)
    assert arrived.args[0].state is State.SERVING
    assert worker.subscribed[0].topics.samples
    assert not worker.subscribed[0].topics.logs


def test_answers_and_refusals_come_back_in_the_gui_thread(qtbot: QtBot, link: WorkerLink, worker: Worker) -> None:
    connected(qtbot, link)
    heard: list[tuple[str, Any, threading.Thread]] = []
    link.send(Pause(), lambda result: heard.append(("done", result["state"], threading.current_thread())))
    link.send(Resume(), refused=lambda text: heard.append(("refused", text, threading.current_thread())))
    qtbot.waitUntil(lambda: len(heard) == 2)
    main = threading.main_thread()
    assert sorted(heard) == [("done", "paused", main), ("refused", "There is nothing to resume.", main)]


def test_a_fault_with_one_answer_costs_nobody_else_theirs(
    qtbot: QtBot, link: WorkerLink, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    connected(qtbot, link)
    heard: list[Any] = []
    link.send(Pause(), lambda result: heard.append(result["no such field"]))
    link.send(Pause(), heard.append)
    qtbot.waitUntil(lambda: len(heard) == 1)
    assert "no such field" in caplog.text


class Asker(QObject):
    """Emits a signal when it is answered, which a deleted object cannot."""

    heard = Signal(object)

    def hear(self, result: object) -> None:
        self.heard.emit(result)


def test_an_answer_for_one_who_is_gone_is_dropped(
    qtbot: QtBot, link: WorkerLink, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    connected(qtbot, link)
    asker, others = Asker(), []
    link.send(Pause(), asker.hear)
    link.send(Pause(), others.append)
    shiboken6.delete(asker)
    qtbot.waitUntil(lambda: len(others) == 1)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING and each.name.startswith("gui")] == []


def test_without_a_worker_a_command_is_refused(qtbot: QtBot, link: WorkerLink) -> None:
    heard: list[str] = []
    link.send(Pause(), refused=heard.append)
    qtbot.waitUntil(lambda: bool(heard))
    assert heard == ["No worker is running."]


def test_that_the_worker_is_gone_is_told_before_what_it_leaves_unanswered(
    qtbot: QtBot, link: WorkerLink, worker: Worker
) -> None:
    connected(qtbot, link)
    heard: list[tuple[str, Connection]] = []
    link.send(Finish(), refused=lambda text: heard.append((text, link.connection)))
    qtbot.waitUntil(lambda: bool(heard))
    assert heard == [("The worker has ended.", Connection.RESTARTING)]


def test_logs_are_subscribed_only_while_they_are_wanted(qtbot: QtBot, link: WorkerLink, worker: Worker) -> None:
    connected(qtbot, link)
    qtbot.waitUntil(lambda: len(worker.subscribed) == 1)
    link.want_logs(True)
    qtbot.waitUntil(lambda: [each.topics.logs for each in worker.subscribed] == [False, True])
    with qtbot.waitSignal(link.logged) as arrived:
        worker.publish(LogLine(text="one"))
    assert [line.text for line in arrived.args[0]] == ["one"]
    link.want_logs(False)
    qtbot.waitUntil(lambda: [each.topics.logs for each in worker.subscribed] == [False, True, False])


def test_everything_that_is_published_arrives(qtbot: QtBot, link: WorkerLink, worker: Worker) -> None:
    connected(qtbot, link)
    sample = Sample(time_s=1.0)
    signals = [link.swarm_changed, link.sampled, link.chat_happened]
    with qtbot.waitSignals(signals):
        worker.publish(
            SwarmChanged(num_blocks=2, servers=()), SampleTaken(sample=sample), ChatEvent(event="x", data={})
        )


def test_a_worker_that_leaves_is_looked_for_again(qtbot: QtBot, link: WorkerLink, tmp_path: Path) -> None:
    with Worker(tmp_path) as worker, qtbot.waitSignal(link.status_changed):
        connected(qtbot, link)
    assert worker.subscribed
    qtbot.waitUntil(lambda: link.connection is Connection.RESTARTING)
    with Worker(tmp_path):
        qtbot.waitUntil(lambda: link.connection is Connection.CONNECTED)


def test_a_killed_worker_that_others_had_started_is_a_crash_too(qtbot: QtBot, tmp_path: Path) -> None:
    command = played_worker.command(tmp_path)
    with subprocess.Popen(command) as found:
        link = WorkerLink(tmp_path, None, command=command)
        qtbot.waitUntil((tmp_path / "control.json").exists, timeout=20_000)
        seen: list[tuple[Connection, str]] = []
        link.connection_changed.connect(lambda: seen.append((link.connection, link.connection_reason)))
        with qtbot.waitSignal(link.status_changed, timeout=20_000):
            link.start()
        assert pid_of(tmp_path) == found.pid
        found.kill()
    qtbot.waitUntil(lambda: (Connection.RESTARTING, "The worker ended unexpectedly.") in seen)
    qtbot.waitUntil(lambda: link.connection is Connection.CONNECTED, timeout=20_000)
    over: list[bool] = []
    link.quit_worker(lambda: over.append(True))
    qtbot.waitUntil(lambda: bool(over), timeout=20_000)
    link.close()


def test_work_aside_tells_its_outcome_here(qtbot: QtBot, link: WorkerLink) -> None:
    heard: list[Any] = []

    def fails() -> None:
        raise ConfigurationError("The disk is full.")

    link.run_aside(lambda: threading.current_thread() is threading.main_thread(), heard.append)
    qtbot.waitUntil(lambda: heard == [False])
    link.run_aside(fails, failed=heard.append)
    qtbot.waitUntil(lambda: heard == [False, "The disk is full."])


def test_a_fault_of_our_own_is_told_in_a_plain_sentence(
    qtbot: QtBot, link: WorkerLink, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    link.run_aside(lambda: 1 // 0, failed=heard.append)
    qtbot.waitUntil(lambda: bool(heard))
    assert "ZeroDivision" not in heard[0]
    assert "ZeroDivisionError" in caplog.text


def pid_of(data_dir: Path) -> int:
    return Place.read(data_dir).pid


def test_a_killed_worker_is_started_again_and_quitting_leaves_none(qtbot: QtBot, tmp_path: Path) -> None:
    link = WorkerLink(tmp_path, None, command=played_worker.command(tmp_path))
    seen: list[tuple[Connection, str]] = []
    link.connection_changed.connect(lambda: seen.append((link.connection, link.connection_reason)))
    connected(qtbot, link)
    first = pid_of(tmp_path)
    os.kill(first, signal.SIGKILL)
    qtbot.waitUntil(lambda: link.restart_delay_s == 1.0)
    assert link.connection is Connection.RESTARTING
    qtbot.waitUntil(lambda: link.connection is Connection.CONNECTED, timeout=20_000)
    second = pid_of(tmp_path)
    assert second != first
    over: list[bool] = []
    link.quit_worker(lambda: over.append(True))
    qtbot.waitUntil(lambda: bool(over), timeout=20_000)
    assert link.connection is Connection.ENDED
    assert not psutil.pid_exists(second)
    assert (Connection.RESTARTING, "The worker ended with signal 9.") in seen
    link.close()


def test_a_worker_that_fails_at_once_is_given_up_with_its_own_words(qtbot: QtBot, tmp_path: Path) -> None:
    code = "import sys; print('The settings are those of a newer version.', file=sys.stderr); sys.exit(78)"
    link = WorkerLink(tmp_path, None, command=[sys.executable, "-c", code])
    link.start()
    qtbot.waitUntil(lambda: link.connection is Connection.GAVE_UP)
    assert link.connection_reason == "The settings are those of a newer version."
    link.close()


def test_a_worker_that_cannot_be_started_is_given_up_with_the_reason(qtbot: QtBot, tmp_path: Path) -> None:
    link = WorkerLink(tmp_path, None, command=[str(tmp_path / "no such program")])
    link.start()
    qtbot.waitUntil(lambda: link.connection is Connection.GAVE_UP)
    assert link.connection_reason == "The worker cannot be started: No such file or directory."
    link.close()


def test_quitting_ends_a_worker_that_this_window_has_not_come_to_yet(qtbot: QtBot, tmp_path: Path) -> None:
    with subprocess.Popen(played_worker.command(tmp_path)) as left:
        try:
            qtbot.waitUntil((tmp_path / "control.json").exists, timeout=20_000)
            link = WorkerLink(tmp_path, None, command=played_worker.command(tmp_path))
            link.start()
            over: list[bool] = []
            link.quit_worker(lambda: over.append(True))
            qtbot.waitUntil(lambda: bool(over), timeout=20_000)
            link.close()
            assert left.wait(10) == 0
        finally:
            left.kill()


def test_a_worker_that_does_not_end_is_ended(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gui.worker_side._LAST_ACTS_S", 0.2)
    link = WorkerLink(tmp_path, None, command=played_worker.command(tmp_path, lingers_s=600))
    connected(qtbot, link)
    pid = pid_of(tmp_path)
    over: list[bool] = []
    link.quit_worker(lambda: over.append(True))
    qtbot.waitUntil(lambda: bool(over), timeout=20_000)
    assert not psutil.pid_exists(pid)
    link.close()


def test_closing_the_window_alone_leaves_the_worker_running(qtbot: QtBot, tmp_path: Path) -> None:
    link = WorkerLink(tmp_path, None, command=played_worker.command(tmp_path))
    connected(qtbot, link)
    process = psutil.Process(pid_of(tmp_path))
    link.close()
    del link
    assert process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    process.kill()
    process.wait(10)


def test_why_it_was_given_up_is_said_in_a_line() -> None:
    log = "2026-11-27 02:00:00,123 ERROR volunteer.worker: "
    assert in_short("No such model.") == "No such model."
    assert in_short(f"The worker failed 5 times in a row. {log}It began.\n{log}It is full.\n") == (
        "The worker failed 5 times in a row. It is full."
    )
    assert in_short("Traceback (most recent call last):\n  File ...\nOSError: [Errno 28]") == "OSError: [Errno 28]"
    assert in_short("") == ""


def test_options_of_serving_go_to_the_worker() -> None:
    command = worker_command(Path("/data"), ["--initial-peers", "/ip4/1", "/ip4/2"])
    assert command[len(program_command()) :] == [
        *("--initial-peers", "/ip4/1", "/ip4/2"),
        *("--data-dir", "/data", "worker"),
    ]


def test_of_a_batch_the_last_status_counts_and_lines_of_the_log_come_together() -> None:
    """And no change of the connection is left out: who asked on the one before has to ask again."""
    first, last = status(State.LOADING), status(State.SERVING)
    chat = [ChatEvent(event="answer_text", data={"number": number}) for number in range(2)]
    lines = [LogLine(number=number, text="") for number in range(2)]
    states = [Became(Connection.STARTING), Became(Connection.CONNECTED)]
    heard = newest([states[0], first, lines[0], chat[0], last, lines[1], chat[1], states[1]])
    assert heard == [states[0], chat[0], last, chat[1], states[1], lines]
