"""What tests of blocks need: a plain attention, and the embedded model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from volunteer.models.embedded import embedded_checkpoint_folder
from volunteer.models.families import Family


class PlainAttention:
    """The rules of `attend` written out: one sequence after another, all scores at once, float32.

    Args:
        paddings: for each sequence, how many of its first tokens are padding.
    """

    def __init__(self, family: Family, paddings: Sequence[int]):
        self._family = family
        self._paddings = paddings
        self._new: Sequence[int] = ()
        self._lengths = [0] * len(paddings)
        self._stored: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def begin(self, new: Sequence[int]) -> torch.Tensor:
        """Takes `new[i]` tokens of sequence i next; returns their positions, [tokens] int64."""
        self._new = new
        positions = []
        for number, (padding, count) in enumerate(zip(self._paddings, new, strict=True)):
            start = self._lengths[number]
            positions.append((torch.arange(start, start + count) - padding).clamp_min(0))
            self._lengths[number] += count
        return torch.cat(positions)

    def __call__(self, block: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        outputs = []
        flat = (tensor.split(list(self._new)) for tensor in (queries, keys, values))
        for number, (own_queries, own_keys, own_values) in enumerate(zip(*flat, strict=True)):
            if (block, number) in self._stored:
                past_keys, past_values = self._stored[block, number]
                own_keys, own_values = torch.cat([past_keys, own_keys]), torch.cat([past_values, own_values])
            self._stored[block, number] = own_keys, own_values
            outputs.append(self._one(block, self._paddings[number], own_queries, own_keys, own_values))
        return torch.cat(outputs)

    def _one(
        self, block: int, padding: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        family = self._family
        assert queries.shape[1:] == (family.num_heads, family.head_dim)
        assert keys.shape[1:] == values.shape[1:] == (family.num_kv_heads, family.head_dim)
        group = family.num_heads // family.num_kv_heads
        grouped_keys, grouped_values = (each.float().repeat_interleave(group, dim=1) for each in (keys, values))
        scores = torch.einsum("qhd,khd->hqk", queries.float(), grouped_keys) * family.attention_scale
        key_places = torch.arange(len(keys))
        query_places = key_places[len(keys) - len(queries) :, None]
        if family.alibi_slopes is not None:
            scores = scores + family.alibi_slopes[:, None, None] * (key_places - padding)
        allowed = (key_places <= query_places) & (key_places >= padding)
        window = family.window(block)
        if window is not None:
            allowed &= key_places > query_places - window
        allowed |= key_places == query_places  # padding sees itself: a softmax of nothing would be NaN
        weights = scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1)
        return torch.einsum("hqk,khd->qhd", weights, grouped_values).to(queries.dtype)


@pytest.fixture
def plain_attention() -> type[PlainAttention]:
    return PlainAttention


@pytest.fixture(scope="session")
def embedded_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's checkpoint, real weights."""
    return embedded_checkpoint_folder(tmp_path_factory.mktemp("embedded"))
