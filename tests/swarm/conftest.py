"""Real servers and clients on loopback: each has its own libp2p daemon; servers share one event loop of the test."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from volunteer.client.connection import cancel_other_tasks
from volunteer.client.model import SwarmForCausalLM
from volunteer.events import Event, Failed, Listening, Ready
from volunteer.models.embedded import embedded_checkpoint_folder
from volunteer.points.wallet import Wallet
from volunteer.server.admission import Served
from volunteer.serving import Leave, ServeOptions, serve
from volunteer.swarm_model import open_swarm_model

torch.set_num_threads(1)
START_TIMEOUT_S = 120.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("swarm")


@dataclass
class Server:
    """One server of this process."""

    peer_id: str
    maddrs: tuple[str, ...]
    blocks: tuple[int, int]
    leave: Leave
    task: asyncio.Task[None]
    events: list[Event]
    served: Served
    wallet: Wallet


@dataclass
class LocalSwarm:
    """Servers of one model, started one by one; the first starts the swarm."""

    folder: Path
    work_dir: Path
    loop: asyncio.AbstractEventLoop
    servers: list[Server] = field(default_factory=list)
    started: int = 0

    @property
    def initial_peers(self) -> tuple[str, ...]:
        return self.servers[0].maddrs

    def start(self, blocks: str | None, **options: Any) -> Server:
        """A server of these blocks, once it serves them."""
        if self.servers:
            options.setdefault("initial_peers", self.initial_peers)
        else:
            options.setdefault("new_swarm", True)
        self.started += 1
        options.setdefault("data_dir", self.work_dir / f"server-{self.started}")
        serve_options = ServeOptions(
            model=str(self.folder),
            blocks=blocks,
            host_maddrs=("/ip4/127.0.0.1/tcp/0",),
            **options,
        )
        served, wallet = Served(), Wallet(serve_options.data_dir, serve_options.identity_file)
        events: queue.Queue[Event] = queue.Queue()
        seen: list[Event] = []

        def on_event(event: Event) -> None:
            seen.append(event)
            events.put(event)

        async def start() -> tuple[Leave, asyncio.Task[None]]:
            leave = Leave()
            task = asyncio.create_task(serve(serve_options, leave, on_event, served, wallet=wallet))
            task.add_done_callback(lambda done: wallet.close())
            task.add_done_callback(lambda done: events.put(Failed(str(_error_of(done)))))
            return leave, task

        leave, task = self.run(start())
        listening = _wait_for(events, Listening)
        ready = _wait_for(events, Ready)
        server = Server(listening.peer_id, listening.maddrs, ready.blocks, leave, task, seen, served, wallet)
        self.servers.append(server)
        return server

    def seen(self, server: Server, kind: type[Any]) -> list[Any]:
        """What a server has told of itself since its start."""
        return [event for event in server.events if isinstance(event, kind)]

    def stop(self, server: Server) -> None:
        async def stop() -> None:
            server.leave.ask(0.0)
            await server.task

        self.servers.remove(server)
        self.run(stop())

    def client(self, **options: Any) -> SwarmForCausalLM:
        """The model through this swarm; the caller closes it."""
        if "account" not in options:
            return SwarmForCausalLM.from_pretrained(str(self.folder), initial_peers=self.initial_peers, **options)
        opened = open_swarm_model(str(self.folder), models_dir=self.work_dir / "models")
        return SwarmForCausalLM.join(opened, initial_peers=self.initial_peers, **options)

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(START_TIMEOUT_S)


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


def _wait_for(events: queue.Queue[Event], kind: type[Any]) -> Any:
    while True:
        event = events.get(timeout=START_TIMEOUT_S)
        if isinstance(event, Failed):
            raise RuntimeError(event.message)
        if isinstance(event, kind):
            return event


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="servers", daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(cancel_other_tasks())
    loop.close()


@pytest.fixture(scope="session")
def start_swarm(
    loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., LocalSwarm]]:
    """Makes swarms: `start_swarm(folder, "0:2", "2:6")`. All their servers stop at the end."""
    swarms: list[LocalSwarm] = []

    def start(folder: Path, *blocks: str, **options: Any) -> LocalSwarm:
        swarm = LocalSwarm(folder, tmp_path_factory.mktemp("swarm"), loop)
        swarms.append(swarm)
        for each in blocks:
            swarm.start(each, **options)
        return swarm

    yield start
    for swarm in swarms:
        for server in tuple(swarm.servers):
            swarm.stop(server)


def save_random_model(config: Any, folder: Path, *, std: float) -> Path:
    """A model with random weights, also in norms and biases, so that leaving one out would show."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm_weight = ("norm" in name and name.endswith("weight")) or name.endswith("ln_f.weight")
            parameter.normal_(1.0 if is_norm_weight else 0.0, 0.1 if "norm" in name else std)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def random_bloom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BLOOM, 6 blocks, hidden 64, 4 heads."""
    config = transformers.BloomConfig(hidden_size=64, n_layer=6, n_head=4, vocab_size=512, pad_token_id=3)
    return save_random_model(config, tmp_path_factory.mktemp("models") / "random-bloom", std=0.2)


@pytest.fixture(scope="session")
def wide_bloom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BLOOM with its own vocabulary of 250,880 and little else, so that the quick head is worth its while."""
    config = transformers.BloomConfig(hidden_size=64, n_layer=2, n_head=4, pad_token_id=3)
    return save_random_model(config, tmp_path_factory.mktemp("models") / "wide-bloom", std=0.2)


@pytest.fixture(scope="session")
def random_opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OPT, 6 blocks, hidden 64, 4 heads, with the projections of the 350m model."""
    config = transformers.OPTConfig(
        hidden_size=64,
        num_hidden_layers=6,
        ffn_dim=128,
        num_attention_heads=4,
        vocab_size=512,
        word_embed_proj_dim=32,
        max_position_embeddings=256,
    )
    return save_random_model(config, tmp_path_factory.mktemp("models") / "random-opt", std=0.2)


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded SmolLM2-135M-Instruct: 30 blocks, real weights."""
    return embedded_checkpoint_folder(tmp_path_factory.mktemp("embedded"))
