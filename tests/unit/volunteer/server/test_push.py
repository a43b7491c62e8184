import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import torch

from volunteer.server import push
from volunteer.server.push import MAX_PUSH_BYTES, MAX_PUSHES, Pusher, PushStreams
from volunteer.swarm.rpc import (
    BadMessage,
    ExpertRequest,
    MessageStream,
    Method,
    PeerLost,
    Refused,
    pack_metadata,
    pack_tensor,
)


def step(number: int, num_values: int = 4) -> Any:
    return ExpertRequest(tensors=[pack_tensor(torch.zeros(num_values))], metadata=pack_metadata({"step": number}))


async def stream_pair() -> tuple[MessageStream, MessageStream]:
    ends = []
    for end in socket.socketpair():
        ends.append(MessageStream(*await asyncio.open_connection(sock=end), max_message_bytes=2**24))
    return ends[0], ends[1]


class Peers:
    """The servers after this one: those named in `with_streams` take streams, all take calls."""

    def __init__(self, *with_streams: str):
        self.with_streams = with_streams
        self.opened: list[str] = []
        self.received: list[tuple[str, Any]] = []
        self.called: list[tuple[str, Any]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.ends: list[MessageStream] = []
        self.came = asyncio.Event()
        self.pusher = Pusher(self._call, self._open)
        self._tasks: list[asyncio.Task[None]] = []

    async def _call(self, peer_id: str, request: Any) -> None:
        self.called.append((peer_id, request))
        self.came.set()
        await self.answers.wait()

    async def _open(self, peer_id: str, method: Method) -> MessageStream:
        assert method is Method.PUSH_STREAM
        self.opened.append(peer_id)
        if peer_id not in self.with_streams:
            raise PeerLost("protocols not supported")
        ours, theirs = await stream_pair()
        self.ends.append(theirs)

        async def receive() -> None:
            with contextlib.suppress(PeerLost):
                while True:
                    self.received.append((peer_id, await theirs.receive(ExpertRequest)))
                    self.came.set()

        self._tasks.append(asyncio.create_task(receive()))
        return ours

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self.came.clear()
            await self.came.wait()

    async def close(self) -> None:
        tasks = [*self._tasks, *self.pusher._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for end in self.ends:
            end.close()


def with_peers(test: Callable[[Peers], Awaitable[None]], *with_streams: str) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            peers = Peers(*with_streams)
            try:
                await test(peers)
            finally:
                await peers.close()

    asyncio.run(run())


def test_steps_for_one_server_go_over_one_stream_in_order() -> None:
    async def test(peers: Peers) -> None:
        steps = [step(number) for number in range(40)]
        for number, each in enumerate(steps):
            peers.pusher.push("a" if number % 2 else "b", each)
        await peers.until(lambda: len(peers.received) == 40)
        assert sorted(peers.opened) == ["a", "b"]
        assert [request for peer_id, request in peers.received if peer_id == "a"] == steps[1::2]
        assert not peers.called

    with_peers(test, "a", "b")


def test_a_server_that_takes_no_streams_gets_calls_and_is_not_asked_again() -> None:
    async def test(peers: Peers) -> None:
        for number in range(3):
            peers.pusher.push("a", step(number))
        await peers.until(lambda: len(peers.called) == 3)
        peers.pusher.push("a", step(3))
        await peers.until(lambda: len(peers.called) == 4)
        assert peers.opened == ["a"]

    with_peers(test)


def test_a_stream_that_broke_is_opened_anew() -> None:
    async def test(peers: Peers) -> None:
        peers.pusher.push("a", step(0))
        await peers.until(lambda: len(peers.received) == 1)
        peers.ends[0].close()
        number = 0
        while len(peers.opened) == 1:  # what is sent before the break shows is lost
            number += 1
            peers.pusher.push("a", step(number))
            await asyncio.sleep(0.01)
        await peers.until(lambda: len(peers.received) >= 2)
        assert peers.opened == ["a", "a"]

    with_peers(test, "a")


def test_an_idle_stream_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "_IDLE_S", 0.05)

    async def test(peers: Peers) -> None:
        peers.pusher.push("a", step(0))
        await peers.until(lambda: len(peers.received) == 1)
        await asyncio.gather(*peers.pusher._tasks)
        peers.pusher.push("a", step(1))
        await peers.until(lambda: len(peers.received) == 2)
        assert peers.opened == ["a", "a"]

    with_peers(test, "a")


def test_what_is_too_much_or_too_long_is_dropped_and_nothing_waits_for_it() -> None:
    async def test(peers: Peers) -> None:
        peers.answers.clear()
        peers.pusher.push("a", step(0, num_values=MAX_PUSH_BYTES // 4))
        for number in range(MAX_PUSHES + 10):
            peers.pusher.push("a", step(number))
        await peers.until(lambda: len(peers.called) == MAX_PUSHES)
        peers.answers.set()
        await asyncio.gather(*peers.pusher._tasks)
        peers.pusher.push("a", step(1))
        await peers.until(lambda: len(peers.called) == MAX_PUSHES + 1)

    with_peers(test)


async def received(streams: PushStreams, *requests: Any) -> None:
    ours, theirs = await stream_pair()

    async def send() -> None:
        for request in requests:
            await ours.send(request)
        await ours.send_end()

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(20):
            await streams.receive(theirs, "somebody")
            await sending
    finally:
        sending.cancel()
        ours.close()
        theirs.close()


def test_pushed_steps_are_taken_in_order_and_long_ones_left_out() -> None:
    taken: list[Any] = []
    steps = [step(0), step(1, num_values=MAX_PUSH_BYTES // 4), step(2)]
    asyncio.run(received(PushStreams(taken.append), *steps))
    assert taken == [steps[0], steps[2]]


def test_a_bad_step_ends_its_stream_alone() -> None:
    def take(request: Any) -> None:
        raise BadMessage("no session id at all")

    streams = PushStreams(take)
    for _ in range(5):  # and gives its place back
        with pytest.raises(BadMessage):
            asyncio.run(received(streams, step(0)))


def test_one_peer_has_few_streams_of_pushes() -> None:
    async def run() -> None:
        streams = PushStreams(lambda request: None)
        pairs = [await stream_pair() for _ in range(3)]
        open_ones = [asyncio.create_task(streams.receive(theirs, "somebody")) for _, theirs in pairs[:2]]
        await asyncio.sleep(0)
        with pytest.raises(Refused):
            await streams.receive(pairs[2][1], "somebody")
        await pairs[0][0].send_end()
        await open_ones[0]
        await pairs[2][0].send_end()
        await streams.receive(pairs[2][1], "somebody")
        open_ones[1].cancel()
        await asyncio.wait(open_ones)
        for ours, theirs in pairs:
            ours.close()
            theirs.close()

    asyncio.run(run())
