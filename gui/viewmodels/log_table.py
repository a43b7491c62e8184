"""Lines of the log as a table: bounded, filtered by level, topic and text, and quick however many come at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QDateTime,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
)

from volunteer.control.messages import LogLine

MOST_LINES = 10_000
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

translate = QCoreApplication.translate
AnyIndex = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


class Level(IntEnum):
    DETAIL = 0
    INFO = 1
    WARNING = 2
    FAILURE = 3

    @property
    def in_words(self) -> str:
        return {
            Level.DETAIL: translate("Logs", "detail"),
            Level.INFO: translate("Logs", "info"),
            Level.WARNING: translate("Logs", "warning"),
            Level.FAILURE: translate("Logs", "failure"),
        }[self]


@dataclass(frozen=True)
class LogEntry:
    """One row."""

    time_s: float
    level: Level
    topic: str
    text: str
    """May have several lines."""
    is_note: bool = False
    """Said by the window about the log."""

    @property
    def first_line(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def num_more_lines(self) -> int:
        return self.text.count("\n")


@dataclass(frozen=True)
class LogFilter:
    least: Level = Level.DETAIL
    topic: str | None = None
    """None for all."""
    text: str = ""

    def takes(self, entry: LogEntry) -> bool:
        if entry.is_note:
            return not self.text and self.topic is None
        if entry.level < self.least or self.topic not in (None, entry.topic):
            return False
        return not self.text or self.text.lower() in entry.text.lower()


def level_of(name: str) -> Level:
    """Of a name that the worker gives; one that is not known counts as information."""
    if name not in _LEVELS:
        return Level.INFO
    return Level(min(_LEVELS.index(name), Level.FAILURE))


class LogReader:
    """Makes rows of the worker's lines: none twice, and what is missing is said.

    Whoever asks for the log again gets what the worker remembers, so most of it a second time; numbers begin anew with
    the worker.
    """

    def __init__(self) -> None:
        self._number = 0
        self._time_s = 0.0
        self._known_ms = 0

    def skip_until(self, time_s: float) -> None:
        """Lines up to this moment were read elsewhere, to the millisecond."""
        self._known_ms = int(time_s * 1000)

    def read(self, lines: Iterable[LogLine]) -> list[LogEntry]:
        entries = []
        for line in lines:
            if line.number <= self._number and line.time_s <= self._time_s:
                continue
            if int(line.time_s * 1000) <= self._known_ms:
                self._number, self._time_s = line.number, line.time_s
                continue
            if line.number <= self._number:
                entries.append(_note(line.time_s, translate("Logs", "The worker began anew.")))
            elif self._number and (missed := line.number - self._number - 1):
                entries.append(_note(line.time_s, _missed_in_words(missed)))
            self._number, self._time_s = line.number, line.time_s
            entries.append(LogEntry(line.time_s, level_of(line.level), line.topic, line.text))
        return entries


def _missed_in_words(missed: int) -> str:
    if missed == 1:
        return translate("Logs", "One line came too fast to be shown; the file has it.")
    return translate("Logs", "%n lines came too fast to be shown; the file has them.", "", missed)


def _note(time_s: float, text: str) -> LogEntry:
    return LogEntry(time_s, Level.INFO, "", text, is_note=True)


class LogColumn(IntEnum):
    TIME = 0
    LEVEL = 1
    TOPIC = 2
    TEXT = 3


ENTRY_ROLE = Qt.ItemDataRole.UserRole


class LogTable(QAbstractTableModel):
    def __init__(self, parent: QObject, most: int = MOST_LINES) -> None:
        super().__init__(parent)
        self._most = most
        self._entries: list[LogEntry] = []
        self._shown: list[LogEntry] = []
        self.filter = LogFilter()

    @property
    def num_lines(self) -> int:
        """With those that the filter leaves out."""
        return len(self._entries)

    def entry(self, row: int) -> LogEntry | None:
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def entries(self) -> Sequence[LogEntry]:
        """Those that are shown, the oldest first."""
        return self._shown

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Adds lines at the end; the oldest go where there are too many."""
        entries = entries[-self._most :]
        self._forget(len(self._entries) + len(entries) - self._most)
        self._entries += entries
        taken = [entry for entry in entries if self.filter.takes(entry)]
        if taken:
            first = len(self._shown)
            self.beginInsertRows(_ROOT, first, first + len(taken) - 1)
            self._shown += taken
            self.endInsertRows()

    def begin_with(self, entries: Sequence[LogEntry]) -> None:
        """Puts older lines before those that are there, as many as there is room for."""
        room = self._most - len(self._entries)
        self.beginResetModel()
        self._entries = [*entries[max(0, len(entries) - room) :], *self._entries] if room else self._entries
        self._shown = [entry for entry in self._entries if self.filter.takes(entry)]
        self.endResetModel()

    def clear(self) -> None:
        self.beginResetModel()
        self._entries, self._shown = [], []
        self.endResetModel()

    def show_only(self, wanted: LogFilter) -> None:
        if wanted == self.filter:
            return
        self.beginResetModel()
        self.filter = wanted
        self._shown = [entry for entry in self._entries if wanted.takes(entry)]
        self.endResetModel()

    def _forget(self, count: int) -> None:
        """The oldest lines."""
        if count <= 0:
            return
        gone = sum(self.filter.takes(entry) for entry in self._entries[:count])
        del self._entries[:count]
        if gone:
            self.beginRemoveRows(_ROOT, 0, gone - 1)
            del self._shown[:gone]
            self.endRemoveRows()

    def rowCount(self, parent: AnyIndex = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: AnyIndex = _ROOT) -> int:
        return 0 if parent.isValid() else len(LogColumn)

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        entry = self.entry(index.row())
        if entry is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _shown(entry, LogColumn(index.column()))
        if role == ENTRY_ROLE:
            return entry
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal or role != Qt.ItemDataRole.DisplayRole:
            return None
        return {
            LogColumn.TIME: translate("Logs", "Time"),
            LogColumn.LEVEL: translate("Logs", "Level"),
            LogColumn.TOPIC: translate("Logs", "Topic"),
            LogColumn.TEXT: translate("Logs", "What happened"),
        }[LogColumn(section)]


def _shown(entry: LogEntry, column: LogColumn) -> str:
    match column:
        case LogColumn.TIME:
            return clock(entry.time_s)
        case LogColumn.LEVEL:
            return "" if entry.is_note else entry.level.in_words
        case LogColumn.TOPIC:
            return entry.topic
        case LogColumn.TEXT:
            more = entry.num_more_lines
            if not more:
                return entry.text
            if more == 1:
                return translate("Logs", "{text} (1 more line)").format(text=entry.first_line)
            return translate("Logs", "{text} (%n more lines)", "", more).replace("{text}", entry.first_line)


def clock(time_s: float) -> str:
    """To the second, by the clock on the wall."""
    return QDateTime.fromMSecsSinceEpoch(int(time_s * 1000)).toString("HH:mm:ss")


def as_text(entries: Iterable[LogEntry]) -> str:
    """To be copied: one line each, what follows it indented."""
    lines = []
    for entry in entries:
        moment = QDateTime.fromMSecsSinceEpoch(int(entry.time_s * 1000)).toString("yyyy-MM-dd HH:mm:ss")
        head = f"{moment} {entry.level.in_words} {entry.topic}: " if not entry.is_note else f"{moment} "
        lines.append(head + entry.text.replace("\n", "\n    "))
    return "\n".join(lines)
