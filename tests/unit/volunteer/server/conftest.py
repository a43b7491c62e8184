import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import transformers

from volunteer.models.families import family_for
from volunteer.models.linear import NumberFormat, make_linear
from volunteer.server.compute import ComputeThread
from volunteer.server.fair_queue import GUEST, Standing
from volunteer.server.kv_cache import SessionCache
from volunteer.server.scheduler import KVSession, Scheduler
from volunteer.server.span import Span


def make_span(model: Any, start: int, end: int, dtype: torch.dtype = torch.float32) -> Span:
    """Some blocks of a `transformers` model as a server holds them."""
    family, tensors = family_for(model.config), model.state_dict()
    cpu, number_format = torch.device("cpu"), NumberFormat(str(dtype).removeprefix("torch."))

    def make(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Module:
        return make_linear(weight, bias, number_format, dtype=dtype, device=cpu)

    blocks = []
    for index in range(start, end):
        names = family.block_tensors(tensors, index)
        layer = family.build_block(index)
        layer.load_state_dict({names[name]: tensors[name].to(dtype).clone() for name in names}, assign=True)
        blocks.append(family.runnable(layer.requires_grad_(False), index, make))
    return Span(family, start, tuple(blocks), dtype, cpu)


class Engine:
    """A span with its KV room and scheduler, for tests without an event loop of their own."""

    def __init__(self, span: Span, num_pages: int = 64, **options: Any):
        self.span = span
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self._runner.run(self._start(num_pages, options))

    async def _start(self, num_pages: int, options: dict[str, Any]) -> None:
        compute = await self._stack.enter_async_context(ComputeThread())
        pool = self.span.new_pool(num_pages)
        self.scheduler = await self._stack.enter_async_context(Scheduler(self.span, pool, compute, **options))

    def open(
        self, rows: int, max_length: int = 40, *, can_replay: bool = False, standing: Standing = GUEST, **fields: Any
    ) -> KVSession:
        fields = {"start": self.span.start, "end": self.span.end} | fields
        cache = SessionCache(batch_size=rows, max_length=max_length, **fields)
        admitted = self.scheduler.session(cache, first_tokens=1, can_replay=can_replay, standing=standing)
        return self.run(self._stack.enter_async_context(admitted))

    def step(
        self, session: KVSession, hidden_states: torch.Tensor, *, hypo_ids: list[int] | None = None, **options: Any
    ) -> torch.Tensor:
        reorder = None if hypo_ids is None else tuple(hypo_ids)
        return self.run(self.scheduler.step(session, hidden_states, reorder=reorder, **options))

    def run(self, coroutine: Any) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(60):
                return await coroutine

        return self._runner.run(bounded())

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


@pytest.fixture
def new_engine() -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def make(*arguments: Any, **options: Any) -> Engine:
        engines.append(Engine(*arguments, **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def span_of() -> Callable[..., Span]:
    return make_span


@pytest.fixture(scope="module")
def span() -> Span:
    """All three blocks, 64 wide, of a BLOOM with random weights."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = transformers.BloomConfig(hidden_size=64, n_layer=3, n_head=4, vocab_size=16)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.2)
    return make_span(model, 0, 3)
