"""Days put into bars and into a table: what one day came to, and what a month did."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QCoreApplication, QDate, QLocale, QModelIndex, QObject, Qt
from PySide6.QtCore import QPersistentModelIndex as PersistentIndex

from gui import words
from gui.axis_words import WriteTicks, numbers, with_unit
from volunteer.control.messages import Day

_SHOWN_DAYS = 30
_SHOWN_MONTHS = 12
_HOUR_S = 3600
_ROOT = QModelIndex()

translate = QCoreApplication.translate
AnyIndex = QModelIndex | PersistentIndex


class Measure(StrEnum):
    """What the bars show."""

    TOKENS = "tokens"
    POINTS = "points"
    HOURS = "hours"

    def of(self, day: Day) -> float:
        match self:
            case Measure.TOKENS:
                return day.served_tokens
            case Measure.POINTS:
                return day.earned
            case Measure.HOURS:
                return day.serving_s / _HOUR_S

    def in_words(self, value: float) -> str:
        match self:
            case Measure.TOKENS:
                return translate("Days", "{number} tokens").format(number=words.count(round(value)))
            case Measure.POINTS:
                return translate("Days", "{number} points").format(number=words.short_number(value))
            case Measure.HOURS:
                return words.duration(value * _HOUR_S)

    @property
    def at_axis(self) -> WriteTicks:
        return with_unit("h") if self is Measure.HOURS else numbers


class Period(Enum):
    """How many bars there are, and what one stands for."""

    DAYS = "days"
    MONTHS = "months"


@dataclass(frozen=True)
class Bar:
    """`label` stands below it where there is room, `title` heads its read-out."""

    label: str
    title: str
    value: float


def bars_of(days: Sequence[Day], measure: Measure, period: Period, today: datetime.date) -> tuple[Bar, ...]:
    """The oldest first, up to today; a day or month on which nothing happened is a bar of no height."""
    by_date = {day.date: measure.of(day) for day in days}
    if period is Period.DAYS:
        shown = [today - datetime.timedelta(days=ago) for ago in range(_SHOWN_DAYS - 1, -1, -1)]
        return tuple(_day_bar(day, by_date.get(day.isoformat(), 0.0)) for day in shown)
    return tuple(_month_bar(month, by_date) for month in _last_months(today, _SHOWN_MONTHS))


def _day_bar(day: datetime.date, value: float) -> Bar:
    locale, date = QLocale(), QDate(day.year, day.month, day.day)
    return Bar(
        locale.toString(date, _day_and_month("MMM")), locale.toString(date, f"ddd, {_day_and_month('MMMM')}"), value
    )


def _day_and_month(month: str) -> str:
    """In the order of the locale, which Qt gives for whole dates alone."""
    numbers = QLocale().dateFormat(QLocale.FormatType.ShortFormat)
    return f"{month} d" if numbers.find("M") < numbers.find("d") else f"d {month}"


def _whole_date(iso_date: str) -> str:
    date = QDate.fromString(iso_date, "yyyy-MM-dd")
    if not date.isValid():
        return iso_date
    year = "" if date.year() == QDate.currentDate().year() else " yyyy"
    return QLocale().toString(date, f"ddd, {_day_and_month('MMM')}{year}")


def _month_bar(month: datetime.date, by_date: dict[str, float]) -> Bar:
    locale, date = QLocale(), QDate(month.year, month.month, 1)
    value = sum(value for day, value in by_date.items() if day.startswith(f"{month:%Y-%m}"))
    return Bar(locale.toString(date, "MMM"), locale.toString(date, "MMMM yyyy"), value)


def _last_months(today: datetime.date, count: int) -> list[datetime.date]:
    newest = today.year * 12 + today.month - 1
    return [datetime.date(month // 12, month % 12 + 1, 1) for month in range(newest - count + 1, newest + 1)]


@dataclass(frozen=True)
class _Column:
    title: str
    in_words: Callable[[Day], str]


class DaysTable(QAbstractTableModel):
    """All days with something on them, the newest first: what the bars show, for whoever reads numbers."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._days: tuple[Day, ...] = ()
        self._columns = (
            _Column(self.tr("Day"), lambda day: _whole_date(day.date)),
            _Column(self.tr("Tokens"), lambda day: words.count(day.served_tokens)),
            _Column(self.tr("Chats"), lambda day: words.count(day.served_sessions)),
            _Column(self.tr("Points"), lambda day: words.short_number(day.earned)),
            _Column(self.tr("Points spent"), lambda day: words.short_number(day.spent)),
            _Column(self.tr("Served for"), lambda day: words.duration(day.serving_s)),
            _Column(self.tr("Sent"), lambda day: words.size(day.sent_bytes)),
            _Column(self.tr("Received"), lambda day: words.size(day.received_bytes)),
        )

    def show_days(self, days: Sequence[Day]) -> None:
        """A table that has only grown or changed in its newest day keeps its selection and its place."""
        shown = tuple(reversed(days))
        if [day.date for day in shown] == [day.date for day in self._days]:
            self._days = shown
            if shown:
                self.dataChanged.emit(self.index(0, 0), self.index(len(shown) - 1, len(self._columns) - 1))
            return
        self.beginResetModel()
        self._days = shown
        self.endResetModel()

    def rowCount(self, parent: AnyIndex = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._days)

    def columnCount(self, parent: AnyIndex = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        column = self._columns[index.column()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return column.in_words(self._days[index.row()])
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{column.title}: {column.in_words(self._days[index.row()])}"
            case Qt.ItemDataRole.TextAlignmentRole:
                return _alignment(index.column())
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._columns[section].title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return None


def _alignment(column: int) -> Qt.AlignmentFlag:
    """Numbers stand one below another by their last digit."""
    side = Qt.AlignmentFlag.AlignLeft if column == 0 else Qt.AlignmentFlag.AlignRight
    return side | Qt.AlignmentFlag.AlignVCenter
