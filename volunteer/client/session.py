"""A route in use: steps of a sequence through it, pipelined where they are long, and failover.

Runs in the event loop of the swarm node; `rollback` and `reorder` may come from another thread between two steps.
Knows hidden states, not tokens of text.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import torch

from volunteer.client.account import Purse
from volunteer.client.history import History
from volunteer.client.hop import MAX_STEP_TOKENS, HopInUse, PushedStep, Sink
from volunteer.client.routing import Hop
from volunteer.client.server_session import Target
from volunteer.client.servers import ServerTable
from volunteer.client.watch import Watch
from volunteer.errors import Unavailable
from volunteer.swarm.compression import Compression
from volunteer.swarm.rpc import LEAVING, BadMessage, PeerLost, RemoteError

logger = logging.getLogger(__name__)

CHUNK_TOKENS = 128
"""Rows x positions in one message of a long step. Matrix products are at full speed from about so many rows on, and
Petals' servers run up to so many in one go; more would leave the servers behind the first one waiting for longer."""
_LEAST_ATTEMPTS = 8
_FIRST_RETRY_S, _MOST_RETRY_S = 0.25, 5.0
_EVICTED = "Session evicted"
"""What servers answer who gave a silent session's KV room to others."""


class SessionFailed(Unavailable):
    """The servers of the route kept failing."""


class Session:
    """Inference through blocks `start:end` of the swarm, with KV caches kept on the servers between steps.

    A hop that fails is replaced, by one server or several, and told the whole history: the answer goes on unchanged.

    A short step goes from server to server where these can (`push_stream`): it is over when the last one has answered.
    The answers of the others are what replacements would have to be told; they come meanwhile.

    Args:
        servers: whom to ask.
        max_length: tokens that the sequence may grow to.
        left_padding: padding positions at the start of each row; servers that know no padding get a session a row.
        chunk_tokens: rows x positions in one message. What is longer is cut, and while a server computes one piece, the
            server after it has the piece before it.
        wire: how hidden states of more than one position travel to and from servers that take part in it (`wire16`).
            Exact by default; MEANSTD_16BIT halves the bytes, BLOCKWISE_8BIT quarters them and changes some tokens.
        purse: pays servers that give receipts; without one this client is a guest everywhere.
        peers: the only servers to go through, by peer id; all if there are none.
    """

    def __init__(
        self,
        servers: ServerTable,
        *,
        start: int = 0,
        end: int | None = None,
        max_length: int,
        left_padding: Sequence[int] | None = None,
        chunk_tokens: int = CHUNK_TOKENS,
        wire: Compression = Compression.NONE,
        purse: Purse | None = None,
        peers: Iterable[str] = (),
    ):
        self.start = start
        self.end = servers.num_blocks if end is None else end
        self.max_length = max_length
        self.position = 0
        self._servers = servers
        self._left_padding = tuple(left_padding) if left_padding is not None and any(left_padding) else None
        self._chunk_tokens = min(chunk_tokens, MAX_STEP_TOKENS)
        self._wire = wire
        self.purse = purse
        self._peers = frozenset(peers)
        self._hops: list[HopInUse] = []
        self._batch_size: int | None = None
        self._changes: list[Callable[[], None]] = []
        """Rollbacks and reorderings since the last step."""
        self._failures = 0
        """Of servers in this step."""
        self._failing_since = 0.0
        self._watch = Watch(lambda: [session for hop in self._hops for session in hop.sessions])
        self._rest: asyncio.Task[None] | None = None
        """What the last step left to do: the answers of the hops before the last one are on their way."""

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
        if hidden_states.shape[1] == 0:
            return hidden_states
        outputs = _Outputs(self.position)
        self._watch.begin()
        try:
            await self._settle()
            changes, self._changes = self._changes, []
            for change in changes:
                change()
            joined = await self._run(hidden_states, prompts, outputs)
            if borders is not None:
                await self._settle()
        except BaseException:
            # The step did not happen: whoever asks again begins where it began.
            await self._abandon()
            for hop in self._hops:
                hop.truncate(self.position)
            self._watch.end()
            raise
        if borders is not None:
            borders += [hop.history[self.position :].clone() for hop in self._hops[1:]]
            borders.append(joined)
        self.position += hidden_states.shape[1]
        self._watch.end()
        return joined

    def rollback(self, position: int) -> None:
        """Forgets the tokens from `position` on; the servers are told with the next step.

        Raises:
            ValueError: the sequence is shorter than that.
        """
        if not 0 <= position <= self.position:
            raise ValueError(f"cannot go back to position {position} of {self.position}")
        self.position = position

        def change() -> None:
            for hop in self._hops:
                hop.truncate(position)

        self._changes.append(change)

    def reorder(self, rows: torch.Tensor) -> None:
        """Row i goes on from what row `rows[i]` was, [batch] int64; the servers are told with the next step."""
        if self._batch_size is None:
            return
        if rows.dtype != torch.int64 or tuple(rows.shape) != (self._batch_size,):
            raise ValueError(f"{rows.dtype} of shape {tuple(rows.shape)} for {self._batch_size} rows")
        if not ((rows >= 0) & (rows < self._batch_size)).all():
            raise ValueError(f"there are {self._batch_size} rows")

        def change() -> None:
            if self._left_padding is not None:
                self._left_padding = tuple(self._left_padding[row] for row in rows.tolist())
            for hop in self._hops:
                hop.reorder(rows, self._left_padding)

        self._changes.append(change)

    async def close(self) -> None:
        """Ends the session on all servers; never waits long."""
        await self._abandon()
        await self._watch.close()
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

    async def _run(self, hidden_states: torch.Tensor, prompts: torch.Tensor | None, outputs: _Outputs) -> torch.Tensor:
        """Brings every hop to the end of this step, [batch, new, hidden]; `_rest` may do so a little later."""
        self._failures = 0
        if not self._hops:
            self._hops = await self._find_hops(self.start, self.end)
        end = self.position + hidden_states.shape[1]
        for hop in self._hops:
            if prompts is not None:
                part = prompts[hop.hop.start - self.start : hop.hop.end - self.start]
                hop.history.prompts[self.position] = part
        self._hops[0].history.extend(self.position, hidden_states)
        if not all(hop.is_one_message(end) for hop in self._hops):
            await _together(self._bring(hop, end, outputs.add) for hop in self._hops)
            return outputs.joined()
        self._plan_pushes(hidden_states)
        last = self._hops[-1].pushed
        if last is None or last.answer is None:
            await self._bring_in_turn(end, outputs)
            return outputs.joined()
        self._rest = asyncio.create_task(self._bring_in_turn(end, outputs))
        await asyncio.wait((self._rest, last.answer), return_when=asyncio.FIRST_COMPLETED)
        if last.answer.done() and last.answer.exception() is None:
            return last.answer.result()
        await self._settle()
        return outputs.joined()

    async def _bring_in_turn(self, end: int, outputs: _Outputs) -> None:
        """One hop after another, as one message goes through them: nothing is spent on tasks."""
        for hop in tuple(self._hops):
            await self._bring(hop, end, outputs.add)

    async def _settle(self) -> None:
        """Waits for what the last step left to do."""
        rest, self._rest = self._rest, None
        if rest is not None:
            await rest

    async def _abandon(self) -> None:
        rest, self._rest = self._rest, None
        if rest is not None:
            rest.cancel()
            await asyncio.wait((rest,))

    def _plan_pushes(self, hidden_states: torch.Tensor) -> None:
        """Decides which hops get this step from the server before them, and not from here."""
        run: list[HopInUse] = []
        for hop in (*self._hops, None):
            is_pushable = hop is not None and hop.is_pushable(self.position)
            if hop is not None and is_pushable and run and hop.takes_push_from(run[-1]):
                run.append(hop)
                continue
            if len(run) > 1:
                self._plan_push(run, hidden_states)
            run = [hop] if hop is not None and is_pushable else []

    def _plan_push(self, run: list[HopInUse], hidden_states: torch.Tensor) -> None:
        step_id = str(uuid.uuid4())
        route = tuple((each.hop.peer_id, each.sessions[0].session_id, each.hop.start, each.hop.end) for each in run)
        run[0].pushed = PushedStep(step_id, route[1:], None)
        for number, hop in enumerate(run[1:], start=1):
            answer = hop.sessions[0].expect(step_id, self.position, hidden_states)
            hop.pushed = PushedStep(step_id, route[number + 1 :], answer)

    async def _bring(self, hop: HopInUse, end: int, at_the_end: Sink) -> None:
        """Brings a hop to position `end`, or those that take its place when it fails."""

        def hand_on(first: int, outputs: torch.Tensor) -> None:
            following = self._hops.index(hop) + 1
            if following < len(self._hops):
                self._hops[following].history.extend(first, outputs)
            else:
                at_the_end(first, outputs)

        try:
            await hop.bring(end, hand_on)
        except (PeerLost, RemoteError, BadMessage) as error:
            instead = await self._replace(hop, error)
        else:
            hop.is_second_try = False
            self._servers.record_success(hop.hop.peer_id)
            return
        if len(instead) == 1:
            await self._bring(instead[0], end, at_the_end)
        else:
            await _together(self._bring(each, end, at_the_end) for each in instead)

    async def _find_hops(self, start: int, end: int) -> list[HopInUse]:
        batch_size = self._batch_size or 1
        route = await self._servers.route(start, end, kv_tokens_needed=self.max_length * batch_size, only=self._peers)
        opening = {"max_length": self.max_length, "points": 0.0, "active_adapter": None, "can_replay": True}
        hops = []
        for hop in route.hops:
            target = Target.of(self._servers, hop, self._wire, self.purse, self._peers)
            hops.append(HopInUse(target, History(), opening, self._chunk_tokens))
            hops[-1].connect(batch_size, self._left_padding)
        return hops

    async def _replace(self, failed: HopInUse, error: Exception) -> list[HopInUse]:
        """Puts other servers in the place of a failed hop; the first of them inherits its history.

        A server that lives and has only lost or given away our session is itself the first choice.
        """
        hop = failed.hop
        is_evicted = isinstance(error, RemoteError) and str(error) == _EVICTED
        is_leaving = isinstance(error, RemoteError) and str(error).startswith(LEAVING)
        lost_session = isinstance(error, RemoteError) and failed.answered
        failed.forget()
        now = time.monotonic()
        self._failing_since = now if self._failures == 0 else self._failing_since
        self._failures += 1
        if self._failures >= _LEAST_ATTEMPTS and now - self._failing_since > self._servers.patience_s:
            raise SessionFailed(f"Blocks {hop.start}-{hop.end - 1} keep failing: {error}") from error
        if (is_evicted or lost_session) and not is_leaving and not failed.is_second_try:
            logger.info("%s has our session no more, it is opened again: %s", hop.peer_id, error)
            failed.is_second_try = True
            return [failed]
        if not is_evicted:
            self._servers.record_failure(hop.peer_id)
        logger.log(
            logging.INFO if is_leaving else logging.WARNING,
            "%s failed in blocks %s:%s: %s",
            *(hop.peer_id, hop.start, hop.end, error),
        )
        if self._failures > 1:
            await asyncio.sleep(min(_MOST_RETRY_S, _FIRST_RETRY_S * 2 ** (self._failures - 2)))
        replacements = await self._find_hops(hop.start, hop.end)
        replacements[0].history = failed.history
        if len(replacements) > 1:
            prompts = failed.history.prompts
            for each in replacements:
                part = slice(each.hop.start - hop.start, each.hop.end - hop.start)
                each.history.prompts = {position: all_blocks[part] for position, all_blocks in prompts.items()}
        index = self._hops.index(failed)
        self._hops[index : index + 1] = replacements
        return replacements


class _Outputs:
    """What comes out of the last hop from position `first` on, piece by piece; after a replay older ones come again."""

    def __init__(self, first: int):
        self._end = first
        self._pieces: list[torch.Tensor] = []

    def add(self, first: int, outputs: torch.Tensor) -> None:
        new = outputs[:, max(0, self._end - first) :]
        if new.shape[1] > 0:
            self._pieces.append(new)
            self._end += new.shape[1]

    def joined(self) -> torch.Tensor:
        if len(self._pieces) > 1:
            self._pieces = [torch.cat(self._pieces, dim=1)]
        return self._pieces[0]


async def _together(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs all at the same time; the first error ends the others."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
