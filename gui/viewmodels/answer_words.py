"""What is said about an answer besides its text: how it ended, what it waits for, what the model was not given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QCoreApplication

from gui import words
from gui.viewmodels.chat_values import AnswerState, Message
from gui.viewmodels.live_answers import Notice
from gui.worker_words import translated

_SOON_S = 3.0
"""How long something may take before its time is told."""

translate = QCoreApplication.translate


@dataclass(frozen=True)
class Remark:
    kind: Literal["info", "warn", "bad", "wait"]
    text: str


def remarks(message: Message, notices: tuple[Notice, ...], now_s: float, passed_s: float) -> tuple[Remark, ...]:
    """
    Args:
        now_s: by the monotonic clock of `notices`.
        passed_s: since the question was asked.
    """
    if message.is_growing:
        return _of_growing(message, notices, now_s, passed_s)
    note = translated(message.note)
    match message.state:
        case AnswerState.FAILED:
            return (Remark("bad", note or translate("Answer", "The answer failed.")),)
        case AnswerState.STOPPED:
            return (Remark("info", " ".join(filter(None, (translate("Answer", "Stopped by you."), note)))),)
        case AnswerState.INTERRUPTED:
            ended = translate("Answer", "The background program ended before this answer did.")
            return (Remark("warn", " ".join(filter(None, (ended, note)))),)
    return (Remark("info", note),) if note else ()


def _of_growing(message: Message, notices: tuple[Notice, ...], now_s: float, passed_s: float) -> tuple[Remark, ...]:
    said = [_of_notice(notice, now_s) for notice in notices]
    if any(notice.kind in ("route", "download") for notice in notices) or message.text:
        return tuple(said)
    if message.figures.route:
        waits = translate("Answer", "The servers are reading your question…")
    else:
        waits = translate("Answer", "Looking for a way through the swarm…")
    return (*said, Remark("wait", _with_time(waits, passed_s)))


def _of_notice(notice: Notice, now_s: float) -> Remark:
    said = translated(notice.text)
    if notice.kind == "context":
        return Remark("info", said)
    text = _with_time(said, now_s - notice.since_s)
    return Remark("wait", text) if notice.kind == "download" else Remark("warn", text)


def _with_time(text: str, passed_s: float) -> str:
    if passed_s < _SOON_S:
        return text
    waited = translate("Answer", "{duration} so far").format(duration=words.rough_duration(passed_s))
    return f"{text} {waited}"
