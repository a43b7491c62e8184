"""Conversations and messages as the worker sends them, with defaults, and a view-model of the chat page."""

from __future__ import annotations

from typing import Any

from gui.viewmodels.chat import ChatViewModel
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.swarm import SwarmViewModel
from gui.viewmodels.worker import WorkerViewModel
from tests.gui.fake_link import FakeLink
from volunteer.control.messages import ChatCommand, ChatEvent
from volunteer.settings import AppSettings, Settings

SEEN = Settings(app=AppSettings(chat_notice_seen=True))


def conversation(id: int = 1, **changes: Any) -> dict[str, Any]:
    defaults = {"id": id, "title": f"Chat {id}", "model": "bigscience/bloom", "system_prompt": "", "sampling": {}}
    return defaults | {"created": 1000.0 + id, "updated": 1000.0 + id} | changes


def message(id: int, role: str = "user", text: str = "", **changes: Any) -> dict[str, Any]:
    """Message 1 is the first, each a reply to the one before; odd ones are questions."""
    defaults: dict[str, Any] = {"id": id, "conversation_id": 1, "parent_id": id - 1 or None, "role": role}
    defaults |= {"text": text, "state": "complete", "note": "", "created": 1000.0 + id, "figures": {}, "versions": [id]}
    return defaults | changes


def exchanges(first: int, last: int) -> list[dict[str, Any]]:
    """Messages `first` to `last`, questions and answers in turn."""
    return [
        message(id, "user", f"Question {id}") if id % 2 else message(id, "assistant", f"Answer {id}")
        for id in range(first, last + 1)
    ]


def branch(
    messages: list[dict[str, Any]], *, has_earlier: bool = False, of: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"conversation": of or conversation(), "messages": messages, "has_earlier": has_earlier}


def growing(id: int, text: str = "", **changes: Any) -> dict[str, Any]:
    return message(id, "assistant", text, state="growing", **changes)


def event(name: str, **data: Any) -> ChatEvent:
    return ChatEvent(event=name, data={"conversation_id": 1} | data)


def ended(message_id: int, length: int, state: str = "complete", note: str = "", **figures: Any) -> ChatEvent:
    return event("answer_ended", message_id=message_id, state=state, note=note, length=length, figures=figures)


def chat_over(link: FakeLink, settings: Settings = SEEN) -> ChatViewModel:
    worker = WorkerViewModel(link, link)  # type: ignore[arg-type]
    chosen = SettingsViewModel(link, settings, link)  # type: ignore[arg-type]
    return ChatViewModel(link, worker, chosen, SwarmViewModel(link, worker, link), link)  # type: ignore[arg-type]


def action(link: FakeLink, number: int = -1) -> tuple[str, dict[str, Any]]:
    """What the chat service was asked, the last if not told which."""
    command = link.sent[number]
    assert isinstance(command, ChatCommand)
    return command.action, command.arguments
