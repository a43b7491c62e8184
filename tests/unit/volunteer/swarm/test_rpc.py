import asyncio
import math
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgpack
import pytest
import torch
from hivemind.proto.p2pd_pb2 import RPCError
from hivemind.utils.serializer import MSGPackSerializer
from hypothesis import given
from hypothesis import strategies as st

from volunteer.swarm.compression import Compression
from volunteer.swarm.rpc import (
    MAX_METADATA_BYTES,
    MAX_TENSORS,
    STREAM_PART_BYTES,
    BadMessage,
    ExpertRequest,
    Inbox,
    MessageStream,
    PeerLost,
    Refused,
    RemoteError,
    StreamEnded,
    Tensor,
    TensorAssembler,
    arrange_arguments,
    in_one_line,
    pack_info,
    pack_metadata,
    pack_tensor,
    parse_message,
    split_tensor,
    unpack_info,
    unpack_metadata,
    unpack_tensor,
    unpack_tensors,
)

GIB = 1024**3
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def values(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return (100 * tensor).to(dtype) if dtype is torch.int64 else tensor.to(dtype)


# Framing


@asynccontextmanager
async def connected(
    tmp_path: Path, serve: Callable[[MessageStream], Awaitable[None]], *, inbox: Inbox | None = None
) -> AsyncIterator[tuple[MessageStream, asyncio.StreamWriter]]:
    """A client's stream, its raw writer, and a server that runs `serve`, over a socket as p2pd's are."""
    served: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = MessageStream(reader, writer, max_message_bytes=1_000_000, inbox=inbox, peer_id="peer")
        try:
            await serve(stream)
        except Exception as error:
            served.set_exception(error)
        else:
            served.set_result(None)
        finally:
            await stream.close_within(1.0)

    path = tmp_path / "s"
    server = await asyncio.start_unix_server(handle, path)
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        async with asyncio.timeout(20):
            yield MessageStream(reader, writer, max_message_bytes=1_000_000), writer
            writer.close()
            await served
    finally:
        writer.close()
        server.close()


def frame(message: bytes, marker: bytes = b"\x00") -> bytes:
    return marker + len(message).to_bytes(8, "big") + message


def received(tmp_path: Path, sent: bytes, *, close: bool = True) -> Any:
    """What `receive` gives or raises for these bytes."""
    results: list[Any] = []

    async def serve(stream: MessageStream) -> None:
        try:
            results.append(await stream.receive(ExpertRequest))
        except Exception as error:
            results.append(error)

    async def run() -> None:
        async with connected(tmp_path, serve) as (stream, writer):
            writer.write(sent)
            await writer.drain()
            if close:
                writer.write_eof()
            with suppress(PeerLost):  # it ends when the server has what it gets
                await stream.receive(ExpertRequest)

    asyncio.run(run())
    return results[0]


def test_messages_arrive_in_order_and_then_the_end(tmp_path: Path) -> None:
    async def serve(stream: MessageStream) -> None:
        while (request := await stream.receive(ExpertRequest)) is not None:
            await stream.send(ExpertRequest(uid=request.uid + "!"))

    async def run() -> None:
        async with connected(tmp_path, serve) as (stream, _):
            for uid in ("a", "b" * 100_000, ""):
                await stream.send(ExpertRequest(uid=uid))
                answer = await stream.receive(ExpertRequest)
                assert answer.uid == uid + "!"
            await stream.send_end()
            with pytest.raises(StreamEnded):
                await stream.receive(ExpertRequest)

    asyncio.run(run())


def test_an_error_reaches_the_other_side_as_one_short_line(tmp_path: Path) -> None:
    async def serve(stream: MessageStream) -> None:
        await stream.send_error("bad \x1b[2J thing\r\n" + "x" * 10_000)

    async def run() -> None:
        async with connected(tmp_path, serve) as (stream, _):
            with pytest.raises(RemoteError) as caught:
                await stream.receive(ExpertRequest)
            assert str(caught.value).startswith("bad [2J thing xxx")
            assert len(str(caught.value)) < 400

    asyncio.run(run())


@pytest.mark.parametrize("claim", [1_000_001, GIB, 2**63, 2**64 - 1])
def test_a_claim_that_is_too_long_is_refused_before_anything_is_read(tmp_path: Path, claim: int) -> None:
    # The sender leaves the stream open and sends no more: waiting for the rest would be for ever.
    tracemalloc.start()
    result = received(tmp_path, b"\x00" + claim.to_bytes(8, "big"), close=False)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(result, BadMessage) and f"a message of {claim} bytes" in str(result)
    assert peak_bytes < 1_000_000


def test_a_long_error_is_not_read(tmp_path: Path) -> None:
    assert isinstance(received(tmp_path, b"\x01" + (100_000).to_bytes(8, "big"), close=False), BadMessage)


@pytest.mark.parametrize("marker", [b"\x02", b"G", b"\xff"])
def test_an_unknown_marker_is_refused_at_once(tmp_path: Path, marker: bytes) -> None:
    assert isinstance(received(tmp_path, marker + (999_999).to_bytes(8, "big"), close=False), BadMessage)


@pytest.mark.parametrize("message", [b"\xff", b"\x12\xff\xff\xff\xff\x0f", b"\x0a\x09\xff\xff", b"\x0b" * 9])
@pytest.mark.parametrize("marker", [b"\x00", b"\x01"])
def test_what_is_no_protobuf_is_refused(tmp_path: Path, message: bytes, marker: bytes) -> None:
    assert isinstance(received(tmp_path, frame(message, marker)), BadMessage)


def test_a_broken_message_is_a_lost_peer_and_a_closed_stream_an_ended_one(tmp_path: Path) -> None:
    message = frame(ExpertRequest(uid="a" * 50).SerializeToString())
    assert type(received(tmp_path, b"")) is StreamEnded
    for cut in (1, 8, 9, 10, len(message) - 1):
        assert isinstance(received(tmp_path, message[:cut]), PeerLost)
    assert received(tmp_path, message).uid == "a" * 50


def test_the_end_mark_is_no_message_and_an_error_is_the_peers(tmp_path: Path) -> None:
    assert received(tmp_path, frame(b"", b"\x01")) is None
    error = received(tmp_path, frame(RPCError(message="cache full").SerializeToString(), b"\x01"))
    assert isinstance(error, RemoteError) and str(error) == "cache full"
    error = received(tmp_path, frame(b"\x0a\x02\xff\x00", b"\x01"))
    assert isinstance(error, RemoteError) and str(error) == r"b'\xff\x00'"


@given(st.binary(max_size=200))
def test_random_bytes_in_a_stream_are_refused(data: bytes) -> None:
    async def run() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        stream = MessageStream(reader, None, max_message_bytes=1000)
        for _ in range(30):
            if await stream.receive(ExpertRequest) is None:
                return

    with suppress(BadMessage, PeerLost, RemoteError):
        asyncio.run(run())


def test_a_peer_that_reads_nothing_is_cut_off(tmp_path: Path) -> None:
    """Its socket would stay open for as long as it likes: a server would run out of files."""

    outcomes: list[str] = []

    async def serve(stream: MessageStream) -> None:
        try:
            async with asyncio.timeout(0.05):
                while True:
                    await stream.send(ExpertRequest(uid="x" * 900_000))
        except TimeoutError:
            await stream.close_within(0.05)
            outcomes.append("closed" if stream._writer.transport.get_write_buffer_size() == 0 else "still open")

    async def run() -> None:
        async with connected(tmp_path, serve) as (stream, writer):
            writer.transport.pause_reading()
            while not outcomes:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            writer.transport.resume_reading()
            with pytest.raises(PeerLost):
                while True:
                    await stream.receive(ExpertRequest)

    asyncio.run(run())
    assert outcomes == ["closed"]


# The inbox


def test_long_messages_are_counted_until_the_next_is_read(tmp_path: Path) -> None:
    inbox = Inbox(2_000_000)
    free: list[int] = []

    async def serve(stream: MessageStream) -> None:
        while await stream.receive(ExpertRequest) is not None:
            free.append(inbox.free_bytes)

    async def run() -> None:
        async with connected(tmp_path, serve, inbox=inbox) as (stream, _):
            for length in (10, 100_000, 900_000, 10):
                await stream.send(ExpertRequest(uid="x" * length))
            await stream.send_end()

    asyncio.run(run())
    assert free[0] == free[3] == 2_000_000
    assert 1_899_000 < free[1] < 1_900_000 and 1_099_000 < free[2] < 1_100_000
    assert inbox.free_bytes == 2_000_000


def test_kept_messages_are_counted_until_the_stream_is_closed(tmp_path: Path) -> None:
    inbox = Inbox(20_000)

    async def serve(stream: MessageStream) -> None:
        while await stream.receive(ExpertRequest, keep=True) is not None:
            pass

    async def run(times: int) -> None:
        async with connected(tmp_path, serve, inbox=inbox) as (stream, _):
            for _ in range(times):
                await stream.send(ExpertRequest(uid="x" * 1000))
            await stream.send_end()

    asyncio.run(run(9))
    assert inbox.free_bytes == 20_000
    with pytest.raises(Refused, match="too many unanswered bytes"):
        asyncio.run(run(10))  # half of the room is the most that one peer gets
    assert inbox.free_bytes == 20_000


def test_one_peer_does_not_take_all_room() -> None:
    inbox = Inbox(100)
    inbox.take("first", 50)
    with pytest.raises(Refused):
        inbox.take("first", 1)
    inbox.take("second", 40)
    with pytest.raises(Refused):
        inbox.take("third", 11)
    inbox.take("third", 10)
    for peer_id, num_bytes in [("first", 50), ("second", 40), ("third", 10)]:
        inbox.give_back(peer_id, num_bytes)
    assert inbox.free_bytes == 100
    inbox.take("first", 50)


# Protobufs


def test_a_message_of_many_parts_is_refused_before_it_is_parsed() -> None:
    # Two bytes each here, and a hundred bytes in memory: 20 MB would become a gigabyte.
    data = ExpertRequest(uid="model.0").SerializeToString() + b"\x12\x00" * 1_000_000
    tracemalloc.start()
    with pytest.raises(BadMessage, match="more than 64 parts"):
        parse_message(ExpertRequest, data)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_large_messages_of_few_parts_are_parsed() -> None:
    request = ExpertRequest(
        uid="model.0", tensors=[Tensor(buffer=b"x" * 100_000)] * MAX_TENSORS, metadata=b"\xff" * 100_000
    )
    assert parse_message(ExpertRequest, request.SerializeToString()) == request


@given(st.binary(max_size=300), st.integers(0, 9000))
def test_what_the_count_of_parts_lets_through_is_parsed_or_refused(data: bytes, padding: int) -> None:
    message = ExpertRequest(uid="x" * padding).SerializeToString()
    for each in (message + data, data + message):
        try:
            parsed = parse_message(ExpertRequest, each)
        except BadMessage:
            continue
        assert len(parsed.tensors) <= 64 + len(each) // 2 * (len(each) <= 4096)


# Tensors


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64], ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 5), (2, 3, 4), (1, 2, 3, 4)], ids=str)
def test_tensors_come_back_exactly(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensor = values(*shape, dtype=dtype)
    again = unpack_tensor(pack_tensor(tensor))
    assert again.dtype == dtype and again.shape == shape
    assert torch.equal(again, tensor)


@pytest.mark.parametrize("compression", tuple(Compression)[1:], ids=lambda each: each.name)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_compressed_tensors_come_back_nearly(dtype: torch.dtype, compression: Compression) -> None:
    tensor = values(2, 30, 64, dtype=dtype)
    message = pack_tensor(tensor, compression)
    assert message.compression == compression
    again = unpack_tensor(message)
    # bfloat16 travels as float32 there: hivemind's readers have no bfloat16
    assert again.dtype == (torch.float32 if dtype is torch.bfloat16 else dtype)
    assert (again.float() - tensor.float()).abs().mean() < 0.02  # of numbers around 1


def test_whole_numbers_and_empty_tensors_are_never_compressed() -> None:
    assert pack_tensor(torch.arange(3), Compression.FLOAT16).compression == Compression.NONE
    assert pack_tensor(torch.empty(2, 0), Compression.UNIFORM_8BIT).compression == Compression.NONE


def test_views_are_packed_as_they_look() -> None:
    tensor = values(4, 6)
    for view in (tensor.T, tensor[:, ::2], tensor[1:3], tensor[:1].expand(3, 6), tensor.requires_grad_()):
        for dtype in FLOATS:
            assert torch.equal(unpack_tensor(pack_tensor(view.to(dtype))), view.detach().to(dtype))


def test_the_older_bfloat16_of_four_bytes_is_read() -> None:
    tensor = values(2, 3, dtype=torch.bfloat16)
    message = Tensor(buffer=tensor.float().numpy().tobytes(), size=[2, 3], dtype="bfloat16")
    assert torch.equal(unpack_tensor(message), tensor)


SOUND = {"buffer": bytes(120), "size": [2, 3, 5], "dtype": "float32", "compression": 0}


@pytest.mark.parametrize(
    "lie",
    [
        {"size": [2, 3, 4]},
        {"size": [2, 3]},
        {"size": []},
        {"size": [1, 1, 2, 3, 4]},
        {"size": [1] * 100_000},
        {"size": [2, 3, GIB]},
        {"size": [2**32 - 1] * 4},
        {"size": [2**32 - 1, 2**32 - 1, 2**32 - 1, 0], "buffer": b""},
        {"size": [0, 2**32 - 1, 2**32 - 1, 2**32 - 1], "buffer": b""},
        {"buffer": b""},
        {"buffer": bytes(119)},
        {"buffer": bytes(121)},
        {"dtype": ""},
        {"dtype": "float64"},
        {"dtype": "float16"},
        {"dtype": "int32"},
        {"dtype": "bool"},
        {"dtype": "object"},
        {"dtype": "float32 "},
        {"dtype": "x" * 1_000_000},
        {"compression": 6},
        {"compression": -1},
        {"compression": 2**31 - 1},
        *({"compression": int(each)} for each in tuple(Compression)[1:]),
        *({"compression": int(each), "size": [1, GIB]} for each in tuple(Compression)[1:]),
        *({"compression": int(each), "buffer": b"\xff" * 120} for each in tuple(Compression)[1:]),
        {"compression": 2, "dtype": "int64", "buffer": bytes(60)},
    ],
    ids=lambda lie: str(lie)[:60],
)
def test_a_lie_about_a_tensor_is_refused_and_costs_nothing(lie: dict[str, Any]) -> None:
    message = Tensor(**(SOUND | lie))
    tracemalloc.start()
    with pytest.raises(BadMessage) as caught:
        unpack_tensor(message)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 3_000_000  # a copy of a dtype's name of a million characters
    assert len(str(caught.value)) < 300


@given(
    buffer=st.binary(max_size=1200),
    size=st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)), max_size=6),
    dtype=st.one_of(st.sampled_from(["float32", "float64", "float16", "bfloat16", "int64"]), st.text(max_size=9)),
    compression=st.one_of(st.integers(0, 5), st.integers(-(2**31), 2**31 - 1)),
    requires_grad=st.booleans(),
    chunks=st.integers(-(2**31), 2**31 - 1),
)
def test_random_fields_are_a_tensor_or_refused(**fields: Any) -> None:
    try:
        tensor = unpack_tensor(Tensor(**fields))
    except BadMessage:
        return
    assert list(tensor.shape) == fields["size"] and str(tensor.dtype) == f"torch.{fields['dtype']}"
    assert tensor.numel() <= len(fields["buffer"])


@given(st.sampled_from(tuple(Compression)), st.data())
def test_flipped_bytes_are_a_tensor_or_refused(compression: Compression, data: st.DataObject) -> None:
    packed = bytearray(pack_tensor(values(2, 3, 4), compression).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        tensor = unpack_tensor(parse_message(Tensor, bytes(packed)))
    except BadMessage:
        return
    assert tensor.numel() <= len(packed)


def test_a_call_with_more_tensors_or_numbers_than_it_needs_is_refused() -> None:
    message = pack_tensor(values(2, 3))
    assert len(unpack_tensors([message] * MAX_TENSORS, max_values=6 * MAX_TENSORS)) == MAX_TENSORS
    with pytest.raises(BadMessage, match="17 tensors"):
        unpack_tensors([message] * 17, max_values=1000)
    with pytest.raises(BadMessage, match="more than 11 numbers"):
        unpack_tensors([message] * 2, max_values=11)
    with pytest.raises(BadMessage, match="of shape"):
        unpack_tensors([Tensor(dtype="float32", size=[2**32 - 1] * 200_000)], max_values=1000)


# Tensors in parts


@pytest.mark.parametrize("num_bytes", [0, 4, STREAM_PART_BYTES, STREAM_PART_BYTES + 4, 3 * STREAM_PART_BYTES])
def test_tensors_in_parts_come_back(num_bytes: int) -> None:
    tensors = [values(num_bytes // 4), torch.arange(3)]
    assembler = TensorAssembler(max_bytes=4 * STREAM_PART_BYTES)
    for tensor in tensors:
        parts = list(split_tensor(pack_tensor(tensor)))
        assert parts[0].chunks == len(parts)
        assert all(len(part.buffer) <= STREAM_PART_BYTES for part in parts)
        for part in parts:
            assembler.add([part])
    assert all(torch.equal(again, tensor) for again, tensor in zip(assembler.tensors(), tensors, strict=True))


def test_parts_beyond_the_limit_are_refused() -> None:
    assembler = TensorAssembler(max_bytes=1000)
    assembler.add([Tensor(dtype="float32", size=[200], buffer=bytes(800))])
    with pytest.raises(BadMessage, match="too large"):
        assembler.add([Tensor(buffer=bytes(100))])


def test_parts_of_nothing_are_not_free() -> None:
    assembler = TensorAssembler(max_bytes=10_000)
    assembler.add([Tensor(dtype="float32")])
    with pytest.raises(BadMessage, match="too large"):
        for _ in range(1000):
            assembler.add([Tensor()])
    with pytest.raises(BadMessage, match="too large"):
        TensorAssembler(max_bytes=10_000).add([Tensor(dtype="float32", size=[1] * 20_000)])


def test_too_many_tensors_in_parts_are_refused() -> None:
    assembler = TensorAssembler(max_bytes=10**6)
    assembler.add([Tensor(dtype="float32", size=[0])] * MAX_TENSORS)
    with pytest.raises(BadMessage, match="more than 16 tensors"):
        assembler.add([Tensor(dtype="float32", size=[0])])


def test_a_part_before_any_head_and_parts_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(BadMessage, match="lacks its dtype"):
        TensorAssembler(max_bytes=1000).add([Tensor(buffer=b"abcd")])
    assembler = TensorAssembler(max_bytes=1000)
    assembler.add([Tensor(dtype="float32", size=[3], buffer=b"abcd"), Tensor(buffer=b"abc")])
    with pytest.raises(BadMessage, match="7 bytes"):
        assembler.tensors()


# Metadata

METADATA: dict[str, Any] = {
    "session_id": "0b0a",
    "max_length": 2**40,
    "points": 0.5,
    "active_adapter": None,
    "args_structure": ((b"__T0", b"__T1", b"__T0"), {}),
    "next_servers": [("peer", "session", 0, 3), ()],
    "left_padding": (0, 3),
    "pushed": True,
    "é": {"a": [1, (2, [3])]},
}


def test_metadata_is_hiveminds_both_ways() -> None:
    assert pack_metadata(METADATA) == MSGPackSerializer.dumps(METADATA)
    assert unpack_metadata(MSGPackSerializer.dumps(METADATA)) == METADATA
    assert MSGPackSerializer.loads(pack_metadata(METADATA)) == METADATA
    assert unpack_metadata(b"") == {}


SIMPLE = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary())
NESTED = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=10,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict | list | tuple):
        children = value.values() if isinstance(value, dict) else value
        return 1 + max((depth_of(child) for child in children), default=0)
    return 0


@given(st.dictionaries(st.text(), NESTED, max_size=4))
def test_any_metadata_is_hiveminds_both_ways(metadata: dict[str, Any]) -> None:
    packed = pack_metadata(metadata)
    assert packed == MSGPackSerializer.dumps(metadata)
    if depth_of(metadata) <= 8:
        assert repr(unpack_metadata(packed)) == repr(metadata)  # NaN is not equal to itself
    else:
        with pytest.raises(BadMessage, match="nested too deeply"):
            unpack_metadata(packed)


@given(st.binary(max_size=400))
def test_random_bytes_are_metadata_or_refused(data: bytes) -> None:
    for each in (data, b"\x81\xa1a" + data, b"\x82\xa1a\xc0\xa1b" + data):
        try:
            metadata = unpack_metadata(each)
        except BadMessage as error:
            assert len(str(error)) < 300
            continue
        assert isinstance(metadata, dict) and all(isinstance(key, str) for key in metadata)


def nested_tuples(depth: int) -> bytes:
    packed = b"\xc0"
    for _ in range(depth):
        packed = msgpack.packb(msgpack.ExtType(0x40, b"\x91" + packed))
    return packed


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\xa1a" + b"\x91" * 8 + b"\xc0",
        b"\x81\xa1a" + b"\x91" * 900 + b"\xc0",
        b"\x81\xa1a" + b"\x91" * 200_000 + b"\xc0",
        b"\x81\xa1a" + b"\x81\xa1a" * 900 + b"\xc0",
        b"\x81\xa1a" + nested_tuples(9),
        b"\x81\xa1a" + nested_tuples(300),
        *(b"\x81\xa1a" + kind + b"\xff" * 4 for kind in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9")),
        b"\xdf\xff\xff\xff\xff",
        msgpack.packb({"a": "x" * MAX_METADATA_BYTES}),
        msgpack.packb([1]),
        msgpack.packb("a"),
        msgpack.packb({1: 2}),
        msgpack.packb({b"a": 2}),
        msgpack.packb({"a": {1: 2}}),
        b"\x81\x90\xc0",
        b"\x81\xa1a\xa2\xff\xff",
        b"\x81\xa1a\xc1",
        b"\x80\x80",
        b"\x81\xa1a\xc7\x00\x40",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_bad_metadata_is_refused_and_costs_nothing(data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(BadMessage):
        unpack_metadata(data)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 100 * len(data) + 1_000_000


def test_what_is_no_metadata_is_not_sent() -> None:
    with pytest.raises(TypeError, match="object cannot be sent"):
        pack_metadata({"a": object()})


# rpc_info


def test_info_is_read_by_petals_and_by_us() -> None:
    info = {"version": "0.1", "cache_tokens_available": 7, "extensions": ("left_padding",)}
    packed = pack_info(info, 3, hidden_size=64, dtype=torch.bfloat16)
    theirs = MSGPackSerializer.loads(packed)
    (hidden_states,), keywords = theirs["forward_schema"]
    assert keywords == {} and hidden_states.size == (None, 1, 2048, 64) and hidden_states.dtype == torch.bfloat16
    assert len(theirs["inference_schema"][0]) == 3 and len(theirs["outputs_schema"]) == 1
    assert unpack_info(packed) == info | {"keyword_names": ()}
    assert unpack_info(pack_info(info, None, hidden_size=64, dtype=torch.float32)) == info
    with pytest.raises(BadMessage):
        unpack_info(b"\x90")


# Arguments


def test_arguments_stand_where_the_structure_says() -> None:
    assert arrange_arguments("abc", None) == ["a", "b", "c"]
    assert arrange_arguments("ab", ((b"__T1", b"__T0", b"__T0"), {})) == ["b", "a", "a"]
    assert arrange_arguments("ab", [[b"__T1"], {}]) == ["b"]
    assert arrange_arguments("ab", ((), {})) == []


@pytest.mark.parametrize(
    "structure",
    [
        *(5, "x", (), ((),), ((b"__T0",), []), ((b"__T0",), {}, 1), {"a": 1}, (b"__T0", {})),
        *(((name,), {}) for name in (b"__T2", b"__T-1", b"__T", b"__T0x", b"__T\xd9\xa3", "__T0", 0, None, b"", [])),
        ((b"__T" + b"9" * 5000,), {}),
        ((b"__T0",) * 17, {}),
    ],
    ids=lambda structure: repr(structure)[:40],
)
def test_a_structure_that_names_no_tensors_is_refused(structure: object) -> None:
    with pytest.raises(BadMessage):
        arrange_arguments("ab", structure)


@given(NESTED)
def test_any_structure_is_followed_or_refused(structure: object) -> None:
    try:
        arranged = arrange_arguments("ab", structure)
    except BadMessage:
        return
    assert set(arranged) <= {"a", "b"}


@given(st.text())
def test_a_strangers_text_becomes_one_short_printable_line(text: str) -> None:
    line = in_one_line(text)
    assert line.isprintable() and len(line) <= 310


def test_numbers_that_are_no_numbers_travel() -> None:
    assert math.isnan(unpack_metadata(pack_metadata({"a": math.nan}))["a"])
