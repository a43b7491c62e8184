import time

import pytest
from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from gui.viewmodels.log_table import LogColumn
from gui.viewmodels.logs import LogsViewModel
from gui.widgets.logs_page import LogsPage
from volunteer.control.messages import LogLine


def line(number, text="all is well", level="INFO", topic="swarm"):
    return LogLine(number=number, time_s=float(number), level=level, topic=topic, text=text)


@pytest.fixture
def logs(qapp, link):
    owner = QObject()
    yield LogsViewModel(link, owner)
    owner.deleteLater()


@pytest.fixture
def page(logs, qtbot):
    made = LogsPage(logs, None)
    qtbot.addWidget(made)
    made.resize(600, 400)
    made.show()
    return made


def tell(link, *lines):
    link.logged.emit(list(lines))
    QApplication.processEvents()


def is_at_end(page):
    bar = page.lines.verticalScrollBar()
    return bar.value() == bar.maximum()


def test_the_worker_tells_its_log_while_the_page_is_seen(page, link):
    assert link.wants_logs
    page.hide()
    assert not link.wants_logs


def test_levels_and_topics_are_chosen(page, link, logs):
    tell(link, line(1, "a detail", "DEBUG"), line(2, "info"), line(3, "disk is full", "ERROR", "models"))
    assert logs.table.rowCount() == 2
    page.level.activated.emit(0)
    assert logs.table.rowCount() == 3
    assert [page.topic.itemText(place) for place in range(page.topic.count())] == ["All topics", "models", "swarm"]
    page.topic.activated.emit(1)
    assert logs.table.rowCount() == 1 and page.counted.text() == "1 of 3 lines"
    page.topic.activated.emit(0)
    page.search.setText("info")
    assert logs.table.rowCount() == 1


def test_a_topic_that_is_chosen_stays_so_when_others_come(page, link):
    tell(link, line(1, topic="swarm"))
    page.topic.setCurrentIndex(1)
    page.topic.activated.emit(1)
    tell(link, line(2, topic="models"))
    assert page.topic.currentText() == "swarm"


def test_the_newest_line_is_followed_until_somebody_scrolls_back(page, link, qtbot):
    tell(link, *(line(number) for number in range(1, 101)))
    assert is_at_end(page)
    bar = page.lines.verticalScrollBar()
    bar.triggerAction(bar.SliderAction.SliderPageStepSub)
    assert not page.follow.isChecked()
    place = bar.value()
    tell(link, line(101))
    assert bar.value() == place
    page.follow.setChecked(True)
    assert is_at_end(page)


def test_scrolling_to_the_end_follows_again(page, link):
    tell(link, *(line(number) for number in range(1, 101)))
    bar = page.lines.verticalScrollBar()
    bar.triggerAction(bar.SliderAction.SliderPageStepSub)
    bar.triggerAction(bar.SliderAction.SliderToMaximum)
    assert page.follow.isChecked()


def test_a_long_record_is_read_whole(page, link):
    tell(link, line(1, "short"), line(2, "It failed\nTraceback\nlast line", "ERROR"))
    page.lines.selectRow(0)
    assert not page.whole.isVisible()
    page.lines.selectRow(1)
    assert page.whole.isVisible() and page.whole.toPlainText().endswith("last line")


def test_a_line_that_is_cut_short_is_read_whole(page, link):
    tell(link, line(1, "word " * 100))
    page.lines.selectRow(0)
    assert page.whole.isVisible()


def test_what_is_chosen_is_copied_or_else_all(page, link, qtbot):
    tell(link, line(1, "one"), line(2, "two"))
    page.copy.click()
    assert QGuiApplication.clipboard().text().count("\n") == 1
    page.lines.selectRow(1)
    qtbot.keyClick(page.lines, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text().endswith("two")


def test_cleared_lines_are_gone_from_the_page(page, link, logs):
    tell(link, line(1))
    page.clear.click()
    assert logs.table.rowCount() == 0 and page.counted.text() == "0 lines"


def test_an_empty_log_says_what_will_be_in_it(page, link):
    assert "line by line" in page.lines._why_empty()
    tell(link, line(1))
    page.search.setText("nothing like it")
    assert page.lines._why_empty() == "No line is as you are looking for."
    page.grab()


def test_on_a_narrow_page_the_text_keeps_its_room(page):
    assert page.copy.text() == "Copy"
    page.resize(320, 400)
    QApplication.processEvents()
    assert page.lines.isColumnHidden(LogColumn.TOPIC)
    assert page.copy.text() == "" and page.copy.accessibleName() == "Copy"


def test_ten_thousand_lines_come_without_a_pause(page, link):
    took_s = []
    for start in range(1, 20_001, 500):
        batch = [line(number, f"line {number}") for number in range(start, start + 500)]
        began = time.perf_counter()
        tell(link, *batch)
        took_s.append(time.perf_counter() - began)
    assert page.lines.model().rowCount() == 10_000
    # Half of the batches: what other processes of this machine do meanwhile is not measured.
    assert sorted(took_s)[len(took_s) // 2] < 0.05
