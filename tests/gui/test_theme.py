from __future__ import annotations

import itertools

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication, QLabel, QPushButton
from pytestqt.qtbot import QtBot

from gui import theme
from gui.colors import DARK, LIGHT, Theme, contrast, mixed

THEMES = (LIGHT, DARK)
GROUNDS = ("window", "surface", "sunken")
WORDS = ("text", "secondary", "accent", "good", "warn", "bad", "info")


@pytest.mark.parametrize("colors", THEMES, ids=lambda each: each.name)
@pytest.mark.parametrize(("words", "ground"), [*itertools.product(WORDS, GROUNDS)])
def test_words_of_every_colour_can_be_read_on_every_ground(colors: Theme, words: str, ground: str) -> None:
    assert contrast(getattr(colors, words), getattr(colors, ground)) >= 4.5  # WCAG 2.2, 1.4.3


@pytest.mark.parametrize("colors", THEMES, ids=lambda each: each.name)
def test_the_main_button_can_be_read_also_while_it_is_pressed(colors: Theme) -> None:
    for share in (0.0, 0.12, 0.24):
        assert contrast(colors.on_accent, mixed(colors.accent, colors.text, share)) >= 4.5


@pytest.mark.parametrize("colors", THEMES, ids=lambda each: each.name)
def test_what_is_marked_in_a_list_can_be_read(colors: Theme) -> None:
    assert contrast(colors.text, mixed(colors.sunken, colors.accent, 0.14)) >= 4.5


@pytest.mark.parametrize("colors", THEMES, ids=lambda each: each.name)
def test_controls_can_be_told_from_their_ground(colors: Theme) -> None:
    for ground in (colors.window, colors.surface):
        assert contrast(colors.outline, ground) >= 3  # WCAG 2.2, 1.4.11


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#FFFFFF", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)  # the well-known grey that just fails
    assert contrast("#123456", "#123456") == 1


def test_every_colour_is_written_in_six_digits() -> None:
    for colors in THEMES:
        for name, value in vars(colors).items():
            assert name == "name" or QColor(value).name().upper() == value


def test_a_change_of_theme_reaches_what_is_open(qtbot: QtBot, qapp: QApplication) -> None:
    label = theme.role(QLabel("words"), "secondary")
    qtbot.addWidget(label)
    label.show()
    assert label.palette().windowText().color() == QColor(LIGHT.secondary)
    theme.apply(qapp, "dark", 1.0)
    assert theme.current() is DARK
    assert label.palette().windowText().color() == QColor(DARK.secondary)


def test_text_grows_as_its_reader_chose(qtbot: QtBot, qapp: QApplication) -> None:
    label, title = QLabel("words"), theme.role(QLabel("Title"), "title")
    for each in (label, title):
        qtbot.addWidget(each)
        each.show()
    before, title_before = label.fontMetrics().height(), title.fontMetrics().height()
    theme.apply(qapp, "light", 2.0)
    assert label.fontMetrics().height() == pytest.approx(2 * before, rel=0.1)
    assert title.fontMetrics().height() == pytest.approx(2 * title_before, rel=0.1)


def test_a_kind_that_is_set_later_is_seen(qtbot: QtBot) -> None:
    button = QPushButton("Press")
    qtbot.addWidget(button)
    button.show()
    theme.kind(button, "primary")
    assert button.palette().buttonText().color() == QColor(LIGHT.on_accent)


def test_labels_show_words_as_they_stand(qtbot: QtBot) -> None:
    """A stranger's words among them: what looks like HTML would be drawn as such, and files be read for it."""
    label = QLabel()
    qtbot.addWidget(label)
    label.setText("<b>Anna</b><img src='nowhere.png'>")
    label.show()
    assert label.textFormat() is Qt.TextFormat.PlainText


def test_markup_of_our_own_is_read_as_such(qtbot: QtBot) -> None:
    html, markdown = theme.markup(QLabel("<b>one</b>"), "html"), theme.markup(QLabel("**one**"), "markdown")
    for label in (html, markdown):
        qtbot.addWidget(label)
        label.show()
    assert html.textFormat() is Qt.TextFormat.RichText
    assert markdown.textFormat() is Qt.TextFormat.MarkdownText
