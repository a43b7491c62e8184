"""Answers the RPCs of peers: checks what they sent, admits sessions, hands the work to the compute thread.

Speaks Petals' protocol; our additions are optional metadata (see `volunteer/PROTOCOL.md`). A caller's mistake becomes
an error for that caller alone.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import importlib.metadata
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from volunteer.server.compute import ComputeThread, Priority
from volunteer.server.kv_cache import KVRoom, KVRoomFull, SessionCache
from volunteer.server.span import Span
from volunteer.swarm.compression import Compression
from volunteer.swarm.node import Service
from volunteer.swarm.records import block_uid, parse_block_uids
from volunteer.swarm.rpc import (
    MAX_UNARY_BYTES,
    BadMessage,
    ExpertInfo,
    ExpertRequest,
    ExpertResponse,
    ExpertUID,
    MessageStream,
    Method,
    PeerLost,
    Refused,
    RemoteError,
    TensorAssembler,
    arrange_arguments,
    pack_info,
    pack_metadata,
    pack_tensor,
    split_tensor,
    unpack_metadata,
    unpack_tensors,
)

logger = logging.getLogger(__name__)

EXTENSIONS = ("left_padding",)
"""Additions to Petals' protocol that this server understands, as its record names them."""

MAX_BATCH_TOKENS = 8192
"""Tokens over all rows in one call; Petals' clients cut theirs to 1,024."""
_PREFILL_CHUNK_TOKENS = 512
"""Rows x tokens that run without giving way to other sessions; it also bounds the attention scores in memory."""
_MAX_SQUARED_TOKENS = 2048**2
"""Rows x tokens x tokens in a call without a cache, where attention keeps all its scores: as many as the last prefill
chunk of the longest session has."""
_STEP_TIMEOUT_S = 300.0
_SESSION_TIMEOUT_S = 1800.0
_CALL_TIMEOUT_S = 180.0
_MAX_ALLOC_TIMEOUT_S = 600.0
_MAX_STREAMS = 1024
_MAX_STREAMS_PER_PEER = 128
_MAX_CALLS = 64
_MAX_QUEUED_STEPS = 8
_MAX_REMEMBERED_STEPS = 1024
_MAX_NEXT_SERVERS = 64
_MAX_PUSHES = 64
"""That are on their way to other servers, and that wait here; more are dropped, the clients send their own copies."""
_MAX_ID_LENGTH = 100
_MIN_INBOX_BYTES = 512 * 1024**2
_MIN_PARAMETER_BYTES = 64 * 1024
"""For prompts, hypotheses and metadata beside the hidden states of the smallest models."""


class TooBusy(Refused):
    """This server has as many open calls, in all or of this peer, as it takes."""


@dataclass
class Served:
    """What this server has done for others since it started."""

    tokens: int = 0
    """Rows x new tokens of all inference steps, each counted once for the whole span."""
    sessions: int = 0
    last_request_at: float | None = None
    """`time.monotonic()` of the end of the last one."""


@dataclass(frozen=True)
class _Call:
    """A checked request for some blocks of this span."""

    start: int
    end: int
    metadata: dict[str, Any]


@dataclass
class _Session:
    """One client's inference session here."""

    session_id: str | None
    batch_size: int
    call: _Call
    cache: SessionCache
    requests: asyncio.Queue[Any] = field(default_factory=lambda: asyncio.Queue(_MAX_QUEUED_STEPS))
    """From the client's stream and pushed by other servers; None ends the session, an exception fails it."""
    seen_steps: collections.OrderedDict[str, None] = field(default_factory=collections.OrderedDict)

    def is_repeated(self, step_id: object) -> bool:
        """A step reaches us twice when a server pushes it and the client sends it: the first copy counts."""
        if not isinstance(step_id, str) or len(step_id) > _MAX_ID_LENGTH:
            return False
        if step_id in self.seen_steps:
            return True
        self.seen_steps[step_id] = None
        if len(self.seen_steps) > _MAX_REMEMBERED_STEPS:
            self.seen_steps.popitem(last=False)
        return False


Push = Callable[[str, Any], Awaitable[None]]
"""Sends an `ExpertRequest` to the peer with that id as an `rpc_push`."""


class BlockService:
    """The RPCs of one span of blocks.

    Args:
        span: the blocks.
        prefix: DHT prefix of the model, with which block uids begin.
        room: KV room that sessions share.
        compute: where torch runs.
        push: how outputs go straight to the next server.
        max_length: longest session in tokens.
        dht_client_mode: told in `rpc_info`.
    """

    def __init__(
        self,
        span: Span,
        prefix: str,
        room: KVRoom,
        compute: ComputeThread,
        push: Push,
        *,
        max_length: int,
        dht_client_mode: bool = False,
    ):
        self.served = Served()
        self._span = span
        self._prefix = prefix
        self._room = room
        self._compute = compute
        self._push = push
        self._max_length = max_length
        self._dht_client_mode = dht_client_mode
        self._sessions: dict[str, _Session] = {}
        self._streams_of: collections.Counter[str] = collections.Counter()
        self._open_calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._accepts_sessions = True
        self._tasks: set[asyncio.Task[None]] = set()

    def service(self) -> Service:
        """What `SwarmNode.serve` takes."""
        hidden_bytes = MAX_BATCH_TOKENS * self._span.family.hidden_size * 4
        max_message_bytes = hidden_bytes + max(_MIN_PARAMETER_BYTES, hidden_bytes // 8) + 1024 * 1024
        return Service(
            unary={
                Method.INFO: (ExpertUID, self.rpc_info),
                Method.PUSH: (ExpertRequest, self.rpc_push),
                Method.FORWARD: (ExpertRequest, self.rpc_forward),
                Method.BACKWARD: (ExpertRequest, self.rpc_backward),
            },
            streams={
                Method.INFERENCE: self.rpc_inference,
                Method.FORWARD_STREAM: self.rpc_forward_stream,
                Method.BACKWARD_STREAM: self.rpc_backward_stream,
            },
            max_message_bytes=max_message_bytes,
            inbox_bytes=max(_MIN_INBOX_BYTES, 4 * max_message_bytes),
        )

    @property
    def open_sessions(self) -> int:
        return sum(self._streams_of.values())

    @property
    def free_kv_tokens(self) -> int:
        """Free KV room, in tokens of one row in one block."""
        return self._room.free_tokens

    async def idle(self) -> None:
        """Returns once no session and no streamed call is open."""
        await self._idle.wait()

    def refuse_new_sessions(self) -> None:
        """From now on new sessions are answered with an error; the open ones go on."""
        self._accepts_sessions = False

    # The RPCs

    async def rpc_info(self, request: Any, caller: str) -> Any:
        """What a client needs to know of a block, and the load of this server."""
        info: dict[str, Any] = {
            "version": importlib.metadata.version("petals-volunteer"),
            "dht_client_mode": self._dht_client_mode,
            "cache_tokens_available": self.free_kv_tokens,
            "extensions": EXTENSIONS,
            "served_tokens": self.served.tokens,
        }
        block = None
        if request.uid:
            block = self._check_uids(request.uid).start
        packed = pack_info(info, block, hidden_size=self._span.family.hidden_size, dtype=self._span.dtype)
        return ExpertInfo(serialized_info=packed)

    async def rpc_inference(self, stream: MessageStream, caller: str) -> None:
        """Steps of one session, answered in order, with its KV cache kept between them."""
        with self._admitted(caller):
            async with asyncio.timeout(_SESSION_TIMEOUT_S):
                try:
                    async with asyncio.timeout(_STEP_TIMEOUT_S):
                        request = await stream.receive(ExpertRequest)
                except TimeoutError:
                    return
                if request is None or not request.tensors:
                    return
                async with self._opened_session(request) as session:
                    session.requests.put_nowait(request)
                    reader = asyncio.create_task(_read_requests(stream, session.requests))
                    try:
                        await self._answer_steps(session, stream)
                    finally:
                        reader.cancel()
                        await asyncio.wait((reader,))

    async def rpc_push(self, request: Any, caller: str) -> Any:
        """A step of a session that is open here, sent by the server before us instead of by the client."""
        self._check_uids(request.uid)
        metadata = unpack_metadata(request.metadata)
        session_id = metadata.get("session_id")
        session = self._sessions.get(session_id) if isinstance(session_id, str) else None
        waiting = sum(each.requests.qsize() for each in self._sessions.values())
        if session is None or session.requests.full() or waiting >= _MAX_PUSHES:
            return ExpertResponse()  # a dropped one is no loss: the client sends its own copy
        # Petals' servers push a step with the prompts and hypo_ids of the session's first step: wrong for beams, and
        # for prompts that came with the first step alone.
        if session.batch_size == 1 and len(request.tensors) == 3 and 0 in request.tensors[1].size:
            session.requests.put_nowait(request)
        return ExpertResponse()

    async def rpc_forward(self, request: Any, caller: str) -> Any:
        """Whole sequences, without a cache: [batch, tokens, hidden] both ways."""
        return await self._unary_call(request, self._forward)

    async def rpc_backward(self, request: Any, caller: str) -> Any:
        """Gradients of `rpc_forward`'s inputs, which are sent again."""
        return await self._unary_call(request, self._backward)

    async def rpc_forward_stream(self, stream: MessageStream, caller: str) -> None:
        await self._streamed_call(stream, caller, self._forward)

    async def rpc_backward_stream(self, stream: MessageStream, caller: str) -> None:
        await self._streamed_call(stream, caller, self._backward)

    # Sessions

    @contextlib.asynccontextmanager
    async def _opened_session(self, request: Any) -> AsyncIterator[_Session]:
        if not self._accepts_sessions:
            raise TooBusy("This server is leaving and takes no new sessions")
        call = self._check_call(request.uid, unpack_metadata(request.metadata))
        metadata = call.metadata
        shape = tuple(request.tensors[0].size[:8])
        if len(shape) != 3 or not 1 <= shape[0] <= MAX_BATCH_TOKENS:
            raise BadMessage(f"hidden states of shape {shape}")
        batch_size = shape[0]
        max_length = _int(metadata, "max_length")
        if not 0 <= max_length <= self._max_length:
            raise BadMessage(f"Cannot allocate KV cache for {max_length} tokens, max = {self._max_length}")
        alloc_timeout_s = metadata.get("alloc_timeout") or 0.0
        if not isinstance(alloc_timeout_s, int | float) or not alloc_timeout_s >= 0:
            raise BadMessage("alloc_timeout is not a number of seconds")
        left_padding = _left_padding(metadata.get("left_padding"), batch_size, max_length)
        session_id = metadata.get("session_id")
        if session_id is not None and (not isinstance(session_id, str) or len(session_id) > _MAX_ID_LENGTH):
            raise BadMessage("session_id is not a short string")
        num_tokens = batch_size * max_length * (call.end - call.start)
        async with self._reserved(num_tokens, min(alloc_timeout_s, _MAX_ALLOC_TIMEOUT_S)):
            if session_id in self._sessions:
                raise BadMessage(f"session id {session_id} is not unique")
            cache = SessionCache(start=call.start, end=call.end, max_length=max_length, left_padding=left_padding)
            session = _Session(session_id, batch_size, call, cache)
            if session_id is not None:
                self._sessions[session_id] = session
            self.served.sessions += 1
            try:
                yield session
            finally:
                if session_id is not None:
                    del self._sessions[session_id]

    @contextlib.asynccontextmanager
    async def _reserved(self, num_tokens: int, timeout_s: float) -> AsyncIterator[None]:
        try:
            async with self._room.reserve(num_tokens, timeout_s=timeout_s):
                yield
        except KVRoomFull as error:
            raise TooBusy(str(error)) from error

    async def _answer_steps(self, session: _Session, stream: MessageStream) -> None:
        while True:
            try:
                async with asyncio.timeout(_STEP_TIMEOUT_S):
                    request = await session.requests.get()
            except TimeoutError:
                return
            if isinstance(request, Exception):
                raise request
            if request is None or not request.tensors:
                return
            metadata = unpack_metadata(request.metadata)
            is_repeated = session.is_repeated(metadata.get("step_id"))
            if metadata.get("pushed"):
                logger.debug("A pushed step came %s the client's copy", "after" if is_repeated else "before")
            if not is_repeated:
                outputs, can_push = await self._step(session, request, metadata)
                packed = pack_tensor(outputs)
                if can_push and metadata.get("next_servers"):
                    self._push_outputs(session, request, packed, metadata)
                async with asyncio.timeout(_STEP_TIMEOUT_S):
                    await stream.send(ExpertResponse(tensors=[packed]))
            session.requests.task_done()

    async def _step(self, session: _Session, request: Any, metadata: dict[str, Any]) -> tuple[torch.Tensor, bool]:
        structure = session.call.metadata.get("args_structure")
        arguments = arrange_arguments(self._unpack(request.tensors), structure)
        if len(arguments) < 3:
            raise BadMessage(f"a step has hidden states, prompts and hypo_ids; {len(arguments)} tensors were sent")
        hidden_states, prompts, hypo_ids = arguments[:3]
        self._check_hidden_states(hidden_states, session.batch_size)
        num_blocks = session.call.end - session.call.start
        checked_prompts = self._check_prompts(prompts, num_blocks, hidden_states)
        checked_hypo_ids = _check_hypo_ids(hypo_ids, session.batch_size)
        position = metadata.get("start_from_position")
        if position is not None and (not isinstance(position, int) or isinstance(position, bool)):
            raise BadMessage("start_from_position is not a whole number")

        chunk_tokens = max(1, _PREFILL_CHUNK_TOKENS // session.batch_size)
        outputs = []
        priority = Priority.DECODE if hidden_states.shape[1] <= 1 else Priority.PREFILL
        for number, chunk in enumerate(hidden_states.split(chunk_tokens, dim=1)):
            outputs.append(
                await self._compute.run(
                    priority,
                    self._span.step,
                    chunk,
                    session.cache,
                    prompts=_from_position(checked_prompts, number * chunk_tokens, chunk.shape[1]),
                    hypo_ids=checked_hypo_ids,
                    start_from_position=position,
                )
            )
            checked_hypo_ids = position = None
        self.served.tokens += hidden_states.shape[0] * hidden_states.shape[1]
        self.served.last_request_at = time.monotonic()
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1), prompts.numel() == 0

    def _push_outputs(self, session: _Session, request: Any, packed: Any, metadata: dict[str, Any]) -> None:
        """Sends the outputs of a step on to the next server, beside the answer to the client."""
        match metadata["next_servers"]:
            case [[str() as peer_id, str() as session_id, int() as start, int() as end], *later] if (
                0 <= start < end <= start + self._span.family.num_blocks
                and len(later) < _MAX_NEXT_SERVERS
                and max(len(peer_id), len(session_id)) <= _MAX_ID_LENGTH
            ):
                pass
            case _:
                raise BadMessage("next_servers is not a list of (peer id, session id, start, end)")
        pushed = ExpertRequest(
            uid=" ".join(block_uid(self._prefix, index) for index in range(start, end)),
            tensors=[packed, *request.tensors[1:]],
            metadata=pack_metadata(metadata | {"session_id": session_id, "next_servers": later, "pushed": True}),
        )
        if pushed.ByteSize() > MAX_UNARY_BYTES - 1024 or len(self._tasks) >= _MAX_PUSHES:
            return

        async def push() -> None:
            try:
                await self._push(peer_id, pushed)
            except (PeerLost, RemoteError, ValueError) as error:
                logger.debug("Could not push a step to %s: %s", peer_id, error)

        task = asyncio.create_task(push())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Calls without a session

    async def _unary_call(self, request: Any, run: Callable[[_Call, list[torch.Tensor]], Awaitable[list[Any]]]) -> Any:
        with self._counted_call():
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                call = self._check_call(request.uid, unpack_metadata(request.metadata))
                tensors = self._unpack(request.tensors)
                response = ExpertResponse(tensors=await run(call, tensors))
        if response.ByteSize() > MAX_UNARY_BYTES - 1024:
            # hivemind 1.1.12 would drop it, and the caller would wait for ever.
            raise BadMessage("The answer is too large for a unary call; use the streaming one")
        return response

    async def _streamed_call(
        self,
        stream: MessageStream,
        caller: str,
        run: Callable[[_Call, list[torch.Tensor]], Awaitable[list[Any]]],
    ) -> None:
        with self._admitted(caller):
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                call, tensors = await self._receive_call(stream)
                with self._counted_call():  # not before: it would take nothing to keep all others from calling
                    answers = await run(call, tensors)
                for packed in answers:
                    for part in split_tensor(packed):
                        await stream.send(ExpertResponse(tensors=[part]))

    async def _receive_call(self, stream: MessageStream) -> tuple[_Call, list[torch.Tensor]]:
        max_bytes = 2 * MAX_BATCH_TOKENS * self._span.family.hidden_size * 4
        assembler = TensorAssembler(max_bytes=max_bytes + max_bytes // 2 + _MIN_PARAMETER_BYTES)
        first = None
        while (request := await stream.receive(ExpertRequest, keep=True)) is not None:
            first = first or request
            if request.uid != first.uid:
                raise BadMessage("Block uids differ in one request")
            assembler.add(request.tensors)
        if first is None:
            raise BadMessage("an empty request")
        return self._check_call(first.uid, unpack_metadata(first.metadata)), self._unpack(assembler.messages())

    async def _forward(self, call: _Call, tensors: list[torch.Tensor]) -> list[Any]:
        arguments = arrange_arguments(tensors, call.metadata.get("args_structure"))
        if not arguments:
            raise BadMessage("a forward pass needs hidden states")
        hidden_states = arguments[0]
        self._check_hidden_states(hidden_states)
        prompts = arguments[1] if len(arguments) > 1 else None
        checked_prompts = self._check_prompts(prompts, call.end - call.start, hidden_states)
        compressions = _output_compressions(call.metadata, 1)
        outputs = hidden_states
        # A block at a time: others have their turns in between, and a caller who has left is not computed for.
        for number, block in enumerate(range(call.start, call.end)):
            outputs = await self._compute.run(
                Priority.FORWARD,
                self._span.forward,
                outputs,
                block,
                block + 1,
                prompts=_of_block(checked_prompts, number),
            )
        return [await self._packed(outputs, compressions[0])]

    async def _backward(self, call: _Call, tensors: list[torch.Tensor]) -> list[Any]:
        arguments = arrange_arguments(tensors, call.metadata.get("args_structure"))
        if len(arguments) < 2:
            raise BadMessage("a backward pass needs inputs and the gradients of the outputs")
        hidden_states, grad_outputs = arguments[:2]
        self._check_hidden_states(hidden_states)
        self._check_hidden_states(grad_outputs)
        if grad_outputs.shape != hidden_states.shape:
            raise BadMessage(f"gradients of shape {tuple(grad_outputs.shape)} for {tuple(hidden_states.shape)}")
        prompts = arguments[2] if len(arguments) > 2 else None
        checked_prompts = self._check_prompts(prompts, call.end - call.start, hidden_states)
        compressions = _output_compressions(call.metadata, 1 if checked_prompts is None else 2)
        # A block at a time, as forwards; computed twice, so that memory holds what autograd keeps of one block alone.
        inputs = [hidden_states]
        for number, block in enumerate(range(call.start, call.end - 1)):
            prompt = _of_block(checked_prompts, number)
            inputs.append(
                await self._compute.run(
                    Priority.BACKWARD, self._span.forward, inputs[-1], block, block + 1, prompts=prompt
                )
            )
        gradient = grad_outputs
        grad_prompts: list[torch.Tensor] = []
        for number, block in reversed(tuple(enumerate(range(call.start, call.end)))):
            prompt = _of_block(checked_prompts, number)
            gradient, *grad_prompt = await self._compute.run(
                Priority.BACKWARD, self._span.backward, inputs.pop(), gradient, block, block + 1, prompts=prompt
            )
            grad_prompts = grad_prompt + grad_prompts
        gradients = [gradient] if checked_prompts is None else [gradient, torch.cat(grad_prompts)]
        return [await self._packed(each, how) for each, how in zip(gradients, compressions, strict=True)]

    async def _packed(self, tensor: torch.Tensor, compression: Compression) -> Any:
        if compression is Compression.NONE:
            return pack_tensor(tensor)
        return await self._compute.run(Priority.FORWARD, pack_tensor, tensor, compression)

    # Checks

    def _unpack(self, tensors: Sequence[Any]) -> list[torch.Tensor]:
        hidden_values = MAX_BATCH_TOKENS * self._span.family.hidden_size
        return unpack_tensors(tensors, max_values=3 * hidden_values + _MIN_PARAMETER_BYTES)

    def _check_uids(self, uids: str) -> range:
        span = self._span
        try:
            prefix, blocks = parse_block_uids(uids)
        except ValueError as error:
            raise BadMessage(str(error)) from error
        if prefix != self._prefix or blocks.start < span.start or blocks.stop > span.end:
            raise BadMessage(f"Remote peer does not serve {uids[:200]}")
        return blocks

    def _check_call(self, uids: str, metadata: dict[str, Any]) -> _Call:
        blocks = self._check_uids(uids)
        if metadata.get("active_adapter"):
            raise BadMessage("adapters are not served here")
        return _Call(blocks.start, blocks.stop, metadata)

    def _check_hidden_states(self, tensor: torch.Tensor, batch_size: int | None = None) -> None:
        hidden_size = self._span.family.hidden_size
        if tensor.ndim != 3 or tensor.shape[2] != hidden_size or not tensor.is_floating_point():
            raise BadMessage(
                f"{tensor.dtype} of shape {tuple(tensor.shape)} instead of floats of [batch, tokens, {hidden_size}]"
            )
        if tensor.shape[0] < 1 or (batch_size is not None and tensor.shape[0] != batch_size):
            raise BadMessage(f"a batch of {tensor.shape[0]} rows in a session of {batch_size}")
        if tensor.shape[0] * tensor.shape[1] > MAX_BATCH_TOKENS:
            raise BadMessage(f"{tensor.shape[0]} x {tensor.shape[1]} tokens at once, at most {MAX_BATCH_TOKENS}")
        if batch_size is None and self._span.family.attention == "eager":
            squared_tokens = tensor.shape[0] * tensor.shape[1] ** 2
            if squared_tokens > _MAX_SQUARED_TOKENS:
                raise BadMessage(f"{tensor.shape[0]} rows of {tensor.shape[1]} tokens are too long for a single call")
        self._check_finite(tensor)

    def _check_prompts(
        self, prompts: torch.Tensor | None, num_blocks: int, hidden_states: torch.Tensor
    ) -> torch.Tensor | None:
        if prompts is None or prompts.numel() == 0:
            return None
        batch_size, num_tokens, hidden_size = hidden_states.shape
        fits = (
            prompts.ndim == 4
            and prompts.is_floating_point()
            and prompts.shape[0] == num_blocks
            and prompts.shape[1] in (1, batch_size)
            and prompts.shape[2] <= num_tokens
            and prompts.shape[3] == hidden_size
        )
        if not fits:
            raise BadMessage(f"prompts of shape {tuple(prompts.shape)} for {num_blocks} blocks")
        self._check_finite(prompts)
        return prompts

    def _check_finite(self, tensor: torch.Tensor) -> None:
        """In the dtype in which it is computed with: a float64 may be too large for it."""
        if not torch.isfinite(tensor.to(self._span.dtype)).all():
            raise BadMessage("hidden states, prompts or gradients that are not finite numbers")

    # Admission

    @contextlib.contextmanager
    def _admitted(self, caller: str) -> Iterator[None]:
        if self._streams_of[caller] >= _MAX_STREAMS_PER_PEER or self.open_sessions >= _MAX_STREAMS:
            raise TooBusy("This server has too many open calls")
        self._streams_of[caller] += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._streams_of[caller] -= 1
            if not self._streams_of[caller]:
                del self._streams_of[caller]
            if not self._streams_of:
                self._idle.set()

    @contextlib.contextmanager
    def _counted_call(self) -> Iterator[None]:
        if self._open_calls >= _MAX_CALLS:
            raise TooBusy("This server has too many calls waiting")
        self._open_calls += 1
        try:
            yield
        finally:
            self._open_calls -= 1


async def _read_requests(stream: MessageStream, requests: asyncio.Queue[Any]) -> None:
    try:
        while True:
            await requests.join()  # a client waits for its answer anyway; so nobody can pile requests up here
            request = await stream.receive(ExpertRequest)
            await requests.put(request)
            if request is None:
                return
    except (PeerLost, RemoteError, BadMessage, Refused) as error:
        await requests.put(error)


def _of_block(prompts: torch.Tensor | None, number: int) -> torch.Tensor | None:
    return None if prompts is None else prompts[number : number + 1]


def _from_position(prompts: torch.Tensor | None, position: int, num_tokens: int) -> torch.Tensor | None:
    """The part of deep prompts, [blocks, batch or 1, prefix, hidden], for some of the positions of a step."""
    if prompts is None or position >= prompts.shape[2]:
        return None
    return prompts[:, :, position : position + num_tokens]


def _int(metadata: dict[str, Any], key: str) -> int:
    value = metadata.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadMessage(f"metadata must contain the whole number {key}")
    return value


def _left_padding(value: object, batch_size: int, max_length: int) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != batch_size:
        raise BadMessage("left_padding is not one whole number for each row")
    padding = tuple(value)
    if not all(type(count) is int and 0 <= count <= max_length for count in padding):
        raise BadMessage("left_padding is not one whole number for each row")
    return padding if any(padding) else None


def _check_hypo_ids(hypo_ids: torch.Tensor, batch_size: int) -> torch.Tensor | None:
    if hypo_ids.dtype != torch.int64:
        raise BadMessage(f"hypo ids must be int64, got {hypo_ids.dtype}")
    if hypo_ids.numel() == 0:
        return None
    if tuple(hypo_ids.shape) != (batch_size,) or not ((hypo_ids >= 0) & (hypo_ids < batch_size)).all():
        raise BadMessage(f"hypo ids are not {batch_size} row numbers")
    return hypo_ids


def _output_compressions(metadata: dict[str, Any], count: int) -> list[Compression]:
    value = metadata.get("output_compression")
    if value is None:
        return [Compression.NONE] * count
    match value:
        case [*numbers] if len(numbers) == count and all(type(number) is int for number in numbers):
            try:
                return [Compression(number) for number in numbers]
            except ValueError:
                pass
    raise BadMessage(f"output_compression is not {count} known numbers")
