"""Endpoints over real swarms, and the same model in this process."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
import transformers

from volunteer.client.answering import Answering
from volunteer.client.chat import Chat, load_tokenizer
from volunteer.openai_api.endpoint import Endpoint, EndpointSettings

KEY = "sk-volunteer-test-key"
MODEL = "SmolLM2-135M-Instruct"
_START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Served:
    """An endpoint in the loop of the servers, and who answers behind it."""

    answering: Answering
    endpoint: Endpoint
    key: str = KEY

    @property
    def url(self) -> str:
        return self.endpoint.url


@contextlib.contextmanager
def serving(loop: asyncio.AbstractEventLoop, open_chat: Callable[[], Chat]) -> Iterator[Served]:
    started: queue.Queue[Served] = queue.Queue()
    stop = asyncio.Event()

    async def serve() -> None:
        settings = EndpointSettings(MODEL, KEY, port=0)
        async with Answering(open_chat) as answering, Endpoint(answering, settings) as endpoint:
            started.put(Served(answering, endpoint))
            await stop.wait()

    task = asyncio.run_coroutine_threadsafe(serve(), loop)
    try:
        yield started.get(timeout=_START_TIMEOUT_S)
    finally:
        loop.call_soon_threadsafe(stop.set)
        task.result(_START_TIMEOUT_S)


@pytest.fixture(scope="session")
def serve(loop: asyncio.AbstractEventLoop, smollm2: Path) -> Iterator[Callable[..., tuple[Served, openai.OpenAI]]]:
    """Serves a swarm of SmolLM2: `serve(swarm)` gives the endpoint and a client of it."""
    with contextlib.ExitStack() as stack:

        def serve(swarm: Any, *, patience_s: float = 60.0) -> tuple[Served, openai.OpenAI]:
            def open_chat() -> Chat:
                model = swarm.client()
                model.connection.servers.patience_s = patience_s
                return Chat(model, load_tokenizer(smollm2))

            served = stack.enter_context(serving(loop, open_chat))
            return served, stack.enter_context(openai.OpenAI(base_url=served.url, api_key=KEY, max_retries=0))

        yield serve


@pytest.fixture(scope="session")
def _served(
    start_swarm: Callable[..., Any], smollm2: Path, serve: Callable[..., tuple[Served, openai.OpenAI]]
) -> tuple[Served, openai.OpenAI]:
    return serve(start_swarm(smollm2, "0:15", "15:30"))


@pytest.fixture
def served(_served: tuple[Served, openai.OpenAI]) -> Served:
    """An endpoint over two servers."""
    return _served[0]


@pytest.fixture
def client(_served: tuple[Served, openai.OpenAI]) -> openai.OpenAI:
    """The official client of `served`."""
    return _served[1]


@pytest.fixture(scope="session")
def local(smollm2: Path) -> Any:
    """The model by `transformers`."""
    return transformers.AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def tokenizer(smollm2: Path) -> Any:
    return load_tokenizer(smollm2)
