"""The two themes as values, and what can be reckoned with colours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """All colours, as #RRGGBB.

    Attributes:
        surface: of cards and fields, on the `window`.
        border: a hairline between surfaces.
        outline: of a control, which has to be found by its edge.
        sunken: behind something that is scrolled or pressed.
        accent: the one thing to press, and what is ours in a picture; `on_accent` is text on it.
    """

    name: str
    window: str
    surface: str
    border: str
    outline: str
    sunken: str
    text: str
    secondary: str
    accent: str
    on_accent: str
    good: str
    warn: str
    bad: str
    info: str


LIGHT = Theme(
    name="light",
    window="#FAFAFB",
    surface="#FFFFFF",
    border="#E3E3E8",
    outline="#8C8C98",
    sunken="#F4F4F6",
    text="#1C1C21",
    secondary="#5B5B66",
    accent="#B4236C",
    on_accent="#FFFFFF",
    good="#1E7F4F",
    warn="#8A5A00",
    bad="#C62828",
    info="#2A62C9",
)
DARK = Theme(
    name="dark",
    window="#16161A",
    surface="#1F1F25",
    border="#33333C",
    outline="#6E6E7B",
    sunken="#2A2A32",
    text="#ECECF1",
    secondary="#A5A5B2",
    accent="#F277AE",
    on_accent="#16161A",
    good="#4CC38A",
    warn="#E3B341",
    bad="#FF7B72",
    info="#79B8FF",
)


def mixed(color: str, other: str, share: float) -> str:
    """`color` with so much of `other` in it, 0 to 1."""
    parts = (round(one * (1 - share) + two * share) for one, two in zip(_parts(color), _parts(other), strict=True))
    return "#{:02X}{:02X}{:02X}".format(*parts)


def contrast(color: str, other: str) -> float:
    """As WCAG 2 counts it: 1 for the same, 21 for black on white."""
    lighter, darker = sorted((_luminance(color), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(part) for part in _parts(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: int) -> float:
    share = part / 255
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def _parts(color: str) -> tuple[int, int, int]:
    value = int(color.removeprefix("#"), 16)
    return value >> 16, value >> 8 & 255, value & 255
