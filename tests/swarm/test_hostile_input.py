"""Thousands of hostile calls from a stranger, while somebody else's session goes on as if nothing were the matter."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import gc
import logging
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import psutil
import pytest
import torch
from hivemind.p2p import PeerID

import volunteer.serving
from volunteer.client.model import SwarmCache, SwarmForCausalLM
from volunteer.server.handler import BlockService
from volunteer.swarm.compression import Compression
from volunteer.swarm.node import NodeOptions, SwarmNode
from volunteer.swarm.rpc import (
    BadMessage,
    ExpertInfo,
    ExpertRequest,
    ExpertResponse,
    ExpertUID,
    MessageStream,
    Method,
    PeerLost,
    RemoteError,
    StreamEnded,
    Tensor,
    pack_metadata,
    pack_tensor,
    peer_errors,
    unpack_metadata,
    unpack_tensor,
)

HIDDEN, BLOCKS = 64, 6
CALLS = 2600
WARM_UP_CALLS = 400
AT_ONCE = 12
HALF_OPEN = 40
STREAMS_PER_PEER = 128
FLOOD = 200
SESSION_TOKENS = 96
ANSWER_WITHIN_S = 20.0  # on a busy machine; nearly all come within milliseconds
MAX_GROWTH_BYTES = 40 * 1024**2
MAX_PEAK_BYTES = 200 * 1024**2
GIB = 1024**3

Outcome = str  # "answered", "refused" (with the server's words) or "closed"
Attack = Callable[["Stranger", random.Random], Awaitable[Outcome]]


@dataclass
class Seen:
    """Parts of the server that the test looks into."""

    services: list[BlockService] = field(default_factory=list)
    nodes: list[SwarmNode] = field(default_factory=list)


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    seen = Seen()

    class SeenService(BlockService):
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            seen.services.append(self)

    class SeenNode(SwarmNode):
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            seen.nodes.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(volunteer.serving, "BlockService", SeenService)
        patch.setattr(volunteer.serving, "SwarmNode", SeenNode)
        yield seen


@pytest.fixture(scope="module")
def swarm(seen: Seen, random_bloom: Path, start_swarm: Callable[..., Any]) -> Iterator[Any]:
    # KV room takes memory as it is first written to, whoever writes: a small one, or it would pass for a leak.
    swarm = start_swarm(random_bloom, f"0:{BLOCKS}", kv_tokens=8192)
    yield swarm
    for server in tuple(swarm.servers):
        swarm.stop(server)


# The good session


class GoodSession:
    """Answers one prompt greedily again and again, in one session that is rolled back to the prompt each time."""

    def __init__(self, model: SwarmForCausalLM):
        self._model = model
        self._prompt = torch.randint(4, 512, (1, 9), generator=torch.Generator().manual_seed(1))
        self._cache = SwarmCache(model, max_length=SESSION_TOKENS + 16)
        self.slowest_step_s = 0.0

    @torch.inference_mode()
    def answer(self) -> list[int]:
        self._cache.reset()
        ids, tokens = self._prompt, []
        while len(tokens) < SESSION_TOKENS:
            started = time.perf_counter()
            logits = self._model(ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1).logits
            self.slowest_step_s = max(self.slowest_step_s, time.perf_counter() - started)
            ids = logits[:, -1:].argmax(-1)
            tokens.append(int(ids))
        return tokens

    @property
    def session_id(self) -> str:
        """Of the session on the server: another one would mean that the client had to recover."""
        (hop,) = self._cache.session._session._hops
        return hop.sessions[0].session_id

    def close(self) -> None:
        self._cache.close()


# The stranger


class Stranger:
    """A peer that says what it likes to the server."""

    def __init__(self, node: SwarmNode, server: str, prefix: str):
        self.node = node
        self.server = server
        self.prefix = prefix
        self.half_open: list[MessageStream] = []

    def hang_up(self) -> None:
        for stream in self.half_open:
            stream.close()
        self.half_open.clear()

    def uid(self, start: int = 0, end: int = BLOCKS) -> str:
        return " ".join(f"{self.prefix}.{index}" for index in range(start, end))

    async def unary(self, method: Method, data: bytes) -> bytes:
        with peer_errors():
            peer_id = PeerID.from_base58(self.server)
            return await self.node._p2p._client.control.call_unary_handler(peer_id, method, data)

    async def call(self, method: Method, request: Any, *, tokens: int | None = None) -> Outcome:
        """A unary call of a message, or of bytes that were one; an answer has to be sound."""
        data = request if isinstance(request, bytes) else request.SerializeToString()
        answer = await self.unary(method, data)
        if method is Method.INFO:
            assert "version" in unpack_metadata(ExpertInfo.FromString(answer).serialized_info)
        elif method is not Method.PUSH:
            (first, *_) = [unpack_tensor(tensor) for tensor in ExpertResponse.FromString(answer).tensors]
            assert first.shape[2] == HIDDEN
            assert tokens is None or first.shape[1] == tokens
        return "answered"

    @contextlib.asynccontextmanager
    async def stream(self, method: Method) -> Any:
        stream = await self.node.open_stream(self.server, method)
        try:
            yield stream
        finally:
            stream.close()

    async def session(self, *requests: Any) -> Outcome:
        """Sends the steps one after another, each after the answer to the last; what became of the last of them."""
        async with self.stream(Method.INFERENCE) as stream:
            for request in requests:
                await stream.send(request)
                if not await stream.receive(ExpertResponse):
                    return "closed"
        return "answered"

    async def streamed(self, method: Method, *requests: Any, end: bool = True) -> Outcome:
        async with self.stream(method) as stream:
            for request in requests:
                await stream.send(request)
            if end:
                await stream.send_end()
            answer = await stream.receive(ExpertResponse)
            return "answered" if answer is not None else "closed"

    async def raw(self, method: Method, data: bytes, *, half_close: bool = False) -> Outcome:
        """Bytes in no framing; what comes back has to be framed well all the same."""
        async with self.stream(method) as stream:
            stream._writer.write(data)
            await stream._writer.drain()
            if half_close:
                stream._writer.write_eof()
            while await stream.receive(ExpertResponse) is not None:
                pass
        return "closed"

    # What a good client would send, to be spoilt

    def metadata(self, rng: random.Random, **changes: Any) -> dict[str, Any]:
        metadata = {
            "session_id": f"{rng.getrandbits(128):032x}",
            "step_id": f"{rng.getrandbits(128):032x}",
            "max_length": 32,
            "points": 0.0,
            "active_adapter": None,
            "start_from_position": 0,
            "args_structure": ((b"__T0", b"__T1", b"__T2"), {}),
        }
        return {key: value for key, value in (metadata | changes).items() if value is not ...}

    def step(
        self,
        rng: random.Random,
        hidden: torch.Tensor | None = None,
        prompts: torch.Tensor | None = None,
        hypo_ids: torch.Tensor | None = None,
        **metadata: Any,
    ) -> Any:
        return ExpertRequest(
            uid=self.uid(),
            tensors=[
                pack_tensor(floats(rng, 1, 3) if hidden is None else hidden),
                pack_tensor(torch.empty(0) if prompts is None else prompts),
                pack_tensor(torch.empty(0, dtype=torch.int64) if hypo_ids is None else hypo_ids),
            ],
            metadata=pack_metadata(self.metadata(rng, **metadata)),
        )

    def forward(self, rng: random.Random, hidden: torch.Tensor | None = None, **metadata: Any) -> Any:
        hidden = floats(rng, 1, 3) if hidden is None else hidden
        return ExpertRequest(
            uid=self.uid(), tensors=[pack_tensor(hidden), pack_tensor(torch.empty(0))], metadata=pack_metadata(metadata)
        )

    def backward(self, rng: random.Random, **metadata: Any) -> Any:
        tensors = [pack_tensor(floats(rng, 1, 3)), pack_tensor(floats(rng, 1, 3)), pack_tensor(torch.empty(0))]
        return ExpertRequest(uid=self.uid(), tensors=tensors, metadata=pack_metadata(metadata))


def floats(rng: random.Random, *shape: int, hidden: int = HIDDEN) -> torch.Tensor:
    return torch.randn(*shape, hidden, generator=torch.Generator().manual_seed(rng.getrandbits(32)))


def lying_tensor(rng: random.Random) -> Any:
    """A tensor whose shape, dtype, size or compression is not what its bytes are."""
    buffer = rng.randbytes(3 * HIDDEN * 4)
    sound = {"buffer": buffer, "size": [1, 3, HIDDEN], "dtype": "float32", "compression": 0}
    lies = [
        {"size": [1, 4, HIDDEN]},
        {"size": [1, GIB // 4 // HIDDEN, HIDDEN]},
        {"size": [2**32 - 1] * 3},
        {"size": [2**32 - 1, 2**32 - 1, 2**32 - 1, 0], "buffer": b""},
        {"size": [1] * 500},
        {"size": []},
        {"dtype": ""},
        {"dtype": "float16"},
        {"dtype": "complex128"},
        {"dtype": "x" * 5000},
        {"dtype": "__class__"},
        {"compression": int(rng.choice(list(Compression)[1:]))},
        {"compression": 5, "buffer": (2**62).to_bytes(8, "little") * 2 + buffer},
        {"compression": 5, "buffer": (1).to_bytes(8, "little") + (0).to_bytes(8, "little") + buffer[: 3 * HIDDEN]},
        {"compression": 3, "buffer": b"\xff" * 8 + buffer},
        {"compression": 3, "size": [1, GIB // HIDDEN, HIDDEN]},
        {"compression": 77},
        {"buffer": b""},
        {"chunks": 2**31 - 1, "buffer": buffer[:5]},
    ]
    return Tensor(**(sound | rng.choice(lies)))


def nasty_tensor(rng: random.Random) -> torch.Tensor:
    """Well packed, and nothing that a block can work on."""
    makers: list[Callable[[], torch.Tensor]] = [
        lambda: floats(rng, 1, 3) * math.nan,
        lambda: floats(rng, 1, 3) / 0,
        lambda: torch.full((1, 3, HIDDEN), 1e300, dtype=torch.float64),
        lambda: floats(rng, 1, 3, hidden=HIDDEN + 1),
        lambda: floats(rng, 3),
        lambda: floats(rng, 1, 1, 3),
        lambda: floats(rng, 0, 3),
        lambda: torch.zeros(1, 3, HIDDEN, dtype=torch.int64),
        lambda: torch.empty(0),
        lambda: torch.tensor(1.0),
        lambda: torch.zeros(2, 4097, HIDDEN, dtype=torch.float16),
        lambda: torch.zeros(9000, 1, HIDDEN, dtype=torch.float16),
    ]
    return rng.choice(makers)()


def nest(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


NASTY_VALUES: list[Any] = [
    *(None, True, False, -1, 0, 1, 7, 2**31, 2**63 - 1, -(2**63), 2**64 - 1),
    *(0.5, -0.0, 1e308, math.nan, math.inf, -math.inf),
    *("", "0", "x" * 1000, "\x1b[2J\r\n", "..", b"\xff" * 40, b""),
    *([], {}, (), [[]] * 20, {"a": {"b": ()}}, [1, 2, 3], (b"__T9",), nest(200), [math.nan] * 9),
]
KEYS = [
    *("session_id", "step_id", "max_length", "alloc_timeout", "args_structure", "start_from_position"),
    *("next_servers", "left_padding", "active_adapter", "output_compression", "points", "pushed"),
]


# Attacks that must be refused


async def wrong_uid(stranger: Stranger, rng: random.Random) -> Outcome:
    prefix = stranger.prefix
    uid = rng.choice(
        [
            *(
                "",
                " ",
                ".",
                prefix,
                f"{prefix}.",
                f"{prefix}.6",
                f"{prefix}.-1",
                f"{prefix}.00",
                f"{prefix}.1e0",
                "other.0",
            ),
            *(f"{prefix}.0 {prefix}.2", f"{prefix}.1 {prefix}.0", f"{prefix}.0  {prefix}.1", f"{prefix}.0 other.1"),
            *(f"{prefix}.{10**30}", f"{prefix}.٣", f"{prefix}.0\n", "\x00" * 50, "x" * 100_000, f"{prefix}.0 " * 5000),
            " ".join(f"{prefix}.{index}" for index in range(7)),
        ]
    )
    kind = rng.randrange(4)
    if kind == 0:
        request = stranger.step(rng)
        request.uid = uid
        return await stranger.session(request)
    if kind == 1 and uid:
        return await stranger.call(Method.INFO, ExpertUID(uid=uid))
    request = rng.choice([stranger.forward, stranger.backward])(rng)
    method = Method.FORWARD if len(request.tensors) == 2 else Method.BACKWARD
    request.uid = uid
    if kind == 2:
        return await stranger.streamed(Method(f"{method}_stream"), request)
    return await stranger.call(method, request)


async def wrong_tensor(stranger: Stranger, rng: random.Random) -> Outcome:
    """Shapes, dtypes, NaN, sizes of a gigabyte, in every place of every call."""
    bad = lying_tensor(rng) if rng.random() < 0.5 else pack_tensor(nasty_tensor(rng))
    kind = rng.randrange(5)
    if kind == 0:
        request = stranger.step(rng)
        request.tensors[0].CopyFrom(bad)
        return await stranger.session(request)
    if kind == 1:
        good, then = stranger.step(rng), stranger.step(rng, start_from_position=3)
        then.tensors[0].CopyFrom(bad)
        return await stranger.session(good, then)
    backward = rng.random() < 0.5
    request = stranger.backward(rng) if backward else stranger.forward(rng)
    request.tensors[rng.randrange(2) if backward else 0].CopyFrom(bad)
    method = Method.BACKWARD if backward else Method.FORWARD
    if kind == 2:
        return await stranger.streamed(Method(f"{method}_stream"), request)
    return await stranger.call(method, request)


async def wrong_prompts(stranger: Stranger, rng: random.Random) -> Outcome:
    prompts = rng.choice(
        [
            floats(rng, BLOCKS - 1, 1, 2),
            floats(rng, BLOCKS, 2, 2),
            floats(rng, BLOCKS, 1, 4),
            floats(rng, BLOCKS, 1, 2, hidden=HIDDEN - 1),
            floats(rng, BLOCKS, 1),
            floats(rng, BLOCKS, 1, 2) * math.inf,
            torch.zeros(BLOCKS, 1, 2, HIDDEN, dtype=torch.int64),
        ]
    )
    if rng.random() < 0.5:
        return await stranger.session(stranger.step(rng, prompts=prompts))
    request = stranger.forward(rng)
    request.tensors[1].CopyFrom(pack_tensor(prompts))
    return await stranger.call(Method.FORWARD, request)


async def wrong_hypo_ids(stranger: Stranger, rng: random.Random) -> Outcome:
    hypo_ids = rng.choice(
        [
            *(torch.tensor([2, 0]), torch.tensor([-1, 0]), torch.tensor([0]), torch.tensor([0, 1, 0])),
            *(torch.tensor([[0, 1]]), torch.tensor([0.0, 1.0]), torch.tensor(0), torch.tensor([2**62, 0])),
        ]
    )
    hidden = floats(rng, 2, 3)
    good = stranger.step(rng, hidden)
    return await stranger.session(good, stranger.step(rng, hidden, hypo_ids=hypo_ids, start_from_position=3))


async def wrong_position(stranger: Stranger, rng: random.Random) -> Outcome:
    position = rng.choice([-1, 4, 33, 2**62, -(2**63), 0.0, 3.0, True, "3", [3], math.nan, {}, b"3"])
    return await stranger.session(stranger.step(rng), stranger.step(rng, start_from_position=position))


async def too_long(stranger: Stranger, rng: random.Random) -> Outcome:
    """More tokens than the session asked for, at once or bit by bit, or than a session may have."""
    if rng.random() < 0.5:
        return await stranger.session(stranger.step(rng, floats(rng, 1, rng.randrange(33, 900))))
    if rng.random() < 0.5:
        good = stranger.step(rng, floats(rng, 1, 30))
        return await stranger.session(good, stranger.step(rng, start_from_position=30))
    return await stranger.call(Method.FORWARD, stranger.forward(rng, torch.zeros(1, 8192, HIDDEN, dtype=torch.float16)))


async def wrong_opening(stranger: Stranger, rng: random.Random) -> Outcome:
    change = rng.choice(
        [
            *(
                {"max_length": value}
                for value in (..., None, -1, 2.0, "32", True, 8193, 10**9, 2**64 - 1, [], math.inf)
            ),
            *(
                {"alloc_timeout": value}
                for value in (math.nan, -math.inf, -1, -0.5, "soon", [1], {"a": 1}, b"1", (1.0,))
            ),
            *({"session_id": value} for value in (5, 1.5, b"id", "x" * 101, [], {}, True)),
            *({"args_structure": value} for value in (5, "x", (), ((),), ((b"__T0",), {}), ((b"__T9",) * 3, {}))),
            *(
                {"args_structure": ((name,) * 3, {})}
                for name in (b"__T", b"__T-1", b"__T" + b"9" * 5000, "__T0", 0, b"")
            ),
            {"args_structure": ((b"__T0",) * 10_000, {})},
            {"args_structure": ((b"__T1", b"__T0", b"__T2"), {})},
            *({"left_padding": value} for value in (5, "x", (), (1, 1), (-1,), (33,), (0.0,), (True,), [[0]], {})),
            {"active_adapter": "somebody/adapter"},
            {"next_servers": [("peer", "session", 0, 10**6)]},
            {"next_servers": "x"},
            {"next_servers": [("z" * 200_000, "session", 0, 1)]},
            {"next_servers": [("peer", "s" * 200_000, 0, 1)]},
            {"next_servers": [("peer", "session", -1, 1)] * 99},
        ]
    )
    return await stranger.session(stranger.step(rng, **change))


async def wrong_compression(stranger: Stranger, rng: random.Random) -> Outcome:
    value = rng.choice(
        [1, "0", (), (0, 0), (9,), (-1,), (0.0,), (True,), ("0",), [[0]], {}, {"0": 0}, nest(3), (2**63,)]
    )
    request = stranger.forward(rng, output_compression=value)
    return await stranger.call(Method.FORWARD, request)


async def bad_metadata(stranger: Stranger, rng: random.Random) -> Outcome:
    """Bombs: deep nesting, huge declared lengths, too much, not msgpack at all."""
    tuples = b"\xc0"
    for _ in range(12):
        tuples = msgpack.packb(msgpack.ExtType(0x40, msgpack.packb([msgpack.ExtType(0x40, tuples)])))
    metadata = rng.choice(
        [
            *(
                b"\xdd\xff\xff\xff\xff",
                b"\xdf\xff\xff\xff\xff",
                b"\xdb\xff\xff\xff\xff",
                b"\xc6\xff\xff\xff\xff",
                b"\xc1",
            ),
            *(b"\x81\xa1a" + b"\x91" * 300 + b"\xc0", b"\x81\xa1a" + b"\x91" * 100_000, b"\x81\xa1a" + tuples),
            b"\x81\xa1a" + b"\x81\xa1a" * 500 + b"\xc0",
            *(msgpack.packb([]), msgpack.packb(5), msgpack.packb({1: 2}), msgpack.packb({b"a": 1}), b"\x80\x80"),
            *(msgpack.packb({"a": "x" * 300_000}), b"\x81\xa1a\xa2\xff\xff", b"\x81\x90\xc0", rng.randbytes(200)),
            msgpack.packb({"a": msgpack.ExtType(0x40, b"\xdd\xff\xff\xff\xff")}),
            msgpack.packb({"a": msgpack.ExtType(0x40, b"")}),
            b"\x81\xa1a\xc9\xff\xff\xff\xff\x40",
        ]
    )
    request = ExpertRequest(uid=stranger.uid(), tensors=stranger.step(rng).tensors, metadata=metadata)
    kind = rng.randrange(5)
    if kind == 0:
        return await stranger.session(request)
    if kind == 1:
        return await stranger.session(stranger.step(rng), request)
    if kind == 2:
        return await stranger.streamed(Method.BACKWARD_STREAM, request)
    return await stranger.call(rng.choice([Method.FORWARD, Method.BACKWARD, Method.PUSH]), request)


async def too_many_tensors(stranger: Stranger, rng: random.Random) -> Outcome:
    """A protobuf of few bytes that is large once it is parsed."""
    empty = rng.choice([b"\x12\x00", b"\x12\x07\x22\x05int64"])
    data = stranger.step(rng).SerializeToString() + empty * rng.choice([20, 1000, 200_000])
    kind = rng.randrange(4)
    if kind == 0:
        return await stranger.raw(Method.INFERENCE, b"\x00" + len(data).to_bytes(8, "big") + data)
    if kind == 1:
        stream = b"\x00" + len(data).to_bytes(8, "big") + data + b"\x01" + bytes(8)
        return await stranger.raw(Method.FORWARD_STREAM, stream)
    return await stranger.call(rng.choice([Method.FORWARD, Method.BACKWARD]), data)


async def broken_framing(stranger: Stranger, rng: random.Random) -> Outcome:
    message = stranger.step(rng).SerializeToString()
    data = rng.choice(
        [
            rng.randbytes(rng.randrange(9, 300)).replace(b"\x00", b"\x07").replace(b"\x01", b"\x07"),
            b"\x02" + len(message).to_bytes(8, "big") + message,
            b"\x00" + GIB.to_bytes(8, "big") + message,
            b"\x00" + (2**63).to_bytes(8, "big") + message,
            b"\x00" + b"\xff" * 8,
            b"\x01" + GIB.to_bytes(8, "big") + b"x" * 100,
            b"\x01" + (2**40).to_bytes(8, "big"),
            b"\x00" + (5).to_bytes(8, "big") + b"\xff" * 5,
            b"\x01" + (5).to_bytes(8, "big") + b"\xff" * 5,
            b"\x00" + len(message).to_bytes(8, "little") + message,
            b"\x01" + (22).to_bytes(8, "big") + b"\x0a\x14" + b"I am the server's error"[:20],
            b"GET / HTTP/1.1\r\nHost: volunteer\r\n\r\n",
        ]
    )
    method = rng.choice([Method.INFERENCE, Method.FORWARD_STREAM, Method.BACKWARD_STREAM])
    if rng.random() < 0.3:  # after a good start
        data = b"\x00" + len(message).to_bytes(8, "big") + message + data
        method = Method.INFERENCE
    return await stranger.raw(method, data)


async def broken_off(stranger: Stranger, rng: random.Random) -> Outcome:
    """Part of a message, and then no more."""
    message = stranger.step(rng).SerializeToString()
    framed = b"\x00" + len(message).to_bytes(8, "big") + message
    method = rng.choice([Method.INFERENCE, Method.FORWARD_STREAM, Method.BACKWARD_STREAM])
    return await stranger.raw(method, framed[: rng.randrange(len(framed))], half_close=True)


async def bad_stream_of_parts(stranger: Stranger, rng: random.Random) -> Outcome:
    request = stranger.forward(rng)
    headless = ExpertRequest(uid=stranger.uid(), tensors=[Tensor(buffer=b"x" * 50)])
    other_uid = ExpertRequest(uid=stranger.uid(0, 2), tensors=[Tensor(buffer=b"x" * 50)])
    many_heads = ExpertRequest(uid=stranger.uid(), tensors=[pack_tensor(torch.empty(0))] * 17)
    long_shape = ExpertRequest(uid=stranger.uid(), tensors=[Tensor(dtype="float32", size=[1] * 200_000)])
    much = ExpertRequest(
        uid=stranger.uid(), tensors=[Tensor(dtype="float32", size=[1, 3, HIDDEN], buffer=bytes(2**20))]
    )
    requests = rng.choice(
        [
            [headless],
            [request, headless],
            [request, other_uid],
            [many_heads],
            [long_shape],
            [much] * 9,
            [],
            [ExpertRequest()],
        ]
    )
    return await stranger.streamed(rng.choice([Method.FORWARD_STREAM, Method.BACKWARD_STREAM]), *requests)


async def same_session_id(stranger: Stranger, rng: random.Random) -> Outcome:
    """Two sessions under one id: the second is refused, the first goes on."""
    first = stranger.step(rng)
    session_id = unpack_metadata(first.metadata)["session_id"]
    async with stranger.stream(Method.INFERENCE) as stream:
        await stream.send(first)
        assert await stream.receive(ExpertResponse) is not None
        with pytest.raises(RemoteError, match="not unique"):
            await stranger.session(stranger.step(rng, session_id=session_id))
        await stream.send(stranger.step(rng, session_id=session_id, start_from_position=3))
        assert await stream.receive(ExpertResponse) is not None
    return "refused"


async def bad_push_into_own_session(stranger: Stranger, rng: random.Random) -> Outcome:
    """Who knows a session's id can spoil it: here the stranger its own."""
    first = stranger.step(rng)
    session_id = unpack_metadata(first.metadata)["session_id"]
    async with stranger.stream(Method.INFERENCE) as stream:
        await stream.send(first)
        assert await stream.receive(ExpertResponse) is not None
        pushed = stranger.step(rng, floats(rng, 1, 3) * math.nan, session_id=session_id, start_from_position=3)
        if rng.random() < 0.5:
            await stranger.call(Method.PUSH, pushed)
        else:
            with contextlib.suppress(StreamEnded):
                await stranger.streamed(Method.PUSH_STREAM, pushed)
        await stream.receive(ExpertResponse)
    return "answered"


# Attacks that may turn out to be sound calls: then they must be answered soundly


async def mutated_bytes(stranger: Stranger, rng: random.Random) -> Outcome:
    """A valid call, serialised, with bytes flipped, cut or doubled anywhere."""
    method = rng.choice(list(Method))
    if method is Method.INFO:
        request = ExpertUID(uid=stranger.uid(0, 1))
    elif method in (Method.BACKWARD, Method.BACKWARD_STREAM):
        request = stranger.backward(rng)
    elif method in (Method.FORWARD, Method.FORWARD_STREAM):
        request = stranger.forward(rng)
    else:
        request = stranger.step(rng)
    data = bytearray(request.SerializeToString())
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(data))
        # Most of the bytes are numbers in tensors, where a change is no news: aim at the rest more often.
        if rng.random() < 0.7:
            at = rng.choice([rng.randrange(min(len(data), 200)), len(data) - 1 - rng.randrange(min(len(data), 200))])
        match rng.randrange(4):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.randrange(256)
            case 2:
                del data[at : at + rng.randrange(1, 20)]
            case _:
                data[at:at] = data[at : at + rng.randrange(1, 20)]
        if not data:
            data = bytearray(b"\x00")
    if method in (Method.INFERENCE, Method.FORWARD_STREAM, Method.BACKWARD_STREAM, Method.PUSH_STREAM):
        framed = b"\x00" + len(data).to_bytes(8, "big") + bytes(data) + b"\x01" + bytes(8)
        return await stranger.raw(method, framed)
    return await stranger.call(method, bytes(data))


async def random_bytes(stranger: Stranger, rng: random.Random) -> Outcome:
    method = rng.choice([Method.INFO, Method.PUSH, Method.FORWARD, Method.BACKWARD])
    return await stranger.call(method, rng.randbytes(rng.choice([0, 1, 10, 1000, 100_000])))


async def nasty_metadata(stranger: Stranger, rng: random.Random) -> Outcome:
    """Any value under any key, in the first request of a session or a later one, or in a call."""
    change = {rng.choice(KEYS): rng.choice(NASTY_VALUES)}
    match rng.randrange(4):
        case 0:
            return await stranger.session(stranger.step(rng, **change))
        case 1:
            return await stranger.session(stranger.step(rng), stranger.step(rng, **change))
        case 2:
            return await stranger.call(Method.FORWARD, stranger.forward(rng, **change))
        case _:
            return await stranger.call(Method.BACKWARD, stranger.backward(rng, **change))


async def push_to_others(stranger: Stranger, rng: random.Random) -> Outcome:
    """Guesses at the ids of other people's sessions; they are random UUIDs, which is all that keeps strangers out."""
    guess = rng.choice([f"{rng.getrandbits(128):032x}", "", "session", 5, None, nest(900), ["x"] * 1000, b"id", ...])
    pushed = stranger.step(rng, session_id=guess)
    if rng.random() < 0.5:
        return await stranger.call(Method.PUSH, pushed)
    return await stranger.streamed(Method.PUSH_STREAM, pushed)


async def push_onwards(stranger: Stranger, rng: random.Random) -> Outcome:
    """Makes the server push to peers that do not exist, and to itself."""
    peer_id = rng.choice(["peer", "", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "é", stranger.server])
    next_servers = [(peer_id, "session", 0, BLOCKS)] * rng.choice([1, 3])
    return await stranger.session(stranger.step(rng, next_servers=next_servers))


async def given_up(stranger: Stranger, rng: random.Random) -> Outcome:
    """A call whose caller does not wait for the answer."""
    hidden = floats(rng, 2, 300)
    call = asyncio.ensure_future(stranger.call(Method.FORWARD, stranger.forward(rng, hidden)))
    await asyncio.wait((call,), timeout=rng.choice([0.001, 0.005, 0.02]))
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await call
    return "closed"


async def never_read(stranger: Stranger, rng: random.Random) -> Outcome:
    """Asks for long answers, does not read them, and leaves in the middle."""
    async with stranger.stream(Method.FORWARD_STREAM) as stream:
        stream._writer.transport.pause_reading()
        await stream.send(stranger.forward(rng, floats(rng, 4, 200)))
        await stream.send_end()
    return "closed"


async def half_open(stranger: Stranger, rng: random.Random) -> Outcome:
    """Nothing, or half a message, and then silence; the streams stay open until the end of the attack."""
    if len(stranger.half_open) >= HALF_OPEN:
        return "closed"
    method = rng.choice([Method.INFERENCE, Method.FORWARD_STREAM, Method.BACKWARD_STREAM])
    stream = await stranger.node.open_stream(stranger.server, method)
    stranger.half_open.append(stream)
    message = stranger.step(rng).SerializeToString()
    framed = b"\x00" + rng.choice([len(message), 3 * 1024**2]).to_bytes(8, "big") + message
    stream._writer.write(framed[: rng.choice([0, 0, 1, 9, 100, len(framed) - 1])])
    await stream._writer.drain()
    return "closed"


async def sound_forward(stranger: Stranger, rng: random.Random) -> Outcome:
    return await stranger.call(Method.FORWARD, stranger.forward(rng, floats(rng, 1, 5)), tokens=5)


async def sound_call(stranger: Stranger, rng: random.Random) -> Outcome:
    """Strangers may also behave: then they are served."""
    num_tokens = rng.randrange(1, 30)
    hidden = floats(rng, rng.randrange(1, 4), num_tokens)
    match rng.randrange(3):
        case 0:
            return await stranger.call(Method.FORWARD, stranger.forward(rng, hidden), tokens=num_tokens)
        case 1:
            first = stranger.step(rng, hidden)
            return await stranger.session(first, stranger.step(rng, hidden[:, :2], start_from_position=num_tokens))
        case _:
            codec = int(rng.choice(list(Compression)))
            request = stranger.forward(rng, hidden, output_compression=(codec,))
            return await stranger.call(Method.FORWARD, request, tokens=num_tokens)


REFUSED: dict[Attack, float] = {
    wrong_uid: 1.2,
    wrong_tensor: 2.0,
    wrong_prompts: 0.5,
    wrong_hypo_ids: 0.7,
    wrong_position: 0.7,
    too_long: 0.5,
    wrong_opening: 2.0,
    wrong_compression: 0.6,
    bad_metadata: 1.5,
    too_many_tensors: 0.3,
    broken_framing: 1.5,
    broken_off: 0.7,
    bad_stream_of_parts: 0.6,
    same_session_id: 0.2,
    bad_push_into_own_session: 0.2,
}
OPEN: dict[Attack, float] = {
    mutated_bytes: 4.0,
    random_bytes: 0.8,
    nasty_metadata: 3.0,
    push_to_others: 1.0,
    push_onwards: 0.4,
    given_up: 0.4,
    never_read: 0.2,
    half_open: 0.3,
}
SOUND: dict[Attack, float] = {sound_call: 1.0}


async def attack_once(stranger: Stranger, attack: Attack, rng: random.Random) -> Outcome:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await attack(stranger, rng)
    except RemoteError as error:
        assert str(error)
        return "refused"
    except (StreamEnded, PeerLost):
        return "closed"
    except BadMessage as error:
        raise AssertionError(f"{attack.__name__}: the server answered nonsense: {error}") from error
    except TimeoutError:
        raise AssertionError(f"{attack.__name__}: no answer within {ANSWER_WITHIN_S} s") from None


async def attack_all(stranger: Stranger, calls: int, seed: int) -> dict[str, collections.Counter[Outcome]]:
    rng = random.Random(seed)
    weights = REFUSED | OPEN | SOUND
    chosen = rng.choices(list(weights), list(weights.values()), k=calls)
    seeds = [rng.getrandbits(64) for _ in chosen]
    waiting = list(zip(chosen, seeds, strict=True))
    outcomes: dict[str, collections.Counter[Outcome]] = collections.defaultdict(collections.Counter)

    async def work() -> None:
        while waiting:
            attack, seed = waiting.pop()
            outcome = await attack_once(stranger, attack, random.Random(seed))
            outcomes[attack.__name__][outcome] += 1
            if attack in REFUSED:
                assert outcome != "answered", f"{attack.__name__} with seed {seed} was answered"
            if attack in SOUND:
                assert outcome == "answered", f"{attack.__name__} with seed {seed} was {outcome}"

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return outcomes


async def flood(stranger: Stranger) -> collections.Counter[Outcome]:
    """Opens more streams than one peer may have, all at once, and sends nothing."""
    streams: list[MessageStream] = []

    async def open_one() -> None:
        with contextlib.suppress(PeerLost):
            streams.append(await stranger.node.open_stream(stranger.server, Method.FORWARD_STREAM))

    await asyncio.gather(*(open_one() for _ in range(FLOOD)))
    stranger.half_open += streams

    async def answer(stream: MessageStream) -> Outcome:
        try:
            async with asyncio.timeout(2.0):
                await stream.receive(ExpertResponse)
        except RemoteError as error:
            assert "too many open calls" in str(error)
            return "refused"
        except PeerLost:
            return "closed"
        except TimeoutError:
            return "waited for"
        return "answered"

    return collections.Counter(await asyncio.gather(*(answer(stream) for stream in streams)))


async def calls_ended(swarm: Any, service: BlockService, sessions: int) -> None:
    """Waits until the server has no open calls but these sessions."""

    async def wait() -> None:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while service.open_sessions > sessions or service._open_calls or service._pusher._waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(wait(), swarm.loop))


SETTLES_S = 20.0
MAX_MORE_TASKS = 5
"""The server's own comings and goings."""


class Usage:
    """What the server and its daemon take: this process is the server's, the good client's and the stranger's."""

    def __init__(self, swarm: Any, service: BlockService, daemon: psutil.Process):
        gc.collect()
        process = psutil.Process()
        self.numbers = {
            "server_bytes": process.memory_info().rss,
            "daemon_bytes": daemon.memory_info().rss,
            "open_files": process.num_fds(),
            "daemon_files": daemon.num_fds(),
            "free_kv_tokens": service.free_kv_tokens,
            "open_streams": service.open_sessions,
            "sessions": len(service._sessions),
            "tasks": len(asyncio.all_tasks(swarm.loop)),
        }

    def growth_since(self, earlier: Usage) -> dict[str, int]:
        return {key: number - earlier.numbers[key] for key, number in self.numbers.items()}


class PeakMemory(threading.Thread):
    """The most memory that this process took while it ran."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most_bytes = 0
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.01):
            self.most_bytes = max(self.most_bytes, psutil.Process().memory_info().rss)

    def stop(self) -> int:
        self._is_over.set()
        self.join()
        return self.most_bytes


@dataclass
class Report:
    seconds: float
    outcomes: dict[str, collections.Counter[Outcome]]
    before: Usage
    after: Usage
    peak_bytes: int


async def attack_server(swarm: Any, service: BlockService, node: SwarmNode) -> Report:
    daemon = psutil.Process(node._p2p._child.pid)
    (server,) = swarm.servers
    async with SwarmNode(NodeOptions(initial_peers=swarm.initial_peers, is_client=True)) as own_node:
        stranger = Stranger(own_node, server.peer_id, service._parser.prefix)
        await attack_all(stranger, WARM_UP_CALLS, seed=1)
        await flood(stranger)
        stranger.hang_up()
        await calls_ended(swarm, service, sessions=1)

        before, peak = Usage(swarm, service, daemon), PeakMemory()
        peak.start()
        started = time.perf_counter()
        outcomes = await attack_all(stranger, CALLS, seed=2)
        outcomes["flood"] = await flood(stranger)
        assert await attack_once(stranger, sound_forward, random.Random(0)) == "answered"
        seconds = time.perf_counter() - started
        stranger.hang_up()
        await calls_ended(swarm, service, sessions=1)
        peak_bytes, after = peak.stop(), Usage(swarm, service, daemon)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLES_S):
                # Servers of other tests share the loop, and have tasks of their own that come and go.
                while after.growth_since(before)["tasks"] > MAX_MORE_TASKS:
                    await asyncio.sleep(0.1)
                    after = Usage(swarm, service, daemon)
        return Report(seconds, outcomes, before, after, peak_bytes)


def test_a_stranger_disturbs_nobody(
    swarm: Any, seen: Seen, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    (service,), (node,) = seen.services, seen.nodes
    caplog.set_level(logging.INFO)
    with (
        swarm.client() as model,
        contextlib.closing(GoodSession(model)) as good,
        concurrent.futures.ThreadPoolExecutor(1) as other_thread,
    ):
        expected = good.answer()
        session_id, usual_step_s = good.session_id, good.slowest_step_s
        is_over = threading.Event()

        def keep_answering() -> list[list[int]]:
            answers = []
            while not is_over.is_set():
                answers.append(good.answer())
            return answers

        answering = other_thread.submit(keep_answering)
        try:
            report = asyncio.run(attack_server(swarm, service, node))
        finally:
            is_over.set()
        answers = answering.result()
        assert good.session_id == session_id

    total = sum(counter.total() for counter in report.outcomes.values())
    growth = report.after.growth_since(report.before)
    peak_growth = report.peak_bytes - report.before.numbers["server_bytes"]
    log_lines = collections.Counter((record.name, record.levelname) for record in caplog.records)
    with capsys.disabled():
        print(f"\n{total} calls in {report.seconds:.1f} s, {len(answers)} good answers at the same time")
        for name, counter in sorted(report.outcomes.items()):
            print(f"  {name:26}", dict(sorted(counter.items())))
        print(f"  growth: {growth}, at the peak: {peak_growth} server_bytes; log lines: {dict(log_lines)}")
        print(f"  slowest good step: {1000 * good.slowest_step_s:.0f} ms, undisturbed {1000 * usual_step_s:.0f} ms")

    assert total >= 2000
    assert answers and all(answer == expected for answer in answers)
    assert 0 < report.outcomes["flood"]["waited for"] <= STREAMS_PER_PEER < FLOOD
    assert growth["server_bytes"] < MAX_GROWTH_BYTES
    assert growth["daemon_bytes"] < MAX_GROWTH_BYTES
    assert peak_growth < MAX_PEAK_BYTES
    for name in ("open_streams", "sessions", "free_kv_tokens"):
        assert growth[name] == 0, name
    assert growth["tasks"] <= MAX_MORE_TASKS
    assert growth["open_files"] <= 5
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING], "only mistakes of the caller"
    # More than a minute's worth of lines per minute would let a stranger fill the disk.
    assert log_lines["volunteer.swarm.node", "INFO"] <= 25 * (1 + math.ceil(report.seconds / 60))


def test_calls_that_are_given_up_leave_nothing_behind(swarm: Any, seen: Seen) -> None:
    (service,), (node,) = seen.services, seen.nodes
    (server,) = swarm.servers

    async def give_up(times: int) -> None:
        async with SwarmNode(NodeOptions(initial_peers=swarm.initial_peers, is_client=True)) as own_node:
            stranger, rng = Stranger(own_node, server.peer_id, service._parser.prefix), random.Random(3)
            await attack_once(stranger, sound_forward, rng)
            for _ in range(times // 50):
                calls = [asyncio.ensure_future(attack_once(stranger, sound_forward, rng)) for _ in range(50)]
                await asyncio.wait(calls, timeout=0.005)
                for call in calls:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
            await calls_ended(swarm, service, sessions=0)
            assert await attack_once(stranger, sound_forward, rng) == "answered"

    asyncio.run(give_up(1000))
    kept = node._p2p._client.control._handler_tasks
    assert len(kept) <= 300
    # A cancelled task keeps the frames that it was cancelled in, and these the request.
    assert not [task for task in kept.values() if task.done() and not task.cancelled()]
