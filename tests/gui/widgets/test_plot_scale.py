from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gui.widgets.plot_scale import MEMORY_STEPS, Column, columns, nearest, runs, time_ticks, value_scale

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("high", "ticks"),
    [
        (41, (0, 20, 40, 60)),
        (100, (0, 25, 50, 75, 100)),
        (9.1, (0, 2.5, 5, 7.5, 10)),
        (0.37, (0, 0.1, 0.2, 0.3, 0.4)),
        (1_234_567, (0, 500_000, 1_000_000, 1_500_000)),
    ],
)
def test_ticks_are_round_and_reach_above_the_highest_value(high, ticks):
    assert value_scale(0, high).ticks == pytest.approx(ticks)


def test_what_is_counted_has_no_ticks_at_fractions():
    assert value_scale(0, 1, least_step=1).ticks == (0, 1)
    assert value_scale(0, 3, least_step=1).ticks == (0, 1, 2, 3)


def test_a_scale_need_not_begin_at_zero():
    assert value_scale(43, 78).ticks == (40, 50, 60, 70, 80)


@pytest.mark.parametrize(("size", "ticks"), [(8, (0, 2, 4, 6, 8)), (11.76, (0, 3, 6, 9, 12)), (24, (0, 6, 12, 18, 24))])
def test_memory_has_ticks_that_end_at_its_size(size, ticks):
    assert value_scale(0, size, steps=MEMORY_STEPS).ticks == ticks


def test_a_plot_of_nothing_but_zeros_has_a_scale():
    scale = value_scale(0, 0, least_step=1)
    assert scale.ticks == (0, 1)
    assert scale.fraction(0) == 0


def test_values_beyond_the_scale_stay_at_its_edge():
    scale = value_scale(0, 100)
    assert (scale.fraction(50), scale.fraction(150), scale.fraction(-1)) == (0.5, 1, 0)


def _clock(times_s, zone):
    return [datetime.fromtimestamp(time_s, zone).strftime("%H:%M") for time_s in times_s]


def test_times_are_round_on_the_wall():
    end = datetime(2026, 11, 27, 14, 3, 20, tzinfo=UTC).timestamp()
    assert _clock(time_ticks(end - 3600, end, most=6, zone=UTC), UTC) == [
        "13:10",
        "13:20",
        "13:30",
        "13:40",
        "13:50",
        "14:00",
    ]
    assert _clock(time_ticks(end - 3600, end, most=4, zone=UTC), UTC) == ["13:15", "13:30", "13:45", "14:00"]


def test_times_are_round_in_a_zone_off_by_quarters_of_an_hour():
    kathmandu = ZoneInfo("Asia/Kathmandu")  # UTC+5:45
    end = datetime(2026, 11, 27, 14, 3, tzinfo=UTC).timestamp()
    assert all(
        time.endswith(":00") for time in _clock(time_ticks(end - 86_400, end, most=8, zone=kathmandu), kathmandu)
    )


def test_times_stay_round_when_the_clocks_are_changed():
    end = datetime(2026, 10, 25, 12, tzinfo=BERLIN).timestamp()
    assert _clock(time_ticks(end - 86_400, end, most=8, zone=BERLIN), BERLIN) == [
        "12:00", "15:00", "18:00", "21:00", "00:00", "03:00", "06:00", "09:00", "12:00",
    ][1:]  # fmt: skip


def test_a_line_is_not_drawn_across_a_gap():
    points = [(0, 1.0), (10, 2.0), (20, None), (30, 3.0), (300, 4.0)]
    assert list(runs(points, 60)) == [[(0, 1.0), (10, 2.0)], [(30, 3.0)], [(300, 4.0)]]


def test_columns_keep_peaks_and_dips_beside_the_mean():
    run = [(float(time), 5.0) for time in range(1500)]
    run[700], run[703] = (700.0, 99.0), (703.0, 0.0)
    found = columns(run, 50)
    assert len(found) == 30
    assert (found[14].low, found[14].high) == (0, 99)
    assert found[14].mean == pytest.approx((48 * 5 + 99) / 50)
    assert [column.time_s for column in found] == sorted(column.time_s for column in found)


def test_readings_further_apart_than_a_column_stay_as_they_are():
    assert columns([(0.0, 1.0), (10.0, 2.0)], 5) == [Column(0.0, 1.0, 1.0, 1.0), Column(10.0, 2.0, 2.0, 2.0)]
    assert columns([], 5) == []


def test_the_nearest_reading_is_found_and_a_far_one_is_not():
    points = [(0, 1.0), (10, None), (20, 3.0)]
    assert nearest(points, 12, 30) == (20, 3.0)
    assert nearest(points, 100, 30) is None
    assert nearest([], 0, 30) is None
