import datetime

import pytest
from PySide6.QtCore import QLocale, QObject, Qt

from gui.viewmodels.days import DaysTable, Measure, Period, bars_of
from volunteer.control.messages import Day

TODAY = datetime.date(2026, 11, 27)
DAYS = (
    Day(date="2025-12-31", served_tokens=100, earned=1),
    Day(date="2026-10-30", served_tokens=1000, earned=10.5, serving_s=5400),
    Day(
        date="2026-11-26",
        served_tokens=182_400,
        served_sessions=31,
        earned=1240,
        serving_s=36_000,
        sent_bytes=2 * 10**9,
    ),
    Day(date="2026-11-27", served_tokens=20),
)


def test_days_on_which_nothing_happened_are_bars_of_no_height():
    bars = bars_of(DAYS, Measure.TOKENS, Period.DAYS, TODAY)
    assert len(bars) == 30
    assert [bar.value for bar in bars[-3:]] == [0, 182_400, 20]
    assert bars[1].value == 1000
    assert (bars[-1].label, bars[-1].title) == ("Nov 27", "Fri, November 27")


def test_months_add_up_their_days():
    bars = bars_of(DAYS, Measure.POINTS, Period.MONTHS, TODAY)
    assert [bar.label for bar in bars] == [
        "Dec", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
    ]  # fmt: skip
    assert (bars[0].value, bars[-2].value, bars[-1].value) == (1, 10.5, 1240)
    assert bars[-1].title == "November 2026"


def test_the_day_stands_first_where_people_write_it_so():
    QLocale.setDefault(QLocale(QLocale.Language.German, QLocale.Country.Germany))
    assert bars_of(DAYS, Measure.TOKENS, Period.DAYS, TODAY)[-1].label == "27 Nov."


@pytest.mark.parametrize(
    ("measure", "value", "said"),
    [
        (Measure.TOKENS, 182_400, "182,400 tokens"),
        (Measure.POINTS, 31.25, "31.3 points"),
        (Measure.HOURS, 1.5, "1 h 30 min"),
    ],
)
def test_each_measure_is_said_with_its_unit(measure, value, said):
    assert measure.in_words(value).replace("\u202f", " ") == said


def test_the_table_has_the_newest_day_first_and_numbers_at_the_right(qapp):
    parent = QObject()
    table = DaysTable(parent)
    table.show_days(DAYS)
    assert table.rowCount() == 4
    said = [table.index(1, column).data().replace("\u202f", " ") for column in range(table.columnCount())]
    assert said == ["Thu, Nov 26", "182,400", "31", "1,240", "0", "10 h", "2.0 GB", "0 B"]
    assert table.index(3, 0).data() == "Wed, Dec 31 2025"
    assert table.index(1, 1).data(Qt.ItemDataRole.AccessibleTextRole) == "Tokens: 182,400"
    assert table.index(1, 1).data(Qt.ItemDataRole.TextAlignmentRole) & Qt.AlignmentFlag.AlignRight


def test_a_day_that_grows_does_not_lose_the_place_in_the_table(qtbot):
    parent = QObject()
    table = DaysTable(parent)
    table.show_days(DAYS)
    with qtbot.assertNotEmitted(table.modelReset), qtbot.waitSignal(table.dataChanged):
        table.show_days((*DAYS[:-1], Day(date="2026-11-27", served_tokens=21)))
    assert table.index(0, 1).data() == "21"
