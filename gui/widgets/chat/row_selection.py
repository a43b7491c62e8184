"""A selection that goes on from one row into the next, as if all messages were one text.

Each row selects within itself. What is added here is what happens when the mouse leaves the row where it was pressed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QMimeData, QObject, QPoint, Qt, QTimer
from PySide6.QtGui import QMouseEvent, QTextCursor
from PySide6.QtWidgets import QPlainTextEdit, QTextEdit, QWidget

Selectable = QTextEdit | QPlainTextEdit

_SCROLL_MS = 40
_SCROLL_SHARE = 0.4
"""How much of the way beyond the edge is scrolled at each step."""


class RowSelection(QObject):
    """
    Args:
        views: those in sight, from above.
        area: in which they lie, and whose edges scroll.
        scroll_by: so many pixels.
    """

    def __init__(self, views: Callable[[], Sequence[Selectable]], area: QWidget, scroll_by: Callable[[float], None]):
        super().__init__(area)
        self._views = views
        self._area = area
        self._scroll_by = scroll_by
        self._origin: Selectable | None = None
        self._selected: list[Selectable] = []
        """From above; more than one, or none."""
        self._at = QPoint()
        self._scroll = QTimer(self, interval=_SCROLL_MS)
        self._scroll.timeout.connect(self._scroll_on)

    def watch(self, view: Selectable) -> None:
        view.viewport().installEventFilter(self)

    def holds(self, view: Selectable) -> bool:
        """A part of the selection is in it."""
        return view is self._origin or view in self._selected or view.textCursor().hasSelection()

    def mime_data(self) -> QMimeData | None:
        """What is copied if it goes over several rows."""
        if len(self._selected) < 2:
            return None
        data = QMimeData()
        data.setText("\n\n".join(view.textCursor().selection().toPlainText() for view in self._selected))
        return data

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        view = watched.parent()
        if not isinstance(event, QMouseEvent) or not isinstance(view, QTextEdit | QPlainTextEdit):
            return False
        match event.type():
            case QEvent.Type.MouseButtonPress if event.button() is Qt.MouseButton.LeftButton:
                self.clear(besides=view)
                self._origin = view
            case QEvent.Type.MouseMove if event.buttons() & Qt.MouseButton.LeftButton and self._origin is view:
                return self._drag(view.viewport().mapTo(self._area, event.position().toPoint()))
            case QEvent.Type.MouseButtonRelease:
                self._origin = None
                self._scroll.stop()
        return False

    def clear(self, besides: Selectable | None = None) -> None:
        """There is one selection: what was marked in another row, alone or with more, is so no longer."""
        for view in self._views():
            if view is not besides and view.textCursor().hasSelection():
                _select(view, 0, 0)
        self._selected = []

    def _drag(self, at: QPoint) -> bool:
        """Whether the rows between here and there are selected, and the row itself has nothing to do."""
        self._at = at
        if 0 <= at.y() <= self._area.height():
            self._scroll.stop()
        else:
            self._scroll.start()
        views = self._views()
        target = self._nearest(views)
        if self._origin is None or self._origin not in views or target is None or target is self._origin:
            self.clear(besides=self._origin)
            return False
        self._select_between(views, views.index(self._origin), views.index(target))
        return True

    def _nearest(self, views: Sequence[Selectable]) -> Selectable | None:
        def away(view: Selectable) -> int:
            top = view.mapTo(self._area, QPoint()).y()
            return max(top - self._at.y(), self._at.y() - (top + view.height()), 0)

        return min(views, key=away, default=None)

    def _select_between(self, views: Sequence[Selectable], first: int, last: int) -> None:
        origin, target = views[first], views[last]
        within = target.viewport().mapFrom(self._area, self._at)
        position = target.cursorForPosition(within).position()
        goes_down = last > first
        _select(origin, origin.textCursor().anchor(), _length(origin) if goes_down else 0)
        _select(target, 0 if goes_down else _length(target), position)
        between = views[min(first, last) + 1 : max(first, last)]
        for view in between:
            _select(view, 0, _length(view))
        selected = [origin, *between, target] if goes_down else [target, *between, origin]
        for view in self._selected:
            if view not in selected:
                _select(view, 0, 0)
        self._selected = selected

    def _scroll_on(self) -> None:
        beyond = self._at.y() if self._at.y() < 0 else max(0, self._at.y() - self._area.height())
        if beyond and self._origin is not None:
            self._scroll_by(beyond * _SCROLL_SHARE)
            self._drag(self._at)
        else:
            self._scroll.stop()


def _length(view: Selectable) -> int:
    return max(0, view.document().characterCount() - 1)


def _select(view: Selectable, anchor: int, position: int) -> None:
    cursor = view.textCursor()
    cursor.setPosition(min(anchor, _length(view)))
    cursor.setPosition(min(position, _length(view)), QTextCursor.MoveMode.KeepAnchor)
    view.setTextCursor(cursor)
