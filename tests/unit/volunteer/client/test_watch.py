"""The watch asks servers whose answers are overdue for a sign of life, and gives up those that show none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from volunteer.client import watch as module
from volunteer.client.watch import Wait, Watch, ask
from volunteer.swarm.rpc import PeerLost


@dataclass
class Connection:
    """A connection whose server shows signs of life, or not, as a list says; the last one for ever."""

    alive: list[bool]
    spare: bool = True
    waits: Wait | None = None
    asked: int = 0
    given_up: list[PeerLost] = field(default_factory=list)
    on_ask: Callable[[], None] = lambda: None
    on_give_up: Callable[[], None] = lambda: None
    answer_s: float = 0.0

    def wait(self) -> Wait | None:
        return self.waits

    async def is_alive(self, timeout_s: float) -> bool:
        self.asked += 1
        self.on_ask()
        await asyncio.sleep(self.answer_s)
        return self.alive[min(self.asked, len(self.alive)) - 1]

    def has_spare(self) -> bool:
        return self.spare

    def give_up(self, error: PeerLost) -> None:
        self.given_up.append(error)
        self.on_give_up()
        self.waits = None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPARE_PROBE_S", 0.01)
    monkeypatch.setattr(module, "_ONLY_PROBE_S", 0.05)


def overdue(seconds_ago: float = 1.0) -> Wait:
    return Wait(time.monotonic() - seconds_ago, overdue_s=0.01)


def test_a_silent_server_is_given_up_after_two_questions() -> None:
    connection = Connection([False], waits=overdue())
    asyncio.run(ask(connection, connection.waits))
    assert connection.asked == 2
    assert "no sign of life" in str(connection.given_up[0])


def test_one_missed_sign_of_life_is_forgiven() -> None:
    connection = Connection([False, True, False, True, True], waits=overdue())

    def answer_at_last() -> None:
        if connection.asked == 5:
            connection.waits = None  # the answer has come

    connection.on_ask = answer_at_last
    asyncio.run(ask(connection, connection.waits))
    assert connection.asked == 5
    assert connection.given_up == []


def test_an_answer_that_comes_meanwhile_saves_a_silent_server() -> None:
    connection = Connection([False], waits=overdue())
    later = overdue(0.0)

    def come() -> None:
        if connection.asked == 2:
            connection.waits = later  # another answer is waited for by now

    connection.on_ask = come
    asyncio.run(ask(connection, connection.waits))
    assert connection.given_up == []


def test_a_server_that_lives_but_never_answers_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_STUCK_S", 0.2)
    connection = Connection([True], waits=overdue(0.0))
    asyncio.run(ask(connection, connection.waits))
    assert connection.asked > 2
    assert "it lives" in str(connection.given_up[0])


def test_a_machine_that_stood_still_itself_blames_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LATE_S", 0.02)
    connection = Connection([False], waits=overdue(), answer_s=0.05)

    def answer_at_last() -> None:
        if connection.asked == 4:
            connection.waits = None

    connection.on_ask = answer_at_last
    asyncio.run(ask(connection, connection.waits))
    assert connection.asked == 4 and connection.given_up == []


def test_only_overdue_connections_are_asked() -> None:
    silent, busy, quiet = Connection([False], waits=overdue()), Connection([True], waits=None), Connection([False])
    given_up = asyncio.Event()
    silent.on_give_up = given_up.set
    busy.waits = Wait(time.monotonic(), overdue_s=30.0)

    async def run() -> None:
        watch = Watch(lambda: [silent, busy, quiet])
        watch.begin()
        async with asyncio.timeout(5):
            await given_up.wait()
        await watch.close()

    asyncio.run(run())
    assert busy.asked == quiet.asked == 0


def test_nobody_is_looked_at_between_steps() -> None:
    connection, looks = Connection([False]), 0

    def connections() -> list[Connection]:
        nonlocal looks
        looks += 1
        return [connection]

    async def run() -> None:
        watch = Watch(connections)
        watch.begin()
        watch.end()
        await asyncio.sleep(0.7)
        await watch.close()

    asyncio.run(run())
    assert looks == 1


def test_what_a_step_left_under_way_is_looked_after() -> None:
    connection = Connection([False], waits=overdue())
    given_up = asyncio.Event()
    connection.on_give_up = given_up.set

    async def run() -> None:
        watch = Watch(lambda: [connection])
        watch.begin()
        watch.end()
        async with asyncio.timeout(5):
            await given_up.wait()
        await watch.close()

    asyncio.run(run())
