"""A conversation as a Markdown text."""

from __future__ import annotations

import re
import time

from volunteer.client.conversation_values import Branch, Message, Role, State

_ENDS = {
    State.GROWING: "The answer was still growing.",
    State.STOPPED: "Stopped.",
    State.INTERRUPTED: "The program ended before the answer did.",
    State.FAILED: "The answer failed.",
}


def to_markdown(branch: Branch) -> str:
    """The messages of `branch`, under the conversation's title; texts stay as they are, answers being Markdown."""
    conversation = branch.conversation
    heading = re.sub(r"([\\`*_\[\]<>#])", r"\\\1", conversation.title or "Untitled")
    parts = [
        f"# {heading}",
        f"{conversation.model}, {time.strftime('%Y-%m-%d %H:%M', time.localtime(conversation.created))}",
    ]
    if conversation.system_prompt:
        parts += ["## System prompt", conversation.system_prompt]
    for message in branch.messages:
        parts += ["## Question" if message.role is Role.USER else "## Answer", *_body(message)]
    return "\n\n".join(parts) + "\n"


def _body(message: Message) -> list[str]:
    text = message.text
    if _has_open_fence(text):  # it would swallow the rest of the conversation
        text += "\n```"
    notes = [each for each in (_ENDS.get(message.state, ""), message.note) if each]
    return [each for each in (text, f"*{' '.join(notes)}*" if notes else "") if each]


def _has_open_fence(text: str) -> bool:
    return len(re.findall(r"^ {0,3}```", text, re.MULTILINE)) % 2 == 1
