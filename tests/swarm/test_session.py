"""Sessions: failover, servers that know no padding, room given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from volunteer.client import server_session
from volunteer.client.hop import MAX_STEP_TOKENS
from volunteer.client.model import BlockingSession
from volunteer.client.routing import NoRoute
from volunteer.client.server_session import ServerSession
from volunteer.client.session import Session, SessionFailed
from volunteer.server.handler import EXTENSIONS
from volunteer.swarm.compression import Compression
from volunteer.swarm.rpc import ExpertRequest, pack_tensor


@pytest.fixture(scope="module")
def local(random_bloom: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(random_bloom, dtype=torch.float32).eval()


def hidden(num_tokens: int, *, batch: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, num_tokens, 64, generator=torch.Generator().manual_seed(seed))


def session_of(model: Any, **options: Any) -> BlockingSession:
    return BlockingSession(model.connection, Session(model.connection.servers, **({"max_length": 64} | options)))


def test_an_answer_goes_on_when_a_server_dies_and_two_others_share_its_blocks(
    random_bloom: Path, start_swarm: Callable[..., Any]
) -> None:
    swarm = start_swarm(random_bloom, "0:2", "2:6")
    inputs = [hidden(5, batch=2), hidden(1, batch=2, seed=1), hidden(2, batch=2, seed=2), hidden(1, batch=2, seed=3)]
    prompts = hidden(6, seed=4).reshape(6, 1, 1, 64)
    rows = torch.tensor([1, 1])
    with swarm.client() as model, model.session(max_length=64) as session:

        def answer(disturb: Callable[[], None]) -> list[torch.Tensor]:
            outputs = [session.step(inputs[0], prompts=prompts), session.step(inputs[1])]
            session.reorder(rows)
            disturb()
            outputs.append(session.step(inputs[2]))
            session.rollback(6)
            outputs.append(session.step(inputs[3]))
            return outputs

        expected = answer(lambda: None)
        session.rollback(0)
        swarm.start("2:4")
        swarm.start("4:6")
        dying = swarm.servers[1]
        outputs = answer(lambda: swarm.stop(dying))
        assert [(hop.start, hop.end) for hop in session.route] == [(0, 2), (2, 4), (4, 6)]
    for each, reference in zip(outputs, expected, strict=True):
        torch.testing.assert_close(each, reference, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("knows_padding", [True, False])
def test_a_prompt_in_pieces_gives_what_it_gives_in_one(
    random_bloom: Path, start_swarm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, knows_padding: bool
) -> None:
    if not knows_padding:
        monkeypatch.setattr("volunteer.server.announcer.EXTENSIONS", ())
    swarm = start_swarm(random_bloom, "0:2", "2:3", "3:6")
    inputs, following = hidden(37, batch=2), hidden(1, batch=2, seed=1)
    results = []
    with swarm.client() as model:
        for chunk_tokens in (MAX_STEP_TOKENS, 10):
            borders: list[torch.Tensor] = []
            with session_of(model, chunk_tokens=chunk_tokens, left_padding=(0, 6)) as session:
                outputs = [session.step(inputs, borders=borders), session.step(following)]
                session.rollback(3)
                outputs.append(session.step(hidden(20, batch=2, seed=2)))
            # What stands at a padded position depends on who computes it, and is looked at by nobody.
            results.append([each[:, 6:] for each in (*borders, outputs[0])] + [outputs[1], outputs[2][:, 3:]])
    assert len(results[0]) == 3 + 3
    for whole, pieces in zip(*results, strict=True):
        torch.testing.assert_close(pieces, whole, atol=1e-4, rtol=1e-4)


def test_hidden_states_of_prompts_travel_in_half_the_bytes_where_the_client_asks_for_it(
    random_bloom: Path, start_swarm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[tuple[int, int]] = []  # positions, compression
    unpack = server_session.unpack_tensor

    def see(packed: Any) -> torch.Tensor:
        received.append((packed.size[1], packed.compression))
        return unpack(packed)

    monkeypatch.setattr(server_session, "unpack_tensor", see)
    inputs = [hidden(20), hidden(1, seed=1)]
    half, exact = int(Compression.MEANSTD_16BIT), int(Compression.NONE)

    def run(extensions: tuple[str, ...], wire: Compression) -> list[torch.Tensor]:
        received.clear()
        monkeypatch.setattr("volunteer.server.announcer.EXTENSIONS", extensions)
        swarm = start_swarm(random_bloom, "0:3", "3:6")
        with swarm.client() as model, session_of(model, wire=wire) as session:
            return [session.step(each) for each in inputs]

    expected = run(EXTENSIONS, Compression.NONE)
    assert received == [(20, exact)] * 2 + [(1, exact)] * 2
    rounded = run(EXTENSIONS, Compression.MEANSTD_16BIT)
    assert received == [(20, half)] * 2 + [(1, exact)] * 2
    unasked = run(("left_padding",), Compression.MEANSTD_16BIT)
    assert received == [(20, exact)] * 2 + [(1, exact)] * 2
    for one, two, reference in zip(rounded, unasked, expected, strict=True):
        assert not torch.equal(one, reference)
        # 11 bits of a number of a few units, through two servers.
        torch.testing.assert_close(one, reference, atol=0.05, rtol=0.01)
        torch.testing.assert_close(two, reference, atol=1e-5, rtol=1e-5)


def test_a_prompt_goes_on_when_a_server_dies_amid_its_pieces(
    random_bloom: Path, start_swarm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    swarm = start_swarm(random_bloom, "0:2", "2:4", "4:6")
    inputs = hidden(60)
    prompts = hidden(6 * 3, seed=4).reshape(6, 1, 3, 64)
    with swarm.client() as model:
        with session_of(model, chunk_tokens=5) as session:
            expected = session.step(inputs, prompts=prompts)
        swarm.start("2:3")
        swarm.start("3:4")
        dying = swarm.servers[1]
        send, sent_by_dying = ServerSession.send, 0

        async def send_and_kill(self: ServerSession, *arguments: Any, **options: Any) -> Any:
            nonlocal sent_by_dying
            if self._target.hop.peer_id == dying.peer_id:
                sent_by_dying += 1
                if sent_by_dying == 6:
                    await asyncio.to_thread(swarm.stop, dying)
            return await send(self, *arguments, **options)

        monkeypatch.setattr(ServerSession, "send", send_and_kill)
        with session_of(model, chunk_tokens=5) as session:
            outputs = session.step(inputs, prompts=prompts)
            route = [(hop.start, hop.end) for hop in session.route]
    assert sent_by_dying >= 6
    assert route == [(0, 2), (2, 3), (3, 4), (4, 6)]
    torch.testing.assert_close(outputs, expected, atol=1e-4, rtol=1e-4)


def test_a_server_that_leaves_hands_its_sessions_over(random_bloom: Path, start_swarm: Callable[..., Any]) -> None:
    swarm = start_swarm(random_bloom, "0:6", "0:6")
    inputs = [hidden(5), hidden(1, seed=1)]
    with swarm.client() as model, session_of(model) as session:
        outputs = [session.step(inputs[0])]
        leaving = next(server for server in swarm.servers if server.peer_id == session.route[0].peer_id)

        async def leave() -> None:
            leaving.leave.ask(0.3)
            await leaving.task

        started = time.monotonic()
        swarm.run(leave())
        assert time.monotonic() - started < 10
        swarm.servers.remove(leaving)
        outputs.append(session.step(inputs[1]))
        assert session.route[0].peer_id != leaving.peer_id
        whole = model.blocks(torch.cat(inputs, dim=1))
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole, atol=1e-5, rtol=1e-5)


def test_a_failed_step_leaves_no_trace(random_bloom: Path, start_swarm: Callable[..., Any]) -> None:
    swarm = start_swarm(random_bloom, "0:3", "3:6")
    with swarm.client() as model, session_of(model) as session:
        first = session.step(hidden(3))
        model.connection.servers.patience_s = 0.0
        swarm.stop(swarm.servers[1])
        with pytest.raises(NoRoute):
            session.step(hidden(2, seed=1))
        swarm.start("3:6")
        model.connection.servers.patience_s = 20.0
        after = session.step(hidden(1, seed=2))
        session.rollback(0)
        torch.testing.assert_close(session.step(hidden(3)), first, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(session.step(hidden(1, seed=2)), after, atol=1e-5, rtol=1e-5)


def test_a_session_that_its_server_lost_is_opened_there_again(
    random_bloom: Path, start_swarm: Callable[..., Any]
) -> None:
    swarm = start_swarm(random_bloom, "0:3", "3:6")
    inputs = [hidden(5), hidden(1, seed=1)]
    with swarm.client() as model:
        with session_of(model) as session:
            expected = [session.step(each) for each in inputs]
        with session_of(model) as session:
            outputs = [session.step(inputs[0])]
            route = session.route
            lost = session._session._hops[1].sessions[0]
            # A bad request costs the session: the server answers it with an error and forgets the rest.
            bad = ExpertRequest(tensors=[pack_tensor(torch.empty(0))] * 3)
            model.connection.run(lost._stream.send(bad))
            outputs.append(session.step(inputs[1]))
            assert session.route == route
        assert not model.connection.servers._failures
    for each, reference in zip(outputs, expected, strict=True):
        torch.testing.assert_close(each, reference, atol=1e-5, rtol=1e-5)


def test_padded_rows_are_equal_on_servers_that_know_no_padding(
    random_bloom: Path, local: Any, start_swarm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volunteer.server.announcer.EXTENSIONS", ())  # as Petals' servers announce themselves
    swarm = start_swarm(random_bloom, "0:3", "3:6")
    ids = torch.randint(4, 512, (3, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    mask[2, :1] = 0
    with swarm.client() as model:
        for options in ({}, {"num_beams": 3}):
            arguments = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 3, "eos_token_id": None, **options}
            with torch.inference_mode():
                tokens = model.generate(ids, attention_mask=mask, **arguments)
                expected = local.generate(ids, attention_mask=mask, **arguments)
            assert tokens.tolist() == expected.tolist()


def test_a_closed_session_gives_its_room_back(random_bloom: Path, start_swarm: Callable[..., Any]) -> None:
    swarm = start_swarm(random_bloom, "0:6")
    with swarm.client() as model:
        session = model.session(max_length=100)
        session.step(hidden(3))
        before = free_room(model)
        del session  # nobody closed it: its finalizer does
        deadline = time.monotonic() + 5
        while free_room(model) != before + 6 * 100 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert free_room(model) == before + 6 * 100


def free_room(model: Any) -> int:
    from volunteer.swarm.rpc import ExpertInfo, ExpertUID, Method, unpack_info

    servers = model.connection.servers
    peer_id = next(iter(servers.servers))
    response = model.connection.run(servers.node.call(peer_id, Method.INFO, ExpertUID(), ExpertInfo, timeout_s=5))
    return int(unpack_info(response.serialized_info)["cache_tokens_available"])


def test_missing_blocks_are_named(random_bloom: Path, start_swarm: Callable[..., Any]) -> None:
    swarm = start_swarm(random_bloom, "1:4")
    with swarm.client() as model:
        model.connection.servers.patience_s = 0.0
        with pytest.raises(NoRoute, match=r"nobody serves blocks 0 and 4-5"):
            model.session().step(hidden(1))


def test_a_session_longer_than_the_server_takes_fails_in_words(
    random_bloom: Path, start_swarm: Callable[..., Any]
) -> None:
    swarm = start_swarm(random_bloom, "0:6")
    with swarm.client() as model:
        model.connection.servers.patience_s = 1.0
        with pytest.raises(SessionFailed, match="Cannot allocate KV cache"):
            model.session(max_length=10**6).step(hidden(1))
