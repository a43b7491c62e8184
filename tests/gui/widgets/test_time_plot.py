import time

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor

from gui import theme
from gui.axis_words import numbers
from gui.viewmodels.history import Line, Plot, Quantity
from gui.widgets.plot_scale import value_scale
from gui.widgets.time_plot import TimePlot


def _plot(qtbot, points, *more_lines: Line) -> TimePlot:
    plot = TimePlot(lambda value: f"{value:g} tokens/s", numbers, None)
    qtbot.addWidget(plot)
    plot.resize(600, 200)
    plot.show_plot(Plot(Quantity.TOKENS, "Tokens a second", (Line("", points), *more_lines)), (0, 3600), 60, _scale())
    plot.show()
    return plot


def _scale():
    return value_scale(0, 60)


def _shows(plot: TimePlot, color: str) -> bool:
    """Smooth edges mix a colour with its ground, so that the very colour may be nowhere."""
    picture, wanted = plot.grab().toImage(), QColor(color)
    seen = (picture.pixelColor(x, y) for x in range(picture.width()) for y in range(picture.height()))
    return any(
        abs(each.red() - wanted.red()) + abs(each.green() - wanted.green()) + abs(each.blue() - wanted.blue()) < 30
        for each in seen
    )


def test_a_plot_says_what_it_shows(qtbot):
    plot = _plot(qtbot, ((0, 10.0), (10, 40.0), (20, 30.0)))
    assert plot.accessibleName() == "Tokens a second"
    assert plot.accessibleDescription() == "now 30 tokens/s, at most 40 tokens/s"


def test_a_plot_without_readings_says_so(qtbot):
    assert _plot(qtbot, ()).accessibleDescription() == "nothing was measured in this time"


def test_the_mouse_reads_the_nearest_value(qtbot):
    plot = _plot(qtbot, tuple((at, float(at // 60)) for at in range(0, 3601, 10)))
    qtbot.mouseMove(plot, QPoint(plot.width() - 3, 60))
    assert plot.read_out().endswith("60 tokens/s")
    qtbot.mouseMove(plot, QPoint(60, 60))
    assert not plot.read_out().endswith("60 tokens/s")


def test_nothing_is_read_in_a_gap(qtbot):
    plot = _plot(qtbot, ((0, 10.0), (3600, 20.0)))
    qtbot.mouseMove(plot, QPoint(plot.width() // 2, 60))
    assert plot.read_out() == ""


def test_arrow_keys_walk_through_the_readings(qtbot):
    plot = _plot(qtbot, ((3000, 1.0), (3010, 2.0), (3020, 3.0)))
    said = []
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Home, Qt.Key.Key_End):
        qtbot.keyClick(plot, key)
        said.append(plot.read_out().split(", ")[-1])
    assert said == ["3 tokens/s", "2 tokens/s", "3 tokens/s", "1 tokens/s", "3 tokens/s"]
    assert plot.accessibleDescription() == plot.read_out()
    qtbot.keyClick(plot, Qt.Key.Key_Escape)
    assert plot.read_out() == ""


def test_every_curve_is_read_with_its_name(qtbot):
    plot = _plot(qtbot, ((3000, 1.0),), Line("Received", ((3000, 5.0),)))
    qtbot.keyClick(plot, Qt.Key.Key_End)
    assert plot.read_out().endswith("1 tokens/s, Received 5 tokens/s")


def test_a_second_curve_has_a_colour_of_its_own(qtbot):
    flat = tuple((float(at), 20.0) for at in range(0, 3601, 10))
    other = tuple((float(at), 50.0) for at in range(0, 3601, 10))
    plot = _plot(qtbot, flat, Line("Received", other))
    assert _shows(plot, theme.current().accent)
    assert _shows(plot, theme.current().info)


def test_a_lone_reading_can_be_seen(qtbot):
    assert _shows(_plot(qtbot, ((1800, 30.0),)), theme.current().accent)
    assert not _shows(_plot(qtbot, ()), theme.current().accent)


def test_painting_a_day_of_readings_is_quick(qtbot):
    """Six of these fill a page, and the event loop may be busy for 50 ms: 3 to 7 ms of processor time each."""
    points = tuple((float(time_s), float(time_s % 60)) for time_s in range(0, 3600 * 24, 58))
    plot = _plot(qtbot, ())
    plot.show_plot(Plot(Quantity.TOKENS, "", (Line("", points),)), (0, 86_400), 240, _scale())
    plot.grab()  # the first time loads fonts
    times = []
    for _ in range(5):
        plot.show_plot(Plot(Quantity.TOKENS, "", (Line("", points),)), (0, 86_400), 240, _scale())
        began = time.process_time()
        plot.grab()
        times.append(time.process_time() - began)
    assert min(times) < 0.02
