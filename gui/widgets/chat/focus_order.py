"""In which order the keyboard goes through widgets that are used again and again in other places."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QWidget


def tab_stops(widgets: Iterable[QWidget], area: QWidget) -> list[QWidget]:
    """What the keyboard stops at in these widgets, in the order of reading."""

    def place(widget: QWidget) -> tuple[int, int]:
        at = widget.mapTo(area, QPoint())
        return at.y(), at.x()

    stops = [each for widget in widgets for each in (widget, *widget.findChildren(QWidget)) if _takes_tab(each)]
    return sorted(stops, key=place)


def next_outside(area: QWidget) -> QWidget | None:
    """What follows `area` in its window."""
    following = area.nextInFocusChain()
    while following is not None and following is not area:
        if _takes_tab(following) and not area.isAncestorOf(following):
            return following
        following = following.nextInFocusChain()
    return None


def _takes_tab(widget: QWidget) -> bool:
    takes = bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus)
    return takes and widget.isVisible() and widget.isEnabled()
