"""What is on the screen, page by page and state by state: words that can be read, and none cut off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

import pytest
from PySide6.QtCore import QPoint, QRect
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QLineEdit, QPlainTextEdit, QScrollArea, QWidget

from gui import theme
from gui.colors import contrast, mixed
from gui.languages import Languages
from gui.widgets.chat.chat_head import _Title
from gui.widgets.icon_button import IconButton
from tests.gui.every_state import PAGES, first_run, first_run_states, stage, states
from tests.gui.fake_link import FakeLink
from tests.gui.test_accessibility import describe

LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3


def told(widget: QWidget) -> str:
    """The words that it shows now."""
    return widget.text() if isinstance(widget, QLabel | QAbstractButton) else ""


def with_words(root: QWidget) -> list[QWidget]:
    """In sight, not switched off: those that cannot be used may be pale."""
    area = QRect(QPoint(), root.size())
    return [
        widget
        for widget in root.findChildren(QWidget)
        if widget.isVisibleTo(root)
        and widget.isEnabled()
        and told(widget).strip()
        and area.contains(QRect(widget.mapTo(root, QPoint()), widget.size()))
        and not widget.visibleRegion().isEmpty()
        and widget.visibleRegion().boundingRect().size() == widget.size()
    ]


def contrast_of(picture: QImage) -> float:
    """Between the ground, which is the colour of most of it, and what stands out most: the strokes of letters."""
    pixels = picture.convertToFormat(QImage.Format.Format_RGB32).constBits()
    counts = Counter(memoryview(pixels).cast("I"))
    ground = counts.most_common(1)[0][0]
    return max(_contrast(color & 0xFFFFFF, ground & 0xFFFFFF) for color in counts)


@cache
def _contrast(color: int, ground: int) -> float:
    return contrast(f"#{color:06X}", f"#{ground:06X}")


@pytest.mark.parametrize("choice", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_words_can_be_read_on_every_page_in_every_state(
    link: FakeLink, qapp: QApplication, page: str, choice: theme.Choice
) -> None:
    theme.apply(
        qapp, choice, 2.0
    )  # large: strokes of small letters are thinner than a pixel, and paler than their colour
    pale = []
    looked_at = 0
    with stage(link, 1280, 960) as on:
        for state, tell in states(page):
            tell(on)
            looked_at += len(with_words(on.window))
            pale += [f"{state}: {each}" for each in pale_words(on.window)]
    assert looked_at > 20
    assert not pale, "\n".join(pale)


def pale_words(root: QWidget) -> Iterator[str]:
    picture = root.grab().toImage()
    for widget in with_words(root):
        found = contrast_of(picture.copy(QRect(widget.mapTo(root, QPoint()), widget.size())))
        if found < LEAST_CONTRAST:
            yield f"{found:.1f} for {told(widget)!r}, {describe(widget)}"
    yield from pale_placeholders(root)


def pale_placeholders(root: QWidget) -> Iterator[str]:
    """By their colours: the icon beside one would be taken for it."""
    for field in [*root.findChildren(QLineEdit), *root.findChildren(QPlainTextEdit)]:
        if field.isVisibleTo(root) and field.isEnabled() and field.placeholderText():
            color = field.palette().placeholderText().color()
            ground = theme.current().surface
            seen = mixed(ground, QColor(color.rgb()).name(), color.alphaF())
            if contrast(seen, ground) < LEAST_CONTRAST:
                yield f"{contrast(seen, ground):.1f} for {field.placeholderText()!r}"


def cut_off(root: QWidget) -> Iterator[str]:
    """Words that have less room than they need, and what a column that scrolls down alone hides at its right."""
    for widget in root.findChildren(QWidget):
        if not widget.isVisibleTo(root):
            continue
        if isinstance(widget, QLabel) and widget.text() and not isinstance(widget, _Title):
            width = widget.sizeHint().width() if not widget.wordWrap() else 0
            height = widget.heightForWidth(widget.width()) if widget.wordWrap() else widget.sizeHint().height()
            if width > widget.width() + 1 or height > widget.height() + 1:
                has = f"{widget.width()}x{widget.height()}"
                yield f"{widget.text()!r} needs {width}x{height}, has {has}, {describe(widget)}"
        elif isinstance(widget, QAbstractButton) and told(widget) and not isinstance(widget, IconButton):
            if widget.minimumSizeHint().width() > widget.width() + 1:
                yield f"{describe(widget)} needs {widget.minimumSizeHint().width()}, has {widget.width()}"
        elif isinstance(widget, QScrollArea) and widget.widget() is not None:
            inner = widget.widget()
            if inner.width() > widget.viewport().width() + 1:
                yield f"{describe(widget)} shows {widget.viewport().width()} of {inner.width()}"


SIZES = [
    ("en", 1.0, 720, 480),
    ("de", 1.0, 720, 480),
    ("de", 1.0, 960, 640),
    ("de", 1.6, 960, 640),
    ("en", 2.0, 960, 640),
]


@pytest.fixture
def in_language(qapp: QApplication) -> Iterator[Languages]:
    """Speaks English again at the end."""
    languages = Languages()
    yield languages
    languages.speak(qapp, "en")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("language", "scale", "width", "height"), SIZES)
def test_no_word_is_cut_off(
    link: FakeLink,
    qapp: QApplication,
    in_language: Languages,
    page: str,
    language: str,
    scale: float,
    width: int,
    height: int,
) -> None:
    in_language.speak(qapp, language)
    theme.apply(qapp, "light", scale)
    found = []
    with stage(link, width, height) as on:
        for state, tell in states(page):
            tell(on)
            found += [f"{state}: {each}" for each in cut_off(on.window)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("language", "scale", "width", "height"), SIZES)
def test_no_word_of_the_first_run_is_cut_off(
    link: FakeLink, qapp: QApplication, in_language: Languages, language: str, scale: float, width: int, height: int
) -> None:
    in_language.speak(qapp, language)
    theme.apply(qapp, "light", scale)
    with first_run(link, width, height) as page:
        found = [f"{state}: {each}" for state in first_run_states(page) for each in cut_off(page)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("choice", ["light", "dark"])
def test_words_of_the_first_run_can_be_read(link: FakeLink, qapp: QApplication, choice: theme.Choice) -> None:
    theme.apply(qapp, choice, 2.0)
    with first_run(link, 1280, 960) as page:
        pale = [f"{state}: {each}" for state in first_run_states(page) for each in pale_words(page)]
    assert not pale, "\n".join(pale)
