"""Continuous batching: which sessions' tokens run next, and which sessions keep their KV room.

Every tick takes all sessions that have a waiting token through the blocks in one call (Orca, Yu et al., OSDI 2022); a
newcomer joins at the next tick. Long prompts are cut, and their pieces share ticks with the tokens of others
(Sarathi-Serve, Agrawal et al., OSDI 2024, section 4). Lives in the event loop; torch runs on the compute thread.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import torch

from volunteer.server.compute import ComputeThread, Priority
from volunteer.server.fair_queue import GUEST, FairQueue, Rank, Standing
from volunteer.server.kv_cache import PAGE_TOKENS, KVPool, KVRoomFull, Move, PageTable, SessionCache, pages_of
from volunteer.server.span import Part, RowPlace, Span, Tick
from volunteer.server.ticks import (
    DECODE_TOKENS,
    FULL_BATCH_ROWS,
    GPU_FULL_BATCH_ROWS,
    PREFILL_TOKENS,
    Waiting,
    bounds_of,
    linger_s,
    plan_tick,
)

logger = logging.getLogger(__name__)

_RECENT_S = 1.0
"""A session that had a step so recently is being waited for by somebody."""
_NEAR_S = 30.0
"""The owner, or a contributor, who had a step so recently may come again at any time: guests leave short ticks to wait
for. Longer than it takes to read an answer's last words and to begin the next question."""
_REFUSE_GUESTS_S = 20.0
"""Once a guest of the same network waits for so long, or a network has had no turn for so long, new ones are better
served elsewhere."""
_GIVE_UP_GUESTS_S = 45.0
"""A guest whose step has had no turn for so long is sent away: a crowd of one network would wait for ever."""
_MAX_IDLE_CHECK_S = 5.0
_MIN_IDLE_S = 1.0
"""A session that has been silent for so long may have to make room for one that is not."""
_SMOOTHING = 0.3
_MIN_PREFILL_TOKENS = 16
_SHORTAGE_CHECK_S = 0.25
_SHORTAGE_TIMEOUT_S = 10.0
"""Without room, steps wait so long for sessions that are not waiting themselves to end or to fall silent; and so long
others of a lower rank wait for a newcomer that waits for room."""


class SessionEvicted(Exception):
    """The session's KV room was given to others; its client begins again and replays."""

    def __init__(self) -> None:
        super().__init__("Session evicted")


class QueueFull(Exception):
    """Guests wait for too long already: another one would only wait with them."""

    def __init__(self) -> None:
        super().__init__("This server has more to do than it can do in time")


@dataclass(eq=False)
class KVSession:
    """A session as the scheduler knows it."""

    cache: SessionCache
    can_replay: bool
    """Its client begins again by itself when its room was taken."""
    number: int
    standing: Standing = GUEST
    """As whom it is served; may be replaced while the session lives: credit can run out."""
    is_evicted: bool = False
    answered_at: float = field(default_factory=time.monotonic)
    think_s: float | None = None
    """From an answer to the next step, smoothed; None while there was none."""

    @property
    def promised_tokens(self) -> int:
        """What it may grow to: rows x maximum length x blocks."""
        return len(self.cache.rows) * self.cache.max_length * (self.cache.end - self.cache.start)


@dataclass(eq=False)
class _Step:
    """One step on its way through the ticks."""

    session: KVSession
    hidden_states: torch.Tensor
    prompts: torch.Tensor | None
    reorder: tuple[int, ...] | None
    position: int | None
    future: asyncio.Future[torch.Tensor]
    arrived_at: float
    done: int = 0
    outputs: list[torch.Tensor] = field(default_factory=list)

    def waiting(self, *, starved_s: float = 0.0, is_over: bool = False) -> Waiting:
        cache, whole = self.session.cache, self.hidden_states.shape[1]
        blocks, standing = (cache.start, cache.end), self.session.standing
        return Waiting(len(cache.rows), whole, whole - self.done, blocks, standing, starved_s, is_over)

    @property
    def first_length(self) -> int:
        """Tokens in the cache before the next piece."""
        return self.session.cache.length if self.position is None else self.position

    def part(self, tokens: int) -> Part:
        """The next piece, of so many tokens of each row."""
        cache, past = self.session.cache, self.first_length
        padding = cache.left_padding or (0,) * len(cache.rows)
        if self.reorder is not None:
            padding = tuple(padding[row] for row in self.reorder)
        return Part(
            self.hidden_states[:, self.done : self.done + tokens],
            tuple(RowPlace(row.start, past, padded) for row, padded in zip(cache.rows, padding, strict=True)),
            _from_position(self.prompts, self.done, tokens),
            self.reorder,
        )

    def advance(self, tokens: int, output: torch.Tensor, now: float) -> None:
        """Counts a computed piece as stored; the last one answers the step."""
        cache = self.session.cache
        cache.length = self.first_length + tokens
        if self.reorder is not None:
            cache.reorder(self.reorder)
        self.position = self.reorder = None
        self.done += tokens
        self.outputs.append(output)
        if self.done == self.hidden_states.shape[1]:
            self.session.answered_at = now
            if not self.future.done():
                self.future.set_result(torch.cat(self.outputs, dim=1) if len(self.outputs) > 1 else output)


class Scheduler:
    """Gives sessions their KV room and their turns on the compute thread. Use as `async with`.

    Args:
        span: the blocks.
        pool: keys and values of all sessions; its pages are this scheduler's to give.
        compute: where torch runs.
        prefill_tokens: rows x new tokens that a tick takes at most while somebody else waits for tokens; it bounds the
            time that a long prompt holds up others.
        prefill_s: fewer are taken where so many last longer than this, as the ticks before have shown: late in a long
            prompt a token costs more, and other programs use the machine, too.
        idle_s: a session that can replay and is silent for so long gives its pages back.
        is_over: whether an account had more of late than its rate: it goes after its equals while they wait.
    """

    def __init__(
        self,
        span: Span,
        pool: KVPool,
        compute: ComputeThread,
        *,
        prefill_tokens: int = PREFILL_TOKENS,
        prefill_s: float = math.inf,
        idle_s: float = 300.0,
        is_over: Callable[[Standing], bool] = lambda standing: False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._span = span
        self._pool = pool
        self._compute = compute
        self._prefill_tokens = prefill_tokens
        self._prefill_s = prefill_s
        self._prefill_token_s = 0.0
        self._idle_s = idle_s
        self._is_over = is_over
        self._full_rows = FULL_BATCH_ROWS if span.device.type == "cpu" else GPU_FULL_BATCH_ROWS
        self._queue = FairQueue()
        self._near_at = -math.inf
        self._wanting_room: list[tuple[Rank, float]] = []
        """Who waits for it, by rank, and since when."""
        self._clock = clock
        self._pages = PageTable(pool.num_pages)
        self._sessions: dict[int, KVSession] = {}
        self._numbers = itertools.count()
        self._steps: list[_Step] = []  # in order of arrival
        self._changed = asyncio.Event()
        self._room_waiters = asyncio.Event()
        self._tick_s = 0.0
        self._tick_ended_at = 0.0
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self.ticks = 0
        """Calls of the blocks since the start."""

    async def __aenter__(self) -> Self:
        self._tasks = (asyncio.create_task(self._run()), asyncio.create_task(self._evict_idle()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def capacity_tokens(self) -> int:
        """Of one row, in all blocks of the span."""
        return self._pages.num_pages * PAGE_TOKENS

    @property
    def free_tokens(self) -> int:
        """In pages that nobody holds, of one row."""
        return self._pages.free_pages * PAGE_TOKENS

    @property
    def promised_tokens(self) -> int:
        """Sum of what all open sessions may grow to."""
        return sum(session.promised_tokens for session in self._sessions.values())

    @property
    def free_rows(self) -> int:
        """How many more rows share a tick before each makes it as much longer as it would take alone."""
        since = self._clock() - _RECENT_S
        busy = sum(len(each.cache.rows) for each in self._sessions.values() if each.answered_at >= since)
        return max(0, FULL_BATCH_ROWS - busy)

    # Sessions

    @contextlib.asynccontextmanager
    async def session(
        self,
        cache: SessionCache,
        *,
        first_tokens: int,
        can_replay: bool,
        timeout_s: float = 0.0,
        standing: Standing = GUEST,
    ) -> AsyncIterator[KVSession]:
        """Admits a session when there is room for its first step, and gives all its room back at the end.

        Pages are taken as the session grows, not for all of its maximum length.

        Args:
            first_tokens: of each row in the first step.
            timeout_s: how long to wait for room.
            standing: as whom it is served; guests are the first to lose their room.

        Raises:
            KVRoomFull: the session could never fit, or there was no room in time.
            QueueFull: guests wait for too long already, and this is another one.
        """
        rows = len(cache.rows)
        most, first = rows * pages_of(cache.max_length), rows * pages_of(min(first_tokens, cache.max_length))
        if most > self._pages.num_pages:
            raise KVRoomFull(
                f"{rows} x {cache.max_length} tokens of KV room asked for, this server has {self.capacity_tokens}"
            )
        if standing.rank is Rank.GUEST and self._guests_waited_s(standing) > _REFUSE_GUESTS_S:
            raise QueueFull
        if not can_replay and self._promised_pages(standing) + most > self._pages.num_pages // 2:
            raise KVRoomFull("This network has as many sessions here as may not be ended for others")
        await self._find_room(first, standing, timeout_s, f"{rows} x {first_tokens} tokens")
        session = KVSession(cache, can_replay, next(self._numbers), standing, answered_at=self._clock())
        self._sessions[session.number] = session
        try:
            yield session
        finally:
            del self._sessions[session.number]
            self._release(session)
            self._steps = [step for step in self._steps if step.session is not session]

    def _promised_pages(self, standing: Standing) -> int:
        """What a guest's network may grow to in sessions that cannot begin again; below zero where that is no matter.

        A first such session may be of any length.
        """
        if standing.rank is not Rank.GUEST or not standing.prefix:
            return -self._pages.num_pages
        promised = [
            len(session.cache.rows) * pages_of(session.cache.max_length)
            for session in self._sessions.values()
            if session.standing.rank is Rank.GUEST
            and session.standing.prefix == standing.prefix
            and not session.can_replay
        ]
        return sum(promised) if promised else -self._pages.num_pages

    async def _find_room(self, num_pages: int, standing: Standing, timeout_s: float, asked: str) -> None:
        """Waits until there is room and nobody of a higher rank waits for it."""
        rank = standing.rank
        asked_at = self._clock()
        deadline = asked_at + timeout_s
        self._wanting_room.append((rank, asked_at))
        try:
            while self._is_wanted_above(rank) or not self._make_room(num_pages, standing):
                left_s = deadline - self._clock()
                if left_s <= 0:
                    raise KVRoomFull(f"{asked} of KV room asked for, {self.free_tokens} are free")
                self._room_waiters.clear()
                with contextlib.suppress(TimeoutError):
                    # Not longer: sessions fall silent without a word.
                    async with asyncio.timeout(min(left_s, _MIN_IDLE_S)):
                        await self._room_waiters.wait()
        finally:
            self._wanting_room.remove((rank, asked_at))
            self._room_waiters.set()

    def _is_wanted_above(self, rank: Rank) -> bool:
        """Whether somebody of a higher rank waits for room, for which waiting costs nothing: so not for ever."""
        since = self._clock() - _SHORTAGE_TIMEOUT_S
        return any(higher < rank and asked_at > since for higher, asked_at in self._wanting_room)

    def _guests_waited_s(self, comer: Standing) -> float:
        """How long the oldest step of the comer's network has waited for its first turn, or another network for any."""
        now = self._clock()
        since = [
            step.arrived_at
            if step.session.standing.competitor == comer.competitor
            else self._queue.starved_since(step.session.standing, step.arrived_at)
            for step in self._pending()
            if step.session.standing.rank is Rank.GUEST and not step.done
        ]
        return now - min(since, default=now)

    def _send_away(self) -> None:
        """Ends the sessions of guests who have waited for too long."""
        before = self._clock() - _GIVE_UP_GUESTS_S
        for step in self._pending():
            if step.session.standing.rank is Rank.GUEST and not step.done and step.arrived_at < before:
                self._evict(step.session, QueueFull())

    async def step(
        self,
        session: KVSession,
        hidden_states: torch.Tensor,
        *,
        prompts: torch.Tensor | None = None,
        reorder: tuple[int, ...] | None = None,
        start_from_position: int | None = None,
    ) -> torch.Tensor:
        """New tokens of one session through its blocks; its cache grows by them.

        Args:
            hidden_states: [rows, new, hidden] on the CPU, any float dtype; `new` may be 0, which only rolls back and
                reorders.
            prompts: [blocks, rows or 1, prefix, hidden], added to the first positions of this step before each block.
            reorder: row i continues from what row `reorder[i]` was (beam search).
            start_from_position: forget the tokens from here on first (rollback).

        Returns:
            [rows, new, hidden] on the CPU in the span's dtype.

        Raises:
            ValueError: the session would become longer than it asked for, or the rollback is beyond its end.
            SessionEvicted: its room was given to others.
            KVRoomFull: there is no room, and nobody who could give some.
        """
        if session.is_evicted:
            raise SessionEvicted
        session.cache.check(start_from_position, hidden_states.shape[1])
        now = self._clock()
        if hidden_states.shape[1] <= DECODE_TOKENS and session.cache.length:
            think_s = now - session.answered_at
            before = think_s if session.think_s is None else session.think_s
            session.think_s = before + _SMOOTHING * (think_s - before)
        future: asyncio.Future[torch.Tensor] = asyncio.get_running_loop().create_future()
        step = _Step(session, hidden_states, prompts, reorder, start_from_position, future, now)
        self._steps.append(step)
        self._changed.set()
        try:
            return await future
        finally:
            if step in self._steps:
                self._steps.remove(step)

    # Ticks

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._pending():
                await self._linger()
                tick = self._next_tick()
                if tick is not None:
                    await self._compute_tick(*tick)
                elif not self._resolve_shortage():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_SHORTAGE_CHECK_S):
                            await self._changed.wait()
                    self._changed.clear()

    def _pending(self) -> list[_Step]:
        return [step for step in self._steps if not step.future.done()]

    async def _linger(self) -> None:
        """Waits a moment for sessions whose next step is about to come, so that one tick takes them all."""
        while pending := self._pending():
            busy = {step.session for step in pending}
            # With a full tick at hand, only who goes before it is worth a wait.
            is_full = sum(len(session.cache.rows) for session in busy) > self._full_rows
            wait_s = linger_s(
                self._clock(),
                ready_at=max(self._tick_ended_at, min(step.arrived_at for step in pending)),
                expected=[
                    session.answered_at + session.think_s
                    for session in self._sessions.values()
                    if session not in busy
                    and session.think_s is not None
                    and not (is_full and session.standing.rank is Rank.GUEST)
                ],
                tick_s=self._tick_s,
            )
            if wait_s <= 0:
                return
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _next_tick(self) -> tuple[list[tuple[_Step, int]], Tick] | None:
        """The steps of the next tick with tokens of each row, and the call; None when there is room for none."""
        self._send_away()
        steps = self._pending()
        since = self._clock() - _RECENT_S
        is_shared = sum(session.answered_at >= since for session in self._sessions.values()) > 1 or len(steps) > 1
        prefill_tokens = self._shared_prefill_tokens() if is_shared else PREFILL_TOKENS
        now = self._clock()
        if any(step.session.standing.rank is not Rank.GUEST for step in steps):
            self._near_at = now
        while steps:
            waiting = [self._waiting(step, now) for step in steps]
            bounds = bounds_of(waiting, others_are_near=self._near_at > now - _NEAR_S, full_rows=self._full_rows)
            planned = plan_tick(waiting, prefill_tokens=prefill_tokens, queue=self._queue, bounds=bounds)
            chosen = [(steps[index], tokens) for index, tokens in planned.items()]
            lacking = self._lacks_room(chosen)
            if lacking is None:
                self._charge(waiting, planned)
                return chosen, self._tick_of(chosen)
            steps.remove(lacking)
        return None

    def _waiting(self, step: _Step, now: float) -> Waiting:
        standing = step.session.standing
        starved_s = 0.0 if step.done else now - self._queue.starved_since(standing, step.arrived_at)
        return step.waiting(starved_s=starved_s, is_over=self._is_over(standing))

    def _charge(self, waiting: Sequence[Waiting], planned: dict[int, int]) -> None:
        """Counts a tick for the accounts that it serves."""
        units = guest_units = 0
        for index, tokens in planned.items():
            claim = waiting[index].claim(tokens)
            self._queue.note_turn(claim.standing, self._clock())
            self._queue.charge(claim, are_prompts=not waiting[index].is_decode)
            units += claim.units
            guest_units += claim.units * (claim.standing.rank is Rank.GUEST)
        guests_wait = any(
            step.standing.rank is Rank.GUEST and planned.get(index, -1) < step.left
            for index, step in enumerate(waiting)
        )
        blocks = self._span.end - self._span.start
        self._queue.note_tick(guest_units=guest_units, units=units, blocks=blocks, guests_wait=guests_wait)

    def _shared_prefill_tokens(self) -> int:
        if self._prefill_token_s == 0.0:
            return self._prefill_tokens
        return int(max(_MIN_PREFILL_TOKENS, min(self._prefill_tokens, self._prefill_s / self._prefill_token_s)))

    def _lacks_room(self, chosen: Sequence[tuple[_Step, int]]) -> _Step | None:
        """The first of the steps that would find no room after those before it."""
        needed = 0
        for step, tokens in chosen:
            needed += step.session.cache.pages_missing(step.first_length + tokens)
            if not self._make_room(needed, step.session.standing):
                return step
        return None

    def _tick_of(self, chosen: Sequence[tuple[_Step, int]]) -> Tick:
        moves: list[Move] = []
        for step, tokens in chosen:
            for row in step.session.cache.rows:
                moves += self._pages.grow(row, step.first_length + tokens)
        # After all rows have their places: what one of them needs can move the others.
        parts = tuple(step.part(tokens) for step, tokens in chosen)
        cache = chosen[0][0].session.cache
        return Tick(cache.start, cache.end, parts, tuple(moves))

    async def _compute_tick(self, chosen: Sequence[tuple[_Step, int]], tick: Tick) -> None:
        started = self._clock()
        are_decode = [step.waiting().is_decode for step, _ in chosen]
        try:
            outputs = await self._compute.run(
                Priority.DECODE if any(are_decode) else Priority.PREFILL, self._span.tick, self._pool, tick
            )
        except Exception as error:
            # How far it came is unknown, and with it what the caches hold: the sessions begin again.
            for step, _ in chosen:
                self._evict(step.session, error if len(chosen) == 1 else SessionEvicted())
            if len(chosen) > 1:
                logger.warning("A tick of %d sessions failed", len(chosen), exc_info=True)
            return
        self.ticks += 1
        self._tick_ended_at = now = self._clock()
        if all(are_decode):
            self._tick_s += (now - started - self._tick_s) * (_SMOOTHING if self._tick_s else 1.0)
        else:
            prefill = sum(
                len(step.session.cache.rows) * tokens
                for (step, tokens), is_decode in zip(chosen, are_decode, strict=True)
                if not is_decode
            )
            token_s = (now - started) / prefill
            smoothing = _SMOOTHING if self._prefill_token_s else 1.0
            self._prefill_token_s += (token_s - self._prefill_token_s) * smoothing
        for (step, tokens), output in zip(chosen, outputs, strict=True):
            step.advance(tokens, output, now)

    # Room

    def _make_room(self, num_pages: int, standing: Standing) -> bool:
        """Whether so many pages are free, if need be after taking those of sessions that give way."""
        if num_pages <= self._pages.free_pages:
            return True
        silent = [session for session in self._silent(_MIN_IDLE_S, standing) if session.cache.num_pages]
        if num_pages > self._pages.free_pages + sum(session.cache.num_pages for session in silent):
            return False
        for session in silent:
            if num_pages <= self._pages.free_pages:
                break
            self._evict(session, SessionEvicted())
        return True

    def _silent(self, idle_s: float, standing: Standing | None = None) -> list[KVSession]:
        """Sessions that have had no step for so long and can begin again, guests first, the most silent first.

        Args:
            standing: of somebody to whom some of the others give way as well, between two of their steps.
        """
        gives_way = self._gives_way_to(standing)
        busy = {step.session for step in self._steps}
        before = self._clock() - idle_s
        silent = [
            session
            for session in self._sessions.values()
            if session.can_replay
            and session not in busy
            and (session.answered_at < before or gives_way(session.standing))
        ]
        return sorted(silent, key=lambda session: (-session.standing.rank, session.answered_at))

    def _gives_way_to(self, comer: Standing | None) -> Callable[[Standing], bool]:
        """Which sessions do: those of a lower rank, and among guests those of a network that holds more than half."""
        if comer is None:
            return lambda standing: False
        held: collections.Counter[str] = collections.Counter()
        for session in self._sessions.values():
            if session.standing.rank is Rank.GUEST:
                held[session.standing.prefix] += session.cache.num_pages
        greedy = {prefix for prefix, pages in held.items() if pages > self._pages.num_pages // 2} - {comer.prefix}
        return lambda standing: (
            standing.rank > comer.rank or (standing.rank is Rank.GUEST and standing.prefix in greedy)
        )

    def _resolve_shortage(self) -> bool:
        """When no step finds room: ends the youngest session that waits, once the others will not free any."""
        pending = self._pending()
        if not pending:
            return False
        waiting = {step.session for step in pending}
        others_hold = any(session.cache.num_pages for session in self._sessions.values() if session not in waiting)
        if others_hold and self._clock() - min(step.arrived_at for step in pending) < _SHORTAGE_TIMEOUT_S:
            return False
        # The one that loses least: it can begin again by itself if there is one such, and it has come last.
        youngest = max(waiting, key=lambda session: (session.standing.rank, session.can_replay, session.number))
        error = SessionEvicted() if youngest.can_replay else KVRoomFull("This server has run out of KV room")
        self._evict(youngest, error)
        return True

    def _evict(self, session: KVSession, error: Exception) -> None:
        """Takes the session's room; its waiting step gets `error`, later ones are told that it was evicted."""
        session.is_evicted = True
        for step in self._steps:
            if step.session is session and not step.future.done():
                step.future.set_exception(error)
        self._release(session)

    def _release(self, session: KVSession) -> None:
        for row in session.cache.rows:
            self._pages.release(row)
        self._changed.set()
        self._room_waiters.set()

    async def _evict_idle(self) -> None:
        while True:
            await asyncio.sleep(min(_MAX_IDLE_CHECK_S, self._idle_s / 4))
            for session in self._silent(self._idle_s):
                if session.cache.num_pages:
                    logger.info("A session was silent for %.0f s: its KV room is given back", self._idle_s)
                    self._evict(session, SessionEvicted())


def _from_position(prompts: torch.Tensor | None, position: int, num_tokens: int) -> torch.Tensor | None:
    """The part of deep prompts, [blocks, rows or 1, prefix, hidden], for some of the positions of a step."""
    if prompts is None or position >= prompts.shape[2]:
        return None
    return prompts[:, :, position : position + num_tokens]
