"""The charts of benchmarks as one PNG. matplotlib is imported here alone, and only when a plot is wanted."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Sequence
from pathlib import Path

from volunteer.bench.report import Chart
from volunteer.errors import ConfigurationError

_WIDTH_INCHES = 9.0
_BAR_INCHES = 0.35
_FRAME_INCHES = 1.6
_LIMIT_COLOURS = ("tab:red", "tab:purple", "tab:brown")


def need_matplotlib() -> None:
    """Raises ConfigurationError when there is none: better before everything is measured than after."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigurationError("A plot needs matplotlib: pip install 'petals-volunteer[bench]'.")


def save_plot(charts: Sequence[Chart], file: Path, heading: str) -> None:
    """One below the other: medians as bars, ranges as whiskers, limits as dashed lines."""
    from matplotlib.figure import Figure  # not pyplot, which looks for a display

    heights = [_FRAME_INCHES + _BAR_INCHES * len(chart.bars) for chart in charts]
    figure = Figure(figsize=(_WIDTH_INCHES, sum(heights) + 0.6), layout="constrained")
    figure.suptitle(heading)
    all_axes = figure.subplots(len(charts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, chart in zip(all_axes, charts, strict=True):
        medians = [bar.spread.median for bar in chart.bars]
        below = [bar.spread.median - bar.spread.low for bar in chart.bars]
        above = [bar.spread.high - bar.spread.median for bar in chart.bars]
        drawn = axes.barh([bar.label for bar in chart.bars], medians, xerr=(below, above), capsize=3, height=0.6)
        axes.bar_label(drawn, [f"{median:.2f}" for median in medians], padding=4)
        for number, (label, value) in enumerate(chart.limits.items()):
            colour = _LIMIT_COLOURS[number % len(_LIMIT_COLOURS)]
            axes.axvline(value, linestyle="--", color=colour, label=f"{label}: {value:.2f}")
        if chart.limits:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
        axes.invert_yaxis()  # the first bar on top
        axes.set_xlim(left=0, right=1.15 * max([*medians, *chart.limits.values()]) or 1)
        axes.set_xlabel(chart.unit)
        axes.set_title("\n".join(textwrap.wrap(chart.title, 90)), fontsize="small", loc="left")
    figure.savefig(file, dpi=120)
