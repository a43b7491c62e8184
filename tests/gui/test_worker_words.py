from __future__ import annotations

import re
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QTranslator
from PySide6.QtWidgets import QApplication

from gui.worker_words import _known, translated, translated_status
from volunteer.control import lifecycle
from volunteer.control.lifecycle import State
from volunteer.control.messages import Status


class Marked(QTranslator):
    """Translates every template of the worker into itself in brackets."""

    def translate(self, context: str, text: str, comment: str | None = None, number: int = -1) -> str:  # type: ignore[override]
        return f"«{text}»" if context == "WorkerWords" else ""


@pytest.fixture
def marked(qapp: QApplication) -> object:
    translator = Marked()
    QCoreApplication.installTranslator(translator)
    yield translator
    QCoreApplication.removeTranslator(translator)


def test_in_english_every_sentence_stays_as_it_is(qapp: QApplication) -> None:
    for text in (
        "Paused while you play (Steam)",
        "because only 1 other server holds blocks 12-15",
        "anything else",
        "",
    ):
        assert translated(text) == text


def test_a_sentence_is_known_by_its_shape(marked: object) -> None:
    assert translated("Paused while you play (Steam)") == "«Paused while you play (Steam)»"
    assert translated("Paused while blender runs") == "«Paused while blender runs»"
    assert translated("The worker ended with signal 9.") == "«The worker ended with signal 9.»"


def test_words_in_a_sentence_are_translated_too(marked: object) -> None:
    assert translated("because nobody else serves blocks 0-3 and 31-38") == (
        "«because nobody else serves «blocks 0-3 and 31-38»»"
    )
    assert translated("The worker failed 5 times in a row. It ended with signal 11.") == (
        "«The worker failed 5 times in a row. «It ended with signal 11.»»"
    )


def test_a_full_stop_more_is_no_hindrance(marked: object) -> None:
    assert translated("Paused by you.") == "«Paused by you»."


def test_what_is_not_known_stays_english(marked: object) -> None:
    assert translated("The moon is full.") == "The moon is full."


def test_a_status_is_translated_as_a_whole(marked: object) -> None:
    status = Status(state=State.PAUSED, reason="Paused by you", cannot_tell=("which programs run",), model="bloom")
    said = translated_status(status)
    assert (said.reason, said.cannot_tell, said.model) == ("«Paused by you»", ("«which programs run»",), "bloom")


_SPOKEN = re.compile(r'f?"((?:Paused|because|Others|whether|which programs|how (?:hot|full|busy|much))[^"]*)"')
_PLACE = re.compile(r"\{[^{}]*\}")


def spoken() -> set[str]:
    """What the worker's sources say, with numbers and names filled in."""
    root = Path(lifecycle.__file__).parent.parent
    files = (
        "control/limits.py",
        "control/lifecycle.py",
        "serving.py",
        "server/block_selection.py",
        "server/planning.py",
    )
    text = "\n".join((root / name).read_text(encoding="utf-8") for name in files)
    return {_PLACE.sub("7", each) for each in _SPOKEN.findall(text)}


def test_the_worker_says_nothing_in_a_pause_or_of_its_blocks_that_is_not_known_here() -> None:
    said = {text for text in spoken() if not text.endswith(" ") and "other server holds' if" not in text}
    assert len(said) > 20
    unknown = {text for text in said if not any(pattern.fullmatch(text) for pattern, _ in _known())}
    assert unknown == set()
