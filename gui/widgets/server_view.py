"""The rows of the swarm map: a table that draws only what is in sight, with each server's span as a bar."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QEvent, QItemSelection, QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QContextMenuEvent,
    QFontMetrics,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QPainter,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QToolTip,
    QWidget,
)

from gui import theme
from gui.viewmodels.block_coverage import Level, Run
from gui.viewmodels.server_table import (
    SERVER_ROLE,
    Column,
    Server,
    own_title,
    states_in_words,
    ways_in_words,
)
from gui.viewmodels.swarm import SwarmViewModel
from gui.widgets.plain_tip import plain_tip
from gui.widgets.quiet_scroll_bar import QuietScrollBar
from gui.widgets.row_table import read_by_rows

_BAR_HEIGHT = 12
_WEAK_ALPHA = 0.12
_ROW_PADDING = 14
_CELL_PADDING = 2 * (theme.S + 3) + 2
"""Of the style sheet, and what Fusion keeps beside it."""
_LEAST_MAP_PX = 180
_LEAST_ROWS = 3
_SPEED_SAMPLE = "182,400"

AnyIndex = QModelIndex | QPersistentModelIndex


class ServerView(QTableView):
    """
    Signals:
        track_moved: from where, and how wide, the bars are drawn.
    """

    track_moved = Signal(float, float)

    def __init__(self, swarm: SwarmViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._swarm = swarm
        self._bars = _Bars(self)
        self.setModel(swarm.table)
        self.setItemDelegate(_OwnFirst(self))
        self.setItemDelegateForColumn(Column.MAP, self._bars)
        self.setAccessibleName(self.tr("Servers"))
        read_by_rows(self)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBar(QuietScrollBar(self))
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)  # the strip above stands still
        header = self.horizontalHeader()
        header.setSectionResizeMode(Column.MAP, QHeaderView.ResizeMode.Stretch)
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.sectionClicked.connect(self._order_by)
        header.geometriesChanged.connect(self._tell_track)
        header.sectionResized.connect(self._tell_track)
        swarm.table.modelReset.connect(self._show_selected)
        swarm.selected.connect(self._show_selected)
        swarm.changed.connect(self._show_order)
        self._measure()
        self._show_order()

    def show_runs(self, num_blocks: int, runs: Sequence[Run]) -> None:
        self._bars.show_runs(num_blocks, runs)
        self.viewport().update()

    def minimumSizeHint(self) -> QSize:
        rows = _LEAST_ROWS * self.verticalHeader().defaultSectionSize()
        return QSize(320, self.horizontalHeader().sizeHint().height() + rows)

    def sizeHint(self) -> QSize:
        return self.minimumSizeHint()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        self._measure()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._measure()
        super().resizeEvent(event)
        self._tell_track()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._swarm.selected_id is not None:
            self.clearSelection()
            return
        super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The order of the rows, for whoever has no mouse for the titles: the menu key opens it."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for column in Column:
            title = str(self.model().headerData(column, Qt.Orientation.Horizontal))
            action = menu.addAction(title, partial(self._order_by, column))
            action.setCheckable(True)
            action.setChecked(column is self._swarm.order[0])
        menu.popup(event.globalPos())

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        super().selectionChanged(selected, deselected)
        rows = self.selectionModel().selectedRows()
        server = self._swarm.table.server(rows[0].row()) if rows else None
        if server is not None or deselected.count():
            self._swarm.select(None if server is None else server.peer_id)

    def _show_selected(self) -> None:
        """Rows that came anew lose what was selected in the view, and details may be closed by themselves."""
        row = self._swarm.table.row_of(self._swarm.selected_id)
        chosen = self.selectionModel().selectedRows()
        if row is None and chosen:
            self.clearSelection()
        elif row is not None and row not in [each.row() for each in chosen]:
            self.selectRow(row)

    def _order_by(self, section: int) -> None:
        column = Column(section)
        ordered_by, descending = self._swarm.order
        # Who is fastest is asked more often than who is slowest.
        is_down = not descending if column is ordered_by else column is Column.SPEED
        self._swarm.arrange_by(column, descending=is_down)

    def _show_order(self) -> None:
        column, descending = self._swarm.order
        order = Qt.SortOrder.DescendingOrder if descending else Qt.SortOrder.AscendingOrder
        self.horizontalHeader().setSortIndicator(column, order)

    def _measure(self) -> None:
        """Columns as wide as their usual text; the least important ones go where the bars would have no room."""
        metrics, boldest = self.fontMetrics(), QFontMetrics(theme.semibold(self.font()))
        self.verticalHeader().setDefaultSectionSize(metrics.height() + _ROW_PADDING)
        ways = [*ways_in_words().values(), *states_in_words().values()]
        samples = {
            Column.SERVER: [own_title()],  # longer names are cut short; the details have all of them
            Column.SPEED: [_SPEED_SAMPLE],
            Column.WAY: ways,
        }
        widths = {}
        for column, texts in samples.items():
            title = str(self.model().headerData(column, Qt.Orientation.Horizontal))
            widths[column] = max(map(boldest.horizontalAdvance, (*texts, title))) + _CELL_PADDING
            self.setColumnWidth(column, widths[column])
        room = self.viewport().width() - sum(widths.values()) - _LEAST_MAP_PX
        for column in (Column.WAY, Column.SPEED):
            self.setColumnHidden(column, room < 0)
            room += widths[column] if room < 0 else 0

    def _tell_track(self) -> None:
        left = self.frameWidth() + self.columnViewportPosition(Column.MAP) + theme.S
        self.track_moved.emit(float(left), float(max(1, self.columnWidth(Column.MAP) - 2 * theme.S)))


class _OwnFirst(QStyledItemDelegate):
    """The own row is found by its weight, too."""

    def helpEvent(
        self, event: QHelpEvent, view: QAbstractItemView, option: QStyleOptionViewItem, index: AnyIndex
    ) -> bool:
        if event.type() is not QEvent.Type.ToolTip:
            return super().helpEvent(event, view, option, index)
        text = index.data(Qt.ItemDataRole.ToolTipRole) if index.isValid() else ""
        QToolTip.showText(event.globalPos(), plain_tip(text or ""), view)
        return True

    def initStyleOption(self, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        super().initStyleOption(option, index)
        server = index.data(SERVER_ROLE)
        if isinstance(server, Server) and server.is_own:
            option.font = theme.semibold(option.font)


class _Bars(_OwnFirst):
    """One cell: the blocks of the model as a track, and the server's span on it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._view = parent
        self._num_blocks = 0
        self._weak: tuple[Run, ...] = ()

    def show_runs(self, num_blocks: int, runs: Sequence[Run]) -> None:
        self._num_blocks = num_blocks
        self._weak = tuple(run for run in runs if run.level is not Level.GOOD)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        super().paint(painter, option, index)
        server = index.data(SERVER_ROLE)
        if not self._num_blocks or not isinstance(server, Server):
            return
        track = QRectF(option.rect).adjusted(theme.S, 0, -theme.S, 0)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.small(self._view.font()))
        painter.setPen(Qt.PenStyle.NoPen)
        self._paint_weak(painter, track)
        self._paint_span(painter, track, server)
        painter.restore()

    def _paint_weak(self, painter: QPainter, track: QRectF) -> None:
        """Columns through all rows, so that the eye finds down from the strip who holds what is short."""
        now = theme.current()
        for run in self._weak:
            color = QColor(now.bad if run.level is Level.MISSING else now.warn)
            color.setAlphaF(_WEAK_ALPHA)  # a selected row shines through
            painter.setBrush(color)
            painter.drawRect(self._span(track, run.start, run.end))

    def _paint_span(self, painter: QPainter, track: QRectF, server: Server) -> None:
        span = self._span(track, server.start, min(server.end, self._num_blocks))
        bar = QRectF(span.left(), span.center().y() - _BAR_HEIGHT / 2, max(3.0, span.width()), _BAR_HEIGHT)
        self._paint_bar(painter, bar, server)
        self._paint_numbers(painter, track, bar, server)

    def _paint_bar(self, painter: QPainter, bar: QRectF, server: Server) -> None:
        now = theme.current()
        color = QColor(now.accent if server.is_own else theme.mixed(now.surface, now.secondary, 0.75))
        radius = min(3.0, bar.width() / 2)
        if server.is_online:
            painter.setBrush(color)
            painter.drawRoundedRect(bar, radius, radius)
            return
        inside = bar.adjusted(0.75, 0.75, -0.75, -0.75)
        painter.setBrush(QBrush(color, Qt.BrushStyle.BDiagPattern))
        painter.setPen(QPen(color, 1.5))
        painter.drawRoundedRect(inside, radius, radius)

    def _paint_numbers(self, painter: QPainter, track: QRectF, bar: QRectF, server: Server) -> None:
        """Right of the bar, or left of it where the model ends."""
        text = server.blocks
        width = QFontMetricsF(painter.font()).horizontalAdvance(text)
        left = bar.right() + theme.XS + 2
        if left + width > track.right():
            left = max(track.left(), bar.left() - theme.XS - 2 - width)
        painter.setPen(QColor(theme.current().accent if server.is_own else theme.current().secondary))
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(left, track.top(), width + 1, track.height()), flags, text)

    def _span(self, track: QRectF, start: int, end: int) -> QRectF:
        pitch = track.width() / self._num_blocks
        return QRectF(track.left() + start * pitch, track.top(), max(0, end - start) * pitch, track.height())
