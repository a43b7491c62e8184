"""A route in use: steps of a sequence through it, the history of what each hop was sent, failover.

Runs in the event loop of the swarm node. Knows hidden states, not tokens of text.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from volunteer.client.routing import Hop
from volunteer.client.servers import ServerTable
from volunteer.errors import Unavailable
from volunteer.swarm.records import ServerRecord, block_uid
from volunteer.swarm.rpc import (
    BadMessage,
    ExpertRequest,
    ExpertResponse,
    MessageStream,
    Method,
    PeerLost,
    RemoteError,
    pack_metadata,
    pack_tensor,
    unpack_tensor,
)

logger = logging.getLogger(__name__)

# Petals' constant; a closed connection is noticed at once, this is for a peer that is silent.
_STEP_TIMEOUT_S = 180.0
_CLOSE_TIMEOUT_S = 1.0
_MAX_STEP_TOKENS = 2048
"""Rows x new tokens in one message: what Petals' servers take by default."""
_MAX_ATTEMPTS = 8
_FIRST_RETRY_S = 0.25
_ARGUMENTS: tuple[tuple[bytes, ...], dict[str, bytes]] = ((b"__T0", b"__T1", b"__T2"), {})
_NO_PROMPTS = pack_tensor(torch.empty(0))
_NO_HYPO_IDS = pack_tensor(torch.empty(0, dtype=torch.int64))


class SessionFailed(Unavailable):
    """The servers of the route kept failing."""


class _History:
    """Everything that a hop was given, [batch, length, hidden]: what a replacement has to be told.

    The buffer doubles, so that a token costs a row and not a copy of all rows before it.
    """

    def __init__(self) -> None:
        self.length = 0
        self.prompts: dict[int, torch.Tensor] = {}
        """Position of a step -> the deep prompts that came with it, [blocks, batch or 1, prefix, hidden]."""
        self._buffer: torch.Tensor | None = None

    def append(self, hidden_states: torch.Tensor) -> None:
        end = self.length + hidden_states.shape[1]
        if self._buffer is None or self._buffer.shape[1] < end:
            batch_size, _, hidden_size = hidden_states.shape
            grown = hidden_states.new_empty(batch_size, max(64, end, 2 * self.length), hidden_size)
            if self._buffer is not None:
                grown[:, : self.length] = self._buffer[:, : self.length]
            self._buffer = grown
        self._buffer[:, self.length : end] = hidden_states
        self.length = end

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


class _ServerSession:
    """One `rpc_inference` call: some rows of the batch in some blocks of one server.

    Args:
        rows: which rows of the batch.
        padding: positions at the start that this server never sees, because it knows no padding and has one row.
    """

    def __init__(self, rows: slice, padding: int):
        self.rows = rows
        self.padding = padding
        self.cached = 0
        """Positions of the sequence, padding included, that are in the server's KV cache or left out of it."""
        self.reorder: torch.Tensor | None = None
        """Rows to be reordered by the next step, [batch] int64."""
        self._stream: MessageStream | None = None
        self._session_id = ""

    async def step(
        self,
        servers: ServerTable,
        hop: Hop,
        hidden_states: torch.Tensor,
        prompts: torch.Tensor | None,
        *,
        opening: dict[str, Any],
    ) -> torch.Tensor:
        """Sends one step, [rows, new, hidden], after the positions that are cached, and returns what comes back."""
        metadata: dict[str, Any] = {}
        if self._stream is None:
            self._stream = await servers.node.open_stream(hop.peer_id, Method.INFERENCE)
            self._session_id = str(uuid.uuid4())
            metadata |= opening
        metadata |= {
            "session_id": self._session_id,
            "step_id": str(uuid.uuid4()),
            "start_from_position": max(0, self.cached - self.padding),
            "args_structure": _ARGUMENTS,
        }
        request = ExpertRequest(
            uid=" ".join(block_uid(servers.prefix, index) for index in range(hop.start, hop.end)),
            tensors=[
                pack_tensor(hidden_states),
                _NO_PROMPTS if prompts is None else pack_tensor(prompts),
                _NO_HYPO_IDS if self.reorder is None else pack_tensor(self.reorder),
            ],
            metadata=pack_metadata(metadata),
        )
        try:
            async with asyncio.timeout(_STEP_TIMEOUT_S):
                await self._stream.send(request)
                response = await self._stream.receive(ExpertResponse)
        except TimeoutError:
            raise PeerLost(f"no answer within {_STEP_TIMEOUT_S:.0f} s") from None
        if response is None or len(response.tensors) != 1:
            raise BadMessage("an answer without hidden states")
        outputs = unpack_tensor(response.tensors[0])
        if outputs.shape != hidden_states.shape or not outputs.is_floating_point():
            raise BadMessage(f"{outputs.dtype} of shape {tuple(outputs.shape)} for {tuple(hidden_states.shape)}")
        self.reorder = None
        return outputs.to(hidden_states.dtype)

    def forget(self) -> None:
        """Drops the connection; the next step opens a new one and starts at position 0."""
        if self._stream is not None:
            self._stream.close()
        self._stream, self.cached, self.reorder = None, 0, None

    async def close(self) -> None:
        """Says goodbye, so that the server frees its KV room now."""
        if self._stream is None:
            return
        with contextlib.suppress(PeerLost, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._stream.send(ExpertRequest())
                await self._stream.send_end()
        self.forget()


@dataclass
class _HopInUse:
    """A hop, its history, and the session (or one session a row) that it has on its server."""

    hop: Hop
    record: ServerRecord
    history: _History
    sessions: list[_ServerSession] = field(default_factory=list)

    @property
    def keeps_rollbacks(self) -> bool:
        """Petals 2.2 and older ignore `start_from_position`: going back there means starting again."""
        return bool(self.record.extensions) or not (self.record.version or "").startswith(("1.", "2.0", "2.1", "2.2"))

    def connect(self, batch_size: int, left_padding: tuple[int, ...] | None) -> None:
        if left_padding is None or "left_padding" in self.record.extensions:
            self.sessions = [_ServerSession(slice(0, batch_size), 0)]
        else:
            self.sessions = [_ServerSession(slice(row, row + 1), left_padding[row]) for row in range(batch_size)]

    def reorder(self, rows: torch.Tensor, left_padding: tuple[int, ...] | None) -> None:
        self.history.reorder(rows)
        if len(self.sessions) == 1 and self.sessions[0].padding == 0:
            session = self.sessions[0]
            if session.cached:
                session.reorder = rows if session.reorder is None else session.reorder[rows]
            return
        for row, session in enumerate(self.sessions):
            if rows[row] != row:
                session.cached = 0
                if not self.keeps_rollbacks:
                    session.forget()
            session.padding = left_padding[row] if left_padding is not None else 0

    def truncate(self, position: int) -> None:
        self.history.truncate(position)
        for session in self.sessions:
            if session.cached > position:
                if self.keeps_rollbacks:
                    session.cached = position
                else:
                    session.forget()


class Session:
    """Inference through blocks `start:end` of the swarm, with KV caches kept on the servers between steps.

    A hop that fails is replaced, by one server or several, and told the whole history: the answer goes on unchanged.

    Args:
        servers: whom to ask.
        max_length: tokens that the sequence may grow to.
        left_padding: padding positions at the start of each row; servers that know no padding get a session a row.
    """

    def __init__(
        self,
        servers: ServerTable,
        *,
        start: int = 0,
        end: int | None = None,
        max_length: int,
        left_padding: Sequence[int] | None = None,
    ):
        self.start = start
        self.end = servers.num_blocks if end is None else end
        self.max_length = max_length
        self.position = 0
        self._servers = servers
        self._left_padding = tuple(left_padding) if left_padding is not None and any(left_padding) else None
        self._hops: list[_HopInUse] = []
        self._batch_size: int | None = None

    @property
    def route(self) -> tuple[Hop, ...]:
        """The hops in use, empty before the first step."""
        return tuple(each.hop for each in self._hops)

    async def step(
        self,
        hidden_states: torch.Tensor,
        *,
        prompts: torch.Tensor | None = None,
        borders: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """New tokens through all blocks.

        Args:
            hidden_states: [batch, new, hidden] on the CPU, float; `new` may be 0, which sends nothing.
            prompts: [blocks, batch or 1, prefix, hidden], added to the first positions of this step before each block.
            borders: gets the output of every hop, [batch, new, hidden] each.

        Returns:
            [batch, new, hidden] in the dtype of `hidden_states`.

        Raises:
            ValueError: shapes do not fit the session, or it would exceed `max_length`.
            NoRoute: some blocks are served by nobody.
            SessionFailed: servers kept failing.
        """
        self._check(hidden_states, prompts)
        num_new = hidden_states.shape[1]
        if num_new == 0:
            return hidden_states
        first, end = self.position, self.position + num_new
        inputs, done, index, failures = hidden_states, self.start, 0, 0
        while done < self.end:
            if index == len(self._hops):
                self._hops += await self._find_hops(done, self.end)
            hop = self._hops[index]
            try:
                inputs, first = await self._forward(hop, inputs, first, end, prompts)
            except (PeerLost, RemoteError, BadMessage) as error:
                failures += 1
                self._servers.record_failure(hop.hop.peer_id)
                if failures >= _MAX_ATTEMPTS:
                    raise SessionFailed(f"Blocks {hop.hop.start}-{hop.hop.end - 1} keep failing: {error}") from error
                logger.warning("%s failed in blocks %s:%s: %s", hop.hop.peer_id, hop.hop.start, hop.hop.end, error)
                if failures > 1:
                    await asyncio.sleep(_FIRST_RETRY_S * 2 ** (failures - 2))
                await self._replace(index)
                continue
            self._servers.record_success(hop.hop.peer_id)
            if borders is not None:
                borders.append(inputs[:, inputs.shape[1] - num_new :])
            done = hop.hop.end
            index += 1
        self.position = end
        return inputs[:, inputs.shape[1] - num_new :]

    def rollback(self, position: int) -> None:
        """Forgets the tokens from `position` on; the servers are told with the next step.

        Raises:
            ValueError: the sequence is shorter than that.
        """
        if not 0 <= position <= self.position:
            raise ValueError(f"cannot go back to position {position} of {self.position}")
        self.position = position
        for hop in self._hops:
            hop.truncate(position)

    def reorder(self, rows: torch.Tensor) -> None:
        """Row i goes on from what row `rows[i]` was, [batch] int64; the servers are told with the next step."""
        if self._batch_size is None:
            return
        if rows.dtype != torch.int64 or tuple(rows.shape) != (self._batch_size,):
            raise ValueError(f"{rows.dtype} of shape {tuple(rows.shape)} for {self._batch_size} rows")
        if not ((rows >= 0) & (rows < self._batch_size)).all():
            raise ValueError(f"there are {self._batch_size} rows")
        if self._left_padding is not None:
            self._left_padding = tuple(self._left_padding[row] for row in rows.tolist())
        for hop in self._hops:
            hop.reorder(rows, self._left_padding)

    async def close(self) -> None:
        """Ends the session on all servers; never waits long."""
        hops, self._hops = self._hops, []
        await asyncio.gather(*(session.close() for hop in hops for session in hop.sessions))

    def _check(self, hidden_states: torch.Tensor, prompts: torch.Tensor | None) -> None:
        if hidden_states.ndim != 3 or not hidden_states.is_floating_point():
            raise ValueError(f"{hidden_states.dtype} of shape {tuple(hidden_states.shape)} are not hidden states")
        batch_size, num_new, hidden_size = hidden_states.shape
        if self._batch_size is None:
            self._batch_size = batch_size
        if batch_size != self._batch_size:
            raise ValueError(f"{batch_size} rows in a session of {self._batch_size}")
        if self._left_padding is not None and len(self._left_padding) != batch_size:
            raise ValueError(f"left padding for {len(self._left_padding)} rows, {batch_size} were given")
        if self.position + num_new > self.max_length:
            raise ValueError(
                f"{self.position} tokens and {num_new} more exceed this session's maximum of {self.max_length}"
            )
        if prompts is not None:
            expected = (self.end - self.start, hidden_size)
            fits = prompts.ndim == 4 and (prompts.shape[0], prompts.shape[3]) == expected
            if not fits or prompts.shape[1] not in (1, batch_size) or prompts.shape[2] > num_new:
                raise ValueError(f"prompts of shape {tuple(prompts.shape)} for {self.end - self.start} blocks")

    async def _forward(
        self, hop: _HopInUse, inputs: torch.Tensor, first: int, end: int, prompts: torch.Tensor | None
    ) -> tuple[torch.Tensor, int]:
        """Takes inputs for positions `first:end`; returns outputs, and the position of the first of them."""
        history = hop.history
        if prompts is not None:
            history.prompts[self.position] = prompts[hop.hop.start - self.start : hop.hop.end - self.start]
        if history.length < end:
            history.append(inputs[:, history.length - first :])
        if not hop.sessions:
            hop.connect(inputs.shape[0], self._left_padding)
        since = min(session.cached for session in hop.sessions)
        outputs = inputs.new_zeros(inputs.shape[0], end - since, inputs.shape[2])
        results = await asyncio.gather(
            *(self._advance(hop, session, end, outputs, since) for session in hop.sessions), return_exceptions=True
        )
        for result in results:
            if result is not None:
                raise result
        return outputs, since

    async def _advance(
        self, hop: _HopInUse, session: _ServerSession, end: int, outputs: torch.Tensor, since: int
    ) -> None:
        """Brings one server session up to position `end`; its answers go to `outputs[:, position - since]`."""
        opening: dict[str, Any] = {"max_length": self.max_length, "points": 0.0, "active_adapter": None}
        if self._left_padding is not None and session.padding == 0 and len(hop.sessions) == 1:
            opening["left_padding"] = self._left_padding
        history = hop.history
        session.cached = max(session.cached, min(session.padding, end))
        # Deep prompts belong to the first positions of the step that brought them: a replay is cut where they were.
        cuts = sorted({position for position in history.prompts if session.cached < position < end} | {end})
        num_rows = len(outputs[session.rows])
        for cut in cuts:
            while session.cached < cut:
                at = session.cached
                prompts = history.prompts.get(at)
                if prompts is not None and prompts.shape[1] > 1:
                    prompts = prompts[:, session.rows]
                prefix = 0 if prompts is None else prompts.shape[2]
                step_end = min(cut, at + max(1, prefix, _MAX_STEP_TOKENS // num_rows))
                outputs[session.rows, at - since : step_end - since] = await session.step(
                    self._servers, hop.hop, history[at:step_end][session.rows], prompts, opening=opening
                )
                session.cached = step_end

    async def _find_hops(self, start: int, end: int) -> list[_HopInUse]:
        batch_size = self._batch_size or 1
        route = await self._servers.route(start, end, kv_tokens_needed=self.max_length * batch_size)
        return [_HopInUse(hop, self._servers.servers[hop.peer_id].record, _History()) for hop in route.hops]

    async def _replace(self, index: int) -> None:
        """Puts other servers in the place of a failed hop; the first of them inherits its history."""
        failed = self._hops[index]
        for session in failed.sessions:
            session.forget()
        replacements = await self._find_hops(failed.hop.start, failed.hop.end)
        replacements[0].history = failed.history
        if len(replacements) > 1:
            prompts = failed.history.prompts
            for each in replacements:
                part = slice(each.hop.start - failed.hop.start, each.hop.end - failed.hop.start)
                each.history.prompts = {position: all_blocks[part] for position, all_blocks in prompts.items()}
        self._hops[index : index + 1] = replacements
