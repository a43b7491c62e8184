"""The gate of a private swarm: only who has proved to know its key is heard, and only to such a one anything is said.

It stands between this program and its libp2p daemon, so it holds for every RPC: those of servers, the DHT's, and those
that a library adds some day. libp2p proves the peer ids at both ends of a connection; the gate adds, once for a pair of
peers, that each knows the key:

    caller -> answerer   1, nonce
    answerer -> caller   nonce, MAC("answerer", caller, answerer, both nonces)
    caller -> answerer   2, both nonces, MAC("caller", caller, answerer, both nonces)
    answerer -> caller   1

Each MAC names its maker's part and both peer ids, so it is good for nobody else, nor for the other direction. The
answerer keeps nothing of a stranger between the two calls: its nonce is a MAC of its own over the caller's, and can be
made again.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from hivemind.p2p import PeerID
from hivemind.p2p.p2p_daemon_bindings.utils import P2PHandlerError
from hivemind.proto.p2pd_pb2 import RPCError

from volunteer.swarm.rpc import Message, MessageStream, PeerLost, Refused, RemoteError, StreamEnded, peer_errors
from volunteer.swarm.swarm_key import SwarmKey

logger = logging.getLogger(__name__)

PROVE_METHOD = "SwarmGate.rpc_prove"
NOT_PROVED = "This swarm is private"
"""How a refusal begins. Who has proved before is asked again: the answerer has started anew."""
_HELLO, _PROOF = 1, 2
_NONCE_BYTES = _MAC_BYTES = 32
_SLOT_S = 30.0
"""An answerer's nonce is good for one to two of these."""
PROVED_AGAIN_S, PROVED_S = 1800.0, 3600.0
"""After the first a caller proves again; after the second an answerer wants it. Between them no call is refused."""
_MAX_MEMBERS = 4096
"""That are remembered. Only members can fill it; who is forgotten proves again."""
_PROVE_TIMEOUT_S = 10.0

Call = Callable[[Any, str, bytes], Awaitable[bytes]]
"""A unary RPC: peer id, method, request."""
OnRefused = Callable[[str, str, Exception], None]
"""Told of a refused call: the method, the caller, why."""


class NotAMember(PeerLost):
    """The peer does not know the key of this swarm, so nothing is said to it."""


class SwarmGate:
    """Remembers which peers have proved to know the key, and proves it to them.

    Args:
        peer_id: this peer's own.
        call: how a peer is asked, past this gate.
        clock: seconds that never go back.
    """

    def __init__(self, key: SwarmKey, peer_id: Any, call: Call, clock: Callable[[], float] = time.monotonic):
        self._key = key
        self._own_id: bytes = peer_id.to_bytes()
        self._call = call
        self._clock = clock
        self._nonces = secrets.token_bytes(_NONCE_BYTES)
        self._proved_at: dict[str, float] = {}
        """By peer id, the one that proved last at the end."""
        self._proving: dict[str, asyncio.Task[None]] = {}
        self.met_another_key = False
        """Whether a peer that has a gate, too, did not have this key."""

    def is_member(self, peer_id: str) -> bool:
        """Whether this peer has proved it, not too long ago."""
        return self._age_s(peer_id) < PROVED_S

    def forget(self, peer_id: str) -> None:
        """The peer may have started anew: what it knew of us is gone."""
        self._proved_at.pop(peer_id, None)

    async def prove(self, peer_id: str) -> None:
        """Returns when this peer and the other one have proved to each other that they know the key.

        Raises:
            NotAMember: the other one does not.
            PeerLost: it cannot be reached, or knows no gate.
        """
        if self._age_s(peer_id) < PROVED_AGAIN_S:
            return
        task = self._proving.get(peer_id)
        if task is None:
            task = self._proving[peer_id] = asyncio.create_task(self._prove(peer_id))
            task.add_done_callback(lambda done: self._proved(peer_id, done))
        # Many calls may wait for one proof; one of them that is given up does not end it for the others.
        await asyncio.shield(task)

    def _proved(self, peer_id: str, task: asyncio.Task[None]) -> None:
        del self._proving[peer_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("Nothing was proved to %s: %s", peer_id, error)

    async def _prove(self, peer_id: str) -> None:
        other = PeerID.from_base58(peer_id)
        other_id = other.to_bytes()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        try:
            with peer_errors():
                async with asyncio.timeout(_PROVE_TIMEOUT_S):
                    answer = await self._call(other, PROVE_METHOD, bytes((_HELLO,)) + nonce)
                    their_nonce, mac = answer[:_NONCE_BYTES], answer[_NONCE_BYTES:]
                    if not hmac.compare_digest(mac, self._mac(b"answerer", self._own_id, other_id, nonce, their_nonce)):
                        self.met_another_key = True
                        raise NotAMember("the peer does not know the key of this swarm")
                    ours = self._mac(b"caller", self._own_id, other_id, nonce, their_nonce)
                    await self._call(other, PROVE_METHOD, bytes((_PROOF,)) + nonce + their_nonce + ours)
        except RemoteError as error:
            raise NotAMember(f"the peer is no member of this swarm: {error}") from error
        self._remember(peer_id)

    def answer(self, request: bytes, caller: Any) -> bytes:
        """What `PROVE_METHOD` answers; both calls of a proof come here.

        Args:
            caller: its peer id, as libp2p has proved it.

        Raises:
            Refused: this is no proof.
        """
        caller_id = caller.to_bytes()
        kind, nonce = request[:1], request[1 : 1 + _NONCE_BYTES]
        if kind == bytes((_HELLO,)) and len(request) == 1 + _NONCE_BYTES:
            ours = self._nonce(caller_id, nonce, self._slot())
            return ours + self._mac(b"answerer", caller_id, self._own_id, nonce, ours)
        if kind != bytes((_PROOF,)) or len(request) != 1 + 2 * _NONCE_BYTES + _MAC_BYTES:
            raise Refused(f"{NOT_PROVED}; this proves nothing")
        ours, mac = request[1 + _NONCE_BYTES : 1 + 2 * _NONCE_BYTES], request[1 + 2 * _NONCE_BYTES :]
        is_ours = any(
            hmac.compare_digest(ours, self._nonce(caller_id, nonce, slot)) for slot in (self._slot(), self._slot() - 1)
        )
        is_right = hmac.compare_digest(mac, self._mac(b"caller", caller_id, self._own_id, nonce, ours))
        if not (is_ours and is_right):
            raise Refused(f"{NOT_PROVED}; this proves nothing")
        self._remember(caller.to_base58())
        return b"\x01"

    def check(self, peer_id: str) -> None:
        """Raises Refused unless this peer has proved that it knows the key."""
        if not self.is_member(peer_id):
            raise Refused(f"{NOT_PROVED}; prove first that you know its key")

    def close(self) -> None:
        """Ends the proofs that are under way."""
        for task in tuple(self._proving.values()):
            task.cancel()

    def _remember(self, peer_id: str) -> None:
        self._proved_at.pop(peer_id, None)
        self._proved_at[peer_id] = self._clock()
        while len(self._proved_at) > _MAX_MEMBERS:
            del self._proved_at[next(iter(self._proved_at))]

    def _age_s(self, peer_id: str) -> float:
        proved_at = self._proved_at.get(peer_id)
        return float("inf") if proved_at is None else self._clock() - proved_at

    def _slot(self) -> int:
        return int(self._clock() // _SLOT_S)

    def _nonce(self, caller_id: bytes, nonce: bytes, slot: int) -> bytes:
        return hmac.digest(self._nonces, slot.to_bytes(8, "big", signed=True) + nonce + caller_id, "sha256")

    def _mac(self, role: bytes, caller_id: bytes, answerer_id: bytes, nonce: bytes, their_nonce: bytes) -> bytes:
        return self._key.prove(role, caller_id, answerer_id, nonce, their_nonce)


class GatedDaemon:
    """hivemind's connection to its daemon with a gate in it; everything that is not a call goes through as it is.

    Calls of others are refused before their requests are parsed, or read at all where they are streams. `P2P` gets this
    in place of its client, before the first handler is added.

    Args:
        client: hivemind's `p2pclient.Client`.
        on_refused: told of every refused call.
    """

    def __init__(self, client: Any, gate: SwarmGate, on_refused: OnRefused):
        self._client = client
        self._gate = gate
        self._on_refused = on_refused

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def open_gate(self) -> None:
        """Lets others prove themselves from now on."""

        async def prove(request: bytes, caller: Any) -> bytes:
            try:
                return self._gate.answer(request, caller)
            except Refused as error:
                self._on_refused(PROVE_METHOD, caller.to_base58(), error)
                raise

        await self._client.add_unary_handler(PROVE_METHOD, prove)

    async def add_unary_handler(self, method: str, handler: Any, balanced: bool = False) -> None:
        async def gated(request: bytes, caller: Any) -> bytes:
            self._check(method, caller)
            return await handler(request, caller)

        await self._client.add_unary_handler(method, gated, balanced=balanced)

    async def stream_handler(self, method: str, handler: Any, balanced: bool = False) -> None:
        async def gated(info: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                self._check(method, info.peer_id)
            except Refused as error:
                text = RPCError(message=str(error)).SerializeToString()
                writer.write(b"\x01" + len(text).to_bytes(8, "big") + text)  # as `MessageStream.send_error`
                writer.close()
                return
            await handler(info, reader, writer)

        await self._client.stream_handler(method, gated, balanced=balanced)

    async def call_unary_handler(self, peer_id: Any, method: str, request: bytes) -> bytes:
        await self._gate.prove(peer_id.to_base58())
        try:
            return await self._client.call_unary_handler(peer_id, method, request)
        except P2PHandlerError as error:
            if NOT_PROVED not in str(error):
                raise
        self._gate.forget(peer_id.to_base58())
        await self._gate.prove(peer_id.to_base58())
        return await self._client.call_unary_handler(peer_id, method, request)

    async def stream_open(self, peer_id: Any, methods: Any) -> Any:
        await self._gate.prove(peer_id.to_base58())
        return await self._client.stream_open(peer_id, methods)

    def _check(self, method: str, caller: Any) -> None:
        try:
            self._gate.check(caller.to_base58())
        except Refused as error:
            self._on_refused(method, caller.to_base58(), error)
            raise


class GatedStream(MessageStream):
    """A stream to a member. When it fails, the proof is made anew before the next: the peer may have forgotten it."""

    def __init__(self, *arguments: Any, gate: SwarmGate, peer_id: str, **options: Any):
        super().__init__(*arguments, peer_id=peer_id, **options)
        self._gate = gate
        self._other = peer_id
        self._has_heard = False

    async def send(self, message: Any) -> None:
        try:
            await super().send(message)
        except PeerLost:
            self._gate.forget(self._other)
            raise

    async def receive(self, message_type: type[Message], *, keep: bool = False) -> Message | None:
        try:
            message = await super().receive(message_type, keep=keep)
        except (PeerLost, RemoteError) as error:
            # A refusal may be lost where the stream is reset on what was sent before it: then it ends without a word.
            is_usual = self._has_heard and isinstance(error, StreamEnded)
            if NOT_PROVED in str(error) or (isinstance(error, PeerLost) and not is_usual):
                self._gate.forget(self._other)
            raise
        self._has_heard = True
        return message
