import datetime
import time

import pytest
from fake_link import FakeLink
from PySide6.QtCore import Qt

from gui.viewmodels.days import DaysTable
from gui.viewmodels.history import HistoryViewModel, Quantity, Span
from gui.widgets.history_page import HistoryPage
from gui.worker_link import Connection
from volunteer.control.messages import Day, GetHistory, GpuReading, GpuSample, History, Sample

TODAY = datetime.date.today().isoformat()


@pytest.fixture
def page(qtbot, link: FakeLink) -> HistoryPage:
    page = HistoryPage(HistoryViewModel(link, link))
    qtbot.addWidget(page)
    page.resize(800, 600)
    page.show()
    return page


def _answer(link: FakeLink, samples=(), days=()) -> None:
    for asked in list(link.asked):
        asked.done(History(samples=samples, days=days).model_dump(mode="json"))


def _samples(**readings):
    now = time.time()
    return tuple(Sample(time_s=now - 10 * number, tokens_per_s=20, **readings) for number in range(60, -1, -1))


def test_before_anything_was_measured_the_page_says_what_will_be_here(page, link):
    _answer(link)
    assert page.empty.isVisible()
    assert page.empty.title.text() == "Nothing has been measured yet"
    assert not page.cards
    assert not page.days.isVisible()
    assert not page.spans.isVisible()


def test_without_a_worker_the_page_says_who_keeps_the_history(qtbot, tmp_path):
    link = FakeLink(tmp_path, connection=Connection.OFF)
    page = HistoryPage(HistoryViewModel(link, link))
    qtbot.addWidget(page)
    page.show()
    assert page.empty.title.text() == "The worker keeps the history"


def test_a_machine_without_a_gpu_has_three_plots(page, link):
    _answer(link, _samples())
    assert not page.empty.isVisible()
    assert set(page.cards) == {Quantity.TOKENS, Quantity.CHATS, Quantity.NETWORK}
    assert page.cards[Quantity.TOKENS].plot.accessibleName() == "Tokens a second"


def test_a_machine_with_a_gpu_has_six_plots(page, link):
    link.say(gpus=(GpuReading(name="RTX 3060", total_bytes=12 * 2**30),))
    _answer(link, _samples(gpus=(GpuSample(used_bytes=2**30, temperature_c=61, power_w=118),)))
    assert len(page.cards) == 6


def test_plots_follow_the_samples(page, link):
    _answer(link, _samples())
    link.sampled.emit(Sample(time_s=time.time(), tokens_per_s=77))
    assert "77" in page.cards[Quantity.TOKENS].plot.accessibleDescription()


def test_the_day_can_be_chosen_instead_of_the_hour(page, link, qtbot):
    _answer(link, _samples())
    assert page.spans.buttons[Span.HOUR].isChecked()
    qtbot.mouseClick(page.spans.buttons[Span.DAY], Qt.MouseButton.LeftButton)
    assert page.spans.buttons[Span.DAY].isChecked()
    assert not page.spans.buttons[Span.HOUR].isChecked()


def test_the_days_are_bars_and_a_table_for_the_keyboard(page, link, qtbot):
    _answer(link, days=(Day(date=TODAY, served_tokens=182_400, earned=1240, serving_s=7200),))
    assert page.days.isVisible()
    assert page.days.table.model().rowCount() == 1
    assert page.days.table.focusPolicy() & Qt.FocusPolicy.TabFocus
    qtbot.keyClick(page.days.bars, Qt.Key.Key_End)
    assert page.days.bars.read_out().endswith("182,400 tokens")


def test_a_year_of_days_is_not_looked_through_for_ten_rows(page, link, qtbot, monkeypatch):
    asked = set()
    data = DaysTable.data
    monkeypatch.setattr(
        DaysTable, "data", lambda table, index, *role: asked.add(index.row()) or data(table, index, *role)
    )
    today = datetime.date.today()
    days = tuple(
        Day(date=(today - datetime.timedelta(back)).isoformat(), served_tokens=9) for back in range(365, -1, -1)
    )
    _answer(link, days=days)
    page.resize(700, 600)
    page.days.table.grab()
    assert 10 <= len(asked) < 60


def test_bars_can_show_points_and_hours_by_month(page, link, qtbot):
    _answer(link, days=(Day(date=TODAY, served_tokens=5, earned=1240, serving_s=7200),))
    measures = {button.text(): button for button in page.days.measures.buttons.values()}
    periods = {button.text(): button for button in page.days.periods.buttons.values()}
    qtbot.mouseClick(measures["Points"], Qt.MouseButton.LeftButton)
    qtbot.mouseClick(periods["12 months"], Qt.MouseButton.LeftButton)
    qtbot.keyClick(page.days.bars, Qt.Key.Key_End)
    assert page.days.bars.read_out().endswith("1,240 points")
    qtbot.mouseClick(measures["Hours"], Qt.MouseButton.LeftButton)
    qtbot.keyClick(page.days.bars, Qt.Key.Key_End)
    assert page.days.bars.read_out().replace("\u202f", " ").endswith("2 h")


def test_days_are_asked_for_again_whenever_the_page_is_opened(page, link):
    _answer(link)
    page.hide()
    link.asked.clear()
    page.show()
    assert [type(command) for command in link.sent] == [GetHistory]


def test_a_hidden_page_paints_nothing_new(page, link):
    _answer(link, _samples())
    page.hide()
    before = page.cards[Quantity.TOKENS].plot.accessibleDescription()
    link.sampled.emit(Sample(time_s=time.time(), tokens_per_s=99))
    assert page.cards[Quantity.TOKENS].plot.accessibleDescription() == before
