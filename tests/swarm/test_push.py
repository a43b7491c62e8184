"""Steps that go from server to server: the same answers, whatever is lost on the way."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from volunteer.client.hop import PushPatience
from volunteer.client.model import SwarmForCausalLM
from volunteer.client.server_session import ServerSession
from volunteer.server.push import Pusher
from volunteer.swarm.node import Service, SwarmNode
from volunteer.swarm.rpc import MessageStream, Method, PeerLost

SPANS = ("0:2", "2:4", "4:6")


def hidden(num_tokens: int, *, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, num_tokens, 64, generator=torch.Generator().manual_seed(seed))


class Traffic:
    """Who sends a step to whom, seen where it is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.from_client: list[str] = []
        self.from_servers: list[str] = []
        self.before_push: Callable[[str, Any], bool] = lambda peer_id, request: True
        """False: the push is lost."""
        send, push = ServerSession.send, Pusher.push

        async def record_send(session: ServerSession, *arguments: Any, **options: Any) -> Any:
            self.from_client.append(session._target.hop.peer_id)
            return await send(session, *arguments, **options)

        def record_push(pusher: Pusher, peer_id: str, request: Any) -> None:
            self.from_servers.append(peer_id)
            if self.before_push(peer_id, request):
                push(pusher, peer_id, request)

        monkeypatch.setattr(ServerSession, "send", record_send)
        monkeypatch.setattr(Pusher, "push", record_push)


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Traffic:
    # On a busy machine the client's copy is not to overtake what is on its way.
    monkeypatch.setattr(PushPatience, "FIRST_S", 5.0)
    monkeypatch.setattr(PushPatience, "_LEAST_S", 5.0)
    return Traffic(monkeypatch)


@pytest.fixture(scope="module")
def swarm(random_bloom: Path, start_swarm: Callable[..., Any]) -> Iterator[Any]:
    swarm = start_swarm(random_bloom, *SPANS)
    yield swarm
    for server in tuple(swarm.servers):
        swarm.stop(server)


@pytest.fixture(scope="module")
def model(swarm: Any) -> Iterator[SwarmForCausalLM]:
    with swarm.client() as model:
        yield model


@pytest.fixture(scope="module")
def local(random_bloom: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(random_bloom, dtype=torch.float32).eval()


def answers(model: SwarmForCausalLM, before_step: Callable[[int, Any], None] | None = None) -> torch.Tensor:
    """Ten steps with a rollback and rows that change places."""
    outputs = []
    with model.session(max_length=64) as session:
        for step in range(10):
            if before_step is not None:
                before_step(step, session)
            if step == 4:
                session.rollback(6)
            if step == 6:
                session.reorder(torch.tensor([1, 1]))
            outputs.append(session.step(hidden(5 if step == 0 else 1 + step % 2, batch=2, seed=step)))
    return torch.cat(outputs, dim=1)


@pytest.fixture(scope="module")
def expected(random_bloom: Path, start_swarm: Callable[..., Any]) -> torch.Tensor:
    """Through one server, where nothing is pushed."""
    single = start_swarm(random_bloom, "0:6")
    with single.client() as model:
        outputs = answers(model)
    single.stop(single.servers[0])
    return outputs


def test_the_client_sends_to_the_first_server_alone(
    model: SwarmForCausalLM, expected: torch.Tensor, traffic: Traffic
) -> None:
    torch.testing.assert_close(answers(model), expected, atol=1e-4, rtol=1e-4)
    peers = [
        server.peer_id for server in sorted(model.connection.servers.servers.values(), key=lambda each: each.start)
    ]
    assert traffic.from_client == [*peers, *[peers[0]] * 9]
    assert traffic.from_servers == [*peers[1:]] * 9


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_tokens_are_equal(model: SwarmForCausalLM, local: Any, traffic: Traffic, options: dict[str, Any]) -> None:
    ids = torch.randint(4, 512, (2, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    arguments = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 3, "eos_token_id": None, **options}
    with torch.inference_mode():
        tokens = model.generate(ids, attention_mask=mask, **arguments)
        reference = local.generate(ids, attention_mask=mask, **arguments)
    assert tokens.tolist() == reference.tolist()
    assert len(traffic.from_servers) >= 2 * 6


def test_the_outputs_of_every_hop_are_there_when_they_are_asked_for(model: SwarmForCausalLM, traffic: Traffic) -> None:
    borders: list[torch.Tensor] = []
    with model.session(max_length=64) as session:
        session.step(hidden(3))
        outputs = session.step(hidden(1, seed=1), borders=borders)
    whole = torch.cat([hidden(3), hidden(1, seed=1)], dim=1)
    assert len(borders) == 3 and torch.equal(borders[2], outputs) and traffic.from_servers
    for end, border in zip((2, 4, 6), borders, strict=True):
        torch.testing.assert_close(border, model.blocks(whole, end=end)[:, -1:], atol=1e-4, rtol=1e-4)


def test_the_clients_copy_takes_the_place_of_a_lost_push(
    model: SwarmForCausalLM, expected: torch.Tensor, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PushPatience, "FIRST_S", 0.05)
    monkeypatch.setattr(PushPatience, "_LEAST_S", 0.05)
    pushes = iter(range(1000))
    traffic.before_push = lambda peer_id, request: next(pushes) % 3 != 1
    torch.testing.assert_close(answers(model), expected, atol=1e-4, rtol=1e-4)
    assert len(traffic.from_client) > 3 + 9
    assert len(traffic.from_servers) > 9


def test_servers_between_which_nothing_passes_are_soon_left_alone(
    model: SwarmForCausalLM, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PushPatience, "FIRST_S", 0.05)
    monkeypatch.setattr(PushPatience, "_LEAST_S", 0.05)
    traffic.before_push = lambda peer_id, request: False
    with model.session(max_length=64) as session:
        for step in range(12):
            session.step(hidden(1, seed=step))
    assert len(traffic.from_client) == 3 * 12
    assert len(traffic.from_servers) <= 2 * PushPatience._MOST_MISSED


def test_servers_without_streams_of_pushes_get_calls(
    random_bloom: Path, start_swarm: Callable[..., Any], traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Petals' servers, which take one step with each call."""
    open_stream = SwarmNode.open_stream

    async def open_known_stream(node: SwarmNode, peer_id: str, method: Method, **options: Any) -> Any:
        if method is Method.PUSH_STREAM:
            raise PeerLost("protocols not supported")
        return await open_stream(node, peer_id, method, **options)

    monkeypatch.setattr(SwarmNode, "open_stream", open_known_stream)
    swarm = start_swarm(random_bloom, *SPANS)
    inputs = [hidden(3 if step == 0 else 1, seed=step) for step in range(4)]
    with swarm.client() as model, model.session(max_length=64) as session:
        outputs = torch.cat([session.step(each) for each in inputs], dim=1)
        whole = model.blocks(torch.cat(inputs, dim=1))
    torch.testing.assert_close(outputs, whole, atol=1e-4, rtol=1e-4)
    assert len(traffic.from_client) == 3 + 3
    for server in tuple(swarm.servers):
        swarm.stop(server)


@pytest.mark.parametrize("victim, at_push", [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)])
def test_an_answer_goes_on_when_a_server_dies_amid_a_pushed_step(
    random_bloom: Path,
    start_swarm: Callable[..., Any],
    expected: torch.Tensor,
    traffic: Traffic,
    monkeypatch: pytest.MonkeyPatch,
    victim: int,
    at_push: int,
) -> None:
    streams: dict[str, list[MessageStream]] = {}
    serve = SwarmNode.serve

    async def serve_in_sight(node: SwarmNode, service: Service) -> None:
        streams[node.peer_id] = []

        async def answer(stream: MessageStream, caller: str) -> None:
            streams[node.peer_id].append(stream)
            await service.streams[Method.INFERENCE](stream, caller)

        await serve(node, dataclasses.replace(service, streams={**service.streams, Method.INFERENCE: answer}))

    monkeypatch.setattr(SwarmNode, "serve", serve_in_sight)
    swarm = start_swarm(random_bloom, *SPANS, SPANS[victim])
    dead: list[str] = []

    def kill_in_the_sixth_step(step: int, session: Any) -> None:
        if step == 5:
            peer_id = session.route[victim].peer_id
            pushes = itertools.count(1)

            def kill(*_: Any) -> bool:
                if next(pushes) == at_push:
                    for stream in streams[peer_id]:  # as the death of a process ends them
                        stream._writer.transport.abort()
                    dead.append(peer_id)
                return True

            traffic.before_push = kill

    with swarm.client() as model:
        torch.testing.assert_close(answers(model, kill_in_the_sixth_step), expected, atol=1e-4, rtol=1e-4)
    assert dead
    assert len(traffic.from_client) > 3 + 9  # the whole history went to another server, or to this one once more
    for server in tuple(swarm.servers):
        swarm.stop(server)
