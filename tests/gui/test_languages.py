from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QCoreApplication, QLocale
from PySide6.QtWidgets import QApplication

from gui import languages, words
from gui.languages import Languages


@pytest.fixture
def spoken(qapp: QApplication) -> Iterator[Languages]:
    made = Languages()
    yield made
    made.speak(qapp, "en")


def test_german_is_there_beside_english() -> None:
    assert languages.available() == ("en", "de")
    assert [languages.own_name(code) for code in ("en", "de")] == ["English", "Deutsch"]


def test_the_owner_s_choice_counts_then_the_system_s(monkeypatch: pytest.MonkeyPatch) -> None:
    class Austrian:
        @staticmethod
        def uiLanguages() -> list[str]:
            return ["fr-FR", "de-AT", "en-GB"]

    monkeypatch.setattr(QLocale, "system", Austrian)
    assert languages.chosen("en") == "en"
    assert languages.chosen(None) == "de"
    assert languages.chosen("tlh") == "en"


def test_words_and_numbers_change_together(qapp: QApplication, spoken: Languages) -> None:
    spoken.speak(qapp, "de")
    assert QCoreApplication.translate("Worker", "Serving") == "Hilft mit"
    assert words.count(182400) == "182.400"
    assert words.ago(0.0, 180.0) == "vor 3\u202fmin"
    spoken.speak(qapp, "en")
    assert QCoreApplication.translate("Worker", "Serving") == "Serving"
    assert words.count(182400) == "182,400"


def test_dialogs_of_qt_speak_the_language_too(qapp: QApplication, spoken: Languages) -> None:
    spoken.speak(qapp, "de")
    assert QCoreApplication.translate("QPlatformTheme", "Cancel") == "Abbrechen"
