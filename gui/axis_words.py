"""What is written at the ticks of an axis: as few digits as tell them apart, and the unit once, at the top."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gui import words

WriteTicks = Callable[[Sequence[float]], list[str]]

_SIZES = ((10.0**9, "G"), (10.0**6, "M"), (10.0**3, "k"), (1.0, ""))


def numbers(ticks: Sequence[float]) -> list[str]:
    """0, 50k, 100k: without a unit, so each says of what size it is."""
    size, name = _size_of(ticks)
    written = _plain(ticks, size)
    return [text + name if tick else text for text, tick in zip(written, ticks, strict=True)]


def with_unit(unit: str) -> WriteTicks:
    """0, 20, 40 °C."""
    return lambda ticks: _with_last(_plain(ticks, 1.0), unit)


def rates(ticks: Sequence[float]) -> list[str]:
    """0, 0.5, 1.0 MB/s."""
    size, name = _size_of(ticks)
    return _with_last(_plain(ticks, size), f"{name}B/s")


def _size_of(ticks: Sequence[float]) -> tuple[float, str]:
    return next((size for size in _SIZES if ticks[-1] >= size[0]), _SIZES[-1])


def _plain(ticks: Sequence[float], size: float) -> list[str]:
    values = [tick / size for tick in ticks]
    digits = next(
        (digits for digits in range(4) if all(abs(value - round(value, digits)) < 1e-6 for value in values)), 4
    )
    return [words.decimal(value, digits if value else 0) for value in values]


def _with_last(written: list[str], unit: str) -> list[str]:
    return [*written[:-1], words.unit(written[-1], unit)]
