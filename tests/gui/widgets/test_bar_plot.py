from PySide6.QtCore import QPoint, Qt

from gui.axis_words import numbers
from gui.viewmodels.days import Bar
from gui.widgets.bar_plot import BarPlot

BARS = tuple(Bar(f"Nov {day}", f"November {day}", float(day)) for day in range(1, 31))


def _bars(qtbot, bars=BARS) -> BarPlot:
    plot = BarPlot(None)
    qtbot.addWidget(plot)
    plot.resize(600, 200)
    plot.show_bars("Tokens served", bars, lambda value: f"{value:g} tokens", numbers, least_step=1)
    plot.show()
    return plot


def test_bars_say_what_they_show(qtbot):
    plot = _bars(qtbot)
    assert plot.accessibleName() == "Tokens served"
    assert plot.accessibleDescription() == "at most 30 tokens, November 30"


def test_the_mouse_reads_the_bar_below_it(qtbot):
    plot = _bars(qtbot)
    qtbot.mouseMove(plot, QPoint(plot.width() - 12, 50))
    assert plot.read_out() == "November 30: 30 tokens"
    qtbot.mouseMove(plot, QPoint(2, 50))
    assert plot.read_out() == ""


def test_arrow_keys_walk_along_the_bars(qtbot):
    plot = _bars(qtbot)
    said = []
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Home):
        qtbot.keyClick(plot, key)
        said.append(plot.read_out().partition(":")[0])
    assert said == ["November 30", "November 29", "November 30", "November 30", "November 1"]
    assert plot.accessibleDescription() == plot.read_out()


def test_fewer_bars_forget_a_read_out_beyond_them(qtbot):
    plot = _bars(qtbot)
    qtbot.keyClick(plot, Qt.Key.Key_End)
    plot.show_bars("Tokens served", BARS[:12], str, numbers, least_step=1)
    assert plot.read_out() == ""
    plot.grab()


def test_no_bars_are_no_trouble(qtbot):
    plot = _bars(qtbot, ())
    qtbot.keyClick(plot, Qt.Key.Key_Left)
    qtbot.mouseMove(plot, QPoint(300, 50))
    plot.grab()
    assert plot.read_out() == ""
