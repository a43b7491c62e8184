import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from volunteer.server.fair_queue import Rank, Standing
from volunteer.server.kv_cache import PAGE_TOKENS, KVRoomFull, SessionCache
from volunteer.server.scheduler import (
    KVSession,
    QueueFull,
    SessionEvicted,
)
from volunteer.server.span import Span
from volunteer.server.ticks import FULL_BATCH_ROWS

HIDDEN, BLOCKS = 64, 3
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}  # float32, added up in another order

NewEngine = Callable[..., Any]


# Sessions


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def whole(span: Span, hidden_states: torch.Tensor) -> torch.Tensor:
    return span.forward(hidden_states, 0, BLOCKS)


async def chat(engine: Any, seed: int, prompt: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A session of its own: a prompt, then token after token. Returns all inputs and all outputs."""
    inputs = numbers(1, prompt + tokens, HIDDEN, seed=seed)
    cache = SessionCache(start=0, end=BLOCKS, batch_size=1, max_length=prompt + tokens)
    async with engine.scheduler.session(cache, first_tokens=prompt, can_replay=False) as session:
        outputs = [await engine.scheduler.step(session, inputs[:, :prompt])]
        for at in range(prompt, prompt + tokens):
            outputs.append(await engine.scheduler.step(session, inputs[:, at : at + 1]))
    return inputs, torch.cat(outputs, dim=1)


def test_sessions_share_ticks_and_get_what_they_get_alone(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span)

    async def all_at_once() -> list[tuple[torch.Tensor, torch.Tensor]]:
        return await asyncio.gather(*(chat(engine, seed, 3 + 5 * seed, 20) for seed in range(6)))

    for inputs, outputs in engine.run(all_at_once()):
        torch.testing.assert_close(outputs, whole(span, inputs), **TOLERANCE)
    assert engine.scheduler.ticks < 6 * 21 / 3  # 126 steps one by one
    assert engine.scheduler.free_tokens == engine.scheduler.capacity_tokens


def test_pieces_of_a_prompt_shrink_where_they_take_longer_than_they_may(span: Span, new_engine: NewEngine) -> None:
    def ticks_of(prefill_s: float) -> int:
        engine = new_engine(span, prefill_tokens=256, prefill_s=prefill_s)

        async def run() -> None:
            await asyncio.gather(*(chat(engine, seed, 600, 1) for seed in range(2)))

        engine.run(run())
        return engine.scheduler.ticks

    assert ticks_of(math.inf) < 10
    assert ticks_of(1e-9) > 20  # the first pieces are as long as they may be, and then 16 tokens


def test_a_long_prompt_does_not_keep_a_chat_from_its_tokens(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span, prefill_tokens=70)
    steps_done, prompt_done_at = 0, 0

    async def run() -> None:
        nonlocal steps_done, prompt_done_at
        talker, reader = (SessionCache(start=0, end=BLOCKS, batch_size=1, max_length=1100) for _ in range(2))
        async with (
            engine.scheduler.session(talker, first_tokens=1, can_replay=False) as first,
            engine.scheduler.session(reader, first_tokens=1000, can_replay=False) as second,
        ):
            await engine.scheduler.step(first, numbers(1, 1, HIDDEN))

            async def read() -> torch.Tensor:
                nonlocal prompt_done_at
                outputs: torch.Tensor = await engine.scheduler.step(second, numbers(1, 1000, HIDDEN))
                prompt_done_at = steps_done
                return outputs

            prompt = asyncio.create_task(read())
            for _ in range(70):
                await engine.scheduler.step(first, numbers(1, 1, HIDDEN))
                steps_done += 1
            torch.testing.assert_close(await prompt, whole(span, numbers(1, 1000, HIDDEN)), **TOLERANCE)

    engine.run(run())
    # 1,000 tokens in at least 15 pieces; a token that comes just after a tick began is in the one after it.
    assert prompt_done_at >= 6


def test_beams_rollbacks_and_different_blocks_share_the_scheduler(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span)
    texts = numbers(2, 12, HIDDEN)

    async def beams() -> torch.Tensor:
        cache = SessionCache(start=0, end=BLOCKS, batch_size=2, max_length=20)
        async with engine.scheduler.session(cache, first_tokens=8, can_replay=False) as session:
            await engine.scheduler.step(session, texts[:, :8])
            await engine.scheduler.step(session, texts[:, 8:10])
            outputs: torch.Tensor = await engine.scheduler.step(
                session, texts[:, 10:], reorder=(1, 1), start_from_position=9
            )
            return outputs

    async def part() -> torch.Tensor:
        cache = SessionCache(start=1, end=2, batch_size=2, max_length=20)
        async with engine.scheduler.session(cache, first_tokens=8, can_replay=False) as session:
            for at in range(11):
                await engine.scheduler.step(session, texts[:, at : at + 1])
            outputs: torch.Tensor = await engine.scheduler.step(session, texts[:, 11:])
            return outputs

    async def run() -> Any:
        return await asyncio.gather(beams(), part(), *(chat(engine, seed, 4, 10) for seed in range(3)))

    beam_outputs, part_outputs, *chats = engine.run(run())
    expected = whole(span, torch.cat([texts[[1, 1], :9], texts[:, 10:]], dim=1))[:, 9:]
    torch.testing.assert_close(beam_outputs, expected, **TOLERANCE)
    torch.testing.assert_close(part_outputs, span.forward(texts, 1, 2)[:, 11:], **TOLERANCE)
    for inputs, outputs in chats:
        torch.testing.assert_close(outputs, whole(span, inputs), **TOLERANCE)


def test_prompts_stay_at_their_positions_when_a_step_is_cut(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span, prefill_tokens=16)
    other = engine.open(1)
    engine.step(other, numbers(1, 1, HIDDEN))  # somebody else is there, so pieces are short
    hidden_states, prompts = numbers(1, 100, HIDDEN), numbers(BLOCKS, 1, 40, HIDDEN, seed=1)
    found = engine.step(engine.open(1, max_length=100), hidden_states, prompts=prompts)
    torch.testing.assert_close(found, span.forward(hidden_states, 0, BLOCKS, prompts=prompts), **TOLERANCE)


# Room


def test_sessions_pay_for_what_they_hold_and_not_for_what_they_may(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span, num_pages=16)
    sessions = [engine.open(1, max_length=16 * PAGE_TOKENS) for _ in range(8)]
    for session in sessions:
        engine.step(session, numbers(1, PAGE_TOKENS + 1, HIDDEN))
    assert engine.scheduler.free_tokens == 0
    assert engine.scheduler.promised_tokens == 8 * 16 * PAGE_TOKENS * BLOCKS


def test_what_can_never_fit_is_refused_at_once(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span, num_pages=4)
    with pytest.raises(KVRoomFull, match="5 x 32 tokens of KV room asked for, this server has 128"):
        engine.open(5, max_length=PAGE_TOKENS)


def test_a_newcomer_without_room_is_refused_or_waits(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span, num_pages=1)

    async def run() -> None:
        first = SessionCache(start=0, end=BLOCKS, batch_size=1, max_length=9)
        second = SessionCache(start=0, end=BLOCKS, batch_size=1, max_length=9)
        async with engine.scheduler.session(first, first_tokens=1, can_replay=False) as session:
            await engine.scheduler.step(session, numbers(1, 1, HIDDEN))
            with pytest.raises(KVRoomFull, match="1 x 1 tokens of KV room asked for, 0 are free"):
                async with engine.scheduler.session(second, first_tokens=1, can_replay=False):
                    pass

            async def come() -> torch.Tensor:
                async with engine.scheduler.session(second, first_tokens=1, can_replay=False, timeout_s=30) as later:
                    outputs: torch.Tensor = await engine.scheduler.step(later, numbers(1, 1, HIDDEN))
                    return outputs

            waiter = asyncio.create_task(come())
            await asyncio.sleep(0.05)
            assert not waiter.done()
        torch.testing.assert_close(await waiter, whole(span, numbers(1, 1, HIDDEN)), **TOLERANCE)

    engine.run(run())


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_silent_session_makes_room_and_learns_of_it_with_its_next_step(span: Span, new_engine: NewEngine) -> None:
    clock = Clock()
    engine = new_engine(span, num_pages=2, clock=clock)
    silent = engine.open(1, can_replay=True)
    engine.step(silent, numbers(1, PAGE_TOKENS, HIDDEN))
    fresh = engine.open(1, can_replay=True)
    engine.step(fresh, numbers(1, PAGE_TOKENS - 1, HIDDEN))
    clock.now_s += 5
    engine.step(fresh, numbers(1, 1, HIDDEN))
    newcomer = engine.open(1)
    found = engine.step(newcomer, numbers(1, 3, HIDDEN))
    torch.testing.assert_close(found, whole(span, numbers(1, 3, HIDDEN)), **TOLERANCE)
    assert silent.is_evicted and not fresh.is_evicted
    with pytest.raises(SessionEvicted, match="Session evicted"):
        engine.step(silent, numbers(1, 1, HIDDEN))


def test_a_session_that_cannot_begin_again_keeps_its_room(span: Span, new_engine: NewEngine) -> None:
    clock = Clock()
    engine = new_engine(span, num_pages=1, clock=clock)
    session = engine.open(1, max_length=9)
    first = engine.step(session, numbers(1, 4, HIDDEN))
    clock.now_s += 5
    with pytest.raises(KVRoomFull):
        engine.open(1, max_length=9)
    rest = engine.step(session, numbers(1, 5, HIDDEN, seed=1))
    inputs = torch.cat([numbers(1, 4, HIDDEN), numbers(1, 5, HIDDEN, seed=1)], dim=1)
    torch.testing.assert_close(torch.cat([first, rest], dim=1), whole(span, inputs), **TOLERANCE)


def test_when_all_need_more_than_there_is_the_youngest_gives_way(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span, num_pages=4)
    sessions = [engine.open(1, max_length=3 * PAGE_TOKENS, can_replay=True) for _ in range(2)]

    async def grow(session: KVSession, seed: int) -> torch.Tensor:
        parts = [
            await engine.scheduler.step(session, part)
            for part in numbers(1, 3 * PAGE_TOKENS, HIDDEN, seed=seed).split(8, dim=1)
        ]
        return torch.cat(parts, dim=1)

    async def run() -> list[Any]:
        return await asyncio.gather(*(grow(each, seed) for seed, each in enumerate(sessions)), return_exceptions=True)

    found, evicted = engine.run(run())
    assert isinstance(evicted, SessionEvicted)
    torch.testing.assert_close(found, whole(span, numbers(1, 3 * PAGE_TOKENS, HIDDEN)), **TOLERANCE)


def test_a_step_without_room_does_not_hold_up_those_that_need_none(span: Span, new_engine: NewEngine) -> None:
    """It waits, and the tick is planned again without it."""
    engine = new_engine(span, num_pages=3)
    modest = engine.open(1, max_length=PAGE_TOKENS)
    engine.step(modest, numbers(1, 1, HIDDEN))
    holder = engine.open(1, max_length=PAGE_TOKENS)  # holds a page, says nothing, and cannot be evicted
    engine.step(holder, numbers(1, 1, HIDDEN))
    hungry = engine.open(1, max_length=2 * PAGE_TOKENS)

    async def run() -> None:
        stuck = asyncio.create_task(engine.scheduler.step(hungry, numbers(1, 2 * PAGE_TOKENS, HIDDEN)))
        await asyncio.sleep(0)
        for _ in range(5):
            await engine.scheduler.step(modest, numbers(1, 1, HIDDEN))
        assert not stuck.done()
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)

    engine.run(run())
    assert modest.cache.length == 6


def test_idle_sessions_give_their_room_back_in_time(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span, idle_s=0.1)
    session, lasting = engine.open(1, can_replay=True), engine.open(1)
    for each in (session, lasting):
        engine.step(each, numbers(1, 1, HIDDEN))

    async def until_evicted() -> None:
        while not session.is_evicted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    engine.run(until_evicted())
    assert session.cache.num_pages == 0 and lasting.cache.num_pages == 1


def test_a_cancelled_step_leaves_no_trace(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span)
    session = engine.open(1)

    async def run() -> torch.Tensor:
        cancelled = asyncio.create_task(engine.scheduler.step(session, numbers(1, 5, HIDDEN, seed=9)))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        outputs, _ = await asyncio.gather(chat(engine, 1, 3, 3), asyncio.sleep(0))
        return outputs[1]

    torch.testing.assert_close(engine.run(run()), whole(span, numbers(1, 6, HIDDEN, seed=1)), **TOLERANCE)


def test_a_tick_that_fails_costs_its_sessions_their_caches_and_no_more(
    span: Span, new_engine: NewEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_engine(span)
    first, second = engine.open(1), engine.open(1)
    tick = Span.tick

    def failing(self: Span, *arguments: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Span, "tick", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.step(first, numbers(1, 2, HIDDEN))
    monkeypatch.setattr(Span, "tick", tick)
    with pytest.raises(SessionEvicted):
        engine.step(first, numbers(1, 2, HIDDEN))
    torch.testing.assert_close(
        engine.step(second, numbers(1, 2, HIDDEN)), whole(span, numbers(1, 2, HIDDEN)), **TOLERANCE
    )


def test_rows_that_are_busy_are_told(span: Span, new_engine: NewEngine) -> None:
    clock = Clock()
    engine = new_engine(span, clock=clock)
    assert engine.scheduler.free_rows == FULL_BATCH_ROWS
    session = engine.open(5)
    engine.step(session, numbers(5, 1, HIDDEN))
    assert engine.scheduler.free_rows == FULL_BATCH_ROWS - 5
    clock.now_s += 2
    assert engine.scheduler.free_rows == FULL_BATCH_ROWS


# Standing


def test_a_contributor_waits_a_quarter_of_what_guests_wait_on_a_full_server(span: Span, new_engine: NewEngine) -> None:
    """Twice as many guests as a tick takes, all of other networks; counted in ticks, from arrival to answer.

    Ticks of so small a span are too short to be timed beside other tests.
    """
    engine = new_engine(span, num_pages=80)
    waits: dict[Rank, list[int]] = {Rank.CONTRIBUTOR: [], Rank.GUEST: []}

    async def talk(standing: Standing, done: asyncio.Event) -> None:
        cache = SessionCache(start=0, end=BLOCKS, batch_size=1, max_length=PAGE_TOKENS)
        async with engine.scheduler.session(cache, first_tokens=1, can_replay=False, standing=standing) as session:
            while not done.is_set():
                arrived = engine.scheduler.ticks
                position = 0 if session.cache.length == PAGE_TOKENS else None
                await engine.scheduler.step(session, numbers(1, 1, HIDDEN), start_from_position=position)
                waits[standing.rank].append(engine.scheduler.ticks - arrived)

    async def run() -> None:
        done = asyncio.Event()
        guests = [Standing(Rank.GUEST, str(number), str(number)) for number in range(2 * FULL_BATCH_ROWS)]
        talks = [talk(standing, done) for standing in (*guests, Standing(Rank.CONTRIBUTOR, "contributor"))]
        tasks = [asyncio.create_task(each) for each in talks]
        while len(waits[Rank.GUEST]) < 1000:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        done.set()
        await asyncio.gather(*tasks)

    engine.run(run())
    contributors, guests = (sorted(waits[rank]) for rank in (Rank.CONTRIBUTOR, Rank.GUEST))
    assert contributors[int(0.95 * len(contributors))] <= guests[int(0.95 * len(guests))] / 4


def test_a_contributor_takes_the_room_of_a_guest_that_can_begin_again(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span, num_pages=1, clock=Clock())
    guest = engine.open(1, max_length=9, can_replay=True)
    engine.step(guest, numbers(1, 1, HIDDEN))

    async def come(rank: Rank) -> None:
        cache = SessionCache(start=0, end=BLOCKS, batch_size=1, max_length=9)
        standing = Standing(rank, "other")
        async with engine.scheduler.session(cache, first_tokens=1, can_replay=False, standing=standing) as session:
            await engine.scheduler.step(session, numbers(1, 1, HIDDEN))

    with pytest.raises(KVRoomFull):
        engine.run(come(Rank.GUEST))
    engine.run(come(Rank.CONTRIBUTOR))
    assert guest.is_evicted


def test_guests_do_not_wait_for_ever_for_a_contributor_who_waits_for_room(span: Span, new_engine: NewEngine) -> None:
    clock = Clock()
    engine = new_engine(span, num_pages=2, clock=clock)
    engine.step(engine.open(1, max_length=9), numbers(1, 1, HIDDEN))

    async def come(rank: Rank, rows: int, timeout_s: float) -> None:
        cache = SessionCache(start=0, end=BLOCKS, batch_size=rows, max_length=9)
        standing = Standing(rank, "other")
        async with engine.scheduler.session(
            cache, first_tokens=1, can_replay=True, timeout_s=timeout_s, standing=standing
        ) as session:
            await engine.scheduler.step(session, numbers(rows, 1, HIDDEN))

    async def run() -> None:
        contributor = asyncio.create_task(come(Rank.CONTRIBUTOR, 2, 600.0))
        await asyncio.sleep(0.05)
        with pytest.raises(KVRoomFull):
            await come(Rank.GUEST, 1, 0.0)
        clock.now_s += 11.0
        await come(Rank.GUEST, 1, 0.0)
        assert not contributor.done()
        contributor.cancel()
        await asyncio.wait((contributor,))

    engine.run(run())


def test_new_guests_are_sent_elsewhere_once_one_has_waited_for_long(span: Span, new_engine: NewEngine) -> None:
    clock = Clock()
    engine = new_engine(span, num_pages=3, clock=clock)
    holder = engine.open(1, max_length=PAGE_TOKENS)
    engine.step(holder, numbers(1, 1, HIDDEN))
    hungry = engine.open(1, max_length=3 * PAGE_TOKENS)

    async def run() -> None:
        stuck = asyncio.create_task(engine.scheduler.step(hungry, numbers(1, 3 * PAGE_TOKENS, HIDDEN)))
        await asyncio.sleep(0)
        clock.now_s += 21
        cache = SessionCache(start=0, end=BLOCKS, batch_size=1, max_length=9)
        with pytest.raises(QueueFull):
            async with engine.scheduler.session(cache, first_tokens=1, can_replay=False):
                pass
        owner = Standing(Rank.OWNER)
        async with engine.scheduler.session(cache, first_tokens=1, can_replay=False, standing=owner):
            pass
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)

    engine.run(run())


def test_a_guest_that_has_waited_for_too_long_is_sent_away(span: Span, new_engine: NewEngine) -> None:
    clock = Clock()
    engine = new_engine(span, num_pages=3, clock=clock)
    holder = engine.open(1, max_length=PAGE_TOKENS)
    engine.step(holder, numbers(1, 1, HIDDEN))
    hungry = engine.open(1, max_length=3 * PAGE_TOKENS)

    async def run() -> None:
        stuck = asyncio.create_task(engine.scheduler.step(hungry, numbers(1, 3 * PAGE_TOKENS, HIDDEN)))
        await asyncio.sleep(0)
        clock.now_s += 46
        with pytest.raises(QueueFull):
            await stuck

    engine.run(run())


def test_a_network_that_waits_refuses_its_own_and_not_others(span: Span, new_engine: NewEngine) -> None:
    """The others' networks had their turns; a newcomer of the crowd's would only wait with it."""
    clock = Clock()
    engine = new_engine(span, num_pages=3, clock=clock)
    holder = engine.open(1, max_length=PAGE_TOKENS, standing=guest("holder", "10.0.0.0/24"))
    hungry = engine.open(1, max_length=3 * PAGE_TOKENS, can_replay=True, standing=guest("hungry", "10.0.0.0/24"))

    async def come(prefix: str) -> None:
        cache = SessionCache(start=0, end=BLOCKS, batch_size=1, max_length=9)
        async with engine.scheduler.session(
            cache, first_tokens=1, can_replay=False, standing=guest("newcomer", prefix)
        ):
            pass

    async def run() -> None:
        stuck = asyncio.create_task(engine.scheduler.step(hungry, numbers(1, 3 * PAGE_TOKENS, HIDDEN)))
        await asyncio.sleep(0)
        clock.now_s += 9
        await engine.scheduler.step(holder, numbers(1, 1, HIDDEN))
        clock.now_s += 12
        with pytest.raises(QueueFull):
            await come("10.0.0.0/24")
        await come("10.0.1.0/24")
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)

    engine.run(run())


def guest(account: str, prefix: str) -> Standing:
    return Standing(Rank.GUEST, account, prefix)


def test_a_network_that_holds_more_than_half_of_the_room_gives_way(span: Span, new_engine: NewEngine) -> None:
    engine = new_engine(span, num_pages=4, clock=Clock())
    crowd = [engine.open(1, can_replay=True, max_length=9, standing=guest(str(n), "10.0.0.0/24")) for n in range(4)]
    for session in crowd:
        engine.step(session, numbers(1, 1, HIDDEN))
    with pytest.raises(KVRoomFull):  # one of its own
        engine.open(1, can_replay=True, max_length=9, standing=guest("4", "10.0.0.0/24"))
    newcomer = engine.open(1, can_replay=True, max_length=9, standing=guest("5", "10.0.1.0/24"))
    engine.step(newcomer, numbers(1, 1, HIDDEN))
    assert [session.is_evicted for session in crowd] == [True, False, False, False]
    second = engine.open(1, can_replay=True, max_length=9, standing=guest("6", "10.0.1.0/24"))
    engine.step(second, numbers(1, 1, HIDDEN))
    assert sum(session.is_evicted for session in crowd) == 2
    with pytest.raises(KVRoomFull):  # by now they hold half each
        engine.open(1, can_replay=True, max_length=9, standing=guest("7", "10.0.1.0/24"))


def test_sessions_that_cannot_begin_again_take_half_of_the_room_for_one_network(
    span: Span, new_engine: NewEngine
) -> None:
    engine = new_engine(span, num_pages=4, clock=Clock())
    engine.open(1, max_length=3 * PAGE_TOKENS, standing=guest("first", "10.0.0.0/24"))  # of any length
    with pytest.raises(KVRoomFull, match="network"):
        engine.open(1, max_length=9, standing=guest("second", "10.0.0.0/24"))
    engine.open(1, max_length=9, standing=guest("third", "10.0.1.0/24"))
