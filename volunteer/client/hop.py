"""One hop of a session: what it was ever given, its open call (or one for each row) on its server, steps in flight.

Runs in the event loop of the swarm node. Knows hidden states and one server; which server, and what follows it, is
`session.py`'s.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from volunteer.client.routing import Hop
from volunteer.swarm.node import SwarmNode
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
    unpack_tensor,
)

# Petals' constant; a closed connection is noticed at once, this is for a peer that is silent.
_STEP_TIMEOUT_S = 180.0
_CLOSE_TIMEOUT_S = 1.0
MAX_STEP_TOKENS = 2048
"""Rows x new tokens in one message: what Petals' servers take by default."""
_ARGUMENTS: tuple[tuple[bytes, ...], dict[str, bytes]] = ((b"__T0", b"__T1", b"__T2"), {})
_NO_PROMPTS = pack_tensor(torch.empty(0))
_NO_HYPO_IDS = pack_tensor(torch.empty(0, dtype=torch.int64))

Sink = Callable[[int, torch.Tensor], None]
"""Takes outputs, [batch, some, hidden], and the position of the first of them."""


class History:
    """Everything that a hop was given, [batch, length, hidden]: what a replacement has to be told.

    The buffer doubles, so that a token costs a row and not a copy of all rows before it.
    """

    def __init__(self) -> None:
        self.length = 0
        self.prompts: dict[int, torch.Tensor] = {}
        """Position of a step -> the deep prompts that came with it, [blocks, batch or 1, prefix, hidden]."""
        self._buffer: torch.Tensor | None = None
        self._grown: asyncio.Future[None] | None = None

    def extend(self, first: int, hidden_states: torch.Tensor) -> None:
        """Keeps what is new of the inputs from position `first` on: after a replay the older ones come again."""
        known, end = self.length - first, first + hidden_states.shape[1]
        if known < 0:
            raise IndexError(f"inputs from position {first} on after {self.length} positions")
        if end <= self.length:
            return
        if self._buffer is None or self._buffer.shape[1] < end:
            batch_size, _, hidden_size = hidden_states.shape
            grown = hidden_states.new_empty(batch_size, max(64, end, 2 * self.length), hidden_size)
            if self._buffer is not None:
                grown[:, : self.length] = self._buffer[:, : self.length]
            self._buffer = grown
        self._buffer[:, self.length : end] = hidden_states[:, known:]
        self.length = end
        if self._grown is not None:
            if not self._grown.done():  # whoever waited may have been cancelled in this moment
                self._grown.set_result(None)
            self._grown = None

    async def reach(self, length: int) -> None:
        """Returns once there are so many positions. One at a time may wait."""
        while self.length < length:
            self._grown = asyncio.get_running_loop().create_future()
            try:
                await self._grown
            except asyncio.CancelledError:
                self._grown = None
                raise

    def __getitem__(self, positions: slice) -> torch.Tensor:
        if self._buffer is None:
            raise IndexError("nothing was sent yet")
        return self._buffer[:, : self.length][:, positions]

    def truncate(self, length: int) -> None:
        self.length = min(self.length, length)
        self.prompts = {position: prompts for position, prompts in self.prompts.items() if position < length}

    def reorder(self, rows: torch.Tensor) -> None:
        if self._buffer is not None:
            self._buffer[:, : self.length] = self._buffer[:, : self.length].index_select(0, rows)
        for position, prompts in self.prompts.items():
            if prompts.shape[1] > 1:
                self.prompts[position] = prompts.index_select(1, rows)


@dataclass(frozen=True)
class Target:
    """Some blocks of a server, and how it is spoken to."""

    node: SwarmNode
    hop: Hop
    record: ServerRecord
    uid: str

    @classmethod
    def of(cls, node: SwarmNode, prefix: str, hop: Hop, record: ServerRecord) -> Target:
        return cls(node, hop, record, " ".join(block_uid(prefix, index) for index in range(hop.start, hop.end)))

    def speaks(self, extension: str) -> bool:
        return extension in self.record.extensions


@dataclass(eq=False)
class _Awaited:
    """A step whose answer is to come."""

    shape: torch.Size
    dtype: torch.dtype
    answer: asyncio.Future[torch.Tensor]

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
        self._target = target
        self._opening = opening
        self._stream: MessageStream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._awaited: collections.deque[_Awaited] = collections.deque()
        self._failure: Exception | None = None
        self._is_new = True
        self._session_id = ""

    @property
    def in_flight(self) -> int:
        return len(self._awaited)

    async def open(self) -> None:
        """Connects, if that was not done. Raises PeerLost."""
        if self._stream is None:
            self._stream = await self._target.node.open_stream(self._target.hop.peer_id, Method.INFERENCE)
            self._session_id = str(uuid.uuid4())
            self._reader = asyncio.create_task(self._read(self._stream))

    async def send(
        self, first: int, hidden_states: torch.Tensor, prompts: torch.Tensor | None
    ) -> asyncio.Future[torch.Tensor]:
        """Sends one step, [rows, new, hidden], that begins at position `first`; what comes back is of the same shape.

        Raises:
            PeerLost, RemoteError, BadMessage: what became of the session meanwhile; so does the answer.
        """
        await self.open()
        if self._failure is not None or self._stream is None:
            raise self._failure or PeerLost("the session was closed")
        metadata = self._opening if self._is_new else {}
        request = ExpertRequest(
            uid=self._target.uid,
            tensors=[
                pack_tensor(hidden_states),
                _NO_PROMPTS if prompts is None else pack_tensor(prompts),
                _NO_HYPO_IDS if self.reorder is None else pack_tensor(self.reorder),
            ],
            metadata=pack_metadata(
                metadata
                | {
                    "session_id": self._session_id,
                    "step_id": str(uuid.uuid4()),
                    "start_from_position": max(0, first - self.padding),
                    "args_structure": _ARGUMENTS,
                }
            ),
        )
        awaited = _Awaited(hidden_states.shape, hidden_states.dtype, asyncio.get_running_loop().create_future())
        self._awaited.append(awaited)
        self._is_new, self.reorder = False, None
        self.sent = first + hidden_states.shape[1]
        await self._stream.send(request)
        return awaited.answer

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
        self.forget()

    async def _read(self, stream: MessageStream) -> None:
        try:
            while True:
                response: Any = await stream.receive(ExpertResponse)
                if not self._awaited:
                    raise (
                        StreamEnded("the server ended the session")
                        if response is None
                        else BadMessage("an answer to nothing")
                    )
                awaited = self._awaited[0]
                outputs = awaited.outputs(response)
                self._awaited.popleft()
                self.answered = True
                if not awaited.answer.done():
                    awaited.answer.set_result(outputs)
        except StreamEnded as error:
            # Between two steps, as servers do with sessions that are silent or old: the server lives.
            self._fail(error if self._awaited else RemoteError("the server ended the session"))
        except Exception as error:  # whatever it is, those who wait are told
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        for awaited in self._awaited:
            if not awaited.answer.done():
                awaited.answer.set_exception(error)
                awaited.answer.exception()  # looked at: nobody has to wait for it
        self._awaited.clear()


@dataclass(eq=False)
class HopInUse:
    """A hop, its history, and the session (or one session a row) that it has on its server.

    Args:
        opening: metadata of a session's first request.
        chunk_tokens: rows x positions in one message.
    """

    target: Target
    history: History
    opening: dict[str, Any]
    chunk_tokens: int
    sessions: list[ServerSession] = field(default_factory=list)
    is_second_try: bool = False
    """Whether the sessions were opened again, and have not answered since."""

    @property
    def hop(self) -> Hop:
        return self.target.hop

    @property
    def cached(self) -> int:
        return min((session.cached for session in self.sessions), default=0)

    @property
    def answered(self) -> bool:
        """Whether the server has taken all sessions of this hop."""
        return bool(self.sessions) and all(session.answered for session in self.sessions)

    @property
    def _keeps_rollbacks(self) -> bool:
        """Petals 2.2 and older ignore `start_from_position`: going back there means starting again."""
        record = self.target.record
        return bool(record.extensions) or not (record.version or "").startswith(("1.", "2.0", "2.1", "2.2"))

    def connect(self, batch_size: int, left_padding: tuple[int, ...] | None) -> None:
        """Makes the sessions, which connect with their first step."""
        if left_padding is None or self.target.speaks("left_padding"):
            opening = self.opening if left_padding is None else self.opening | {"left_padding": left_padding}
            self.sessions = [ServerSession(self.target, opening, slice(0, batch_size), 0)]
        else:
            self.sessions = [
                ServerSession(self.target, self.opening, slice(row, row + 1), left_padding[row])
                for row in range(batch_size)
            ]

    def is_one_message(self, end: int) -> bool:
        """Whether this hop comes to position `end` with at most one message."""
        chunks = self._chunks(end)
        next(chunks, None)
        return next(chunks, None) is None

    async def bring(self, end: int, sink: Sink) -> None:
        """Everything up to position `end` through the server, as the inputs come; outputs go to `sink` in order.

        Raises:
            PeerLost, RemoteError, BadMessage: the server failed.
        """
        chunks = tuple(self._chunks(end))
        if len(chunks) == 1:
            ((first, last),) = chunks
            await self.history.reach(last)
            sink(first, await self._receive(first, last, await self._send(first, last)))
            return
        # Sent as the inputs come, while answers are awaited: the connection and the server hold back what is too much.
        sent: asyncio.Queue[tuple[int, int, list[asyncio.Future[torch.Tensor] | None]] | Exception] = asyncio.Queue()

        async def send() -> None:
            try:
                await asyncio.gather(*(session.open() for session in self.sessions))
                for first, last in chunks:
                    await self.history.reach(last)
                    sent.put_nowait((first, last, await self._send(first, last)))
            except Exception as error:
                sent.put_nowait(error)

        sender = asyncio.create_task(send())
        try:
            for _ in chunks:
                part = await sent.get()
                if isinstance(part, Exception):
                    raise part
                first, last, answers = part
                sink(first, await self._receive(first, last, answers))
        finally:
            sender.cancel()
            await asyncio.wait((sender,))

    async def _send(self, first: int, last: int) -> list[asyncio.Future[torch.Tensor] | None]:
        """The inputs of positions `first:last`, to each session those that it lacks."""
        if len(self.sessions) == 1:
            return [await self._send_rows(self.sessions[0], last)]
        return list(await asyncio.gather(*(self._send_rows(session, last) for session in self.sessions)))

    async def _send_rows(self, session: ServerSession, last: int) -> asyncio.Future[torch.Tensor] | None:
        at = max(session.sent, session.padding)
        if at >= last:
            return None
        prompts = self.history.prompts.get(at)
        if prompts is not None and prompts.shape[1] > 1:
            prompts = prompts[:, session.rows]
        return await session.send(at, self.history[at:last][session.rows], prompts)

    async def _receive(self, first: int, last: int, answers: list[asyncio.Future[torch.Tensor] | None]) -> torch.Tensor:
        """Outputs of positions `first:last`, [batch, last - first, hidden]; zeros where a row was not asked for any."""
        try:
            async with asyncio.timeout(_STEP_TIMEOUT_S):
                parts = [None if answer is None else await answer for answer in answers]
        except TimeoutError:
            raise PeerLost(f"no answer within {_STEP_TIMEOUT_S:.0f} s") from None
        for session in self.sessions:
            session.cached = max(session.cached, last)
        if len(parts) == 1 and parts[0] is not None:
            return parts[0]
        inputs = self.history[first:last]
        outputs = torch.zeros_like(inputs)
        for session, part in zip(self.sessions, parts, strict=True):
            if part is not None:
                outputs[session.rows, outputs.shape[1] - part.shape[1] :] = part
        return outputs

    def reorder(self, rows: torch.Tensor, left_padding: tuple[int, ...] | None) -> None:
        self.history.reorder(rows)
        if len(self.sessions) == 1 and self.sessions[0].padding == 0:
            session = self.sessions[0]
            if session.cached:
                session.reorder = rows if session.reorder is None else session.reorder[rows]
            return
        for row, session in enumerate(self.sessions):
            if rows[row] != row:
                session.cached = session.sent = 0
                if not self._keeps_rollbacks:
                    session.forget()
            session.padding = left_padding[row] if left_padding is not None else 0

    def truncate(self, position: int) -> None:
        self.history.truncate(position)
        for session in self.sessions:
            if session.in_flight:
                session.forget()
            elif session.cached > position:
                if self._keeps_rollbacks:
                    session.cached = session.sent = position
                else:
                    session.forget()

    def forget(self) -> None:
        for session in self.sessions:
            session.forget()

    def _chunks(self, end: int) -> Iterator[tuple[int, int]]:
        """What is to be sent to come to `end`, as first and last position (excluded) of each message.

        Deep prompts belong to the first positions of the step that brought them: a replay is cut where they were.
        """
        num_rows = max((session.rows.stop - session.rows.start for session in self.sessions), default=1)
        at = self.cached
        for cut in sorted({position for position in self.history.prompts if at < position < end} | {end}):
            while at < cut:
                prompts = self.history.prompts.get(at)
                prefix = 0 if prompts is None else prompts.shape[2]
                most = max(1, prefix, self.chunk_tokens // num_rows)
                # Evenly: a short last piece would cost the servers as long as any to read their weights.
                size = max(prefix, -(-(cut - at) // -(-(cut - at) // most)))
                yield at, min(cut, at + size)
                at = min(cut, at + size)
