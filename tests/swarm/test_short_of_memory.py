"""A server whose blocks do not fit tries with fewer, and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from volunteer import serving
from volunteer.events import SteppedDown
from volunteer.server.block_selection import BlockPlan
from volunteer.serving import ShortOfMemory, is_out_of_memory, smaller

MORE_THAN_ANY_BYTES = 2**55


def test_one_block_less_is_tried_until_they_fit(
    random_bloom: Path, start_swarm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_blocks = serving.load_blocks

    def load_four_at_most(family: Any, checkpoint: Any, start: int, end: int, **options: Any) -> Any:
        if end - start > 4:
            torch.empty(MORE_THAN_ANY_BYTES, dtype=torch.uint8)  # raises what torch raises here
        return load_blocks(family, checkpoint, start, end, **options)

    monkeypatch.setattr(serving, "load_blocks", load_four_at_most)
    swarm = start_swarm(random_bloom, "0:6")
    (server,) = swarm.servers
    assert server.blocks == (0, 4)
    stepped = swarm.seen(server, SteppedDown)
    assert [event.blocks for event in stepped] == [(0, 5), (0, 4)]
    assert stepped[0].reason == "Blocks 0-5 do not fit into memory."


def test_the_last_block_is_the_end_of_it() -> None:
    error = ShortOfMemory("Blocks 3-3 do not fit into memory.")
    assert smaller(BlockPlan(2, 4, ""), error).end == 3
    with pytest.raises(ShortOfMemory):
        smaller(BlockPlan(3, 4, ""), error)
    with pytest.raises(RuntimeError) as refused:
        torch.empty(MORE_THAN_ANY_BYTES, dtype=torch.uint8)
    assert is_out_of_memory(refused.value) and not is_out_of_memory(RuntimeError("shapes differ"))
