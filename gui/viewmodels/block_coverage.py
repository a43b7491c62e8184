"""Which blocks of a model how many servers hold, and how to say so. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from itertools import groupby

from PySide6.QtCore import QCoreApplication

_MOST_SPANS = 4
"""Named in a sentence; the picture shows the others."""

translate = QCoreApplication.translate


class Level(IntEnum):
    """How well a block is served."""

    MISSING = 0
    THIN = 1
    """One server: when that leaves, the model stands still."""
    GOOD = 2


class Health(StrEnum):
    UNKNOWN = "unknown"
    BROKEN = "broken"
    THIN = "thin"
    HEALTHY = "healthy"


@dataclass(frozen=True)
class Run:
    """Neighbouring blocks that are served equally well; the end is not part of it."""

    level: Level
    start: int
    end: int


def replicas(spans: Iterable[tuple[int, int]], num_blocks: int) -> tuple[int, ...]:
    """How many of the spans hold each block. What a record claims beyond the model does not count."""
    steps = [0] * (num_blocks + 1)
    for start, end in spans:
        first, last = max(0, start), min(end, num_blocks)
        if first < last:
            steps[first] += 1
            steps[last] -= 1
    counts = []
    held = 0
    for step in steps[:num_blocks]:
        held += step
        counts.append(held)
    return tuple(counts)


def level_of(count: int) -> Level:
    return Level(min(count, Level.GOOD))


def runs(counts: Sequence[int]) -> tuple[Run, ...]:
    found = []
    for level, blocks in groupby(range(len(counts)), key=lambda block: level_of(counts[block])):
        first, *others = blocks
        found.append(Run(level, first, (others or [first])[-1] + 1))
    return tuple(found)


def health(counts: Sequence[int]) -> Health:
    if not counts:
        return Health.UNKNOWN
    worst = min(counts)
    return {0: Health.BROKEN, 1: Health.THIN}.get(worst, Health.HEALTHY)


def span_in_words(start: int, end: int) -> str:
    """As people count: both ends are part of it."""
    return str(start) if end - start == 1 else f"{start}–{end - 1}"


def spans_in_words(spans: Sequence[Run]) -> str:
    """ "block 5", "blocks 0–3 and 31–38"; of many, the first ones."""
    names = [span_in_words(span.start, span.end) for span in spans]
    if len(spans) == 1 and spans[0].end - spans[0].start == 1:
        return translate("BlockCoverage", "block {number}").format(number=names[0])
    if len(names) > _MOST_SPANS:
        listed = ", ".join(names[:_MOST_SPANS])
        return translate("BlockCoverage", "blocks {spans} and more").format(spans=listed)
    if len(names) == 1:
        return translate("BlockCoverage", "blocks {span}").format(span=names[0])
    return translate("BlockCoverage", "blocks {spans} and {last}").format(spans=", ".join(names[:-1]), last=names[-1])


def missing_in_words(found: Sequence[Run]) -> str:
    """Empty where every block is served."""
    missing = [run for run in found if run.level is Level.MISSING]
    if not missing:
        return ""
    if len(missing) == len(found) == 1:
        return translate("BlockCoverage", "Nobody serves any block.")
    return translate("BlockCoverage", "Nobody serves {blocks}.").format(blocks=spans_in_words(missing))


def thin_in_words(found: Sequence[Run]) -> str:
    """Empty where no block is served by one server alone."""
    thin = [run for run in found if run.level is Level.THIN]
    if not thin:
        return ""
    if len(thin) == len(found) == 1:
        return translate("BlockCoverage", "Each block has only one server.")
    return translate("BlockCoverage", "Only one server holds {blocks}.").format(blocks=spans_in_words(thin))


def block_in_words(block: int, count: int) -> str:
    if count == 0:
        return translate("BlockCoverage", "Block {block}: nobody serves it").format(block=block)
    if count == 1:
        return translate("BlockCoverage", "Block {block}: one server").format(block=block)
    return translate("BlockCoverage", "Block {block}: %n servers", "", count).format(block=block)
