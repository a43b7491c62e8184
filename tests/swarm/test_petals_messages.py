"""Messages as Petals' own peers write them, down to what is odd about them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from volunteer.client.model import SwarmForCausalLM
from volunteer.swarm.compression import Compression
from volunteer.swarm.rpc import (
    ExpertRequest,
    ExpertResponse,
    MessageStream,
    Method,
    Tensor,
    pack_metadata,
    pack_tensor,
    unpack_tensor,
)

HIDDEN, BLOCKS = 64, 6
NO_PROMPTS = torch.empty(0)
NO_HYPO_IDS = torch.empty(0, dtype=torch.int64)


@pytest.fixture(scope="module")
def model(random_bloom: Path, start_swarm: Callable[..., Any]) -> Iterator[SwarmForCausalLM]:
    """One server of all blocks, and our client to compare with."""
    swarm = start_swarm(random_bloom, f"0:{BLOCKS}")
    with swarm.client() as model:
        model.connection.run(model.connection.servers.refresh())
        yield model
    for server in tuple(swarm.servers):
        swarm.stop(server)


def hidden(num_tokens: int, *, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, num_tokens, HIDDEN, generator=torch.Generator().manual_seed(seed))


class PetalsSession:
    """A session of a Petals client on the only server of `model`."""

    def __init__(self, model: SwarmForCausalLM, stream: MessageStream):
        self._servers = model.connection.servers
        self._stream = stream
        self._session_id = str(uuid.uuid4())
        self._opening: dict[str, Any] = {"max_length": 32, "points": 0.0, "active_adapter": None}

    def request(
        self,
        hidden_states: torch.Tensor,
        prompts: torch.Tensor = NO_PROMPTS,
        hypo_ids: torch.Tensor = NO_HYPO_IDS,
        **metadata: Any,
    ) -> Any:
        metadata |= {"session_id": self._session_id, "args_structure": ((b"__T0", b"__T1", b"__T2"), {})}
        return ExpertRequest(
            uid=uid(self._servers),
            tensors=[pack_tensor(tensor) for tensor in (hidden_states, prompts, hypo_ids)],
            metadata=pack_metadata({"step_id": str(uuid.uuid4()), **self._opening, **metadata}),
        )

    async def push(self, *arguments: torch.Tensor, step_id: str) -> None:
        """As the server before this one would."""
        request = self.request(*arguments, step_id=step_id, pushed=True)
        await self._servers.node.call(only_peer(self._servers), Method.PUSH, request, ExpertResponse, timeout_s=5)

    async def send(self, *arguments: torch.Tensor, **metadata: Any) -> None:
        await self._stream.send(self.request(*arguments, **metadata))
        self._opening = {}

    async def receive(self) -> torch.Tensor:
        response = await self._stream.receive(ExpertResponse)
        return unpack_tensor(response.tensors[0])


def uid(servers: Any) -> str:
    return " ".join(f"{servers.prefix}.{index}" for index in range(BLOCKS))


def only_peer(servers: Any) -> str:
    (peer_id,) = servers.servers
    return peer_id


def in_session(model: SwarmForCausalLM, talk: Callable[[PetalsSession], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        servers = model.connection.servers
        stream = await servers.node.open_stream(only_peer(servers), Method.INFERENCE)
        try:
            return await talk(PetalsSession(model, stream))
        finally:
            stream.close()

    return model.connection.run(run())


def expected(model: SwarmForCausalLM, *steps: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
    """The output of the last step; `rows` are reordered before it."""
    with model.session(max_length=32) as session:
        for step in steps[:-1]:
            session.step(step)
        if rows is not None:
            session.reorder(rows)
        return session.step(steps[-1])


def test_a_pushed_step_is_answered_to_the_client_whose_copy_is_then_ignored(model: SwarmForCausalLM) -> None:
    async def talk(session: PetalsSession) -> torch.Tensor:
        await session.send(hidden(3))
        await session.receive()
        await session.push(hidden(1, seed=1), step_id="second")
        pushed = await session.receive()
        await session.send(hidden(1, seed=1), step_id="second")
        await session.send(hidden(1, seed=2), step_id="third")
        return torch.cat([pushed, await session.receive()], dim=1)

    outputs = in_session(model, talk)
    steps = hidden(3), hidden(1, seed=1), hidden(1, seed=2)
    reference = torch.cat([expected(model, *steps[:2]), expected(model, *steps)], dim=1)
    torch.testing.assert_close(outputs, reference, atol=1e-5, rtol=1e-5)


def test_a_push_without_the_hypo_ids_of_its_step_is_left_to_the_client(model: SwarmForCausalLM) -> None:
    rows = torch.tensor([1, 1])

    async def talk(session: PetalsSession) -> torch.Tensor:
        await session.send(hidden(3, batch=2))
        await session.receive()
        await session.push(hidden(1, batch=2, seed=1), step_id="second")
        await session.send(hidden(1, batch=2, seed=1), NO_PROMPTS, rows, step_id="second")
        return await session.receive()

    outputs = in_session(model, talk)
    reference = expected(model, hidden(3, batch=2), hidden(1, batch=2, seed=1), rows=rows)
    torch.testing.assert_close(outputs, reference, atol=1e-5, rtol=1e-5)


def test_a_push_with_the_prompts_of_the_first_step_is_left_to_the_client(model: SwarmForCausalLM) -> None:
    prompts = hidden(BLOCKS, seed=3).reshape(BLOCKS, 1, 1, HIDDEN)

    async def talk(session: PetalsSession) -> torch.Tensor:
        await session.send(hidden(3), prompts)
        await session.receive()
        await session.push(hidden(1, seed=1), prompts, step_id="second")
        await session.send(hidden(1, seed=1), step_id="second")
        return await session.receive()

    with model.session(max_length=32) as session:
        session.step(hidden(3), prompts=prompts)
        reference = session.step(hidden(1, seed=1))
    torch.testing.assert_close(in_session(model, talk), reference, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("compression", [each for each in Compression if each is not Compression.NONE])
def test_prompts_that_are_compressed_and_empty_are_no_prompts(
    model: SwarmForCausalLM, compression: Compression
) -> None:
    servers = model.connection.servers
    empty = Tensor(compression=int(compression), dtype="float32", size=[0], requires_grad=False)
    metadata = {"output_compression": (int(Compression.FLOAT16),)}
    request = ExpertRequest(
        uid=uid(servers),
        tensors=[pack_tensor(hidden(5), Compression.FLOAT16), empty],
        metadata=pack_metadata(metadata),
    )
    response = model.connection.run(
        servers.node.call(only_peer(servers), Method.FORWARD, request, ExpertResponse, timeout_s=20)
    )
    (packed,) = response.tensors
    assert packed.compression == Compression.FLOAT16
    # Half precision on the way in and on the way out; a wrong answer would differ by units.
    torch.testing.assert_close(unpack_tensor(packed), model.blocks(hidden(5)), atol=0.1, rtol=0.01)


def test_a_step_of_no_tokens_is_answered_with_none(model: SwarmForCausalLM) -> None:
    async def talk(session: PetalsSession) -> tuple[torch.Tensor, torch.Tensor]:
        await session.send(hidden(0))
        empty = await session.receive()
        await session.send(hidden(3))
        return empty, await session.receive()

    empty, outputs = in_session(model, talk)
    assert empty.shape == (1, 0, HIDDEN)
    torch.testing.assert_close(outputs, expected(model, hidden(3)), atol=1e-5, rtol=1e-5)
