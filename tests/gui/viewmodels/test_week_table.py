import pytest
from PySide6.QtCore import QObject, Qt

from gui.viewmodels.week_table import ON_ROLE, WeekTable, hours_in_words, num_hours, with_cells
from volunteer.hours import WeekHours

NIGHTS = WeekHours.from_text("daily 22-7")


@pytest.fixture
def table(qapp):
    owner = QObject()
    yield WeekTable(owner)
    owner.deleteLater()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("always", "Always"),
        ("never", "Never: the worker stays paused"),
        ("daily 22-7", "Mon–Sun 0–7, 22–24 (63 of 168 hours)"),
        ("mon-fri 9-17, sun 0-24", "Mon–Fri 9–17; Sun all day (64 of 168 hours)"),
        ("wed 3-4", "Wed 3–4 (1 of 168 hours)"),
    ],
)
def test_hours_are_said_in_words(text, said):
    assert hours_in_words(WeekHours.from_text(text)) == said


def test_cells_are_turned_on_and_off():
    hours = with_cells(WeekHours.from_text("never"), [(0, 0), (6, 23)], on=True)
    assert hours == WeekHours.from_text("mon 0-1, sun 23-24")
    assert num_hours(with_cells(hours, [(6, 23), (3, 3)], on=False)) == 1


def test_several_cells_are_toggled_as_one(table):
    table.show_hours(NIGHTS)
    chosen = []
    table.chosen.connect(chosen.append)
    table.toggle([(0, 0), (0, 12)])
    assert table.is_on((0, 0)) and table.is_on((0, 12))
    table.toggle([(0, 0), (0, 12)])
    assert not table.is_on((0, 0)) and not table.is_on((0, 12))
    assert chosen[-1] == table.hours


def test_what_is_painted_is_chosen_only_when_the_hand_lets_go(table):
    chosen = []
    table.chosen.connect(chosen.append)
    table.paint([(1, 1)], on=False)
    assert not chosen
    table.choose()
    assert chosen == [table.hours]


def test_each_cell_says_what_it_means(table):
    table.show_hours(NIGHTS)
    index = table.index(4, 22)
    assert index.data(ON_ROLE) is True
    assert index.data(Qt.ItemDataRole.AccessibleTextRole) == "Friday 22–23: serve"
    assert table.index(4, 12).data(Qt.ItemDataRole.AccessibleTextRole) == "Friday 12–13: pause"


def test_it_is_a_table_as_views_expect(table, qtmodeltester):
    qtmodeltester.check(table)
