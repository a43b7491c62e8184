"""Colours, spacing and type of the window, in one place: a palette and one style sheet, made from a theme.

Widgets say what they are (`role`, `kind`); how that looks is decided here alone. What paints itself asks `current()`
in its paint event, and so follows a change of theme without being told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPalette
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget

from gui.colors import DARK, LIGHT, Theme, contrast, mixed
from gui.style_sheet import SECONDARY_SIZE, style_sheet

__all__ = ["DARK", "LIGHT", "Theme", "contrast", "mixed"]

XS, S, M, L, XL, XXL = 4, 8, 12, 16, 24, 32
RADIUS_CARD = 8
RADIUS_CONTROL = 6
_LEAST_BODY_PT = 9.75
"""13 px at 96 dpi: what desktops without a choice of their own give (9 pt) is small for sentences."""

Choice = Literal["system", "light", "dark"]
Role = Literal["title", "card", "body", "secondary", "big"]
Kind = Literal["primary", "plain", "quiet", "danger"]
Markup = Literal["html", "markdown"]


@dataclass
class _Applied:
    """What the application wears now."""

    theme: Theme = LIGHT
    text_scale: float = 1.0
    desktop_pt: float | None = None
    """Size of the desktop's own font, before this module changed it."""


_applied = _Applied()


def current() -> Theme:
    """The theme that the window wears now."""
    return _applied.theme


def text_scale() -> float:
    """How much larger than usual text is, as its reader chose."""
    return _applied.text_scale


def chosen(choice: Choice) -> Theme:
    """The theme that is meant; the desktop's where it says so, light where it does not tell."""
    if choice == "system":
        return DARK if QGuiApplication.styleHints().colorScheme() is Qt.ColorScheme.Dark else LIGHT
    return DARK if choice == "dark" else LIGHT


def apply(app: QApplication, choice: Choice, text_scale: float) -> None:
    """Dresses all windows, open ones too; costs a third of a second where there are many widgets."""
    is_first = _applied.desktop_pt is None
    if _applied.desktop_pt is None:
        _applied.desktop_pt = app.font().pointSizeF()
        app.setStyle("Fusion")
    _tell_desktop(choice)
    worn, wanted = (_applied.theme, _applied.text_scale), (chosen(choice), text_scale)
    if worn == wanted and not is_first:
        return
    _applied.theme, _applied.text_scale = wanted
    body_pt = max(_applied.desktop_pt, _LEAST_BODY_PT) * text_scale
    app.setPalette(palette(_applied.theme))
    app.setFont(_body_font(app.font(), body_pt))
    app.setStyleSheet(style_sheet(_applied.theme, body_pt))


def _tell_desktop(choice: Choice) -> None:
    """The frame of a window, which is the desktop's, follows the choice where the desktop can do that."""
    schemes = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark, "system": Qt.ColorScheme.Unknown}
    QGuiApplication.styleHints().setColorScheme(schemes[choice])


def _body_font(font: QFont, size_pt: float) -> QFont:
    font.setPointSizeF(size_pt)
    # Numbers that move keep their width. Everywhere: one that stands still is not harmed by it.
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


def palette(theme: Theme) -> QPalette:
    """For what Fusion draws by itself, and for painting in plain colours."""
    colors = QPalette()
    roles = {
        QPalette.ColorRole.Window: theme.window,
        QPalette.ColorRole.WindowText: theme.text,
        QPalette.ColorRole.Base: theme.surface,
        QPalette.ColorRole.AlternateBase: theme.sunken,
        QPalette.ColorRole.Text: theme.text,
        QPalette.ColorRole.Button: theme.surface,
        QPalette.ColorRole.ButtonText: theme.text,
        QPalette.ColorRole.BrightText: theme.bad,
        QPalette.ColorRole.ToolTipBase: theme.text,
        QPalette.ColorRole.ToolTipText: theme.surface,
        QPalette.ColorRole.PlaceholderText: theme.secondary,
        QPalette.ColorRole.Highlight: theme.accent,
        QPalette.ColorRole.HighlightedText: theme.on_accent,
        QPalette.ColorRole.Accent: theme.accent,
        QPalette.ColorRole.Link: theme.accent,
        QPalette.ColorRole.LinkVisited: theme.accent,
        QPalette.ColorRole.Mid: theme.outline,
        QPalette.ColorRole.Dark: theme.outline,
        QPalette.ColorRole.Light: theme.surface,
    }
    for role_, color in roles.items():
        colors.setColor(role_, QColor(color))
    for role_ in (QPalette.ColorRole.Text, QPalette.ColorRole.WindowText, QPalette.ColorRole.ButtonText):
        colors.setColor(QPalette.ColorGroup.Disabled, role_, QColor(mixed(theme.text, theme.surface, 0.55)))
    colors.setColor(QPalette.ColorGroup.Disabled, QPalette.ColorRole.Highlight, QColor(theme.outline))
    return colors


def small(font: QFont) -> QFont:
    """A copy in the size of secondary text, for what is painted."""
    copy = QFont(font)
    copy.setPointSizeF(font.pointSizeF() * SECONDARY_SIZE)
    return copy


def semibold(font: QFont, *, is_wanted: bool = True) -> QFont:
    """A copy that stands out, or is like all others where that is not wanted."""
    copy = QFont(font)
    copy.setWeight(QFont.Weight.DemiBold if is_wanted else QFont.Weight.Normal)
    return copy


def role(label: QLabel, name: Role) -> QLabel:
    """Says what the label is in the page, and returns it."""
    _set_look(label, "role", name)
    return label


def markup(label: QLabel, language: Markup) -> QLabel:
    """Says that the label's text is markup of our own, and returns it; all other labels show words as they stand."""
    _set_look(label, "markup", language)
    label.setTextFormat(Qt.TextFormat.RichText if language == "html" else Qt.TextFormat.MarkdownText)
    return label


def kind(button: QAbstractButton, name: Kind) -> QAbstractButton:
    """Says how much the button asks to be pressed, and returns it."""
    _set_look(button, "kind", name)
    return button


def state(widget: QWidget, name: str) -> None:
    """One of good, warn, bad, info or nothing: colours a label or a banner. Never without a word that says the same."""
    _set_look(widget, "state", name)


def _set_look(widget: QWidget, name: str, value: str) -> None:
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    # A style sheet looks at properties when a widget is polished, and not again by itself.
    widget.style().unpolish(widget)
    widget.style().polish(widget)
