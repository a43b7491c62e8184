"""What this computer does, told as points of plots and as days: rates out of counts, kept through kills and restarts.

Knows no swarm: the worker gives it what it has counted.
"""

from __future__ import annotations

import asyncio
import datetime
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from volunteer.activity_file import ACTIVITY_FILE, ActivityFile, Sums
from volunteer.control.messages import Day, GpuSample, History, Sample

SAMPLE_EVERY_S = 10.0
MAX_SAMPLES = 1080
"""Of a history: no plot of the window has more columns of pixels."""
_SHOWN_S = 86_400.0
_SHOWN_DAYS = 366
_LONGEST_S = 3 * SAMPLE_EVERY_S
"""What a clock shows beyond this between two samples was not served, but slept through."""


@dataclass(frozen=True)
class Counts:
    """What a worker has counted since it started; they only grow."""

    served_tokens: int = 0
    served_sessions: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


@dataclass(frozen=True)
class Now:
    """What is the case at one moment."""

    is_serving: bool = False
    open_sessions: int = 0
    last_request_s: float | None = None
    """Seconds since the epoch."""
    gpus: tuple[GpuSample, ...] = ()


class Activity:
    """Use as `async with`.

    Args:
        clock: seconds since the epoch.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        self._path = data_dir / ACTIVITY_FILE
        self._clock = clock
        self._monotonic = monotonic
        self._file: ActivityFile | None = None
        self._counts = Counts()
        self._taken_at = monotonic()
        self._unkept = Sums()
        """What the disk did not take so far."""
        self._days: dict[datetime.date, Sums] = {}
        self._taking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._file = await asyncio.to_thread(ActivityFile, self._path)
        self._days = await asyncio.to_thread(self._file.days)
        self._taken_at = self._monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._file is not None:
            await asyncio.to_thread(self._file.close)

    @property
    def served_tokens_today(self) -> int:
        """As far as they are kept: a worker that is killed begins with the same number."""
        return self._days.get(self._today(), Sums()).served_tokens

    @property
    def last_request_s(self) -> float | None:
        """Of those that are kept, seconds since the epoch."""
        return max((day.last_request_s for day in self._days.values() if day.last_request_s is not None), default=None)

    async def take(self, counts: Counts, now: Now) -> Sample:
        """One more sample: of what has come to the counts since the last one."""
        return await asyncio.shield(self._take(counts, now))  # half of it would be counted twice by the next one

    async def _take(self, counts: Counts, now: Now) -> Sample:
        async with self._taking:
            taken_at = self._monotonic()
            passed_s, self._taken_at = taken_at - self._taken_at, taken_at
            before, self._counts = self._counts, counts
            done = sums_of(before, counts, min(passed_s, _LONGEST_S), now)
            sample = sample_of(done, passed_s, self._clock(), now)
            self._unkept = added(self._unkept, done)
            if self._file is not None and await asyncio.to_thread(self._file.add, sample, self._unkept, self._today()):
                self._unkept = Sums()
                self._days = await asyncio.to_thread(self._file.days)
            return sample

    async def history(self, since_s: float, points: Mapping[str, tuple[float, float]]) -> History:
        """All that is kept.

        Args:
            since_s: samples after this, seconds since the epoch.
            points: earned and spent, by date.
        """
        samples: Sequence[Sample] = ()
        if self._file is not None:
            now_s = self._clock()
            samples = await asyncio.to_thread(self._file.samples, max(since_s, now_s - _SHOWN_S), now_s)
        thinned = await asyncio.to_thread(thin, samples, MAX_SAMPLES)
        return History(samples=thinned, days=tuple(days_of(self._days, points, self._today())))

    def _today(self) -> datetime.date:
        return datetime.date.fromtimestamp(self._clock())


def sums_of(before: Counts, after: Counts, passed_s: float, now: Now) -> Sums:
    """What was done in between."""
    return Sums(
        served_tokens=after.served_tokens - before.served_tokens,
        served_sessions=after.served_sessions - before.served_sessions,
        serving_s=passed_s if now.is_serving else 0.0,
        sent_bytes=after.sent_bytes - before.sent_bytes,
        received_bytes=after.received_bytes - before.received_bytes,
        last_request_s=now.last_request_s,
    )


def added(first: Sums, then: Sums) -> Sums:
    """Both together."""
    return Sums(
        served_tokens=first.served_tokens + then.served_tokens,
        served_sessions=first.served_sessions + then.served_sessions,
        serving_s=first.serving_s + then.serving_s,
        sent_bytes=first.sent_bytes + then.sent_bytes,
        received_bytes=first.received_bytes + then.received_bytes,
        last_request_s=first.last_request_s if then.last_request_s is None else then.last_request_s,
    )


def sample_of(done: Sums, passed_s: float, time_s: float, now: Now) -> Sample:
    def rate(count: int) -> float:
        return round(count / passed_s, 1) if passed_s > 0 else 0.0

    return Sample(
        time_s=math.floor(time_s * 10) / 10,  # never later than now: a history ends there
        tokens_per_s=rate(done.served_tokens),
        open_sessions=now.open_sessions,
        sent_bytes_per_s=rate(done.sent_bytes),
        received_bytes_per_s=rate(done.received_bytes),
        gpus=now.gpus,
    )


def thin(samples: Sequence[Sample], most: int) -> tuple[Sample, ...]:
    """At most so many, in steps of equal length: rates as means, sessions at their most, GPUs as they were last."""
    if len(samples) <= most:
        return tuple(samples)
    # The first and the last step are seldom whole, which makes one more of them.
    step_s = (samples[-1].time_s - samples[0].time_s) / (most - 2)
    steps: dict[int, list[Sample]] = {}
    for sample in samples:
        steps.setdefault(int(sample.time_s // step_s), []).append(sample)
    return tuple(map(_merged, steps.values()))


def _merged(samples: Sequence[Sample]) -> Sample:
    def mean(values: Iterator[float]) -> float:
        return round(sum(values) / len(samples), 1)

    return samples[-1].model_copy(
        update={
            "tokens_per_s": mean(sample.tokens_per_s for sample in samples),
            "open_sessions": max(sample.open_sessions for sample in samples),
            "sent_bytes_per_s": mean(sample.sent_bytes_per_s for sample in samples),
            "received_bytes_per_s": mean(sample.received_bytes_per_s for sample in samples),
        }
    )


def days_of(
    sums: Mapping[datetime.date, Sums], points: Mapping[str, tuple[float, float]], today: datetime.date
) -> Iterator[Day]:
    """Of the last year, the oldest first: those on which something was done, earned or spent."""
    first = (today - datetime.timedelta(days=_SHOWN_DAYS)).isoformat()
    by_date = {day.isoformat(): each for day, each in sums.items()}
    for date in sorted({*by_date, *points}):
        if first <= date <= today.isoformat():
            each, (earned, spent) = by_date.get(date, Sums()), points.get(date, (0.0, 0.0))
            yield Day(
                date=date,
                served_tokens=each.served_tokens,
                served_sessions=each.served_sessions,
                serving_s=round(each.serving_s, 1),
                sent_bytes=each.sent_bytes,
                received_bytes=each.received_bytes,
                earned=earned,
                spent=spent,
            )
