import logging

import pytest

from volunteer.swarm.node import FailureLog
from volunteer.swarm.rpc import BadMessage, Refused

NAME = "volunteer.swarm.node"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_flood_of_mistakes_is_a_few_lines_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, NAME)
    clock = Clock()
    log = FailureLog(clock)
    for number in range(10_000):
        log.add("rpc_forward", "peer", BadMessage(f"mistake {number}"))
        clock.now_s += 60 / 10_000
    assert len(caplog.records) == 20
    clock.now_s += 1
    log.add("rpc_forward", "peer", BadMessage("one more"))
    assert [record.getMessage() for record in caplog.records[20:]] == [
        "9980 more calls failed",
        "rpc_forward from peer refused: one more",
    ]


def test_mistakes_do_not_hide_our_own_bugs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, NAME)
    log = FailureLog(Clock())
    for _ in range(100):
        log.add("rpc_forward", "peer", Refused("busy"))
    for _ in range(100):
        log.add("rpc_forward", "peer", KeyError("a bug"))
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 20 and len(caplog.records) == 40
    assert all(record.exc_info for record in warnings)


def test_a_strangers_words_stay_one_short_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, NAME)
    FailureLog(Clock()).add("rpc_push", "peer", BadMessage("\x1b[2J\nWARNING root: all is lost\n" + "x" * 100_000))
    (record,) = caplog.records
    assert record.getMessage().isprintable() and len(record.getMessage()) < 400
