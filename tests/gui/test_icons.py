from __future__ import annotations

import re
from pathlib import Path

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QIcon, QImage
from PySide6.QtWidgets import QApplication

from gui import theme
from gui.colors import DARK, LIGHT
from gui.icons import icon
from volunteer.resource_files import resource

NAMES = sorted(path.stem for path in resource("icons").glob("*.svg"))
NOT_RECOLOURED = {"arrow-down", "arrow-up", "mark-on-light", "mark-on-dark"}
"""Used by the style sheet, which cannot colour pictures."""
USED = re.compile(r"""\b(?:icon|IconButton)\(\s*"([a-z-]+)\"""")


def image(name: str, size: int = 48) -> QImage:
    return icon(name).pixmap(QSize(size, size)).toImage()


def strongest(found: QImage) -> QColor:
    pixels = (found.pixelColor(x, y) for x in range(found.width()) for y in range(found.height()))
    return max(pixels, key=QColor.alpha)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_RECOLOURED])
def test_every_icon_is_drawn_in_the_colour_that_is_asked_for(qapp: QApplication, name: str) -> None:
    drawn = strongest(image(name))
    assert drawn.alpha() > 200
    assert QColor(drawn.rgb()) == QColor(LIGHT.text)


def test_an_icon_follows_the_theme(qapp: QApplication) -> None:
    made = icon("home", "accent")
    theme.apply(qapp, "dark", 1.0)
    assert QColor(strongest(made.pixmap(QSize(48, 48)).toImage()).rgb()) == QColor(DARK.accent)


def test_an_icon_of_what_cannot_be_pressed_is_fainter(qapp: QApplication) -> None:
    made = icon("home")
    disabled = made.pixmap(QSize(48, 48), QIcon.Mode.Disabled).toImage()
    assert strongest(disabled).lightness() > strongest(image("home")).lightness()


def test_an_icon_is_sharp_on_a_screen_with_more_pixels(qapp: QApplication) -> None:
    pixmap = icon("home").pixmap(QSize(20, 20), 2.0)
    assert (pixmap.width(), pixmap.devicePixelRatio()) == (40, 2.0)


def test_every_icon_that_is_used_is_there() -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path(theme.__file__).parent.rglob("*.py")]
    used = {name for source in sources for name in USED.findall(source)}
    assert "close" in used
    assert used <= set(NAMES)
