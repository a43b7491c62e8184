"""The worker's log as it is written, while somebody looks; where no worker runs, what the last one left in its file."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from gui.viewmodels.log_table import Level, LogEntry, LogReader, LogTable, level_of
from gui.worker_link import WorkerLink
from volunteer.control.elsewhere import command_elsewhere
from volunteer.control.messages import LogLine
from volunteer.logs import last_records, log_path, logs_folder

_KEPT_RECORDS = 1000
_RECORD = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})Z ([A-Z]+) ([\w.]+): (.*)", re.DOTALL)


def read_record(text: str) -> LogEntry | None:
    """A record as it stands in a file; None for what is none."""
    found = _RECORD.fullmatch(text)
    if found is None:
        return None
    moment = datetime.datetime.fromisoformat(found[1]).replace(tzinfo=datetime.UTC)
    return LogEntry(
        moment.timestamp(), level_of(found[2]), found[3].partition(".")[0], found[4].replace("\n    ", "\n")
    )


def read_file(data_dir: Path) -> list[LogEntry]:
    """What the worker wrote last; nothing of one on another computer, whose file is there. Blocks."""
    if command_elsewhere(data_dir):
        return []
    records = map(read_record, last_records(log_path(data_dir), _KEPT_RECORDS))
    return [entry for entry in records if entry is not None]


class LogsViewModel(QObject):
    changed = Signal()

    def __init__(self, link: WorkerLink, parent: QObject) -> None:
        super().__init__(parent)
        self._link = link
        self._reader = LogReader()
        self._file_was_read = False
        self._live_since_s: float | None = None
        self._topics: set[str] = set()
        self.table = LogTable(self)
        self.problem = ""
        """Why the file cannot be read."""
        link.logged.connect(self._take)

    @property
    def folder(self) -> Path:
        return logs_folder(self._link.data_dir)

    @property
    def topics(self) -> list[str]:
        return sorted(self._topics)

    @property
    def counted(self) -> str:
        """How many lines there are, and how many of them are shown."""
        shown, every = self.table.rowCount(), self.table.num_lines
        if shown == every:
            return self.tr("1 line") if every == 1 else self.tr("%n lines", "", every)
        return self.tr("{shown} of %n lines", "", every).format(shown=shown)

    def watch(self, wanted: bool) -> None:
        """Has the worker tell its log, as long as somebody looks at it."""
        self._link.want_logs(wanted)
        if wanted and not self._file_was_read:
            self._file_was_read = True
            data_dir = self._link.data_dir
            self._link.run_aside(lambda: read_file(data_dir), self._begin_with, self._miss_file)

    def show_level(self, least: Level) -> None:
        self._filter(least=least)

    def show_topic(self, topic: str | None) -> None:
        self._filter(topic=topic)

    def find(self, text: str) -> None:
        self._filter(text=text)

    def clear(self) -> None:
        """From the window; the file keeps all."""
        self.table.clear()
        self.changed.emit()

    def _filter(self, **changes: object) -> None:
        self.table.show_only(replace(self.table.filter, **changes))  # type: ignore[arg-type]
        self.changed.emit()

    def _take(self, lines: list[LogLine]) -> None:
        entries = self._reader.read(lines)
        if not entries:
            return
        if self._live_since_s is None:
            self._live_since_s = entries[0].time_s
        self._note_topics(entries)
        self.table.append(entries)
        self.changed.emit()

    def _begin_with(self, entries: list[LogEntry]) -> None:
        # What the worker remembers is in the file too, to the millisecond.
        if self._live_since_s is not None:
            entries = [entry for entry in entries if entry.time_s < self._live_since_s - 0.002]
        elif entries:
            # Lines of this worker that come later are the same as these.
            self._reader.skip_until(entries[-1].time_s)
        self._note_topics(entries)
        self.table.begin_with(entries)
        self.changed.emit()

    def _miss_file(self, problem: str) -> None:
        self.problem = problem
        self.changed.emit()

    def _note_topics(self, entries: Iterable[LogEntry]) -> None:
        self._topics |= {entry.topic for entry in entries if entry.topic}
