"""What the worker says, in the language of the window: its English sentences are known here by their shape.

A sentence that no pattern knows stays as it is: better English than nothing. QtCore only.
"""

from __future__ import annotations

import functools
import re

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from volunteer.control.messages import Status

_CONTEXT = "WorkerWords"
_FIELD = re.compile(r"\\\{(\w+)\\\}")


_SENTENCES = (
    # The more special before the more general. A field may hold words that are known here in their turn.
    #
    # Of its owner.
    QT_TRANSLATE_NOOP("WorkerWords", "Paused by you"),
    QT_TRANSLATE_NOOP("WorkerWords", "Finished, as you asked"),
    QT_TRANSLATE_NOOP("WorkerWords", "Stopped"),
    # Of the limits.
    QT_TRANSLATE_NOOP("WorkerWords", "Paused while you play ({name})"),
    QT_TRANSLATE_NOOP("WorkerWords", "Paused while an app fills the screen"),
    QT_TRANSLATE_NOOP("WorkerWords", "Paused because this computer does not tell whether you are away"),
    QT_TRANSLATE_NOOP("WorkerWords", "Paused until you have been away for {time}"),
    QT_TRANSLATE_NOOP("WorkerWords", "a minute"),
    QT_TRANSLATE_NOOP("WorkerWords", "{number} minutes"),
    QT_TRANSLATE_NOOP("WorkerWords", "Paused while this computer runs on its battery"),
    QT_TRANSLATE_NOOP("WorkerWords", "Paused because the battery is down to {number} %"),
    QT_TRANSLATE_NOOP("WorkerWords", "Paused while {name} cools down ({temperature} °C, goes on at {cool} °C)"),
    QT_TRANSLATE_NOOP("WorkerWords", "Paused outside of the hours that you chose"),
    QT_TRANSLATE_NOOP("WorkerWords", "Paused while other programs need the processor ({number} %)"),
    QT_TRANSLATE_NOOP("WorkerWords", "Paused until tomorrow: {number} GB were sent today"),
    QT_TRANSLATE_NOOP("WorkerWords", "Paused while {name} runs"),
    # What this computer does not tell.
    QT_TRANSLATE_NOOP("WorkerWords", "which programs run"),
    QT_TRANSLATE_NOOP("WorkerWords", "whether an app fills the screen"),
    QT_TRANSLATE_NOOP("WorkerWords", "whether you are away"),
    QT_TRANSLATE_NOOP("WorkerWords", "whether this computer runs on its battery"),
    QT_TRANSLATE_NOOP("WorkerWords", "how full the battery is"),
    QT_TRANSLATE_NOOP("WorkerWords", "how hot the GPU is ({name})"),
    QT_TRANSLATE_NOOP("WorkerWords", "how hot the GPU is"),
    QT_TRANSLATE_NOOP("WorkerWords", "how busy other programs keep the processor"),
    QT_TRANSLATE_NOOP("WorkerWords", "how much was sent today"),
    # Why these blocks.
    QT_TRANSLATE_NOOP("WorkerWords", "because nobody else serves {blocks}"),
    QT_TRANSLATE_NOOP("WorkerWords", "because the servers that hold them are together the slowest"),
    QT_TRANSLATE_NOOP("WorkerWords", "because only 1 other server holds them"),
    QT_TRANSLATE_NOOP("WorkerWords", "because only 1 other server holds {blocks}"),
    QT_TRANSLATE_NOOP("WorkerWords", "because only {number} other servers hold them"),
    QT_TRANSLATE_NOOP("WorkerWords", "because only {number} other servers hold {blocks}"),
    QT_TRANSLATE_NOOP("WorkerWords", "because you chose them"),
    QT_TRANSLATE_NOOP("WorkerWords", "because the swarm was weakest there"),
    QT_TRANSLATE_NOOP("WorkerWords", "because one more did not fit into memory"),
    QT_TRANSLATE_NOOP("WorkerWords", "because the system had no memory for one more"),
    QT_TRANSLATE_NOOP("WorkerWords", "blocks {numbers} and {last}"),
    QT_TRANSLATE_NOOP("WorkerWords", "blocks {numbers}"),
    QT_TRANSLATE_NOOP("WorkerWords", "block {number}"),
    # How others reach it.
    QT_TRANSLATE_NOOP("WorkerWords", "Others reach this computer directly."),
    QT_TRANSLATE_NOOP(
        "WorkerWords",
        "Others reach this computer only over another one, which is slower. To change that, let your router forward "
        "TCP port {port} to this computer.",
    ),
    QT_TRANSLATE_NOOP(
        "WorkerWords",
        "Others cannot reach this computer. Let your router forward TCP port {port} to this computer, and let its "
        "firewall accept it.",
    ),
    QT_TRANSLATE_NOOP("WorkerWords", "No other computer was there to try whether this one can be reached."),
    # What went wrong.
    QT_TRANSLATE_NOOP("WorkerWords", "No worker is running."),
    QT_TRANSLATE_NOOP("WorkerWords", "The worker has ended."),
    QT_TRANSLATE_NOOP("WorkerWords", "The worker ended with signal {number}."),
    QT_TRANSLATE_NOOP("WorkerWords", "The worker ended with exit code {number}."),
    QT_TRANSLATE_NOOP("WorkerWords", "It ended with signal {number}."),
    QT_TRANSLATE_NOOP("WorkerWords", "It ended with exit code {number}."),
    QT_TRANSLATE_NOOP("WorkerWords", "The worker failed {number} times in a row. {why}"),
    QT_TRANSLATE_NOOP("WorkerWords", "The worker has met a problem of its own; its log tells more."),
    QT_TRANSLATE_NOOP("WorkerWords", "The worker belongs to another user."),
    QT_TRANSLATE_NOOP(
        "WorkerWords",
        "One block needs {needed} GB with room for sessions, {free} GB are free.",
    ),
    QT_TRANSLATE_NOOP("WorkerWords", "Blocks {numbers} do not fit into memory."),
    QT_TRANSLATE_NOOP(
        "WorkerWords",
        "The download needs {needed} on the disk of {folder} and leaves {margin} free, but only {free} is free.",
    ),
    QT_TRANSLATE_NOOP("WorkerWords", "The disk of {folder} takes no more ({why}); what is there is kept."),
    QT_TRANSLATE_NOOP("WorkerWords", "There is no model {model} on {hub}."),
    QT_TRANSLATE_NOOP("WorkerWords", "There is no folder {folder}."),
    QT_TRANSLATE_NOOP("WorkerWords", "No initial peer of the swarm answers ({why})."),
    QT_TRANSLATE_NOOP("WorkerWords", "No peer of this swarm is known yet. Name one with --initial-peers."),
    QT_TRANSLATE_NOOP(
        "WorkerWords", "Say which swarm to join with --initial-peers, or start a new one with --new-swarm."
    ),
    QT_TRANSLATE_NOOP("WorkerWords", "The libp2p daemon (p2pd) ended unexpectedly."),
    QT_TRANSLATE_NOOP(
        "WorkerWords",
        "The peers of this private swarm have another key; it was changed. Ask them for a new invitation.",
    ),
    QT_TRANSLATE_NOOP("WorkerWords", "A worker is already running on {folder}."),
)


def translated(text: str) -> str:
    """The sentence in the language of the window, with its full stop or without, as it came."""
    for pattern, template in _known():
        found = pattern.fullmatch(text)
        if found is None:
            found = pattern.fullmatch(text.removesuffix("."))
            if found is None:
                continue
            return f"{_filled(template, found)}."
        return _filled(template, found)
    return text


def translated_status(status: Status) -> Status:
    """All its sentences in the language of the window."""
    return status.model_copy(
        update={
            "reason": translated(status.reason),
            "blocks_reason": translated(status.blocks_reason),
            "advice": translated(status.advice),
            "cannot_tell": tuple(translated(each) for each in status.cannot_tell),
        }
    )


def _filled(template: str, found: re.Match[str]) -> str:
    fields = {name: translated(value) for name, value in found.groupdict().items()}
    return QCoreApplication.translate(_CONTEXT, template).format(**fields)


@functools.cache
def _known() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((_compiled(template), template) for template in map(str, _SENTENCES))


def _compiled(template: str) -> re.Pattern[str]:
    return re.compile(_FIELD.sub(r"(?P<\1>.+?)", re.escape(template)), re.DOTALL)
