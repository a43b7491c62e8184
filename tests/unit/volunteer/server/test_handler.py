import asyncio
import contextlib
import logging
import math
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import torch

from volunteer.server import handler
from volunteer.server.admission import Admission, TooBusy
from volunteer.server.compute import ComputeThread, Priority
from volunteer.server.fair_queue import Rank, Standing
from volunteer.server.handler import BlockService
from volunteer.server.kv_cache import PAGE_TOKENS, SessionCache
from volunteer.server.scheduler import Scheduler
from volunteer.server.span import Span
from volunteer.server.standing import Credit
from volunteer.swarm.rpc import (
    BadMessage,
    ExpertRequest,
    ExpertResponse,
    ExpertUID,
    Inbox,
    MessageStream,
    PeerLost,
    RemoteError,
    pack_metadata,
    pack_tensor,
    unpack_info,
    unpack_tensor,
)

HIDDEN, BLOCKS = 64, 3
UID = " ".join(f"model.{index}" for index in range(BLOCKS))
NO_PROMPTS, NO_HYPO_IDS = torch.empty(0), torch.empty(0, dtype=torch.int64)
TOLERANCE = {"atol": 2e-4, "rtol": 1e-4}  # float32, added up in another order


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def request(*tensors: torch.Tensor, **metadata: Any) -> Any:
    return ExpertRequest(uid=UID, tensors=[pack_tensor(tensor) for tensor in tensors], metadata=pack_metadata(metadata))


def step(hidden_states: torch.Tensor, prompts: torch.Tensor = NO_PROMPTS, **metadata: Any) -> Any:
    return request(hidden_states, prompts, NO_HYPO_IDS, **({"max_length": 32} | metadata))


class Server:
    """A service without a network: streams are pairs of sockets."""

    def __init__(self, span: Span, compute: ComputeThread, scheduler: Scheduler, pass_time: Callable[[float], None]):
        self.pass_time = pass_time
        self.compute = compute
        self.scheduler = scheduler
        self.pushed: list[tuple[str, Any]] = []
        self.push_is_slow = asyncio.Event()
        self.push_is_slow.set()
        self.service = BlockService(span, "model", scheduler, compute, self._push, max_length=64)

    async def _push(self, peer_id: str, request: Any) -> None:
        self.pushed.append((peer_id, request))
        await self.push_is_slow.wait()

    @contextlib.asynccontextmanager
    async def call(self, method: Callable[..., Awaitable[None]], caller: str = "peer") -> AsyncIterator[MessageStream]:
        """The caller's end of a stream; leaving it hangs up, and raises what the server's end raised."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=theirs)
        server_end = MessageStream(reader, writer, max_message_bytes=10**7, inbox=Inbox(10**8), peer_id=caller)

        async def serve() -> None:
            try:
                await method(server_end, caller)
            except PeerLost:
                pass
            except Exception as error:
                with contextlib.suppress(PeerLost):
                    await server_end.send_error(str(error))
                raise
            finally:
                await server_end.close_within(1.0)

        serving = asyncio.create_task(serve())
        stream = MessageStream(*await asyncio.open_connection(sock=ours), max_message_bytes=10**7)
        try:
            yield stream
        finally:
            stream.close()
            await serving

    async def answers(self, *requests: Any) -> list[torch.Tensor]:
        """One session's answers."""
        async with self.call(self.service.rpc_inference) as stream:
            found = []
            for each in requests:
                await stream.send(each)
                answer: Any = await stream.receive(ExpertResponse)
                found.append(unpack_tensor(answer.tensors[0]))
            return found


def with_server(span: Span, test: Callable[[Server], Awaitable[None]], num_pages: int = 300) -> None:
    passed_s: list[float] = []

    async def run() -> None:
        pool = span.new_pool(num_pages)
        async with (
            asyncio.timeout(30),
            ComputeThread() as compute,
            Scheduler(span, pool, compute, clock=lambda: time.monotonic() + sum(passed_s)) as scheduler,
        ):
            await test(Server(span, compute, scheduler, passed_s.append))

    asyncio.run(run())


def test_prompts_longer_than_a_piece_of_a_step_are_added_where_they_belong(span: Span) -> None:
    hidden_states, prompts = numbers(100, 12, HIDDEN), numbers(BLOCKS, 1, 8, HIDDEN, seed=1)  # pieces of 5 tokens

    async def test(server: Server) -> None:
        (found,) = await server.answers(step(hidden_states, prompts, max_length=12))
        expected = span.forward(hidden_states, 0, BLOCKS, prompts=prompts)
        torch.testing.assert_close(found, expected, **TOLERANCE)
        assert server.scheduler.ticks >= 3

    with_server(span, test)


@pytest.mark.parametrize("rows", [None, 1, 2])
def test_calls_run_block_by_block_and_give_what_the_span_gives(span: Span, rows: int | None) -> None:
    hidden_states, gradient = numbers(2, 6, HIDDEN), numbers(2, 6, HIDDEN, seed=1)
    prompts = None if rows is None else numbers(BLOCKS, rows, 4, HIDDEN, seed=2)
    sent = NO_PROMPTS if prompts is None else prompts

    async def test(server: Server) -> None:
        answer = await server.service.rpc_forward(request(hidden_states, sent), "peer")
        expected = span.forward(hidden_states, 0, BLOCKS, prompts=prompts)
        torch.testing.assert_close(unpack_tensor(answer.tensors[0]), expected, **TOLERANCE)
        answer = await server.service.rpc_backward(request(hidden_states, gradient, sent), "peer")
        wanted = span.backward(hidden_states, gradient, 0, BLOCKS, prompts=prompts)
        found = [unpack_tensor(tensor) for tensor in answer.tensors]
        assert len(found) == len(wanted)
        for each, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(each, other, atol=1e-3, rtol=1e-3)  # of numbers around 10

    with_server(span, test)


def test_a_long_call_gives_way_between_blocks(span: Span) -> None:
    """A person who waits for a token does not wait for somebody's whole batch."""

    async def test(server: Server) -> None:
        order: list[str] = []
        is_begun = asyncio.Event()
        loop = asyncio.get_running_loop()
        slow_forward = Span.forward

        def forward(self: Span, *args: Any, **kwargs: Any) -> torch.Tensor:
            order.append("block")
            loop.call_soon_threadsafe(is_begun.set)
            # Until the other call waits: torch would be too quick with blocks of this size.
            while server.compute.waiting == 0 and order == ["block"]:
                pass
            return slow_forward(self, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Span, "forward", forward)
            call = asyncio.ensure_future(server.service.rpc_forward(request(numbers(1, 3, HIDDEN), NO_PROMPTS), "peer"))
            await is_begun.wait()
            await server.compute.run(Priority.DECODE, order.append, "token")
            await call
        assert order == ["block", "token", "block", "block"]

    with_server(span, test)


def test_calls_that_are_still_being_sent_keep_nobody_from_calling(span: Span) -> None:
    async def test(server: Server) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for number in range(100):
                caller = f"peer {number}"
                stream = await stack.enter_async_context(server.call(server.service.rpc_forward_stream, caller))
                await stream.send(request(numbers(1, 3, HIDDEN), NO_PROMPTS))
            assert await server.service.rpc_forward(request(numbers(1, 3, HIDDEN), NO_PROMPTS), "other")
            assert server.service.open_sessions == 100
        assert server.service.open_sessions == 0

    with_server(span, test)


def test_one_peer_has_no_more_than_half_of_the_calls(span: Span) -> None:
    is_busy = threading.Event()

    async def test(server: Server) -> None:
        blocked = asyncio.create_task(server.compute.run(Priority.DECODE, is_busy.wait, 20))
        try:
            sent = request(numbers(1, 3, HIDDEN), NO_PROMPTS)
            calls = [asyncio.create_task(server.service.rpc_forward(sent, "heavy")) for _ in range(100)]
            await asyncio.sleep(0.05)
            refused = [call for call in calls if call.done()]
            assert len(refused) == 68 and all(isinstance(call.exception(), TooBusy) for call in refused)
            other = asyncio.create_task(server.service.rpc_forward(sent, "other"))
            await asyncio.sleep(0.05)
            assert not other.done()
        finally:
            is_busy.set()
        await asyncio.gather(blocked, other, *(call for call in calls if call not in refused))
        assert not server.service._open_calls

    with_server(span, test)


def test_one_peer_has_no_more_streams_than_its_share(span: Span) -> None:
    async def test(server: Server) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(128):
                await stack.enter_async_context(server.call(server.service.rpc_inference))
            with pytest.raises(TooBusy):
                async with server.call(server.service.rpc_inference):
                    await asyncio.sleep(0)
            async with server.call(server.service.rpc_inference, "other") as stream:
                await stream.send(step(numbers(1, 3, HIDDEN)))
                assert await stream.receive(ExpertResponse)

    with_server(span, test)


class OneNetwork(Admission):
    async def network_of(self, caller: str) -> str:
        return "" if caller == "other" else "10.0.0.0/24"


def test_one_network_leaves_calls_to_others(span: Span) -> None:
    is_busy = threading.Event()

    async def test(server: Server) -> None:
        server.service._admission = OneNetwork()
        blocked = asyncio.create_task(server.compute.run(Priority.DECODE, is_busy.wait, 20))
        try:
            sent = request(numbers(1, 3, HIDDEN), NO_PROMPTS)
            callers = [f"peer {number}" for number in range(100)]
            calls = [asyncio.create_task(server.service.rpc_forward(sent, caller)) for caller in callers]
            await asyncio.sleep(0.05)
            refused = [call for call in calls if call.done()]
            assert len(refused) == 52 and all(isinstance(call.exception(), TooBusy) for call in refused)
            other = asyncio.create_task(server.service.rpc_forward(sent, "other"))
            await asyncio.sleep(0.05)
            assert not other.done()
        finally:
            is_busy.set()
        await asyncio.gather(blocked, other, *(call for call in calls if call not in refused))
        assert not server.service._open_calls and not server.service._calls_of_network

    with_server(span, test)


@pytest.mark.parametrize("method", ["rpc_inference", "rpc_forward_stream"])
def test_streams_that_say_nothing_keep_nobody_out(span: Span, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(handler, "_MAX_STREAMS", 4)

    async def test(server: Server) -> None:
        async with contextlib.AsyncExitStack() as stack:
            talking = await stack.enter_async_context(server.call(server.service.rpc_inference, "talking"))
            await talking.send(step(numbers(1, 3, HIDDEN)))
            assert await talking.receive(ExpertResponse)
            silent = [server.call(getattr(server.service, method), f"silent {number}") for number in range(3)]
            for stream in silent:
                await stream.__aenter__()
            for _ in range(3):
                async with server.call(server.service.rpc_inference, "other") as other:
                    await other.send(step(numbers(1, 3, HIDDEN)))
                    assert await other.receive(ExpertResponse)
                    assert server.service.open_sessions == 4
            await talking.send(step(numbers(1, 1, HIDDEN)))
            assert await talking.receive(ExpertResponse)
            for stream in silent:
                with contextlib.suppress(TimeoutError):
                    await stream.__aexit__(None, None, None)
        assert server.service.open_sessions == 0 and not server.service._silent

    with_server(span, test)


def test_the_owner_is_let_in_however_many_others_are(span: Span, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "_MAX_STREAMS", 1)

    async def test(server: Server) -> None:
        server.service.served.note_owner("me")
        async with server.call(server.service.rpc_inference, "talking") as talking:
            await talking.send(step(numbers(1, 3, HIDDEN)))
            assert await talking.receive(ExpertResponse)
            with pytest.raises(TooBusy, match="too many open calls"):
                async with server.call(server.service.rpc_inference, "other"):
                    await asyncio.sleep(0)
            async with server.call(server.service.rpc_inference, "me") as own:
                await own.send(step(numbers(1, 3, HIDDEN)))
                assert await own.receive(ExpertResponse)

    with_server(span, test)


def test_a_session_that_finds_no_room_is_refused_and_not_a_bug(span: Span) -> None:
    async def test(server: Server) -> None:
        with pytest.raises(TooBusy, match="1 x 64 tokens of KV room asked for, this server has 32"):
            await server.answers(step(numbers(1, 3, HIDDEN), max_length=64))
        await server.answers(step(numbers(1, 3, HIDDEN), max_length=16))
        assert server.scheduler.free_tokens == PAGE_TOKENS

    with_server(span, test, num_pages=1)


def test_room_is_promised_in_full_and_taken_as_it_is_filled(span: Span) -> None:
    """Petals' clients ask for all that they may ever need, and see it taken off what is available."""

    async def test(server: Server) -> None:
        async def available() -> int:
            info = await server.service.rpc_info(ExpertUID(uid=""), "peer")
            return unpack_info(info.serialized_info)["cache_tokens_available"]

        before = await available()
        async with server.call(server.service.rpc_inference) as stream:
            await stream.send(step(numbers(2, 3, HIDDEN), max_length=64))
            assert await stream.receive(ExpertResponse)
            assert before - await available() == 2 * 64 * BLOCKS
            assert server.service.free_kv_tokens == before - 2 * PAGE_TOKENS * BLOCKS
        assert await available() == before == server.service.free_kv_tokens

    with_server(span, test)


def test_a_session_that_was_evicted_is_told_so(span: Span) -> None:
    async def test(server: Server) -> None:
        async with server.call(server.service.rpc_inference) as silent:
            await silent.send(step(numbers(1, 3, HIDDEN), can_replay=True))
            assert await silent.receive(ExpertResponse)
            server.pass_time(5.0)
            await server.answers(step(numbers(1, 3, HIDDEN)))
            await silent.send(step(numbers(1, 1, HIDDEN)))
            with pytest.raises(RemoteError, match="Session evicted"):
                await silent.receive(ExpertResponse)

    with pytest.raises(TooBusy, match="Session evicted"):
        with_server(span, test, num_pages=1)


class AllContribute(Admission):
    async def _credit(self, caller: str, metadata: dict[str, Any]) -> tuple[None, Credit]:
        return None, Credit(Standing(Rank.CONTRIBUTOR, caller))


def test_guests_do_not_lose_their_room_to_a_step_that_is_refused(span: Span) -> None:
    bad = torch.full((1, 3, HIDDEN), math.nan)

    async def test(server: Server) -> None:
        async with server.call(server.service.rpc_inference) as guest:
            await guest.send(step(numbers(1, 3, HIDDEN), can_replay=True))
            assert await guest.receive(ExpertResponse)
            server.service._admission = AllContribute()
            with pytest.raises(BadMessage, match="not finite"):
                await server.answers(step(bad))
            await guest.send(step(numbers(1, 1, HIDDEN)))
            assert await guest.receive(ExpertResponse)
            await server.answers(step(numbers(1, 3, HIDDEN)))
            await guest.send(step(numbers(1, 1, HIDDEN)))
            with pytest.raises(RemoteError, match="Session evicted"):
                await guest.receive(ExpertResponse)

    with pytest.raises(TooBusy, match="Session evicted"):
        with_server(span, test, num_pages=1)


@pytest.mark.parametrize("mistake", [{"output_compression": (999,)}, {"next_servers": ((1, 2, 3, 4),)}])
def test_nothing_is_computed_for_a_step_whose_answer_cannot_be_sent(span: Span, mistake: dict[str, Any]) -> None:
    async def test(server: Server) -> None:
        with pytest.raises(BadMessage):
            await server.answers(step(numbers(1, 3, HIDDEN), **mistake))
        assert server.scheduler.ticks == 0

    with_server(span, test)


def test_two_sessions_that_wait_for_room_under_one_id_do_not_replace_one_another(span: Span) -> None:
    async def test(server: Server) -> None:
        opening = step(numbers(1, 3, HIDDEN), session_id="one", alloc_timeout=20.0)
        cache = SessionCache(start=0, end=BLOCKS, batch_size=2, max_length=PAGE_TOKENS)
        async with contextlib.AsyncExitStack() as stack:
            async with server.scheduler.session(cache, first_tokens=1, can_replay=False) as holder:
                await server.scheduler.step(holder, numbers(2, 1, HIDDEN))
                streams = [await stack.enter_async_context(server.call(server.service.rpc_inference)) for _ in "ab"]
                for stream in streams:
                    await stream.send(opening)
                while len(server.scheduler._room_waiters._waiters) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            with pytest.raises(BadMessage, match="session id one is not unique"):
                await stack.aclose()
        assert not server.service._sessions and server.scheduler.free_tokens == server.scheduler.capacity_tokens

    with_server(span, test, num_pages=2)


@pytest.mark.parametrize("shape", [(1, 2049), (2, 1449), (4, 1025)])
def test_rows_whose_attention_would_not_fit_in_memory_are_refused(span: Span, shape: tuple[int, int]) -> None:
    async def test(server: Server) -> None:
        hidden_states = torch.zeros(*shape, HIDDEN, dtype=torch.float16)
        with pytest.raises(BadMessage, match="too long for a single call"):
            await server.service.rpc_forward(request(hidden_states, NO_PROMPTS), "peer")
        with pytest.raises(BadMessage, match="too long for a single call"):
            await server.service.rpc_backward(request(hidden_states, hidden_states, NO_PROMPTS), "peer")

    with_server(span, test)


def test_numbers_that_are_finite_only_for_the_sender_are_refused(span: Span) -> None:
    async def test(server: Server) -> None:
        huge = torch.full((1, 3, HIDDEN), 1e300, dtype=torch.float64)
        with pytest.raises(BadMessage, match="not finite"):
            await server.service.rpc_forward(request(huge, NO_PROMPTS), "peer")
        with pytest.raises(BadMessage, match="not finite"):
            await server.answers(step(numbers(1, 3, HIDDEN), torch.full((BLOCKS, 1, 1, HIDDEN), math.inf)))

    with_server(span, test)


def test_a_step_that_was_pushed_is_answered_once(span: Span) -> None:
    hidden_states, then = numbers(1, 3, HIDDEN), numbers(1, 2, HIDDEN, seed=1)

    async def test(server: Server) -> None:
        (_, expected, last) = await server.answers(step(hidden_states), step(then), step(then))
        async with server.call(server.service.rpc_inference) as stream:
            await stream.send(step(hidden_states, session_id="mine", step_id="1"))
            assert await stream.receive(ExpertResponse)
            second = step(then, session_id="mine", step_id="2")
            await server.service.rpc_push(second, "the server before")
            await stream.send(second)
            answer: Any = await stream.receive(ExpertResponse)
            torch.testing.assert_close(unpack_tensor(answer.tensors[0]), expected, **TOLERANCE)
            await stream.send(step(then, session_id="mine", step_id="3"))
            answer = await stream.receive(ExpertResponse)
            torch.testing.assert_close(unpack_tensor(answer.tensors[0]), last, **TOLERANCE)

    with_server(span, test)


def test_pushes_that_nobody_waits_for_and_too_many_of_them_are_dropped(span: Span) -> None:
    async def test(server: Server) -> None:
        for session_id in ("nobody's", None, 5, ["x"] * 10, "x" * 10_000):
            await server.service.rpc_push(step(numbers(1, 1, HIDDEN), session_id=session_id), "stranger")
        async with server.call(server.service.rpc_inference) as stream:
            await stream.send(step(numbers(1, 3, HIDDEN), session_id="mine"))
            assert await stream.receive(ExpertResponse)
            for _ in range(100):
                await server.service.rpc_push(step(numbers(1, 1, HIDDEN), session_id="mine", step_id="1"), "peer")
            assert server.service._sessions["mine"].requests.qsize() <= 8

    with_server(span, test)


def test_outputs_are_pushed_to_few_servers_at_a_time(span: Span) -> None:
    async def test(server: Server) -> None:
        server.push_is_slow.clear()
        next_servers = [("somebody", "their session", 0, 2), ("else", "s", 2, 3)]
        steps = [step(numbers(1, 1, HIDDEN), next_servers=next_servers, max_length=64) for _ in range(64)]
        async with server.call(server.service.rpc_inference) as stream:
            for _ in range(2):  # 128 steps
                for each in steps:
                    await stream.send(each)
                    assert await stream.receive(ExpertResponse)
                steps = [step(numbers(1, 1, HIDDEN), next_servers=next_servers, start_from_position=0)] * 64
        await asyncio.sleep(0)
        assert len(server.pushed) == 64
        peer_id, pushed = server.pushed[0]
        assert (peer_id, pushed.uid) == ("somebody", "model.0 model.1")
        server.push_is_slow.set()

    with_server(span, test)


@pytest.mark.parametrize(
    "next_server", [("z" * 101, "s", 0, 1), ("p", "s" * 101, 0, 1), ("p", "s", 0, 4), ("p", "s", 2, 2)]
)
def test_next_servers_that_cannot_be_are_refused(span: Span, next_server: tuple[Any, ...]) -> None:
    async def test(server: Server) -> None:
        with pytest.raises(BadMessage, match="next_servers is not"):
            await server.answers(step(numbers(1, 1, HIDDEN), next_servers=[next_server]))
        assert not server.pushed

    with_server(span, test)


def test_long_step_ids_are_not_remembered(span: Span) -> None:
    async def test(server: Server) -> None:
        async with server.call(server.service.rpc_inference) as stream:
            for number in range(3):
                await stream.send(step(numbers(1, 1, HIDDEN), session_id="mine", step_id=f"{number}" + "x" * 10_000))
                assert await stream.receive(ExpertResponse)
            assert not server.service._sessions["mine"].seen_steps

    with_server(span, test)


def test_requests_are_read_one_at_a_time(span: Span) -> None:
    """Otherwise a peer could pile up as many bytes here as it likes."""

    async def test(server: Server) -> None:
        async with server.call(server.service.rpc_inference) as stream:
            go_on = asyncio.Event()
            loop = asyncio.get_running_loop()
            busy = asyncio.ensure_future(
                server.compute.run(
                    Priority.DECODE, lambda: asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
                )
            )
            for number in range(20):
                await stream.send(step(numbers(1, 1, HIDDEN), session_id="mine", start_from_position=number))
            while "mine" not in server.service._sessions:  # noqa: ASYNC110
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
            assert server.service._sessions["mine"].requests.qsize() == 0  # the one that was read is being answered
            go_on.set()
            for _ in range(20):
                assert await stream.receive(ExpertResponse)
            await busy

    with_server(span, test)


def test_nothing_here_is_logged_as_a_bug(span: Span, caplog: pytest.LogCaptureFixture) -> None:
    async def test(server: Server) -> None:
        with pytest.raises(BadMessage):
            await server.answers(step(numbers(1, 1, HIDDEN), max_length=-1))

    with_server(span, test)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
