"""What is decided about a worker that ended; `tests/swarm/test_supervision.py` kills real ones."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from volunteer.control import supervisor
from volunteer.control.channel import ControlServer, Peer
from volunteer.control.lifecycle import State
from volunteer.control.messages import AnyCommand, Done, Status, StatusChanged, Subscribe
from volunteer.control.supervisor import End, Ended, GiveUp, News, Restart, Running, Supervisor, Waiting, after_exit


@pytest.mark.parametrize(
    ("code", "ran_s", "failures", "expected"),
    [
        (0, 5.0, 3, End()),
        (143, 5.0, 0, End()),
        (130, 5.0, 0, End()),
        (1, 5.0, 0, Restart(1.0)),
        (-9, 5.0, 1, Restart(2.0)),
        (69, 5.0, 3, Restart(8.0)),
        (69, 5.0, 4, Restart(16.0)),
        (75, 5.0, 400, Restart(300.0)),
        (-11, 5.0, 4, GiveUp("The worker failed 5 times in a row. It ended with signal 11.")),
        (-9, 601.0, 4, Restart(1.0)),
        (78, 0.5, 0, GiveUp("It ended with exit code 78.")),
    ],
)
def test_a_worker_that_ended(code: int, ran_s: float, failures: int, expected: object) -> None:
    assert after_exit(code, ran_s=ran_s, failures=failures, last_words="") == expected


def test_giving_up_says_the_last_words() -> None:
    assert after_exit(78, ran_s=1, failures=0, last_words="No such model.\n") == GiveUp("No such model.")


def supervise(folder: Path, code: str) -> tuple[Ended, list[News]]:
    news: list[News] = []
    command = [sys.executable, "-c", code]
    return asyncio.run(Supervisor(command, folder, news.append).run()), news


def test_a_worker_has_the_environment_that_it_is_given(tmp_path: Path) -> None:
    code = "import os, sys; sys.exit(78 if os.environ.get('FOR_THE_WORKER') == 'yes' else 0)"
    given = Supervisor([sys.executable, "-c", code], tmp_path, environment={**os.environ, "FOR_THE_WORKER": "yes"})
    assert asyncio.run(given.run()) == Ended("It ended with exit code 78.")


def test_it_tries_again_and_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.001)
    ended, news = supervise(tmp_path, "import sys; sys.exit('The disk is on fire.')")
    assert ended == Ended("The worker failed 5 times in a row. The disk is on fire.") and news[-1] == ended
    assert [type(each) for each in news[:-1]] == [Running, Waiting] * 4 + [Running]
    delays = [each.delay_s for each in news if isinstance(each, Waiting)]
    assert delays == [0.001, 0.002, 0.004, 0.008]


def test_a_network_that_comes_late_is_waited_for_and_crashes_meanwhile_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.0001)
    tries = tmp_path / "tries"
    code = f"import sys; tries = open({str(tries)!r}, 'a+'); tries.write('x'); sys.exit([69, 75, 1][tries.tell() % 3])"
    ended, _ = supervise(tmp_path, code)
    assert ended == Ended("The worker failed 5 times in a row. It ended with exit code 1.")
    assert len(tries.read_text()) == 14
    tries.write_text("")
    ended, _ = supervise(tmp_path, code.replace("[69, 75, 1][tries.tell() % 3]", "69 if tries.tell() < 9 else 0"))
    assert ended == Ended(None) and len(tries.read_text()) == 9


def test_whoever_waits_is_told_for_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.0001)
    tries = tmp_path / "tries"
    code = f"import sys; tries = open({str(tries)!r}, 'a+'); tries.write('x')\nif tries.tell() > 2: sys.exit(0)\n"
    say = "print('A warning.\\nNobody answers.', file=sys.stderr); sys.exit(69 if tries.tell() == 1 else 1)"
    _, news = supervise(tmp_path, code + say)
    reasons = [each.reason for each in news if isinstance(each, Waiting)]
    assert reasons == ["Nobody answers.", "The worker ended with exit code 1."]


def test_a_program_that_is_not_there_any_more_is_told(tmp_path: Path) -> None:
    gone = Supervisor([str(tmp_path / "removed")], tmp_path)
    assert asyncio.run(gone.run()) == Ended("The worker cannot be started: No such file or directory.")


def test_what_the_worker_says_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    supervise(folder, "import sys; sys.exit(78)")
    (folder / "worker-stderr.txt").chmod(0o644)  # as an older version left it
    supervise(folder, "import sys; print('What.', file=sys.stderr); sys.exit(78)")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "worker-stderr.txt").stat().st_mode) == 0o600
    assert (folder / "worker-stderr.txt").read_text() == "What.\n"


def test_of_many_words_the_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MAX_FAILURES", 1)
    ended, _ = supervise(tmp_path, "import sys; print('noise ' * 10000, file=sys.stderr); sys.exit('Why.')")
    assert ended.reason is not None and ended.reason.endswith("Why.") and len(ended.reason) < 2200


def test_a_worker_that_was_there_is_watched_and_its_quit_is_meant(tmp_path: Path) -> None:
    async def run() -> list[News]:
        news: list[News] = []
        subscribed = asyncio.Event()

        async def answer(peer: Peer, command: AnyCommand) -> Done:
            if isinstance(command, Subscribe):
                peer.topics = command.topics
                subscribed.set()
            return Done(id=command.id)

        async with ControlServer(tmp_path, answer) as control:
            watching = asyncio.create_task(Supervisor(["false"], tmp_path, news.append).run())
            await subscribed.wait()
            control.publish(StatusChanged(status=Status(state=State.STOPPED)), lambda topics: topics.status)
        assert await watching == Ended(None)
        return news

    started = time.monotonic()
    news = asyncio.run(run())
    assert isinstance(news[0], Running) and news[0].was_found and time.monotonic() - started < 5
