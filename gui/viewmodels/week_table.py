"""The hours of the week as a table of seven rows and twenty-four columns, and in words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QLocale,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
)

from volunteer.hours import DAYS, HOURS_A_DAY, WeekHours

translate = QCoreApplication.translate
AnyIndex = QModelIndex | QPersistentModelIndex
Cell = tuple[int, int]
"""A day, Monday being 0, and an hour."""
_ROOT = QModelIndex()
_ALL_HOURS = len(DAYS) * HOURS_A_DAY

ON_ROLE = Qt.ItemDataRole.UserRole


def with_cells(hours: WeekHours, cells: Iterable[Cell], *, on: bool) -> WeekHours:
    days = list(hours.days)
    for day, hour in cells:
        days[day] = days[day] | 1 << hour if on else days[day] & ~(1 << hour)
    return WeekHours(tuple(days))


def num_hours(hours: WeekHours) -> int:
    return sum(day.bit_count() for day in hours.days)


def hours_in_words(hours: WeekHours) -> str:
    """ "Mon–Fri 0–7, 22–24; Sat–Sun all day", and how many of all that is."""
    count = num_hours(hours)
    if count == _ALL_HOURS:
        return translate("Schedule", "Always")
    if not count:
        return translate("Schedule", "Never: the worker stays paused")
    items = []
    first = 0
    for bits, group in groupby(hours.days):
        last = first + len(list(group)) - 1
        if bits:
            items.append(f"{_days_in_words(first, last)} {_spans_in_words(bits)}")
        first = last + 1
    return translate("Schedule", "{hours} ({count} of {all} hours)").format(
        hours="; ".join(items), count=count, all=_ALL_HOURS
    )


def day_name(day: int, form: QLocale.FormatType = QLocale.FormatType.ShortFormat) -> str:
    return QLocale().standaloneDayName(day + 1, form)


def _days_in_words(first: int, last: int) -> str:
    return day_name(first) if first == last else f"{day_name(first)}–{day_name(last)}"


def _spans_in_words(bits: int) -> str:
    if bits == (1 << HOURS_A_DAY) - 1:
        return translate("Schedule", "all day")
    spans = []
    start = 0
    for is_on, group in groupby(bool(bits >> hour & 1) for hour in range(HOURS_A_DAY)):
        end = start + len(list(group))
        if is_on:
            spans.append(f"{start}–{end}")
        start = end
    return ", ".join(spans)


class WeekTable(QAbstractTableModel):
    """
    Signals:
        chosen: other hours were chosen here.
    """

    chosen = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.hours = WeekHours()

    def show_hours(self, hours: WeekHours) -> None:
        if hours != self.hours:
            self.hours = hours
            self.dataChanged.emit(self.index(0, 0), self.index(len(DAYS) - 1, HOURS_A_DAY - 1))

    def is_on(self, cell: Cell) -> bool:
        day, hour = cell
        return bool(self.hours.days[day] >> hour & 1)

    def paint(self, cells: Iterable[Cell], *, on: bool) -> None:
        """Shows them so; `choose` says that it is meant."""
        self.show_hours(with_cells(self.hours, cells, on=on))

    def choose(self) -> None:
        self.chosen.emit(self.hours)

    def toggle(self, cells: Iterable[Cell]) -> None:
        """All on, or all off where all are on already."""
        cells = list(cells)
        self.paint(cells, on=not all(map(self.is_on, cells)))
        self.choose()

    def rowCount(self, parent: AnyIndex = _ROOT) -> int:
        return 0 if parent.isValid() else len(DAYS)

    def columnCount(self, parent: AnyIndex = _ROOT) -> int:
        return 0 if parent.isValid() else HOURS_A_DAY

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        cell = index.row(), index.column()
        if role == ON_ROLE:
            return self.is_on(cell)
        if role in (Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.ToolTipRole):
            day = day_name(index.row(), QLocale.FormatType.LongFormat)
            text = (
                translate("Schedule", "{day} {start}–{end}: serve")
                if self.is_on(cell)
                else translate("Schedule", "{day} {start}–{end}: pause")
            )
            return text.format(day=day, start=index.column(), end=index.column() + 1)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return str(section) if orientation is Qt.Orientation.Horizontal else day_name(section)
