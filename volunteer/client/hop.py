"""One hop of a session: its history, its open call (or one for each row) on its server, and how a step gets through it.

Runs in the event loop of the swarm node. Knows hidden states and one server; which server, and what follows it, is
`session.py`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from volunteer.client.history import History
from volunteer.client.routing import Hop
from volunteer.client.server_session import NextServers, ServerSession, Target

MAX_STEP_TOKENS = 2048
"""Rows x new tokens in one message: what Petals' servers take by default."""

Sink = Callable[[int, torch.Tensor], None]
"""Takes outputs, [batch, some, hidden], and the position of the first of them."""


@dataclass(frozen=True)
class PushedStep:
    """A step that goes from server to server, as one of its hops sees it.

    Args:
        next_servers: those after this one.
        answer: what this hop will say; None for the first one, whom the client sends the step.
    """

    step_id: str
    next_servers: NextServers
    answer: asyncio.Future[torch.Tensor] | None


class PushPatience:
    """How long to wait for a step that another server pushes, learnt from those that came: as TCP learns its timeouts.

    Seconds are counted from the moment when the client had the inputs itself.
    """

    FIRST_S = 1.0
    _LEAST_S = 0.1
    _MOST_S = 5.0
    _MOST_MISSED = 3
    _PAUSE_STEPS = 64

    def __init__(self) -> None:
        self._mean_s: float | None = None
        self._deviation_s = 0.0
        self._missed = 0
        self._pause = 0

    @property
    def seconds(self) -> float:
        if self._mean_s is None:
            return self.FIRST_S
        return min(self._MOST_S, max(self._LEAST_S, self._mean_s + 4 * self._deviation_s) * 2**self._missed)

    def came(self, after_s: float) -> None:
        self._missed = 0
        if self._mean_s is None:
            self._mean_s, self._deviation_s = after_s, after_s / 2
        else:
            self._deviation_s += (abs(after_s - self._mean_s) - self._deviation_s) / 4
            self._mean_s += (after_s - self._mean_s) / 8

    def missed(self) -> None:
        self._missed += 1
        if self._missed == self._MOST_MISSED:
            self._missed, self._pause = 0, self._PAUSE_STEPS

    def wants_push(self) -> bool:
        """Asked once a step: false for a while after several pushes in a row did not come."""
        self._pause = max(0, self._pause - 1)
        return self._pause == 0


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
    pushed: PushedStep | None = None
    """The step that is under way, if it goes from server to server here."""
    _patience: PushPatience = field(default_factory=PushPatience)

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

    def is_pushable(self, position: int) -> bool:
        """Whether this server pushes a step that begins there, and takes one that is pushed."""
        return (
            self.target.speaks("push_stream")
            and len(self.sessions) == 1
            and self.sessions[0].is_ready
            and self.sessions[0].cached == position
            and position not in self.history.prompts
        )

    def takes_push_from(self, before: HopInUse) -> bool:
        """Whether a step that comes from the server before is the step that this hop is to have."""
        ours, theirs = self.sessions[0].reorder, before.sessions[0].reorder
        is_same = ours is theirs or (ours is not None and theirs is not None and torch.equal(ours, theirs))
        return is_same and self._patience.wants_push()

    async def bring(self, end: int, sink: Sink) -> None:
        """Everything up to position `end` through the server, as the inputs come; outputs go to `sink` in order.

        Raises:
            PeerLost, RemoteError, BadMessage: the server failed.
        """
        chunks = tuple(self._chunks(end))
        pushed, self.pushed = self.pushed, None
        if pushed is not None:
            ((first, last),) = chunks
            sink(first, await self._receive(first, last, [await self._take_part(pushed, first, last)]))
            return
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

    async def _take_part(self, pushed: PushedStep, first: int, last: int) -> asyncio.Future[torch.Tensor]:
        """Waits for the answer to a pushed step, or sends the client's own copy once that is overdue."""
        (session,) = self.sessions
        await self.history.reach(last)
        session.ask_now(pushed.step_id)
        if pushed.answer is not None and not pushed.answer.done():
            started = time.monotonic()
            await asyncio.wait((pushed.answer,), timeout=self._patience.seconds)
            if pushed.answer.done():
                self._patience.came(time.monotonic() - started)
            else:
                self._patience.missed()
        elif pushed.answer is not None:
            self._patience.came(0.0)
        if pushed.answer is not None and pushed.answer.done():
            return pushed.answer
        inputs = self.history[first:last]
        return await session.send(first, inputs, step_id=pushed.step_id, next_servers=pushed.next_servers)

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
        parts = [None if answer is None else await answer for answer in answers]
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
        self.pushed = None
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
