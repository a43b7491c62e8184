"""Lays cards out in rows of equal columns: as many as fit, and the last row not stretched beyond them."""

from __future__ import annotations

from PySide6.QtCore import QMargins, QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem, QWidget

from gui import theme


class FlowLayout(QLayout):
    """
    Args:
        column_px: least width of a column, for text of the usual size; None for each item's own width, as words in a
            line.
        fills_rows: the last row is as wide as the others, also with fewer items, and has as few less as can be: four
            items are two and two, not three and one.
    """

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        spacing: int = 12,
        column_px: int | None = None,
        fills_rows: bool = False,
    ):
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._column_px = column_px
        self._fills_rows = fills_rows
        self.setSpacing(spacing)
        self.setContentsMargins(QMargins(0, 0, 0, 0))

    def addItem(self, item: QLayoutItem) -> None:
        self._items.append(item)

    def count(self) -> int:
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    @property
    def _column(self) -> int | None:
        return None if self._column_px is None else round(self._column_px * theme.text_scale())

    def expandingDirections(self) -> Qt.Orientation:
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return self._place(QRect(0, 0, width, 0), is_trial=True)

    def setGeometry(self, rect: QRect) -> None:
        super().setGeometry(rect)
        self._place(rect, is_trial=False)

    def sizeHint(self) -> QSize:
        return self.minimumSize()

    def minimumSize(self) -> QSize:
        widest = QSize()
        for item in self._shown():
            widest = widest.expandedTo(item.minimumSize())
        if self._column is not None:
            widest.setWidth(max(widest.width(), self._column))
        margins = self.contentsMargins()
        return widest + QSize(margins.left() + margins.right(), margins.top() + margins.bottom())

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty()]

    def _place(self, rect: QRect, *, is_trial: bool) -> int:
        """Puts the items into rows; returns the height that these take."""
        margins = self.contentsMargins()
        inside = rect.marginsRemoved(margins)
        y = inside.y()
        for row in self._rows(inside.width()):
            height = max(_height(item, width) for item, width in row)
            x = inside.x()
            for item, width in row:
                if not is_trial:
                    item.setGeometry(QRect(QPoint(x, y), QSize(width, height)))
                x += width + self.spacing()
            y += height + self.spacing()
        return max(0, y - self.spacing() - rect.y()) + margins.bottom()

    def _rows(self, width: int) -> list[list[tuple[QLayoutItem, int]]]:
        shown = self._shown()
        if self._column is not None:
            columns = max(1, min(len(shown), (width + self.spacing()) // (self._column + self.spacing())))
            if self._fills_rows and shown:
                columns = -(-len(shown) // -(-len(shown) // columns))
            rows_of = [shown[at : at + columns] for at in range(0, len(shown), columns)]
            return [self._row(items, width, len(items) if self._fills_rows else columns) for items in rows_of]
        rows: list[list[tuple[QLayoutItem, int]]] = []
        left = 0
        for item in shown:
            wanted = min(item.sizeHint().width(), width)
            if not rows or wanted > left:
                rows.append([])
                left = width
            rows[-1].append((item, wanted))
            left -= wanted + self.spacing()
        return rows

    def _row(self, items: list[QLayoutItem], width: int, columns: int) -> list[tuple[QLayoutItem, int]]:
        column = (width - (columns - 1) * self.spacing()) // columns
        return [(item, column) for item in items]


def _height(item: QLayoutItem, width: int) -> int:
    return item.heightForWidth(width) if item.hasHeightForWidth() else item.sizeHint().height()
