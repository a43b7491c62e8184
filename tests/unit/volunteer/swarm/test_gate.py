"""The gate by itself: two peers, and one between them, with a wire that can be bent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hivemind.p2p import PeerID
from hivemind.p2p.p2p_daemon_bindings.utils import P2PHandlerError

from volunteer.points.identity import new_identity
from volunteer.swarm.gate import NOT_PROVED, PROVE_METHOD, PROVED_AGAIN_S, PROVED_S, GatedDaemon, NotAMember, SwarmGate
from volunteer.swarm.rpc import PeerLost, Refused
from volunteer.swarm.swarm_key import SwarmKey

KEY, OTHER_KEY = SwarmKey(bytes(32)), SwarmKey(bytes(31) + b"x")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Wire:
    """Peers that call one another; calls are written down."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.peers: dict[str, Any] = {}
        self.calls: list[tuple[str, str, str, bytes]] = []
        self.bend: Callable[[bytes], bytes] = lambda answer: answer

    def add(self, key: SwarmKey) -> Peer:
        peer = Peer(self, key)
        self.peers[peer.name] = peer
        return peer

    def calling(self, caller: Any) -> Callable[[Any, str, bytes], Awaitable[bytes]]:
        async def call(peer_id: Any, method: str, request: bytes) -> bytes:
            await asyncio.sleep(0)
            self.calls.append((caller.to_base58(), peer_id.to_base58(), method, request))
            try:
                handler = self.peers[peer_id.to_base58()].handlers[method]
            except KeyError:
                raise P2PHandlerError("protocol not supported") from None
            try:
                return self.bend(await handler(request, caller))
            except Exception as error:  # as hivemind passes it on
                raise P2PHandlerError(repr(error)) from error

        return call


class Peer:
    """What hivemind's client of a daemon does, and a gate around it."""

    def __init__(self, wire: Wire, key: SwarmKey):
        self.peer_id = PeerID.from_base58(new_identity().peer_id)
        self.name = self.peer_id.to_base58()
        self.handlers: dict[str, Any] = {}
        self.call_unary_handler = wire.calling(self.peer_id)
        self.gate = SwarmGate(key, self.peer_id, self.call_unary_handler, wire.clock)
        self.refused: list[tuple[str, str, Exception]] = []
        self.daemon = GatedDaemon(self, self.gate, lambda *refused: self.refused.append(refused))
        self.asked: list[bytes] = []

    async def add_unary_handler(self, method: str, handler: Any, balanced: bool = False) -> None:
        self.handlers[method] = handler

    async def serve(self) -> None:
        async def handler(request: bytes, caller: Any) -> bytes:
            self.asked.append(request)
            return b"answer to " + request

        await self.daemon.open_gate()
        await self.daemon.add_unary_handler("method", handler)


async def two(key: SwarmKey = KEY, other_key: SwarmKey = KEY) -> tuple[Wire, Peer, Peer]:
    wire = Wire()
    caller, answerer = wire.add(key), wire.add(other_key)
    await answerer.serve()
    return wire, caller, answerer


def methods(wire: Wire) -> list[str]:
    return [method for _, _, method, _ in wire.calls]


def test_two_members_prove_it_once_and_both_remember() -> None:
    async def run() -> None:
        wire, caller, answerer = await two()
        for request in (b"1", b"2"):
            assert (
                await caller.daemon.call_unary_handler(answerer.peer_id, "method", request) == b"answer to " + request
            )
        assert methods(wire) == [PROVE_METHOD, PROVE_METHOD, "method", "method"]
        assert caller.gate.is_member(answerer.name) and answerer.gate.is_member(caller.name)
        # so the other direction needs no proof any more
        await caller.serve()
        await answerer.daemon.call_unary_handler(caller.peer_id, "method", b"3")
        assert methods(wire)[4:] == ["method"]

    asyncio.run(run())


def test_many_calls_at_once_wait_for_one_proof_and_outlive_the_one_that_gives_up() -> None:
    async def run() -> None:
        wire, caller, answerer = await two()
        calls = [
            asyncio.create_task(caller.daemon.call_unary_handler(answerer.peer_id, "method", bytes((index,))))
            for index in range(20)
        ]
        await asyncio.sleep(0)
        calls[0].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == [b"answer to " + bytes((index,)) for index in range(1, 20)]
        assert methods(wire).count(PROVE_METHOD) == 2

    asyncio.run(run())


@pytest.mark.parametrize("keys", [(OTHER_KEY, KEY), (KEY, OTHER_KEY)])
def test_with_another_key_nothing_is_said_and_nothing_heard(keys: tuple[SwarmKey, SwarmKey]) -> None:
    async def run() -> None:
        wire, caller, answerer = await two(*keys)
        with pytest.raises(NotAMember):
            await caller.daemon.call_unary_handler(answerer.peer_id, "method", b"secret")
        assert caller.gate.met_another_key
        assert "method" not in methods(wire) and not answerer.asked
        assert not caller.gate.is_member(answerer.name) and not answerer.gate.is_member(caller.name)

    asyncio.run(run())


def test_a_peer_without_a_gate_is_told_nothing() -> None:
    async def run() -> None:
        wire = Wire()
        caller, plain = wire.add(KEY), wire.add(KEY)

        async def handler(request: bytes, caller: Any) -> bytes:
            return b"anything"

        plain.handlers["method"] = handler
        with pytest.raises(NotAMember):
            await caller.daemon.call_unary_handler(plain.peer_id, "method", b"secret")
        with pytest.raises(PeerLost):
            await caller.daemon.stream_open(plain.peer_id, ("method",))
        assert set(methods(wire)) == {PROVE_METHOD}
        # nor one that answers whatever it is asked, the same or what it has heard
        plain.handlers[PROVE_METHOD] = handler
        with pytest.raises(NotAMember):
            await caller.daemon.call_unary_handler(plain.peer_id, "method", b"secret")

    asyncio.run(run())


def test_who_proves_nothing_is_refused_before_the_request_is_looked_at() -> None:
    async def run() -> None:
        _, caller, answerer = await two()
        with pytest.raises(P2PHandlerError, match=NOT_PROVED):
            await caller.call_unary_handler(answerer.peer_id, "method", b"request")  # past its own gate
        assert not answerer.asked
        assert [refused[:2] for refused in answerer.refused] == [("method", caller.name)]

    asyncio.run(run())


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"\x00",
        b"\x01",
        b"\x01" + bytes(31),
        b"\x01" + bytes(33),
        b"\x02" + bytes(96),
        b"\x02" + bytes(95),
        b"\x03" + bytes(96),
        bytes(100_000),
    ],
)
def test_what_is_no_proof_proves_nothing(request_bytes: bytes) -> None:
    gate = SwarmGate(KEY, PeerID.from_base58(new_identity().peer_id), Wire().calling(None))
    caller = PeerID.from_base58(new_identity().peer_id)
    with pytest.raises(Refused, match=NOT_PROVED):
        gate.answer(request_bytes, caller)
    assert not gate.is_member(caller.to_base58())


def test_every_bit_of_a_proof_counts() -> None:
    async def run() -> None:
        wire, caller, answerer = await two()
        await caller.gate.prove(answerer.name)
        proof = wire.calls[1][3]
        answerer.gate.forget(caller.name)
        for bit in range(8 * len(proof)):
            wrong = bytearray(proof)
            wrong[bit // 8] ^= 1 << bit % 8
            with pytest.raises(Refused):
                answerer.gate.answer(bytes(wrong), caller.peer_id)
        assert not answerer.gate.is_member(caller.name)
        assert answerer.gate.answer(proof, caller.peer_id) == b"\x01"

    asyncio.run(run())


def test_a_proof_between_two_peers_is_good_for_no_others() -> None:
    """A stranger in the middle, under a name of its own on both sides, passes on what each side says."""

    async def run() -> None:
        wire, caller, answerer = await two()
        stranger = wire.add(OTHER_KEY)
        third = wire.add(KEY)
        await third.serve()

        async def pass_on(request: bytes, _: Any) -> bytes:
            return await stranger.call_unary_handler(answerer.peer_id, PROVE_METHOD, request)

        stranger.handlers[PROVE_METHOD] = pass_on
        with pytest.raises(NotAMember):  # the answerer's MAC names the stranger, not the caller
            await caller.gate.prove(stranger.name)
        assert not answerer.gate.is_member(stranger.name) and not answerer.gate.is_member(caller.name)

        # What was said between two members, said again by the stranger, or to another member, or turned around.
        await caller.gate.prove(answerer.name)
        said = [request for name, _, _, request in wire.calls if name == caller.name][-2:]
        for request in said:
            for member in (answerer, third, caller):
                if member is caller:
                    await caller.serve()
                with contextlib.suppress(P2PHandlerError):
                    await stranger.call_unary_handler(member.peer_id, PROVE_METHOD, request)
                assert not member.gate.is_member(stranger.name)
        with pytest.raises(Refused):
            third.gate.answer(said[1], caller.peer_id)
        with pytest.raises(Refused):
            caller.gate.answer(said[1], answerer.peer_id)

    asyncio.run(run())


def test_an_answerer_s_mac_is_no_caller_s() -> None:
    """A stranger that gets a member to answer cannot use the answer to prove itself in its turn."""

    async def run() -> None:
        wire, _, answerer = await two()
        stranger = wire.add(OTHER_KEY)
        hello = b"\x01" + bytes(32)
        answer = await stranger.call_unary_handler(answerer.peer_id, PROVE_METHOD, hello)
        nonce, mac = answer[:32], answer[32:]
        with pytest.raises(P2PHandlerError, match=NOT_PROVED):
            await stranger.call_unary_handler(answerer.peer_id, PROVE_METHOD, b"\x02" + bytes(32) + nonce + mac)
        assert not answerer.gate.is_member(stranger.name)

    asyncio.run(run())


def test_an_old_challenge_is_not_taken() -> None:
    async def run() -> None:
        wire, caller, answerer = await two()
        await caller.gate.prove(answerer.name)
        proof = wire.calls[1][3]
        wire.clock.now_s += 61
        with pytest.raises(Refused):
            answerer.gate.answer(proof, caller.peer_id)

    asyncio.run(run())


def test_a_proof_is_made_again_before_it_is_too_old() -> None:
    async def run() -> None:
        wire, caller, answerer = await two()
        await caller.daemon.call_unary_handler(answerer.peer_id, "method", b"1")
        wire.clock.now_s += PROVED_AGAIN_S - 1
        await caller.daemon.call_unary_handler(answerer.peer_id, "method", b"2")
        assert methods(wire).count(PROVE_METHOD) == 2
        wire.clock.now_s += 2
        await caller.daemon.call_unary_handler(answerer.peer_id, "method", b"3")
        assert methods(wire).count(PROVE_METHOD) == 4 and not answerer.refused
        wire.clock.now_s += PROVED_S + 1
        assert not answerer.gate.is_member(caller.name)

    asyncio.run(run())


def test_an_answerer_that_began_anew_is_proved_to_again() -> None:
    async def run() -> None:
        _, caller, answerer = await two()
        await caller.daemon.call_unary_handler(answerer.peer_id, "method", b"1")
        answerer.gate.forget(caller.name)
        assert await caller.daemon.call_unary_handler(answerer.peer_id, "method", b"2") == b"answer to 2"
        assert answerer.asked == [b"1", b"2"]

    asyncio.run(run())


def test_no_more_members_are_remembered_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volunteer.swarm.gate._MAX_MEMBERS", 3)

    async def run() -> None:
        wire, _, answerer = await two()
        members = [wire.add(KEY) for _ in range(5)]
        for member in members:
            await member.gate.prove(answerer.name)
        assert [answerer.gate.is_member(member.name) for member in members] == [False, False, True, True, True]

    asyncio.run(run())
