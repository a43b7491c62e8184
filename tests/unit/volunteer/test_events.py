from __future__ import annotations

import dataclasses

import pytest

from volunteer import events
from volunteer.events import (
    Download,
    Entered,
    Event,
    Failed,
    Listening,
    Paused,
    Planned,
    Reachable,
    Ready,
    Resumed,
    SteppedDown,
    Stopped,
    log_text,
)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Listening("12D3KooW", ("/ip4/192.0.2.7/tcp/1",)), "Listening as 12D3KooW at /ip4/192.0.2.7/tcp/1"),
        (Entered("loading"), "Now loading"),
        (
            Planned("bigscience/bloom", (12, 16), 70, "because only one other server held them"),
            "Chose blocks 12-15 of the 70 of bigscience/bloom, because only one other server held them",
        ),
        (SteppedDown((12, 15), "Too large."), "Trying blocks 12-14 instead. Too large."),
        (Download(10**9, 3 * 10**9, 4e6, 500.0), None),
        (Download(3 * 10**9, 3 * 10**9, 4e6, 0.0), "All 3000 MB of these blocks are on the disk"),
        (Ready("bigscience/bloom", (12, 16), ""), "Serving blocks 12-15 of bigscience/bloom"),
        (Reachable("relayed", "Open a port."), "Others reach this server: relayed. Open a port."),
        (Reachable("direct", ""), "Others reach this server: direct."),
        (Resumed("The pause is over."), "The pause is over"),
        (Stopped(7, 2), "Said goodbye, after 7 tokens in 2 sessions"),
        (Failed("The disk is full."), None),
    ],
)
def test_the_log_has_what_happened_in_a_line(event: Event, text: str | None) -> None:
    assert log_text(event) == text


def test_the_log_does_not_tell_which_programs_its_owner_runs() -> None:
    text = log_text(Paused("Paused while you play (Steam)"))
    assert text is not None and "Steam" not in text


def test_every_kind_of_event_was_thought_of() -> None:
    kinds = {kind for kind in vars(events).values() if dataclasses.is_dataclass(kind) and kind is not Event}
    assert kinds == {
        Listening, Entered, Planned, SteppedDown, Download, Ready, Reachable, Paused, Resumed, Failed, Stopped,
    }  # fmt: skip
