"""What the worker says, in the language of the window: its English sentences are known here by their shape.

A sentence that no pattern knows stays as it is: better English than nothing. QtCore only.
"""

from __future__ import annotations

import functools
import re

from PySide6.QtCore import QCoreApplication

from gui.known_sentences import SENTENCES
from volunteer.control.messages import Status

_CONTEXT = "WorkerWords"
_FIELD = re.compile(r"\\\{(\w+)\\\}")


def translated(text: str) -> str:
    """The sentence in the language of the window, with its full stop or without, as it came."""
    for pattern, template in _known() if text else ():
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
    return tuple((_compiled(template), template) for template in map(str, SENTENCES))


def _compiled(template: str) -> re.Pattern[str]:
    return re.compile(_FIELD.sub(r"(?P<\1>.+?)", re.escape(template)), re.DOTALL)
