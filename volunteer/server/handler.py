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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from volunteer.server.accounting import Send
from volunteer.server.admission import Admission, ServedSession, TooBusy
from volunteer.server.compute import ComputeThread, Priority
from volunteer.server.fair_queue import Rank, Standing
from volunteer.server.kv_cache import KVRoomFull, SessionCache
from volunteer.server.push import MAX_PUSHES, OpenStream, Push, Pusher, PushStreams
from volunteer.server.requests import (
    MAX_BATCH_TOKENS,
    MAX_ID_LENGTH,
    MIN_PARAMETER_BYTES,
    Call,
    NextServer,
    Opening,
    RequestParser,
    output_compressions,
)
from volunteer.server.scheduler import KVSession, QueueFull, Scheduler, SessionEvicted
from volunteer.server.span import Span
from volunteer.swarm.compression import Compression
from volunteer.swarm.node import Service
from volunteer.swarm.records import block_uid
from volunteer.swarm.rpc import (
    LEAVING,
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
)

logger = logging.getLogger(__name__)

EXTENSIONS = ("left_padding", "kv_pages", "push_stream", "lean_steps", "wire16", "receipts")
"""Additions to Petals' protocol that this server understands, as its record names them."""

_LONGEST_SLEEP_S = 3600.0
_STEP_TIMEOUT_S = 300.0
_SESSION_TIMEOUT_S = 1800.0
_CALL_TIMEOUT_S = 180.0
_MAX_STREAMS = 1024
_MAX_STREAMS_PER_PEER = 128
_MAX_CALLS = 64
_MAX_CALLS_PER_PEER = 32
"""Ours have 16 under way; Petals' try again what is refused."""
_MAX_CALLS_PER_NETWORK = 48
"""Else two made-up peers would keep all others from calling."""
_MAX_QUEUED_STEPS = 8
_MAX_REMEMBERED_STEPS = 1024
_MIN_INBOX_BYTES = 512 * 1024**2


@dataclass(eq=False)
class _Session:
    """One client's inference session here."""

    opening: Opening
    room: KVSession
    served: ServedSession
    requests: asyncio.Queue[Any] = field(default_factory=lambda: asyncio.Queue(_MAX_QUEUED_STEPS))
    """From the client's stream and pushed by other servers; None ends the session, an exception fails it."""
    seen_steps: collections.OrderedDict[str, None] = field(default_factory=collections.OrderedDict)

    def is_repeated(self, step_id: object) -> bool:
        """A step reaches us twice when a server pushes it and the client sends it: the first copy counts."""
        if not isinstance(step_id, str) or len(step_id) > MAX_ID_LENGTH:
            return False
        if step_id in self.seen_steps:
            return True
        self.seen_steps[step_id] = None
        if len(self.seen_steps) > _MAX_REMEMBERED_STEPS:
            self.seen_steps.popitem(last=False)
        return False


class BlockService:
    """The RPCs of one span of blocks.

    Args:
        span: the blocks.
        prefix: DHT prefix of the model, with which block uids begin.
        scheduler: gives sessions their KV room and their turns.
        compute: where torch runs for calls without a session.
        push, open_stream: how outputs go straight to the next server; without streams by unary calls alone.
        max_length: longest session in tokens.
        dht_client_mode: told in `rpc_info`.
        admission: who is let in, as whom, and what is counted.
    """

    def __init__(
        self,
        span: Span,
        prefix: str,
        scheduler: Scheduler,
        compute: ComputeThread,
        push: Push,
        *,
        max_length: int,
        open_stream: OpenStream | None = None,
        dht_client_mode: bool = False,
        admission: Admission | None = None,
    ):
        self._admission = admission or Admission()
        self.served = self._admission.served
        self._span = span
        self._parser = RequestParser(span, prefix, max_length=max_length)
        self._scheduler = scheduler
        self._compute = compute
        self._pusher = Pusher(push, open_stream)
        self._push_streams = PushStreams(self._take_pushed)
        self._dht_client_mode = dht_client_mode
        self._sessions: dict[str, _Session] = {}
        """Those that were given an id, by which others may push into them."""
        self._all_sessions: set[_Session] = set()
        self._streams_of: collections.Counter[str] = collections.Counter()
        self._silent: dict[asyncio.Timeout, None] = {}
        """Of streams that have not said yet all that they want, the oldest first."""
        self._open_calls: collections.Counter[str] = collections.Counter()
        self._calls_of_network: collections.Counter[str] = collections.Counter()
        self._idle = asyncio.Event()
        self._idle.set()
        self._accepts_sessions = True

    def service(self) -> Service:
        """What `SwarmNode.serve` takes."""
        hidden_bytes = MAX_BATCH_TOKENS * self._span.family.hidden_size * 4
        max_message_bytes = hidden_bytes + max(MIN_PARAMETER_BYTES, hidden_bytes // 8) + 1024 * 1024
        return Service(
            unary={
                Method.INFO: (ExpertUID, self.rpc_info),
                Method.PUSH: (ExpertRequest, self.rpc_push),
                Method.SETTLE: (ExpertRequest, self.rpc_settle),
                Method.FORWARD: (ExpertRequest, self.rpc_forward),
                Method.BACKWARD: (ExpertRequest, self.rpc_backward),
            },
            streams={
                Method.INFERENCE: self.rpc_inference,
                Method.PUSH_STREAM: self._push_streams.receive,
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
        return self._scheduler.free_tokens * len(self._span.blocks)

    @property
    def free_rows(self) -> int:
        """How many more rows the next batch takes before it costs others time."""
        return self._scheduler.free_rows

    async def idle(self) -> None:
        """Returns once no session and no streamed call is open."""
        await self._idle.wait()

    async def quiet(self, seconds: float) -> None:
        """Returns once no step has been answered for so long; never if that is infinite."""
        started = time.monotonic()
        while True:
            left_s = max(started, self.served.last_request_at or 0.0) + seconds - time.monotonic()
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, _LONGEST_SLEEP_S))

    def refuse_new_sessions(self) -> None:
        """From now on new sessions are answered with an error; the open ones go on."""
        self._accepts_sessions = False

    def hand_over_sessions(self) -> None:
        """Ends the open sessions with an error that sends their clients to other servers, where they replay."""
        for session in self._all_sessions:
            # Behind the step that is being answered, in front of those that wait.
            while not session.requests.empty():
                session.requests.get_nowait()
                session.requests.task_done()
            session.requests.put_nowait(TooBusy(LEAVING))

    # The RPCs

    async def rpc_info(self, request: Any, caller: str) -> Any:
        """What a client needs to know of a block, and the load of this server."""
        self._admission.check_listed(caller)
        info: dict[str, Any] = {
            "version": importlib.metadata.version("petals-volunteer"),
            "dht_client_mode": self._dht_client_mode,
            # Petals' clients and tests expect what is not promised yet; sessions take only what they fill.
            "cache_tokens_available": max(
                0, self._scheduler.capacity_tokens * len(self._span.blocks) - self._scheduler.promised_tokens
            ),
            "extensions": EXTENSIONS,
            "served_tokens": self.served.tokens,
            "free_rows": self.free_rows,
        }
        block = None
        if request.uid:
            block = self._parser.blocks(request.uid).start
        packed = pack_info(info, block, hidden_size=self._span.family.hidden_size, dtype=self._span.dtype)
        return ExpertInfo(serialized_info=packed)

    async def rpc_inference(self, stream: MessageStream, caller: str) -> None:
        """Steps of one session, answered in order, with its KV cache kept between them."""
        with self._admitted(caller):
            async with asyncio.timeout(_SESSION_TIMEOUT_S):
                try:
                    async with self._silent_stream(_STEP_TIMEOUT_S):
                        request = await stream.receive(ExpertRequest)
                except TimeoutError:
                    return
                if request is None or not request.tensors:
                    return
                async with self._opened_session(request, caller, stream.send) as session:
                    session.requests.put_nowait(request)
                    reader = asyncio.create_task(_read_requests(stream, session.requests))
                    try:
                        await self._answer_steps(session, stream)
                    finally:
                        reader.cancel()
                        await asyncio.wait((reader,))

    async def rpc_settle(self, request: Any, caller: str) -> Any:
        """A client's signature for what one of its sessions was given."""
        if self._admission.books is None:
            raise BadMessage("this server claims nothing")
        await self._admission.books.accounting.settle(request.metadata)
        return ExpertResponse()

    async def rpc_push(self, request: Any, caller: str) -> Any:
        """A step of a session that is open here, sent by the server before us instead of by the client."""
        self._parser.blocks(request.uid)
        # Petals' servers push a step with the prompts and hypo_ids of the session's first step: wrong for beams, and
        # for prompts that came with the first step alone.
        is_right = len(request.tensors) == 3 and 0 in request.tensors[1].size
        self._take_pushed(request, max_batch_size=1 if is_right else 0)
        return ExpertResponse()

    def _take_pushed(self, request: Any, max_batch_size: int = MAX_BATCH_TOKENS) -> None:
        """Gives a pushed step to its session. A dropped one is no loss: the client sends its own copy."""
        session_id = unpack_metadata(request.metadata).get("session_id")
        session = self._sessions.get(session_id) if isinstance(session_id, str) else None
        if session is None or session.opening.batch_size > max_batch_size or session.requests.full():
            return
        if sum(each.requests.qsize() for each in self._sessions.values()) < MAX_PUSHES:
            session.requests.put_nowait(request)

    async def rpc_forward(self, request: Any, caller: str) -> Any:
        """Whole sequences, without a cache: [batch, tokens, hidden] both ways."""
        self._admission.check_listed(caller)
        return await self._unary_call(request, caller, self._forward)

    async def rpc_backward(self, request: Any, caller: str) -> Any:
        """Gradients of `rpc_forward`'s inputs, which are sent again."""
        self._admission.check_listed(caller)
        return await self._unary_call(request, caller, self._backward)

    async def rpc_forward_stream(self, stream: MessageStream, caller: str) -> None:
        self._admission.check_listed(caller)
        await self._streamed_call(stream, caller, self._forward)

    async def rpc_backward_stream(self, stream: MessageStream, caller: str) -> None:
        self._admission.check_listed(caller)
        await self._streamed_call(stream, caller, self._backward)

    # Sessions

    @contextlib.asynccontextmanager
    async def _opened_session(self, request: Any, caller: str, send: Send) -> AsyncIterator[_Session]:
        if not self._accepts_sessions:
            raise TooBusy(f"{LEAVING} and takes no new sessions")
        opening = self._parser.opening(request)
        session_id = opening.session_id
        cache = SessionCache(
            start=opening.call.start,
            end=opening.call.end,
            batch_size=opening.batch_size,
            max_length=opening.max_length,
            left_padding=opening.left_padding,
        )
        call = opening.call
        async with contextlib.AsyncExitStack() as stack:
            admitted = self._admission.session(caller, call.metadata, range(call.start, call.end), send)
            served = await stack.enter_async_context(admitted)
            standing = served.standing_for(opening.batch_size * opening.first_tokens)
            if standing.rank is Rank.CONTRIBUTOR:
                # Guests lose their room to it: not for a step that is refused, and so costs it nothing.
                self._parser.step(opening, request, call.metadata)
            room = await stack.enter_async_context(self._room(opening, cache, standing))
            if session_id in self._sessions:
                raise BadMessage(f"session id {session_id} is not unique")
            session = _Session(opening, room, served)
            self._all_sessions.add(session)
            if session_id is not None:
                self._sessions[session_id] = session
            try:
                yield session
            finally:
                self._all_sessions.discard(session)
                if session_id is not None:
                    del self._sessions[session_id]

    @contextlib.asynccontextmanager
    async def _room(self, opening: Opening, cache: SessionCache, standing: Standing) -> AsyncIterator[KVSession]:
        try:
            async with self._scheduler.session(
                cache,
                first_tokens=opening.first_tokens,
                can_replay=opening.can_replay,
                timeout_s=opening.alloc_timeout_s,
                standing=standing,
            ) as room:
                yield room
        except (KVRoomFull, QueueFull, SessionEvicted) as error:
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
                await session.served.finish()
                return
            metadata = unpack_metadata(request.metadata)
            is_repeated = session.is_repeated(metadata.get("step_id"))
            if metadata.get("pushed"):
                logger.debug("A pushed step came %s the client's copy", "after" if is_repeated else "before")
            if not is_repeated:
                # Before anything is computed: who makes a mistake here would have its work for nothing.
                (compression,) = output_compressions(metadata, 1)
                next_server = self._parser.next_server(metadata)
                outputs, can_push = await self._step(session, request, metadata)
                packed = await self._packed(outputs, compression, Priority.DECODE)
                session.served.count(outputs.shape[0] * outputs.shape[1], packed.buffer)
                if next_server is not None and can_push:
                    self._push_outputs(next_server, request, packed, metadata)
                async with asyncio.timeout(_STEP_TIMEOUT_S):
                    await stream.send(ExpertResponse(tensors=[packed]))
                await session.served.note_sent()
            session.requests.task_done()

    async def _step(self, session: _Session, request: Any, metadata: dict[str, Any]) -> tuple[torch.Tensor, bool]:
        step = self._parser.step(session.opening, request, metadata)
        await session.served.before(step.hidden_states.shape[0] * step.hidden_states.shape[1])
        session.room.standing = session.served.standing
        outputs = await self._scheduler.step(
            session.room,
            step.hidden_states,
            prompts=step.prompts,
            reorder=step.reorder,
            start_from_position=step.start_from_position,
        )
        return outputs, step.prompts is None

    def _push_outputs(self, to: NextServer, request: Any, packed: Any, metadata: dict[str, Any]) -> None:
        """Sends the outputs of a step on to the next server, beside the answer to the client."""
        changed = {"session_id": to.session_id, "next_servers": to.later, "pushed": True}
        pushed = ExpertRequest(
            uid=" ".join(block_uid(self._parser.prefix, index) for index in range(to.start, to.end)),
            tensors=[packed, *request.tensors[1:]],
            metadata=pack_metadata(metadata | changed),
        )
        self._pusher.push(to.peer_id, pushed)

    # Calls without a session

    async def _unary_call(
        self, request: Any, caller: str, run: Callable[[Call, list[torch.Tensor]], Awaitable[list[Any]]]
    ) -> Any:
        async with self._counted_call(caller):
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                call = self._parser.call(request)
                tensors = self._parser.tensors(request.tensors)
                response = ExpertResponse(tensors=await run(call, tensors))
        if response.ByteSize() > MAX_UNARY_BYTES - 1024:
            # hivemind 1.1.12 would drop it, and the caller would wait for ever.
            raise BadMessage("The answer is too large for a unary call; use the streaming one")
        return response

    async def _streamed_call(
        self,
        stream: MessageStream,
        caller: str,
        run: Callable[[Call, list[torch.Tensor]], Awaitable[list[Any]]],
    ) -> None:
        with self._admitted(caller):
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                async with self._silent_stream(_CALL_TIMEOUT_S):
                    call, tensors = await self._receive_call(stream)
                # Not before: it would take nothing to keep all others from calling.
                async with self._counted_call(caller):
                    answers = await run(call, tensors)
                for packed in answers:
                    for part in split_tensor(packed):
                        await stream.send(ExpertResponse(tensors=[part]))

    async def _receive_call(self, stream: MessageStream) -> tuple[Call, list[torch.Tensor]]:
        assembler = TensorAssembler(max_bytes=self._parser.max_call_bytes)
        first = None
        while (request := await stream.receive(ExpertRequest, keep=True)) is not None:
            first = first or request
            if request.uid != first.uid:
                raise BadMessage("Block uids differ in one request")
            assembler.add(request.tensors)
        if first is None:
            raise BadMessage("an empty request")
        return self._parser.call(first), self._parser.tensors(assembler.messages())

    async def _forward(self, call: Call, tensors: list[torch.Tensor]) -> list[Any]:
        arguments = arrange_arguments(tensors, call.metadata.get("args_structure"))
        if not arguments:
            raise BadMessage("a forward pass needs hidden states")
        hidden_states = arguments[0]
        self._parser.check_hidden_states(hidden_states)
        prompts = arguments[1] if len(arguments) > 1 else None
        checked_prompts = self._parser.check_prompts(prompts, call.end - call.start, hidden_states)
        compressions = output_compressions(call.metadata, 1)
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
        self._admission.count_guest(hidden_states.shape[0] * hidden_states.shape[1], call.end - call.start)
        return [await self._packed(outputs, compressions[0])]

    async def _backward(self, call: Call, tensors: list[torch.Tensor]) -> list[Any]:
        arguments = arrange_arguments(tensors, call.metadata.get("args_structure"))
        if len(arguments) < 2:
            raise BadMessage("a backward pass needs inputs and the gradients of the outputs")
        hidden_states, grad_outputs = arguments[:2]
        self._parser.check_hidden_states(hidden_states)
        self._parser.check_hidden_states(grad_outputs)
        if grad_outputs.shape != hidden_states.shape:
            raise BadMessage(f"gradients of shape {tuple(grad_outputs.shape)} for {tuple(hidden_states.shape)}")
        prompts = arguments[2] if len(arguments) > 2 else None
        checked_prompts = self._parser.check_prompts(prompts, call.end - call.start, hidden_states)
        compressions = output_compressions(call.metadata, 1 if checked_prompts is None else 2)
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
        # The forward pass again, and one that is as long for the gradients of its inputs; weights have none.
        self._admission.count_guest(2 * hidden_states.shape[0] * hidden_states.shape[1], call.end - call.start)
        gradients = [gradient] if checked_prompts is None else [gradient, torch.cat(grad_prompts)]
        return [await self._packed(each, how) for each, how in zip(gradients, compressions, strict=True)]

    async def _packed(
        self, tensor: torch.Tensor, compression: Compression, priority: Priority = Priority.FORWARD
    ) -> Any:
        if compression is Compression.NONE:
            return pack_tensor(tensor)
        return await self._compute.run(priority, pack_tensor, tensor, compression)

    # Admission

    @contextlib.contextmanager
    def _admitted(self, caller: str) -> Iterator[None]:
        is_owners = caller == self.served.owner
        if not is_owners and (self._streams_of[caller] >= _MAX_STREAMS_PER_PEER or not self._make_way()):
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

    def _make_way(self) -> bool:
        """Whether there may be another stream, if need be in the place of one that has long said nothing."""
        if self.open_sessions < _MAX_STREAMS:
            return True
        oldest = next(iter(self._silent), None)
        if oldest is None:
            return False
        del self._silent[oldest]
        if not oldest.expired():
            oldest.reschedule(asyncio.get_running_loop().time())
        return True

    @contextlib.asynccontextmanager
    async def _silent_stream(self, timeout_s: float) -> AsyncIterator[None]:
        """While a caller is to say what it wants. A few made-up peers could else keep all streams without a word.

        Raises:
            TimeoutError: it has said it too slowly, or others need the stream more.
        """
        async with asyncio.timeout(timeout_s) as timeout:
            self._silent[timeout] = None
            try:
                yield
            finally:
                self._silent.pop(timeout, None)

    @contextlib.asynccontextmanager
    async def _counted_call(self, caller: str) -> AsyncIterator[None]:
        network = await self._admission.network_of(caller)
        if (
            self._open_calls.total() >= _MAX_CALLS
            or self._open_calls[caller] >= _MAX_CALLS_PER_PEER
            or (network and self._calls_of_network[network] >= _MAX_CALLS_PER_NETWORK)
        ):
            raise TooBusy("This server has too many calls waiting")
        counts = (self._open_calls, caller), (self._calls_of_network, network)
        for counter, name in counts:
            counter[name] += 1
        try:
            yield
        finally:
            for counter, name in counts:
                counter[name] -= 1
                if not counter[name]:
                    del counter[name]


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
