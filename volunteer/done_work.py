"""What the worker has done so far: gathers it from the parts that count, for the status, the plots and the days."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Self

from volunteer.activity import Activity, Counts, Now
from volunteer.control.messages import GpuSample, History, Points, Sample
from volunteer.errors import UserError
from volunteer.hardware import Gpu
from volunteer.points.totals import points_of
from volunteer.points.wallet import Wallet
from volunteer.server.admission import Served
from volunteer.swarm.traffic import Traffic

_RATE_S = 10.0
"""What is told as so much a second is that of so long."""

logger = logging.getLogger(__name__)


class DoneWork:
    """Use as `async with`; no method raises.

    Args:
        served: what was done for others.
        own_traffic: of the owner's own questions.
        wallet: knows what was earned and spent.
    """

    def __init__(self, activity: Activity, served: Served, own_traffic: Traffic, wallet: Wallet):
        self._activity = activity
        self._served = served
        self._own_traffic = own_traffic
        self._wallet = wallet
        self._downloads = Downloads()
        self._tokens, self._sent, self._received = Rate(), Rate(), Rate()

    async def __aenter__(self) -> Self:
        await self._activity.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._activity.__aexit__()

    def note_download(self, done_bytes: int, *, is_over: bool) -> None:
        """How much is here of what is being brought."""
        self._downloads.note(done_bytes, is_over=is_over)

    def status(self) -> dict[str, object]:
        """The fields of `Status` that tell of it."""
        served, counts, now_s = self._served, self._counts(), time.monotonic()
        return {
            "served_tokens": counts.served_tokens,
            "served_tokens_today": self._activity.served_tokens_today,
            "served_sessions": counts.served_sessions,
            "open_sessions": served.open_sessions,
            "last_request_s": since_epoch(served.last_request_at) or self._activity.last_request_s,
            "seen_by_others_s": since_epoch(served.seen_at),
            "tokens_per_s": self._tokens.of(counts.served_tokens, now_s),
            "sent_bytes_per_s": self._sent.of(counts.sent_bytes, now_s),
            "received_bytes_per_s": self._received.of(counts.received_bytes, now_s),
        }

    async def take_sample(self, gpus: tuple[Gpu, ...], *, is_serving: bool) -> Sample:
        """And keeps it."""
        last_request_s = since_epoch(self._served.last_request_at)
        now = Now(is_serving, self._served.open_sessions, last_request_s, tuple(map(_gpu_sample, gpus)))
        return await self._activity.take(self._counts(), now)

    async def history(self, since_s: float) -> History:
        """Samples after `since_s`, seconds since the epoch, and all days."""
        try:
            days = await asyncio.to_thread(self._wallet.days)
        except UserError as error:
            logger.warning("The history comes without points: %s", error)
            days = {}
        points = {date: (points_of(total.earned), points_of(total.spent)) for date, total in days.items()}
        return await self._activity.history(since_s, points)

    async def points(self) -> Points | None:
        """None where there is no ledger yet, or it cannot be read now."""
        try:
            summary = await asyncio.to_thread(self._wallet.points)
        except UserError as error:
            logger.debug("The ledger cannot be read: %s", error)
            return None
        if summary is None:
            return None
        return Points(
            today=points_of(summary.earned_today),
            total=points_of(summary.earned_total),
            pending=points_of(summary.pending),
            spent_today=points_of(summary.spent_today),
            spent=points_of(summary.spent_total),
        )

    def _counts(self) -> Counts:
        served, own = self._served, self._own_traffic
        return Counts(
            served_tokens=served.tokens,
            served_sessions=served.sessions,
            sent_bytes=served.traffic.sent_bytes + own.sent_bytes,
            received_bytes=served.traffic.received_bytes + own.received_bytes + self._downloads.received_bytes,
        )


class Downloads:
    """How much was brought here, from what downloads tell: how much there is now, of which some was there before."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self._before: int | None = None

    def note(self, done_bytes: int, *, is_over: bool) -> None:
        if self._before is not None:
            self.received_bytes += max(0, done_bytes - self._before)
        self._before = None if is_over else done_bytes


class Rate:
    """A count that only grows, as so many a second over the last while."""

    def __init__(self, window_s: float = _RATE_S):
        self._window_s = window_s
        self._seen: list[tuple[float, int]] = []

    def of(self, count: int, now_s: float) -> float:
        """Since the last look that is at least a window ago, or the first; with one digit after the point."""
        self._seen.append((now_s, count))
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - self._window_s:
            self._seen.pop(0)
        then_s, then = self._seen[0]
        return round((count - then) / (now_s - then_s), 1) if now_s > then_s else 0.0


def since_epoch(monotonic_s: float | None) -> float | None:
    """A moment of `time.monotonic` in seconds since the epoch; whole ones, so that it does not seem to change."""
    return None if monotonic_s is None else float(round(time.time() - time.monotonic() + monotonic_s))


def _gpu_sample(gpu: Gpu) -> GpuSample:
    return GpuSample(
        used_bytes=gpu.total_bytes - gpu.free_bytes,
        temperature_c=gpu.temperature_c,
        power_w=gpu.power_w,
        utilisation_percent=gpu.utilisation_percent,
    )
