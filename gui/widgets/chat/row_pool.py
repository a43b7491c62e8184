"""The widgets of the rows in sight, used again for other rows when these have gone out of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Set

from PySide6.QtWidgets import QWidget

from gui.widgets.chat.row_widget import RowWidget
from gui.widgets.chat.rows import Row, RowKind

Key = tuple[int, RowKind, int]
_SPARE = 6
"""Widgets of a kind that are kept for another row."""


class RowPool:
    """
    Args:
        make: a new widget of a kind.
    """

    def __init__(self, make: Callable[[RowKind], RowWidget]):
        self._make = make
        self._spare: defaultdict[RowKind, list[RowWidget]] = defaultdict(list)
        self._used: dict[Key, tuple[RowWidget, Row]] = {}
        self._widths: dict[Key, int] = {}
        """For which width those in use were laid out."""

    def __iter__(self) -> Iterator[tuple[Row, RowWidget]]:
        return iter([(row, widget) for widget, row in self._used.values()])

    def widget(self, row: Row) -> RowWidget | None:
        used = self._used.get(row.key)
        return None if used is None else used[0]

    def measured(self, row: Row, width: int) -> int | None:
        """Shows a row; its height for this width, or None if it is as it was when that was last asked."""
        key = row.key
        used = self._used.get(key)
        if used is not None and self._widths.get(key) == width and used[1] == row:
            return None
        widget = used[0] if used is not None else self._take(row.kind)
        if used is None or used[1] != row:
            widget.show_row(row)
        self._used[key] = widget, row
        self._widths[key] = width
        return widget.height_for(width)

    def forget_heights(self) -> None:
        """All have to be laid out anew."""
        self._widths.clear()

    def forget_height(self, widget: QWidget) -> None:
        for key, (used, _) in self._used.items():
            if used is widget:
                self._widths.pop(key, None)

    def keep_only(self, keys: Set[Key]) -> None:
        """Takes the widgets of all other rows back."""
        for key in [key for key in self._used if key not in keys]:
            widget, row = self._used.pop(key)
            self._widths.pop(key, None)
            widget.hide()
            if len(self._spare[row.kind]) < _SPARE:
                self._spare[row.kind].append(widget)
            else:
                widget.deleteLater()

    def everything(self) -> list[RowWidget]:
        """Also what waits to be used again."""
        return [widget for widget, _ in self._used.values()] + [each for kind in self._spare.values() for each in kind]

    def _take(self, kind: RowKind) -> RowWidget:
        spare = self._spare[kind]
        return spare.pop() if spare else self._make(kind)
