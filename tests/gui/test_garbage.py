from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from gui.garbage import GarbageCollector


@pytest.fixture
def collector(qapp: QApplication) -> Iterator[GarbageCollector]:
    made = GarbageCollector(qapp)
    yield made
    made.stop()
    gc.unfreeze()
    made.deleteLater()


def make_garbage(died_in: list[int]) -> None:
    class Remembering(QWidget):
        def __del__(self) -> None:
            died_in.append(threading.get_ident())

    widget = Remembering()
    widget.setProperty("self", None)
    widget.__dict__["itself"] = widget


def allocate() -> None:
    """Enough for Python to collect all three generations."""
    kept = [[] for _ in range(200_000)]
    del kept


def test_widgets_die_in_the_thread_that_draws_them(collector: GarbageCollector, qtbot: QtBot) -> None:
    died_in: list[int] = []
    make_garbage(died_in)
    elsewhere = threading.Thread(target=allocate)
    elsewhere.start()
    elsewhere.join()
    assert died_in == []
    gc.collect(0)
    qtbot.waitUntil(lambda: len(died_in) == 1)
    assert died_in == [threading.get_ident()]


def test_garbage_is_collected_without_being_asked_for(collector: GarbageCollector, qtbot: QtBot) -> None:
    died_in: list[int] = []
    make_garbage(died_in)
    kept = [QObject() for _ in range(1000)]
    qtbot.waitUntil(lambda: len(died_in) == 1)
    assert kept


def test_what_is_set_apart_is_not_looked_at_again(collector: GarbageCollector) -> None:
    collector.set_apart()
    assert gc.get_freeze_count() > 10_000


def test_nothing_is_collected_after_the_end(collector: GarbageCollector) -> None:
    died_in: list[int] = []
    make_garbage(died_in)
    collector.stop()
    allocate()
    gc.collect()
    assert died_in == []
    gc.unfreeze()
    gc.collect()
    assert len(died_in) == 1
