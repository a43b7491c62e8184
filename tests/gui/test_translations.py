"""The German translation is complete, made of the sentences that the sources have, and compiled as it stands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import gui
from volunteer.resource_files import resource

TS = resource("translations", "petals_volunteer_de.ts")
QM = TS.with_suffix(".qm")
SOURCES = Path(gui.__path__[0])
_FIELD = re.compile(r"\{[^{}]*\}|%n")

Message = tuple[str, str, tuple[str, ...]]


def tool(name: str) -> str:
    """Of Qt for Python, installed beside the interpreter."""
    return str(Path(sys.executable).with_name(f"pyside6-{name}"))


def messages(ts: Path) -> list[Message]:
    """Of each its context, its English and its translations, of which there are two where something is counted."""
    found = []
    for context in ElementTree.parse(ts).getroot().iter("context"):  # noqa: S314 our own file
        for message in context.iter("message"):
            translation = message.find("translation")
            assert translation is not None
            forms = [form.text or "" for form in translation.iter("numerusform")] or [translation.text or ""]
            kind = translation.get("type")
            if kind in (None, "unfinished"):
                finished = () if kind == "unfinished" else tuple(forms)
                found.append((context.findtext("name", ""), message.findtext("source", ""), finished))
    return found


@pytest.fixture(scope="module")
def updated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The translations as lupdate leaves them after it has read the sources."""
    copy = tmp_path_factory.mktemp("translations") / TS.name
    shutil.copy(TS, copy)
    files = sorted(map(str, SOURCES.rglob("*.py")))
    command = [tool("lupdate"), *files, "-locations", "none", "-no-obsolete", "-ts", str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    return copy


def test_every_sentence_of_the_window_is_translated_and_no_other(updated: Path) -> None:
    wanted = {(context, source) for context, source, _ in messages(updated)}
    there = {(context, source) for context, source, _ in messages(TS)}
    assert sorted(wanted - there) == []
    assert sorted(there - wanted) == []
    assert [(context, source) for context, source, forms in messages(TS) if not all(forms) or not forms] == []


def test_a_translation_has_the_fields_of_its_sentence() -> None:
    wrong = [
        (source, form)
        for _, source, forms in messages(TS)
        for form in forms
        if sorted(set(_FIELD.findall(form))) != sorted(set(_FIELD.findall(source)))
    ]
    assert wrong == []


def test_a_translation_keeps_the_tone() -> None:
    """No shouting, no begging, no full stop more or less."""
    for _, source, forms in messages(TS):
        for form in forms:
            assert "!" not in form
            assert "Fehler" not in form
            assert source.endswith(".") == form.endswith("."), form


def test_what_is_shipped_is_what_was_translated(tmp_path: Path) -> None:
    made = tmp_path / QM.name
    subprocess.run([tool("lrelease"), str(TS), "-qm", str(made)], check=True, capture_output=True)
    assert made.read_bytes() == QM.read_bytes()
