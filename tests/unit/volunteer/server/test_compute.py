import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from volunteer.server.compute import ComputeThread, Priority


def with_compute(test: Callable[[ComputeThread], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), ComputeThread() as compute:
            await test(compute)

    asyncio.run(run())


async def held_up(compute: ComputeThread) -> tuple[asyncio.Task[bool], threading.Event]:
    """Something that runs now and until the event is set, so that what comes next has to wait."""
    is_running, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait() -> bool:
        loop.call_soon_threadsafe(is_running.set)
        return go_on.wait(20)

    task = asyncio.ensure_future(compute.run(Priority.DECODE, wait))
    await is_running.wait()
    return task, go_on


def test_results_and_errors_come_back() -> None:
    async def test(compute: ComputeThread) -> None:
        assert await compute.run(Priority.DECODE, divmod, 7, 2) == (3, 1)
        assert await compute.run(Priority.DECODE, dict, a=1) == {"a": 1}
        with pytest.raises(ZeroDivisionError):
            await compute.run(Priority.DECODE, divmod, 7, 0)
        with pytest.raises(KeyboardInterrupt):
            await compute.run(Priority.DECODE, interrupt)
        assert await compute.run(Priority.DECODE, threading.current_thread) is not threading.current_thread()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with_compute(test)


def test_everything_runs_on_one_thread() -> None:
    async def test(compute: ComputeThread) -> None:
        calls = [compute.run(priority, threading.get_ident) for priority in Priority for _ in range(20)]
        assert len(set(await asyncio.gather(*calls))) == 1

    with_compute(test)


def test_the_loop_goes_on_while_the_thread_works() -> None:
    async def test(compute: ComputeThread) -> None:
        working, go_on = await held_up(compute)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not working.done()
        go_on.set()
        assert await working

    with_compute(test)


def test_the_most_urgent_goes_first_and_equals_in_order() -> None:
    async def test(compute: ComputeThread) -> None:
        working, go_on = await held_up(compute)
        order: list[tuple[Priority, int]] = []
        wanted = [(priority, number) for number in range(5) for priority in reversed(Priority)]
        calls = [asyncio.ensure_future(compute.run(each[0], order.append, each)) for each in wanted]
        await asyncio.sleep(0)
        assert compute.waiting == len(wanted)
        go_on.set()
        await asyncio.gather(working, *calls)
        assert order == sorted(wanted)

    with_compute(test)


def test_a_call_that_is_cancelled_before_its_turn_never_runs() -> None:
    async def test(compute: ComputeThread) -> None:
        working, go_on = await held_up(compute)
        ran: list[int] = []
        calls = [asyncio.ensure_future(compute.run(Priority.DECODE, ran.append, number)) for number in range(4)]
        await asyncio.sleep(0)
        calls[1].cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(working, *calls, return_exceptions=True)
        assert ran == [0, 2, 3] and calls[1].cancelled()

    with_compute(test)


def test_a_call_that_is_cancelled_while_it_runs_disturbs_nobody() -> None:
    async def test(compute: ComputeThread) -> None:
        working, go_on = await held_up(compute)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        after = asyncio.ensure_future(compute.run(Priority.DECODE, int, "5"))
        go_on.set()
        assert await after == 5

    with_compute(test)


def test_leaving_lets_the_running_call_end_and_drops_the_rest() -> None:
    async def run() -> None:
        ran: list[int] = []
        async with asyncio.timeout(20):
            async with ComputeThread() as compute:
                working, go_on = await held_up(compute)
                waiting = [asyncio.ensure_future(compute.run(Priority.DECODE, ran.append, each)) for each in range(3)]
                await asyncio.sleep(0)
                go_on.set()
            assert await working
        assert not compute._thread.is_alive()
        for each in waiting:
            each.cancel()

    asyncio.run(run())


def test_a_loop_that_was_closed_ends_the_thread_quietly() -> None:
    compute = ComputeThread()
    ends: list[threading.Event] = []

    async def run() -> None:
        await compute.__aenter__()
        working, go_on = await held_up(compute)
        ends.append(go_on)
        working.cancel()

    asyncio.run(run())
    ends[0].set()
    compute._thread.join(20)
    assert not compute._thread.is_alive()
