"""The RPCs that servers and clients share with Petals: names, framing, tensors, metadata.

Both sides meet here. Everything that a peer sends is checked before it is believed, and nothing is allocated because a
peer said how much it would send. See `volunteer/PROTOCOL.md`.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import msgpack
import torch
from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError, P2PHandlerError
from hivemind.proto import runtime_pb2
from hivemind.proto.p2pd_pb2 import RPCError
from hivemind.utils.serializer import MSGPackSerializer
from hivemind.utils.tensor_descr import BatchTensorDescriptor

from volunteer.swarm.compression import Compression, compress, decompress
from volunteer.swarm.pacer import Pacer
from volunteer.swarm.traffic import Traffic

_SERVICE = "TransformerConnectionHandler"  # Petals' class name, which is part of every protocol id

MAX_METADATA_BYTES = 256 * 1024
_MAX_METADATA_DEPTH = 8
MAX_UNARY_BYTES = 4 * 1024**2
"""What hivemind's daemon takes in a unary request or response; more goes through the streaming methods."""
UNARY_PAYLOAD_BYTES = 1024**2
STREAM_PART_BYTES = 2 * 1024**2
MAX_TENSORS = 16
"""In one call; the most that any of them needs is three."""
LEAVING = "This server is leaving"
"""How an error begins that sends a client to other servers at once; nothing is wrong with the one that says so."""
_MAX_FIELDS = 64
_UNSCANNED_BYTES = 4096
_UNCOUNTED_BYTES = 64 * 1024
_MAX_ERROR_BYTES = 64 * 1024
_MAX_ERROR_TEXT = 300

Tensor = runtime_pb2.Tensor
ExpertUID = runtime_pb2.ExpertUID
ExpertInfo = runtime_pb2.ExpertInfo
ExpertRequest = runtime_pb2.ExpertRequest
ExpertResponse = runtime_pb2.ExpertResponse

Message = TypeVar("Message")


class Method(StrEnum):
    """libp2p protocol ids of the RPCs."""

    INFO = f"{_SERVICE}.rpc_info"
    INFERENCE = f"{_SERVICE}.rpc_inference"
    PUSH = f"{_SERVICE}.rpc_push"
    PUSH_STREAM = f"{_SERVICE}.rpc_push_stream"
    """Ours: many pushed steps, without answers."""
    SETTLE = f"{_SERVICE}.rpc_settle"
    """Ours: a client's signature for what a session gave it."""
    FORWARD = f"{_SERVICE}.rpc_forward"
    FORWARD_STREAM = f"{_SERVICE}.rpc_forward_stream"
    BACKWARD = f"{_SERVICE}.rpc_backward"
    BACKWARD_STREAM = f"{_SERVICE}.rpc_backward_stream"


class BadMessage(ValueError):
    """What a peer sent is not what the protocol says."""


class Refused(Exception):
    """A sound request that this server does not grant now."""


class RemoteError(Exception):
    """The peer answered with an error; the text is the peer's, in one short line."""

    def __init__(self, text: str):
        super().__init__(in_one_line(text))


class PeerLost(Exception):
    """The connection to the peer could not be opened, or it broke or ended early."""


class StreamEnded(PeerLost):
    """The peer closed the connection between two messages: hivemind's servers end a stream of answers so."""


def in_one_line(text: str) -> str:
    """A stranger's text as it may be logged and shown: short, and nothing in it that a terminal obeys."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 2 * _MAX_ERROR_TEXT]).split())
    return line if len(line) <= _MAX_ERROR_TEXT else f"{line[:_MAX_ERROR_TEXT]}..."


@contextlib.contextmanager
def peer_errors() -> Iterator[None]:
    """Turns what hivemind and the operating system raise about a peer into `RemoteError` and `PeerLost`."""
    try:
        yield
    except P2PHandlerError as error:
        raise RemoteError(str(error)) from error
    except (P2PDaemonError, OSError, EOFError, TimeoutError) as error:
        raise PeerLost(f"{type(error).__name__}: {error}") from error


class Inbox:
    """How many bytes of long messages a server holds at one time, over all of its streams, and of one peer.

    What has come is counted, not what a sender says will come. Short messages, as of single tokens, are not counted: a
    flood of long ones does not stop them.
    """

    def __init__(self, max_bytes: int):
        self.free_bytes = max_bytes
        self._max_bytes_of_peer = max_bytes // 2
        self._held_bytes: collections.Counter[str] = collections.Counter()

    def take(self, peer_id: str, num_bytes: int) -> None:
        """Raises Refused when there is no room."""
        if num_bytes > self.free_bytes or self._held_bytes[peer_id] + num_bytes > self._max_bytes_of_peer:
            raise Refused("This server has too many unanswered bytes")
        self.free_bytes -= num_bytes
        self._held_bytes[peer_id] += num_bytes

    def give_back(self, peer_id: str, num_bytes: int) -> None:
        self.free_bytes += num_bytes
        self._held_bytes[peer_id] -= num_bytes
        if self._held_bytes[peer_id] <= 0:
            del self._held_bytes[peer_id]


class MessageStream:
    """Protobuf messages over one libp2p stream, in hivemind's framing: a marker, 8 bytes of length, the message.

    Unlike hivemind's stub it notices a peer that dies while an answer is awaited, and it bounds what it reads.

    Args:
        max_message_bytes: a longer message is refused before any of it is read.
        inbox: where the bytes of a message are counted, from their arrival until the next message is read.
        peer_id: who is at the other end, for the inbox.
        pacer: when messages may go.
        traffic: counts what comes and goes.
    """

    _MESSAGE = b"\x00"
    _ERROR = b"\x01"

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        max_message_bytes: int,
        inbox: Inbox | None = None,
        peer_id: str = "",
        pacer: Pacer | None = None,
        traffic: Traffic | None = None,
    ):
        self._reader = reader
        self._writer = writer
        self._max_message_bytes = max_message_bytes
        self._inbox = inbox
        self._peer_id = peer_id
        self._pacer = pacer
        self._traffic = traffic or Traffic()
        self._counted_bytes = 0

    async def send(self, message: Any) -> None:
        """Raises PeerLost when the peer is gone."""
        data = message.SerializeToString()
        if self._pacer is not None:
            await self._pacer.spend(len(data))
        await self._write(self._MESSAGE, data)

    async def send_error(self, text: str) -> None:
        await self._write(self._ERROR, RPCError(message=text).SerializeToString())

    async def send_end(self) -> None:
        """Says that no more requests follow. For clients: hivemind's stub would read it as an error in an answer."""
        await self._write(self._ERROR, b"")

    async def receive(self, message_type: type[Message], *, keep: bool = False) -> Message | None:
        """The next message, or None once the peer has said that no more follow.

        Args:
            keep: the caller keeps the messages before this one: they stay in the inbox until the stream is closed.

        Raises:
            RemoteError: the peer sent an error.
            PeerLost: the connection broke; StreamEnded when it was closed between two messages.
            BadMessage: too long, or not a message of this type.
            Refused: the inbox is full.
        """
        if not keep:
            self._forget_counted()
        try:
            head = await self._reader.readexactly(9)
            is_error = head[:1] == self._ERROR
            if not is_error and head[:1] != self._MESSAGE:
                raise BadMessage(f"unknown marker {head[:1]!r}")
            num_bytes, max_bytes = int.from_bytes(head[1:], "big"), self._max_message_bytes
            if is_error:
                max_bytes = min(max_bytes, _MAX_ERROR_BYTES)
            if num_bytes > max_bytes:
                raise BadMessage(f"a message of {num_bytes} bytes, at most {max_bytes} are read")
            data = await self._read(num_bytes, is_counted=keep or num_bytes > _UNCOUNTED_BYTES)
        except asyncio.IncompleteReadError as error:
            lost = PeerLost if error.partial else StreamEnded
            raise lost("the connection was closed") from error
        except OSError as error:
            raise PeerLost(str(error)) from error
        self._traffic.received_bytes += len(head) + len(data)
        if not is_error:
            return parse_message(message_type, data)
        error_message: Any = parse_message(RPCError, data)
        text = error_message.message
        if text:
            # protobuf gives bytes where a text of its older syntax is no UTF-8
            raise RemoteError(text if isinstance(text, str) else repr(text))
        return None

    def close(self) -> None:
        self._forget_counted()
        self._writer.close()

    def abort(self) -> None:
        """Closes at once, whatever has not been sent; whoever is sending gets PeerLost."""
        self._forget_counted()
        self._writer.transport.abort()

    async def close_within(self, timeout_s: float) -> None:
        """Closes once everything is sent; a peer that does not read it in time is cut off."""
        self.close()
        try:
            async with asyncio.timeout(timeout_s):
                await self._writer.wait_closed()
        except (TimeoutError, OSError):
            pass
        finally:
            self._writer.transport.abort()

    async def _read(self, num_bytes: int, *, is_counted: bool) -> bytes:
        if self._inbox is None or not is_counted:
            return await self._reader.readexactly(num_bytes)
        parts: list[bytes] = []
        left_bytes = num_bytes
        while left_bytes > 0:
            part = await self._reader.read(left_bytes)
            if not part:
                raise asyncio.IncompleteReadError(b"".join(parts[:1]) or b" ", num_bytes)
            self._inbox.take(self._peer_id, len(part))
            self._counted_bytes += len(part)
            parts.append(part)
            left_bytes -= len(part)
        return b"".join(parts)

    def _forget_counted(self) -> None:
        if self._inbox is not None and self._counted_bytes:
            self._inbox.give_back(self._peer_id, self._counted_bytes)
            self._counted_bytes = 0

    async def _write(self, marker: bytes, data: bytes) -> None:
        head = marker + len(data).to_bytes(8, "big")
        self._traffic.sent_bytes += len(head) + len(data)
        try:
            self._writer.writelines((head, data))
            await self._writer.drain()
        except (OSError, RuntimeError) as error:  # RuntimeError: the transport is closing already
            raise PeerLost(str(error)) from error


def parse_message(message_type: type[Message], data: bytes) -> Message:
    """Raises BadMessage unless `data` is a protobuf of this type with a sensible number of parts."""
    _check_fields(data)
    message: Any = message_type()
    try:
        message.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError has no public base of its own
        raise BadMessage(f"undecodable message: {error}") from error
    parsed: Message = message
    return parsed


def _check_fields(data: bytes) -> None:
    """Counts the outermost fields without parsing: an empty tensor takes two bytes here, and a hundred once parsed."""
    if len(data) <= _UNSCANNED_BYTES:
        return
    at = 0
    for _ in range(_MAX_FIELDS):
        if at >= len(data):
            return
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                _, at = _varint(data, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(data, at)
                at += length
            case 5:
                at += 4
            case _:
                raise BadMessage("undecodable message")
    if at < len(data):
        raise BadMessage(f"a message of more than {_MAX_FIELDS} parts")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at this place of a protobuf, and the place after it."""
    number = 0
    for index, byte in enumerate(data[at : at + 10]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, at + index + 1
    raise BadMessage("undecodable message")


_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_MAX_VALUES = 2**40  # far more than any message holds, and so few that torch can multiply the sizes


def pack_tensor(tensor: torch.Tensor, compression: Compression = Compression.NONE) -> Any:
    """A tensor on the CPU as a protobuf `Tensor`; bfloat16 travels as its two bytes."""
    tensor = tensor.detach()
    if compression is not Compression.NONE and tensor.is_floating_point() and tensor.numel() > 0:
        # hivemind decompresses through NumPy, which has no bfloat16
        dtype = torch.float32 if tensor.dtype == torch.bfloat16 else tensor.dtype
        return Tensor(
            compression=int(compression),
            buffer=compress(tensor, compression),
            size=tensor.shape,
            dtype=_DTYPE_NAMES[dtype],
        )
    raw = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
    return Tensor(
        compression=int(Compression.NONE),
        buffer=raw.numpy().tobytes(),
        size=tensor.shape,
        dtype=_DTYPE_NAMES[tensor.dtype],
    )


def unpack_tensors(messages: Sequence[Any], *, max_values: int) -> list[torch.Tensor]:
    """All tensors of one call.

    Raises:
        BadMessage: there are more than any call needs, they hold more than `max_values` numbers, or one is bad.
    """
    if len(messages) > MAX_TENSORS:
        raise BadMessage(f"{len(messages)} tensors in one call")
    if sum(math.prod(_shape(message)) for message in messages) > max_values:
        raise BadMessage(f"the tensors of this call hold more than {max_values} numbers")
    return [unpack_tensor(message) for message in messages]


def unpack_tensor(message: Any) -> torch.Tensor:
    """The tensor in a protobuf `Tensor`, of the shape and dtype it says.

    Raises:
        BadMessage: shape, dtype and bytes do not fit one another.
    """
    dtype = _DTYPES.get(message.dtype)
    if dtype is None:
        raise BadMessage(f"tensors of dtype {message.dtype[:20]!r} are not taken")
    shape = _shape(message)
    try:
        compression = Compression(message.compression)
    except ValueError:
        raise BadMessage(f"unknown compression {message.compression}") from None
    if compression is Compression.NONE:
        stored = dtype
        if dtype is torch.bfloat16 and len(message.buffer) == 4 * math.prod(shape):
            stored = torch.float32  # hivemind's older way to send bfloat16
        return _from_bytes(message.buffer, stored, shape).to(dtype)
    if not dtype.is_floating_point:
        raise BadMessage(f"{message.dtype} cannot be compressed")
    try:
        return decompress(message.buffer, compression, shape).to(dtype)
    except ValueError as error:
        raise BadMessage(f"a compressed tensor of shape {shape}: {error}") from error


def _shape(message: Any) -> tuple[int, ...]:
    shape = tuple(message.size[:8])
    if len(shape) > 4 or math.prod(max(size, 1) for size in shape) > _MAX_VALUES:
        raise BadMessage(f"a tensor of shape {shape}")
    return shape


def _from_bytes(buffer: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    if len(buffer) != math.prod(shape) * dtype.itemsize:
        raise BadMessage(f"{len(buffer)} bytes for a {dtype} tensor of shape {shape}")
    if not buffer:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(buffer), dtype=dtype).reshape(shape)


def split_tensor(message: Any) -> Iterator[Any]:
    """Parts of a packed tensor for a stream; only the first carries shape and dtype."""
    buffer = message.buffer
    parts = range(0, max(len(buffer), 1), STREAM_PART_BYTES)
    yield Tensor(
        compression=message.compression,
        buffer=buffer[:STREAM_PART_BYTES],
        chunks=len(parts),
        size=message.size,
        dtype=message.dtype,
        requires_grad=message.requires_grad,
    )
    for offset in parts[1:]:
        yield Tensor(buffer=buffer[offset : offset + STREAM_PART_BYTES])


class TensorAssembler:
    """Puts the parts of streamed tensors together again.

    Args:
        max_bytes: of all parts together.
    """

    def __init__(self, *, max_bytes: int):
        self._left_bytes = max_bytes
        self._heads: list[Any] = []
        self._buffers: list[list[bytes]] = []

    def add(self, parts: Iterable[Any]) -> None:
        """Raises BadMessage when it gets too much, or a part before any head."""
        for part in parts:
            self._left_bytes -= part.ByteSize() + 64
            if self._left_bytes < 0:
                raise BadMessage("the tensors of this call are too large")
            if part.dtype:
                if len(self._heads) == MAX_TENSORS:
                    raise BadMessage(f"more than {MAX_TENSORS} tensors in one call")
                self._heads.append(part)
                self._buffers.append([])
            elif not self._heads:
                raise BadMessage("the first part of a tensor lacks its dtype")
            self._buffers[-1].append(part.buffer)

    def messages(self) -> list[Any]:
        """All tensors so far, packed as one message each."""
        for head, buffers in zip(self._heads, self._buffers, strict=True):
            head.buffer = b"".join(buffers)
            buffers[:] = [head.buffer]
        return self._heads

    def tensors(self) -> list[torch.Tensor]:
        """All tensors so far; raises BadMessage as `unpack_tensor` does."""
        return [unpack_tensor(message) for message in self.messages()]


_TUPLE_EXT_TYPE = 0x40  # hivemind's MSGPackSerializer


def pack_metadata(metadata: dict[str, Any]) -> bytes:
    """msgpack with tuples kept apart from lists, as hivemind writes it."""

    def encode(value: object) -> object:
        if isinstance(value, tuple):
            packed = msgpack.packb(list(value), strict_types=True, use_bin_type=True, default=encode)
            return msgpack.ExtType(_TUPLE_EXT_TYPE, packed)
        raise TypeError(f"{type(value).__name__} cannot be sent")

    packed: bytes = msgpack.packb(metadata, strict_types=True, use_bin_type=True, default=encode)
    return packed


def unpack_metadata(data: bytes) -> dict[str, Any]:
    """The metadata of a request; {} for none.

    Raises:
        BadMessage: too long, too deep, not msgpack, or not a dictionary with string keys.
    """
    if not data:
        return {}
    if len(data) > MAX_METADATA_BYTES:
        raise BadMessage(f"{len(data)} bytes of metadata, at most {MAX_METADATA_BYTES} are read")
    depth = 0

    def decode(code: int, packed: bytes) -> object:
        nonlocal depth
        if code != _TUPLE_EXT_TYPE:
            return packed
        depth += 1
        if depth > _MAX_METADATA_DEPTH:
            raise BadMessage("metadata nested too deeply")
        try:
            return tuple(msgpack.unpackb(packed, ext_hook=decode, raw=False, strict_map_key=True))
        finally:
            depth -= 1

    try:
        metadata = msgpack.unpackb(data, ext_hook=decode, raw=False, strict_map_key=True)
    except BadMessage:
        raise
    except Exception as error:  # msgpack raises some ten kinds of error over bad bytes
        raise BadMessage(f"undecodable metadata: {type(error).__name__} {error}") from error
    if not isinstance(metadata, dict) or not all(isinstance(key, str) for key in metadata):
        raise BadMessage("metadata is not a dictionary")
    level: list[Any] = [metadata]
    for _ in range(_MAX_METADATA_DEPTH):
        children = (child for each in level for child in (each.values() if isinstance(each, dict) else each))
        level = [child for child in children if isinstance(child, dict | list | tuple)]
    if level:
        raise BadMessage("metadata nested too deeply")
    return metadata


def pack_info(info: dict[str, Any], block: int | None, *, hidden_size: int, dtype: torch.dtype) -> bytes:
    """The answer of `rpc_info`; for a block it holds the schemas from which Petals' clients take the compression."""
    if block is not None:
        none = runtime_pb2.CompressionType.NONE
        hidden_states = BatchTensorDescriptor(1, 2048, hidden_size, dtype=dtype, compression=none)
        prompts = BatchTensorDescriptor((), dtype=dtype, compression=none)
        hypo_ids = BatchTensorDescriptor((), dtype=torch.int64, compression=none)
        info = info | {
            "forward_schema": ((hidden_states,), {}),
            "inference_schema": ((hidden_states, prompts, hypo_ids), {}),
            "outputs_schema": (hidden_states,),
            "keyword_names": (),
        }
    packed: bytes = MSGPackSerializer.dumps(info)
    return packed


def unpack_info(data: bytes) -> dict[str, Any]:
    """What a server said of itself in `rpc_info`, without the schemas: those are for Petals' clients.

    Raises:
        BadMessage: as `unpack_metadata`.
    """
    info = unpack_metadata(data)
    return {key: value for key, value in info.items() if not key.endswith("_schema")}


_ARGUMENT_NAME = re.compile(rb"__T([0-9]{1,4})")


def arrange_arguments(tensors: Sequence[Any], args_structure: object) -> list[Any]:
    """The call's positional arguments in order: `args_structure` says which packed tensor stands where.

    Petals sends equal tensor objects once: two arguments may name one tensor. Without a structure the order is as sent.

    Raises:
        BadMessage: the structure names no tensor of this call.
    """
    if args_structure is None:
        return list(tensors)
    match args_structure:
        case [[*arguments], {}]:
            pass
        case _:
            raise BadMessage("args_structure is not (arguments, {})")
    if len(arguments) > MAX_TENSORS:
        raise BadMessage(f"{len(arguments)} arguments")
    arranged = []
    for argument in arguments:
        name = _ARGUMENT_NAME.fullmatch(argument) if isinstance(argument, bytes) else None
        if name is None:
            raise BadMessage("args_structure names something that is not a tensor")
        index = int(name[1])
        if index >= len(tensors):
            raise BadMessage(f"args_structure names tensor {index}, {len(tensors)} were sent")
        arranged.append(tensors[index])
    return arranged
