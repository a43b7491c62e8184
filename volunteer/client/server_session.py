"""One call of `rpc_inference`: requests on its stream, answers in their order, several under way at a time.

Knows one server and its dialect; neither histories nor what is done when the server fails.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
import uuid
from dataclasses import dataclass
from typing import Any

import torch

from volunteer.client.account import Payment, Purse
from volunteer.client.answer_times import AnswerTimes
from volunteer.client.routing import Hop
from volunteer.client.servers import ServerTable
from volunteer.client.watch import Wait
from volunteer.swarm.compression import Compression
from volunteer.swarm.records import ServerRecord, block_uid
from volunteer.swarm.rpc import (
    BadMessage,
    ExpertRequest,
    ExpertResponse,
    MessageStream,
    Method,
    PeerLost,
    RemoteError,
    StreamEnded,
    pack_metadata,
    pack_tensor,
    unpack_metadata,
    unpack_tensor,
)

_CONNECT_TIMEOUT_S, _ONLY_CONNECT_TIMEOUT_S = 3.0, 10.0
"""For a server whose blocks others have, too, and for one that is the only one."""
_CLOSE_TIMEOUT_S = 1.0
_LAST_CLAIM_TIMEOUT_S = 2.0
_ARGUMENTS: tuple[tuple[bytes, ...], dict[str, bytes]] = ((b"__T0", b"__T1", b"__T2"), {})
_NO_PROMPTS = pack_tensor(torch.empty(0))
_NO_HYPO_IDS = pack_tensor(torch.empty(0, dtype=torch.int64))

NextServers = tuple[tuple[str, str, int, int], ...]
"""Peer id, session id and blocks `start:end` of each server that a step goes on to."""


@dataclass(frozen=True)
class Target:
    """Some blocks of a server, and how it is spoken to."""

    servers: ServerTable
    hop: Hop
    record: ServerRecord
    uid: str
    times: AnswerTimes
    wire: Compression = Compression.NONE
    """How hidden states of more than one position travel, both ways."""
    purse: Purse | None = None
    """Pays servers that give receipts."""
    peers: frozenset[str] = frozenset()
    """The only ones that the session may go through; none for all."""

    @classmethod
    def of(
        cls,
        servers: ServerTable,
        hop: Hop,
        wire: Compression,
        purse: Purse | None = None,
        peers: frozenset[str] = frozenset(),
    ) -> Target:
        record = servers.servers[hop.peer_id].record
        uid = " ".join(block_uid(servers.prefix, index) for index in range(hop.start, hop.end))
        known_wire = wire if "wire16" in record.extensions else Compression.NONE
        return cls(servers, hop, record, uid, servers.times_of(hop.peer_id), known_wire, purse, peers)

    @property
    def has_spare(self) -> bool:
        return self.servers.has_spare(self.hop, self.peers)

    def speaks(self, extension: str) -> bool:
        return extension in self.record.extensions

    def payment(self) -> Payment | None:
        """For one call; None where nobody asks for it."""
        if self.purse is None or not self.speaks("receipts"):
            return None
        hop, servers = self.hop, self.servers
        return self.purse.payment(servers.node, hop.peer_id, servers.prefix, (hop.start, hop.end))


@dataclass(eq=False)
class _Awaited:
    """A step whose answer is to come."""

    step_id: str
    shape: torch.Size
    dtype: torch.dtype
    reorder: torch.Tensor | None
    answer: asyncio.Future[torch.Tensor]
    asked_at: float | None = None
    """Since when the server could answer, as far as we know, by `time.monotonic()`; None while another one has it."""

    @property
    def num_tokens(self) -> int:
        return self.shape[0] * self.shape[1]

    def outputs(self, response: Any) -> torch.Tensor:
        if response is None or len(response.tensors) != 1:
            raise BadMessage("an answer without hidden states")
        outputs = unpack_tensor(response.tensors[0])
        if outputs.shape != self.shape or not outputs.is_floating_point():
            raise BadMessage(f"{outputs.dtype} of shape {tuple(outputs.shape)} for {tuple(self.shape)}")
        return outputs.to(self.dtype)


class ServerSession:
    """One `rpc_inference` call: some rows of the batch in some blocks of one server. Several steps may be in flight.

    Args:
        opening: metadata of the first request.
        rows: which rows of the batch.
        padding: positions at the start that this server never sees, because it knows no padding and has one row.
    """

    def __init__(self, target: Target, opening: dict[str, Any], rows: slice, padding: int):
        self.rows = rows
        self.padding = padding
        self.cached = 0
        """Positions of the sequence, padding included, that are in the server's KV cache or left out of it."""
        self.sent = 0
        """The same once everything that was sent is answered."""
        self.reorder: torch.Tensor | None = None
        """Rows to be reordered by the next step, [batch] int64."""
        self.answered = False
        """Whether the server has taken this session."""
        self.session_id = ""
        self._target = target
        self._opening = opening
        self._stream: MessageStream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._awaited: collections.deque[_Awaited] = collections.deque()
        self._failure: Exception | None = None
        self._payment: Payment | None = None
        self._is_new = True
        self._answered_at = 0.0

    @property
    def in_flight(self) -> int:
        return len(self._awaited)

    async def open(self) -> None:
        """Connects, if that was not done. Raises PeerLost."""
        if self._stream is None:
            timeout_s = _CONNECT_TIMEOUT_S if self._target.has_spare else _ONLY_CONNECT_TIMEOUT_S
            node, peer_id = self._target.servers.node, self._target.hop.peer_id
            self._stream = await node.open_stream(peer_id, Method.INFERENCE, timeout_s=timeout_s)
            self.session_id = str(uuid.uuid4())
            self._payment = self._target.payment()
            self._reader = asyncio.create_task(self._read(self._stream))

    @property
    def is_ready(self) -> bool:
        """Whether the next step may come from another server."""
        return self.answered and not self._awaited and self._failure is None

    def expect(self, step_id: str, first: int, hidden_states: torch.Tensor) -> asyncio.Future[torch.Tensor]:
        """The answer to a step from position `first` on, of this shape and dtype; `send` or another server sends it.

        Until `ask_now`, or `send`, nobody expects that server to have it.
        """
        answer: asyncio.Future[torch.Tensor] = asyncio.get_running_loop().create_future()
        self._awaited.append(_Awaited(step_id, hidden_states.shape, hidden_states.dtype, self.reorder, answer))
        self.sent, self.reorder = first + hidden_states.shape[1], None
        return answer

    def ask_now(self, step_id: str) -> None:
        """By now the server should have an expected step."""
        for awaited in self._awaited:
            if awaited.step_id == step_id and awaited.asked_at is None:
                awaited.asked_at = time.monotonic()

    # For the watch

    def wait(self) -> Wait | None:
        awaited = self._awaited[0] if self._awaited else None
        if awaited is None or awaited.asked_at is None or self._failure is not None:
            return None
        since = max(self._answered_at, awaited.asked_at)
        return Wait(since, self._target.times.overdue_s(awaited.num_tokens))

    async def is_alive(self, timeout_s: float) -> bool:
        return await self._target.servers.node.is_alive(self._target.hop.peer_id, timeout_s=timeout_s)

    def has_spare(self) -> bool:
        return self._target.has_spare

    def give_up(self, error: PeerLost) -> None:
        self._fail(error)
        if self._stream is not None:
            self._stream.abort()

    async def send(
        self,
        first: int,
        hidden_states: torch.Tensor,
        prompts: torch.Tensor | None = None,
        *,
        step_id: str | None = None,
        next_servers: NextServers = (),
    ) -> asyncio.Future[torch.Tensor]:
        """Sends one step, [rows, new, hidden], that begins at position `first`; what comes back is of the same shape.

        Args:
            step_id: of a step that goes from server to server; one that is expected here is sent as the client's copy.
            next_servers: where the server sends its outputs, beside the answer.

        Raises:
            PeerLost, RemoteError, BadMessage: what became of the session meanwhile; so does the answer.
        """
        await self.open()
        if self._failure is not None or self._stream is None:
            raise self._failure or PeerLost("the session was closed")
        expected = next((each for each in self._awaited if each.step_id == step_id), None)
        reorder = self.reorder if expected is None else expected.reorder
        step_id = step_id or str(uuid.uuid4())
        metadata: dict[str, Any] = {"step_id": step_id, "start_from_position": max(0, first - self.padding)}
        if next_servers:
            metadata["next_servers"] = next_servers
        wire = self._target.wire if hidden_states.shape[1] > 1 else Compression.NONE
        if wire is not Compression.NONE:
            metadata["output_compression"] = (int(wire),)
        is_lean = not self._is_new and self._target.speaks("lean_steps")
        if not is_lean:
            metadata |= {"session_id": self.session_id, "args_structure": _ARGUMENTS}
        if self._is_new:
            metadata |= self._opening
            if self._payment is not None:
                metadata |= await self._payment.opening()
        request = ExpertRequest(
            uid="" if is_lean else self._target.uid,
            tensors=[
                pack_tensor(hidden_states, wire),
                _NO_PROMPTS if prompts is None else pack_tensor(prompts),
                _NO_HYPO_IDS if reorder is None else pack_tensor(reorder),
            ],
            metadata=pack_metadata(metadata),
        )
        answer = self.expect(step_id, first, hidden_states) if expected is None else expected.answer
        self.ask_now(step_id)
        self._is_new = False
        await self._stream.send(request)
        return answer

    def forget(self) -> None:
        """Drops the connection; the next step opens a new one and starts at position 0."""
        if self._reader is not None:
            self._reader.cancel()
        if self._stream is not None:
            self._stream.close()
        self._fail(PeerLost("the session was given up"))
        self._stream, self._reader, self._failure, self.reorder = None, None, None, None
        self._is_new, self.answered, self.cached, self.sent = True, False, 0, 0

    async def close(self) -> None:
        """Says goodbye, so that the server frees its KV room now."""
        if self._stream is None:
            return
        with contextlib.suppress(PeerLost, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._stream.send(ExpertRequest())
                await self._stream.send_end()
        if self._payment is not None and self._reader is not None and self._failure is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_CLAIM_TIMEOUT_S):
                    # The server claims the rest, waits for the signature, and ends the stream.
                    await asyncio.wait((self._reader,))
        self.forget()

    async def _read(self, stream: MessageStream) -> None:
        try:
            while True:
                response: Any = await stream.receive(ExpertResponse)
                if self._is_claim(response):
                    continue
                if not self._awaited:
                    raise (
                        StreamEnded("the server ended the session")
                        if response is None
                        else BadMessage("an answer to nothing")
                    )
                awaited = self._awaited[0]
                outputs = awaited.outputs(response)
                self._awaited.popleft()
                self._note_time(awaited)
                if self._payment is not None:
                    self._payment.note_answer(awaited.num_tokens, response.tensors[0].buffer)
                if not awaited.answer.done():
                    awaited.answer.set_result(outputs)
        except StreamEnded as error:
            # Between two steps, as servers do with sessions that are silent or old: the server lives.
            self._fail(error if self._awaited else RemoteError("the server ended the session"))
        except Exception as error:  # whatever it is, those who wait are told
            self._fail(error)

    def _is_claim(self, response: Any) -> bool:
        """Whether it was one, which is then being signed. Raises BadMessage for one that is not true."""
        if response is None or response.tensors or not response.metadata or self._payment is None:
            return False
        self._payment.sign_beside(unpack_metadata(response.metadata))
        return True

    def _note_time(self, awaited: _Awaited) -> None:
        now = time.monotonic()
        # What came from another server before we could have sent it says nothing of how long it took, and the first
        # answer of a session has its opening in it.
        if awaited.asked_at is not None and self.answered:
            hop = self._target.hop
            self._target.times.came(
                awaited.num_tokens, hop.end - hop.start, now - max(self._answered_at, awaited.asked_at)
            )
        self.answered, self._answered_at = True, now

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        for awaited in self._awaited:
            if not awaited.answer.done():
                awaited.answer.set_exception(error)
                awaited.answer.exception()  # looked at: nobody has to wait for it
        self._awaited.clear()
