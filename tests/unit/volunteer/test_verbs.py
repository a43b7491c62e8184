"""What the command line makes of texts and of a status; `tests/swarm/test_verbs.py` asks a real worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from volunteer.control.channel import ControlServer, Peer
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import AnyCommand, Done, Download, Status
from volunteer.errors import ConfigurationError
from volunteer.verbs import change_setting, describe, duration_in_words, parse_duration

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("5m", 300.0), ("1h30m", 5400.0), ("2d", 172800.0), ("0.5h", 1800.0)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1y", "-5m", "5m!", "1h 30m", "nan", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["9" * 400, "200000d"])
def test_a_duration_beyond_all_calendars_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="longer than can be counted"):
        parse_duration(text)


@pytest.mark.parametrize("name", ["limits.nonsense", "x" * 300])
def test_a_running_worker_is_not_asked_for_a_setting_that_there_is_not(name: str, tmp_path: Path) -> None:
    asked: list[AnyCommand] = []

    async def note(peer: Peer, command: AnyCommand) -> Done:
        asked.append(command)
        return Done(id=command.id)

    async def change() -> None:
        async with ControlServer(tmp_path, note):
            await asyncio.to_thread(change_setting, tmp_path, name, "1", out=print)

    with pytest.raises(ConfigurationError, match="There is no setting"):
        asyncio.run(change())
    assert not asked


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3.4, "3 s"),
        (59.9, "60 s"),
        (90, "2 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86400, "1 d"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations_are_said_as_people_do(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words


def headline(state: State, **fields: Any) -> str:
    return describe(Status(state=state, **fields), NOW).splitlines()[0]


@pytest.mark.parametrize(
    ("state", "fields", "expected"),
    [
        (State.SERVING, {"blocks": (12, 16), "model": "/models/bloom"}, "Serving blocks 12-15 of bloom"),
        (State.SERVING, {"blocks": (0, 3), "model": "bigscience/bloom"}, "Serving blocks 0-2 of bigscience/bloom"),
        (State.STARTING, {}, "Starting ..."),
        (State.LOADING, {"blocks": (0, 3), "model": "m"}, "Loading blocks 0-2 of m"),
        (State.PAUSED, {"reason": "Paused by you"}, "Paused by you."),
        (State.PAUSED, {"reason": "Paused by you", "until_s": NOW + 3600}, "Paused by you, for 1 h more."),
        (State.PAUSED, {"reason": "Paused by you", "until_s": NOW - 1}, "Paused by you."),
        (State.FAILED, {"reason": "No peer answers."}, "No peer answers."),
        (
            State.DRAINING,
            {"reason": "Finished, as you asked"},
            "Finished, as you asked. Saying goodbye; running sessions may end first.",
        ),
    ],
)
def test_a_status_begins_with_what_matters(state: State, fields: dict[str, Any], expected: str) -> None:
    assert headline(state, **fields) == expected


def test_a_download_says_how_far_it_is() -> None:
    progress = Download(done_bytes=25 * 10**8, total_bytes=10**10, bytes_per_s=5e6, eta_s=1500.0)
    shown = headline(State.DOWNLOADING, blocks=(0, 4), model="m", download=progress)
    assert shown == "Downloading blocks 0-3 of m: 25% of 10.00 GB, 5.0 MB/s, 25 min left"


def test_details_are_said_when_there_are_any() -> None:
    status = Status(
        state=State.SERVING,
        mode=Mode.ALWAYS,
        mode_until_s=NOW + 60,
        last_request_s=NOW - 3,
        open_sessions=2,
        tokens_per_s=4.25,
        cannot_tell=("whether you are away",),
        advice="Others reach this computer directly.",
        endpoint="http://127.0.0.1:11435/v1",
        served_tokens=7,
    )
    details = describe(status, NOW).splitlines()[1:]
    assert [line.strip() for line in details] == [
        "4.2 tokens/s, 2 chats open, last request 3 s ago",
        "Others reach this computer directly.",
        "mode: always for 1 min more",
        "cannot tell: whether you are away",
        "OpenAI-compatible endpoint: http://127.0.0.1:11435/v1",
        "served 7 tokens in 0 sessions since it started",
    ]
