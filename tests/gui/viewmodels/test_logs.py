import time

import pytest
from PySide6.QtCore import QObject

from gui.viewmodels.log_table import Level, LogColumn, LogEntry, LogReader, LogTable, as_text, level_of
from gui.viewmodels.logs import LogsViewModel, read_record
from volunteer.control.elsewhere import set_elsewhere
from volunteer.control.messages import LogLine
from volunteer.logs import log_path


def line(number, text="all is well", level="INFO", topic="swarm", time_s=None):
    return LogLine(
        number=number, time_s=float(number) if time_s is None else time_s, level=level, topic=topic, text=text
    )


def texts(table):
    return [entry.text for entry in table.entries()]


@pytest.fixture
def owner(qapp):
    parent = QObject()
    yield parent
    parent.deleteLater()


@pytest.fixture
def logs(link, owner):
    return LogsViewModel(link, owner)


def test_the_log_is_asked_for_only_while_somebody_looks(link, logs):
    assert not link.wants_logs
    logs.watch(True)
    assert link.wants_logs
    logs.watch(False)
    assert not link.wants_logs


def test_lines_are_kept_once_however_often_they_are_told(link, logs):
    link.logged.emit([line(1, "one"), line(2, "two")])
    link.logged.emit([line(1, "one"), line(2, "two"), line(3, "three")])
    assert texts(logs.table) == ["one", "two", "three"]


def test_a_gap_is_said(link, logs):
    link.logged.emit([line(1, "one"), line(5, "five"), line(7, "seven")])
    assert texts(logs.table) == [
        "one",
        "3 lines came too fast to be shown; the file has them.",
        "five",
        "One line came too fast to be shown; the file has it.",
        "seven",
    ]


def test_a_worker_that_began_anew_counts_anew():
    reader = LogReader()
    reader.read([line(1), line(2)])
    found = reader.read([line(1, "hello again", time_s=50.0), line(2, "more", time_s=51.0)])
    assert [entry.text for entry in found] == ["The worker began anew.", "hello again", "more"]


def test_levels_topics_and_text_are_filtered_together(link, logs):
    link.logged.emit(
        [
            line(1, "joined", topic="swarm"),
            line(2, "Slow peer", "WARNING", "swarm"),
            line(3, "full disk", "ERROR", "models"),
        ]
    )
    assert logs.topics == ["models", "swarm"]
    logs.show_level(Level.WARNING)
    assert texts(logs.table) == ["Slow peer", "full disk"]
    logs.show_topic("swarm")
    assert texts(logs.table) == ["Slow peer"]
    assert logs.counted == "1 of 3 lines"
    logs.find("disk")
    assert texts(logs.table) == []
    logs.show_topic(None)
    assert texts(logs.table) == ["full disk"]
    link.logged.emit([line(4, "DISK again", "ERROR"), line(5, "disk, in passing")])
    assert texts(logs.table) == ["full disk", "DISK again"]


def test_memory_is_bounded_and_the_oldest_lines_go(owner):
    table = LogTable(owner, most=5)
    table.append([LogEntry(n, Level.INFO, "a" if n % 2 else "b", str(n)) for n in range(4)])
    table.append([LogEntry(n, Level.INFO, "a" if n % 2 else "b", str(n)) for n in range(4, 8)])
    assert texts(table) == ["3", "4", "5", "6", "7"]
    table.append([LogEntry(n, Level.INFO, "a", str(n)) for n in range(20)])
    assert texts(table) == ["15", "16", "17", "18", "19"]


def test_a_table_that_forgets_tells_its_view(owner, qtmodeltester):
    table = LogTable(owner, most=5)
    qtmodeltester.check(table)
    table.append([LogEntry(n, Level.INFO, "a", str(n)) for n in range(4)])
    table.append([LogEntry(n, Level.INFO, "a", str(n)) for n in range(4)])
    table.clear()
    assert table.rowCount() == 0 and table.num_lines == 0


def test_a_long_record_says_how_many_lines_follow(owner):
    table = LogTable(owner)
    table.append([LogEntry(0, Level.FAILURE, "worker", "It failed\nTraceback\nat the end")])
    table.append([LogEntry(0, Level.FAILURE, "worker", "It failed\nonce")])
    shown = [table.data(table.index(row, LogColumn.TEXT)) for row in range(2)]
    assert shown == ["It failed (2 more lines)", "It failed (1 more line)"]


def test_what_is_copied_has_all_lines():
    text = as_text([LogEntry(0, Level.FAILURE, "worker", "It failed\nTraceback")])
    assert text.endswith("failure worker: It failed\n    Traceback")


@pytest.mark.parametrize(
    ("name", "level"),
    [("DEBUG", Level.DETAIL), ("WARNING", Level.WARNING), ("CRITICAL", Level.FAILURE), ("NOISE", Level.INFO)],
)
def test_levels_go_by_their_names(name, level):
    assert level_of(name) is level


def test_a_record_of_a_file_is_read_back():
    entry = read_record("2026-11-27T10:20:30.500Z WARNING swarm.node: A peer left\n    and came back")
    assert entry == LogEntry(1795774830.5, Level.WARNING, "swarm", "A peer left\nand came back")
    assert read_record("half a line") is None


def write_log(folder, *records):
    path = log_path(folder)
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{record}\n" for record in records))


FIRST, SECOND = "2026-11-27T10:20:30.500Z INFO worker: first", "2026-11-27T10:20:31.500Z INFO worker: second"


def test_without_a_worker_the_file_is_shown(link, logs, tmp_path):
    write_log(tmp_path, FIRST, SECOND)
    logs.watch(True)
    assert texts(logs.table) == ["first", "second"]
    assert logs.topics == ["worker"]


def test_the_file_of_this_computer_is_not_that_of_a_worker_elsewhere(link, logs, tmp_path):
    write_log(tmp_path, FIRST, SECOND)
    set_elsewhere(tmp_path, ["ssh", "lab", "volunteer", "bridge"])
    logs.watch(True)
    link.logged.emit([line(8, "third", time_s=1795774830.0)])
    assert texts(logs.table) == ["third"]


def test_what_the_worker_tells_again_is_not_shown_twice(link, logs, tmp_path):
    write_log(tmp_path, FIRST, SECOND)
    logs.watch(True)
    link.logged.emit([line(7, "second", time_s=1795774831.5004), line(8, "third", time_s=1795774832.0)])
    assert texts(logs.table) == ["first", "second", "third"]


def test_what_was_told_before_the_file_was_read_is_not_shown_twice(link, logs, tmp_path):
    write_log(tmp_path, FIRST, SECOND)
    link.logged.emit([line(7, "second", time_s=1795774831.5004), line(8, "third", time_s=1795774832.0)])
    logs.watch(True)
    assert texts(logs.table) == ["first", "second", "third"]


def test_cleared_lines_do_not_come_back(link, logs):
    link.logged.emit([line(1)])
    logs.clear()
    link.logged.emit([line(1), line(2, "new")])
    assert texts(logs.table) == ["new"]


def test_ten_thousand_lines_are_filtered_at_once(link, logs):
    link.logged.emit([line(number, f"line {number}") for number in range(1, 10_001)])
    took_s = []
    for wanted in ("line 99", "", "line 98", "", "line 99"):
        began = time.perf_counter()
        logs.find(wanted)
        took_s.append(time.perf_counter() - began)
    assert len(logs.table.entries()) == 111
    # The shortest: other processes of a busy machine are not what is measured.
    assert min(took_s) < 0.05
