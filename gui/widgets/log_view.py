"""The lines of the log: draws only those in sight, and stays at the newest while it follows."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QItemSelection, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from gui import theme
from gui.viewmodels.log_table import ENTRY_ROLE, Level, LogColumn, LogEntry, as_text
from gui.viewmodels.logs import LogsViewModel
from gui.viewmodels.server_table import AnyIndex
from gui.widgets.row_table import read_by_rows

_ROW_PADDING = 8
_TEXT_INSET = theme.S + 3
"""Of the style sheet, and what Fusion keeps beside it."""
_CELL_PADDING = 2 * _TEXT_INSET
_LEAST_TEXT_PX = 200
_LEAST_ROWS = 5
_TIME_SAMPLE, _TOPIC_SAMPLE = "00:00:00", "openai_api"


class LogView(QTableView):
    """
    Args:
        follow: turned off by scrolling back, and on at the end again.

    Signals:
        chosen: the entry that is looked at; None for none.
    """

    chosen = Signal(object)

    def __init__(self, logs: LogsViewModel, follow: QCheckBox, parent: QWidget) -> None:
        super().__init__(parent)
        self._logs = logs
        self._follow = follow
        self.setModel(logs.table)
        self.setItemDelegate(_Levels(self))
        self.setAccessibleName(self.tr("Log"))
        read_by_rows(self)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)  # several lines are copied together
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setSectionResizeMode(LogColumn.TEXT, QHeaderView.ResizeMode.Stretch)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        logs.changed.connect(self._keep_up)
        follow.toggled.connect(self._keep_up)
        self.verticalScrollBar().actionTriggered.connect(self._note_scrolling)
        self._measure()

    def minimumSizeHint(self) -> QSize:
        rows = _LEAST_ROWS * self.verticalHeader().defaultSectionSize()
        return QSize(260, self.horizontalHeader().sizeHint().height() + rows)

    def sizeHint(self) -> QSize:
        return self.minimumSizeHint()

    def copy(self) -> None:
        """What is chosen, or else all lines that are shown."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows())
        table = self._logs.table
        entries = [entry for row in rows if (entry := table.entry(row)) is not None] or table.entries()
        QGuiApplication.clipboard().setText(as_text(entries))

    def is_cut(self, entry: LogEntry) -> bool:
        """Its line is longer than there is room for."""
        return self.fontMetrics().horizontalAdvance(entry.first_line) + _CELL_PADDING > self.columnWidth(LogColumn.TEXT)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.model().rowCount():
            return
        painter = QPainter(self.viewport())
        painter.setPen(QColor(theme.current().secondary))
        room = self.viewport().rect().adjusted(theme.L, theme.L, -theme.L, -theme.L)
        flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
        painter.drawText(room, flags, self._why_empty())
        painter.end()

    def _why_empty(self) -> str:
        if self._logs.table.num_lines:
            return self.tr("No line is as you are looking for.")
        return self.tr(
            "Nothing is in the log yet. What the worker does, and what goes wrong, will be here line by line."
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
            return
        super().keyPressEvent(event)

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        super().selectionChanged(selected, deselected)
        rows = self.selectionModel().selectedRows()
        if rows:
            self._follow.setChecked(False)  # what is read stays in sight
        self.chosen.emit(self._logs.table.entry(rows[0].row()) if len(rows) == 1 else None)

    def wheelEvent(self, event: QWheelEvent) -> None:
        super().wheelEvent(event)
        self._note_scrolling()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._measure()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._measure()
        super().resizeEvent(event)
        self._keep_up()

    def _note_scrolling(self) -> None:
        bar = self.verticalScrollBar()
        self._follow.setChecked(bar.sliderPosition() >= bar.maximum())

    def _keep_up(self) -> None:
        if self._follow.isChecked():
            self.scrollToBottom()

    def _measure(self) -> None:
        metrics = self.fontMetrics()
        self.verticalHeader().setDefaultSectionSize(metrics.height() + _ROW_PADDING)
        samples = {
            LogColumn.TIME: _TIME_SAMPLE,
            LogColumn.LEVEL: max((level.in_words for level in Level), key=len),
            LogColumn.TOPIC: _TOPIC_SAMPLE,
        }
        boldest = QFontMetrics(theme.semibold(self.font()))
        for column, sample in samples.items():
            self.setColumnWidth(column, boldest.horizontalAdvance(sample) + _CELL_PADDING)
        taken = sum(self.columnWidth(column) for column in samples)
        self.setColumnHidden(LogColumn.TOPIC, self.viewport().width() - taken < _LEAST_TEXT_PX)


class _Levels(QStyledItemDelegate):
    """Warnings and failures stand out by their word and its colour; what the window says itself, by its slant."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        super().initStyleOption(option, index)
        entry = index.data(ENTRY_ROLE)
        if isinstance(entry, LogEntry):
            option.font.setItalic(entry.is_note)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: AnyIndex) -> None:
        entry = index.data(ENTRY_ROLE)
        if index.column() != LogColumn.LEVEL or not isinstance(entry, LogEntry) or entry.level < Level.WARNING:
            super().paint(painter, option, index)
            return
        # The style sheet colours the text of all items: this one is painted over an item without any.
        item = QStyleOptionViewItem(option)
        self.initStyleOption(item, index)
        text, item.text = item.text, ""
        item.widget.style().drawControl(QStyle.ControlElement.CE_ItemViewItem, item, painter, item.widget)
        now = theme.current()
        painter.save()
        painter.setFont(theme.semibold(item.font))
        painter.setPen(QColor(now.bad if entry.level is Level.FAILURE else now.warn))
        room = item.rect.adjusted(_TEXT_INSET, 0, 0, 0)
        painter.drawText(room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
        painter.restore()
