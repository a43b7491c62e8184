import asyncio
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from volunteer.server.kv_cache import KVRoom, KVRoomFull, SessionCache

# The room


def test_room_is_held_and_given_back_whatever_happens() -> None:
    async def run() -> None:
        room = KVRoom(100)
        async with room.reserve(70):
            assert room.free_tokens == 30
            async with room.reserve(30):
                assert room.free_tokens == 0
            with pytest.raises(ZeroDivisionError):
                async with room.reserve(10):
                    raise ZeroDivisionError
            assert room.free_tokens == 30
        assert room.free_tokens == room.capacity_tokens == 100

    asyncio.run(run())


def test_room_for_nothing_is_always_there() -> None:
    async def run() -> None:
        room = KVRoom(5)
        async with room.reserve(5), room.reserve(0):
            assert room.free_tokens == 0

    asyncio.run(run())


def test_what_is_not_free_is_refused_at_once_without_a_timeout() -> None:
    async def run() -> None:
        room = KVRoom(100)
        async with room.reserve(70):
            with pytest.raises(KVRoomFull, match="31 tokens of KV room asked for, 30 are free"):
                async with room.reserve(31):
                    pass
        assert room.free_tokens == 100

    asyncio.run(run())


@pytest.mark.parametrize("timeout_s", [0.0, 600.0, math.inf])
def test_what_will_never_fit_is_refused_at_once(timeout_s: float) -> None:
    async def run() -> None:
        with pytest.raises(KVRoomFull, match="101 tokens of KV room asked for, this server has 100"):
            async with asyncio.timeout(5), KVRoom(100).reserve(101, timeout_s=timeout_s):
                pass

    asyncio.run(run())


def test_waiting_ends_when_others_leave_and_not_before_there_is_enough() -> None:
    async def run() -> None:
        room = KVRoom(100)
        order: list[str] = []
        leave = {name: asyncio.Event() for name in "ab"}

        async def hold(name: str, num_tokens: int) -> None:
            async with room.reserve(num_tokens, timeout_s=20):
                order.append(name)
                if name in leave:
                    await leave[name].wait()

        first, second = asyncio.create_task(hold("a", 50)), asyncio.create_task(hold("b", 50))
        waiting = asyncio.create_task(hold("c", 100))
        while len(order) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        leave["a"].set()
        await first
        assert not waiting.done() and room.free_tokens == 50
        leave["b"].set()
        await asyncio.gather(second, waiting)
        assert order == ["a", "b", "c"] and room.free_tokens == 100

    asyncio.run(run())


def test_waiting_ends_with_the_timeout() -> None:
    async def run() -> None:
        room = KVRoom(100)
        async with room.reserve(100):
            with pytest.raises(KVRoomFull, match="1 tokens of KV room asked for, 0 are free"):
                async with room.reserve(1, timeout_s=0.01):
                    pass
        assert room.free_tokens == 100

    asyncio.run(run())


def test_a_waiter_that_is_cancelled_takes_nothing() -> None:
    async def run() -> None:
        room = KVRoom(10)

        async def wait() -> None:
            async with room.reserve(5, timeout_s=20):
                raise AssertionError("there was no room")

        async with room.reserve(10):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert room.free_tokens == 10
        async with room.reserve(10):
            pass

    asyncio.run(run())


# One session's cache


def tokens(batch_size: int, length: int, *, seed: int) -> torch.Tensor:
    """[batch, kv_heads, tokens, head_dim]"""
    return torch.randn(batch_size, 2, length, 3, generator=torch.Generator().manual_seed(seed))


def store(cache: SessionCache, new: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """One step through all blocks; keys are `new` plus the block's index, values are its negative."""
    cache.begin(new.shape[2])
    found = [cache.update(new + index, -new - index, index) for index in range(cache.start, cache.end)]
    cache.commit()
    return found


def test_every_step_sees_all_tokens_before_it() -> None:
    cache = SessionCache(start=3, end=5, max_length=200)
    everything = torch.empty(2, 2, 0, 3)
    for seed, length in enumerate([1, 62, 1, 1, 100, 0, 35]):  # over the borders at 64 and 128
        new = tokens(2, length, seed=seed)
        everything = torch.cat([everything, new], dim=2)
        for index, (keys, values) in enumerate(store(cache, new), start=3):
            assert torch.equal(keys, everything + index) and torch.equal(values, -everything - index)
    assert cache.length == 200


def test_buffers_grow_with_the_text_and_not_with_what_was_asked_for() -> None:
    cache = SessionCache(start=0, end=1, max_length=1_000_000_000)
    store(cache, tokens(1, 65, seed=0))
    (keys,) = cache._keys
    assert keys is not None and keys.shape[2] == 128
    short = SessionCache(start=0, end=1, max_length=10)
    store(short, tokens(1, 3, seed=0))
    (keys,) = short._keys
    assert keys is not None and keys.shape[2] == 10


def test_a_session_does_not_outgrow_what_it_asked_for() -> None:
    cache = SessionCache(start=0, end=1, max_length=10)
    store(cache, tokens(1, 8, seed=0))
    with pytest.raises(ValueError, match="Maximum length exceeded: 8 tokens in the cache and 3 new ones"):
        cache.begin(3)
    assert cache.length == 8
    store(cache, tokens(1, 2, seed=1))
    empty = SessionCache(start=0, end=1, max_length=0)
    empty.begin(0)
    with pytest.raises(ValueError, match="Maximum length exceeded"):
        empty.begin(1)


def test_an_uncommitted_step_is_overwritten() -> None:
    cache = SessionCache(start=0, end=1, max_length=10)
    first, lost, then = (tokens(1, 3, seed=seed) for seed in range(3))
    store(cache, first)
    cache.begin(3)
    cache.update(lost, lost, 0)
    ((keys, _),) = store(cache, then)
    assert torch.equal(keys, torch.cat([first, then], dim=2))


def test_rollback_forgets_and_only_goes_back() -> None:
    cache = SessionCache(start=0, end=1, max_length=100)
    first, then = tokens(1, 7, seed=0), tokens(1, 2, seed=1)
    store(cache, first)
    for bad in (-1, 8, 2**62):
        with pytest.raises(ValueError, match=f"cannot go back to position {bad}: the session holds 7 tokens"):
            cache.truncate(bad)
    cache.truncate(7)
    cache.truncate(4)
    ((keys, _),) = store(cache, then)
    assert torch.equal(keys, torch.cat([first[:, :, :4], then], dim=2))


def test_rows_are_reordered_with_their_padding() -> None:
    cache = SessionCache(start=0, end=2, max_length=100, left_padding=(0, 1, 2))
    first, then = tokens(3, 5, seed=0), tokens(3, 1, seed=1)
    store(cache, first)
    cache.reorder(torch.tensor([2, 0, 0]))
    assert cache.left_padding == (2, 0, 0)
    for index, (keys, _) in enumerate(store(cache, then)):
        assert torch.equal(keys, torch.cat([first[[2, 0, 0]], then], dim=2) + index)
    SessionCache(start=0, end=1, max_length=5).reorder(torch.tensor([0, 0]))  # nothing is stored yet


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.integers(0, 40)),
        st.tuples(st.just("truncate"), st.floats(0, 1)),
        st.tuples(st.just("reorder"), st.permutations([0, 1, 1])),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(STEPS)
def test_any_order_of_steps_rollbacks_and_beams_keeps_what_a_list_would(steps: list[tuple[str, object]]) -> None:
    cache = SessionCache(start=0, end=1, max_length=150)
    expected = torch.empty(3, 2, 0, 3)
    for seed, (what, value) in enumerate(steps):
        if what == "truncate":
            length = int(value * expected.shape[2])
            cache.truncate(length)
            expected = expected[:, :, :length]
        elif what == "reorder":
            cache.reorder(torch.tensor(value))
            expected = expected[value]
        elif expected.shape[2] + value <= 150:
            new = tokens(3, value, seed=seed)
            expected = torch.cat([expected, new], dim=2)
            ((keys, values),) = store(cache, new)
            assert torch.equal(keys, expected) and torch.equal(values, -expected)
    assert cache.length == expected.shape[2]
