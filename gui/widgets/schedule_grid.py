"""The hours of the week, painted with the mouse or chosen with the keyboard. A table to screen readers, which it is."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFocusEvent, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from gui import theme
from gui.viewmodels.week_table import ON_ROLE, Cell, WeekTable
from volunteer.hours import DAYS, HOURS_A_DAY

_ROW_PADDING = 10
_LEAST_COLUMN_PX = 11
_LABELLED_HOURS = 3
"""Every third column has its number: there is no room for all of them."""

AnyIndex = QModelIndex | QPersistentModelIndex


class ScheduleGrid(QTableView):
    """Space turns what is selected on or off; a press on a day or an hour, all of it."""

    def __init__(self, table: WeekTable, parent: QWidget) -> None:
        super().__init__(parent)
        self._table = table
        self._paints: bool | None = None
        """What is painted while the mouse is held."""
        self._last: Cell | None = None
        self.setObjectName("ScheduleGrid")
        self.setModel(table)
        self.setItemDelegate(_Cells(self))
        self.setAccessibleName(self.tr("Hours of the week"))
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFrameShape(QTableView.Shape.NoFrame)
        self.setHorizontalHeader(_HourHeader(self))
        self.setVerticalHeader(_DayHeader(self))
        self.horizontalHeader().sectionClicked.connect(
            lambda hour: table.toggle((day, hour) for day in range(len(DAYS)))
        )
        self.verticalHeader().sectionClicked.connect(
            lambda day: table.toggle((day, hour) for hour in range(HOURS_A_DAY))
        )
        self._measure()

    def sizeHint(self) -> QSize:
        rows = len(DAYS) * self.verticalHeader().defaultSectionSize()
        width = self.verticalHeader().sizeHint().width() + HOURS_A_DAY * 22
        return QSize(width, self.horizontalHeader().sizeHint().height() + rows + 2)

    def minimumSizeHint(self) -> QSize:
        width = self.verticalHeader().sizeHint().width() + HOURS_A_DAY * _LEAST_COLUMN_PX
        return QSize(width, self.sizeHint().height())

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._measure()

    def _measure(self) -> None:
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + _ROW_PADDING)
        self.updateGeometry()

    # The mouse paints

    def mousePressEvent(self, event: QMouseEvent) -> None:
        cell = self._cell_at(event)
        if event.button() is not Qt.MouseButton.LeftButton or cell is None:
            return
        self.clearSelection()
        self.setCurrentIndex(self._table.index(*cell))
        self._paints, self._last = not self._table.is_on(cell), cell
        self._table.paint([cell], on=self._paints)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        cell = self._cell_at(event)
        if self._paints is None or self._last is None or cell is None:
            return
        self._table.paint(_between(self._last, cell), on=self._paints)
        self._last = cell

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._paints is not None:
            self._paints = None
            self._table.choose()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.mousePressEvent(event)

    def _cell_at(self, event: QMouseEvent) -> Cell | None:
        index = self.indexAt(event.position().toPoint())
        return (index.row(), index.column()) if index.isValid() else None

    # The keyboard chooses

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        if not self.currentIndex().isValid():
            self.setCurrentIndex(self._table.index(0, 0))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            chosen = self.selectionModel().selectedIndexes() or [self.currentIndex()]
            self._table.toggle((index.row(), index.column()) for index in chosen if index.isValid())
            return
        super().keyPressEvent(event)


def _between(first: Cell, last: Cell) -> Iterable[Cell]:
    """What a quick hand has passed over: all cells of the line from one to the other."""
    steps = max(abs(last[0] - first[0]), abs(last[1] - first[1]), 1)
    for step in range(steps + 1):
        share = step / steps
        yield (
            round(first[0] + (last[0] - first[0]) * share),
            round(first[1] + (last[1] - first[1]) * share),
        )


class _Cells(QStyledItemDelegate):
    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        now = theme.current()
        cell = QRectF(option.rect).adjusted(1, 1, -1, -1)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(now.accent if index.data(ON_ROLE) else theme.mixed(now.sunken, now.outline, 0.12)))
        painter.drawRoundedRect(cell, 2, 2)
        if option.state & (QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_HasFocus) and self._has_focus():
            ring = cell.adjusted(0.5, 0.5, -0.5, -0.5)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(now.text), 2))
            painter.drawRoundedRect(ring, 2, 2)
        painter.restore()

    def _has_focus(self) -> bool:
        view = self.parent()
        return isinstance(view, QWidget) and view.hasFocus()


class _HourHeader(QHeaderView):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setSectionsClickable(True)
        self.setMinimumSectionSize(_LEAST_COLUMN_PX)
        self.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), QFontMetrics(theme.small(self.font())).height() + theme.XS)

    def paintSection(self, painter: QPainter, rect: QRect, logicalIndex: int) -> None:
        if logicalIndex % _LABELLED_HOURS:
            return
        painter.save()
        painter.setFont(theme.small(self.font()))
        painter.setPen(QColor(theme.current().secondary))
        room = QRect(rect.left() + 1, rect.top(), rect.width() * _LABELLED_HOURS, rect.height())
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.setClipping(False)
        painter.drawText(room, flags, str(logicalIndex))
        painter.restore()


class _DayHeader(QHeaderView):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Vertical, parent)
        self.setSectionsClickable(True)
        self.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)

    def sizeHint(self) -> QSize:
        names = [str(self.model().headerData(day, Qt.Orientation.Vertical)) for day in range(len(DAYS))]
        widest = max(self.fontMetrics().horizontalAdvance(name) for name in names)
        return QSize(widest + theme.M, super().sizeHint().height())

    def paintSection(self, painter: QPainter, rect: QRect, logicalIndex: int) -> None:
        painter.save()
        painter.setPen(QColor(theme.current().text))
        name = str(self.model().headerData(logicalIndex, Qt.Orientation.Vertical))
        painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, name)
        painter.restore()
