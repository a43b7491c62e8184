from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QTranslator
from PySide6.QtWidgets import QApplication

from gui.viewmodels.first_run_words import MOST_NAMED_LANGUAGES
from gui.worker_words import _known, translated, translated_status
from volunteer import doctor
from volunteer.chat_service import download_in_words
from volunteer.client.context_window import Fitted
from volunteer.client.routing import NoRoute
from volunteer.control import lifecycle
from volunteer.control.lifecycle import State
from volunteer.control.messages import Status
from volunteer.forecast import model_cards


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


def test_what_stands_in_the_way_of_an_answer_is_known_here(marked: object) -> None:
    no_route, excluded = (str(NoRoute((range(31, 39),), excluded=excluded)) for excluded in (False, True))
    notes = [Fitted((), 1, left_out).note for left_out in (1, 7)]
    for text in (
        no_route,
        excluded,
        f"{no_route} Trying again.",
        f"{excluded} Trying again.",
        *notes,
        download_in_words(10, 10**9),
        "The disk is full: conversations cannot be saved until there is room. The answer goes on.",
    ):
        assert translated(text).startswith("«")
    assert translated(f"{no_route} Trying again.") == "«No route: nobody serves «blocks 31-38». Trying again.»"


def said_in(file: str, is_meant: Callable[[str], object]) -> set[str]:
    """The sentences of a source that are meant, with 7 for every number and name that is filled in."""
    tree = ast.parse((Path(lifecycle.__file__).parent.parent / file).read_text(encoding="utf-8"))
    in_joined = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    texts = {text for node in ast.walk(tree) if id(node) not in in_joined and (text := said_by(node)) is not None}
    return {text for text in texts if is_meant(text)}


def said_by(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in parts)
    return None


def unknown(said: set[str]) -> set[str]:
    return {text for text in said if not any(pattern.fullmatch(text) for pattern, _ in _known())}


_REASON = re.compile(r"(Paused|because|whether|which programs|how (hot|full|busy|much)) ?\w.*[^\s:]", re.DOTALL)


def test_the_worker_gives_no_reason_that_is_not_known_here() -> None:
    files = ("control/limits.py", "control/lifecycle.py", "serving.py", "server/planning.py")
    said = set().union(*(said_in(file, _REASON.fullmatch) for file in files))
    assert len(said) > 20
    assert unknown(said) == set()


def test_the_doctor_finds_nothing_that_is_not_known_here() -> None:
    said = returned_findings()
    assert len(said) > 50
    assert unknown(said) == set()


_SPELT_OUT = {
    "7",
    "7.",
    "7, but it does not answer.",
    "7, which is little.",
    "7, and 7 GB are needed.",
    "It is in use by 7.",
    "The clock is 7 s 7.",
    "7 files of blocks, 7 GB, are whole7.",
}
"""Their fields are words of the doctor's own, and the patterns have these."""


def returned_findings() -> set[str]:
    """Texts and advice of the doctor's checks, as far as they stand in what is returned."""
    tree = ast.parse(Path(doctor.__file__).read_text(encoding="utf-8"))
    said = set()
    for node in ast.walk(tree):
        match node:
            case ast.Return(value=ast.Tuple(elts=[ast.Attribute(value=ast.Name(id="State")), *parts])):
                said |= {text for part in parts if (text := said_by(part)) is not None}
    commands = {text for text in said if text.startswith(("chmod ", "ulimit "))}
    return said - commands - _SPELT_OUT


def test_what_cards_of_models_say_is_known_here() -> None:
    cards = model_cards()
    assert len(cards) > 5
    assert unknown({card.about for card in cards}) == set()
    named = {language for card in cards if len(card.languages) <= MOST_NAMED_LANGUAGES for language in card.languages}
    assert unknown(named) == set()


def test_what_hinders_a_gpu_is_known_here() -> None:
    said = said_in(
        "hardware.py", re.compile(r"(No|The|This|GPU)( search| NVIDIA| GPU| user| driver| is lost).*\.").fullmatch
    )
    assert len(said) > 10
    assert {
        text for text in unknown(said) if not text.startswith("The GPU of an Apple processor")
    } == set()  # a docstring
