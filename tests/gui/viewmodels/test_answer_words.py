"""What is said about answers."""

from __future__ import annotations

from typing import Any

import pytest

from gui.viewmodels.answer_words import remarks
from gui.viewmodels.chat_values import read_branch
from gui.viewmodels.live_answers import LiveAnswers, Notice
from tests.gui.chat_values import branch, growing, message


def said(raw: dict[str, Any], *notices: Notice, now_s: float = 0.0, passed_s: float = 0.0) -> list[tuple[str, str]]:
    answer = read_branch(branch([raw])).messages[0]
    return [(each.kind, each.text) for each in remarks(answer, notices, now_s, passed_s)]


@pytest.mark.parametrize(
    ("state", "note", "expected"),
    [
        ("complete", "", []),
        ("complete", "The oldest was left out.", [("info", "The oldest was left out.")]),
        ("stopped", "", [("info", "Stopped by you.")]),
        ("stopped", "A note.", [("info", "Stopped by you. A note.")]),
        ("interrupted", "", [("warn", "The background program ended before this answer did.")]),
        ("failed", "No route.", [("bad", "No route.")]),
        ("failed", "", [("bad", "The answer failed.")]),
    ],
)
def test_how_an_answer_ended(state: str, note: str, expected: list[tuple[str, str]]) -> None:
    assert said(message(2, "assistant", "x", state=state, note=note)) == expected


def test_what_a_growing_answer_waits_for() -> None:
    assert said(growing(2)) == [("wait", "Looking for a way through the swarm…")]
    assert said(growing(2), passed_s=12.0)[0][1].endswith("12\u202fs so far")
    route = {"route": [{"peer_id": "QmA", "start": 0, "end": 4}]}
    assert said(growing(2, figures=route)) == [("wait", "The servers are reading your question…")]
    assert said(growing(2, "It began")) == []


def test_no_route_is_told_with_the_time_it_takes() -> None:
    notice = Notice("route", "No route: nobody serves block 5. Trying again.", since_s=100.0)
    kind, text = said(growing(2), notice, now_s=125.0)[0]
    assert kind == "warn" and text == "No route: nobody serves block 5. Trying again. 25\u202fs so far"


def test_disk_and_context_are_told_beside_the_text() -> None:
    notices = Notice("context", "Left out.", 0.0), Notice("disk", "The disk is full. The answer goes on.", 0.0)
    assert [kind for kind, _ in said(growing(2, "text"), *notices)] == ["info", "warn"]


def test_a_notice_that_changes_keeps_its_beginning() -> None:
    clock = iter((1.0, 9.0))
    live = LiveAnswers(lambda: next(clock))
    live.begin(1, 2)
    live.notice(2, "route", "No route: nobody serves blocks 5-6.")
    live.notice(2, "route", "No route: nobody serves block 5.")
    answer = live.get(2)
    assert answer is not None and answer.notices["route"].since_s == 1.0
