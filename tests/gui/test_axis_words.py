import pytest

from gui.axis_words import numbers, rates, with_unit


def _plain(labels: list[str]) -> list[str]:
    return [label.replace("\u202f", " ") for label in labels]


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ((0, 20, 40, 60), ["0", "20", "40", "60"]),
        ((0, 0.25, 0.5), ["0", "0.25", "0.50"]),
        ((0, 50_000, 100_000), ["0", "50k", "100k"]),
        ((0, 500_000, 1_000_000, 1_500_000), ["0", "0.5M", "1.0M", "1.5M"]),
    ],
)
def test_numbers_have_as_many_digits_as_tell_them_apart(ticks, labels):
    assert numbers(ticks) == labels


def test_the_unit_stands_at_the_top_alone():
    assert _plain(with_unit("°C")((20, 40, 60))) == ["20", "40", "60 °C"]
    assert _plain(rates((0, 500_000, 1_000_000))) == ["0", "0.5", "1.0 MB/s"]
    assert _plain(rates((0, 0.5, 1.0))) == ["0", "0.5", "1.0 B/s"]
