"""What a block takes, and how many of them fit."""

from __future__ import annotations

from typing import Any

import pytest

from volunteer.block_memory import (
    BlockNeeds,
    BlockShape,
    NotEnoughMemory,
    block_bytes,
    block_needs,
    blocks_that_fit,
    fitting_blocks,
    kv_bytes_per_token,
)
from volunteer.errors import ConfigurationError

GIB = 2**30


def test_blocks_fit_beside_their_caches_and_the_reserve() -> None:
    def fit(free_bytes: int) -> int:
        return blocks_that_fit(free_bytes, block_bytes=3 * GIB, cache_bytes_per_block=GIB, reserve_bytes=2 * GIB)

    assert fit(14 * GIB) == 3
    assert fit(14 * GIB - 1) == 2
    assert fit(6 * GIB - 1) == 0
    assert fit(0) == 0


def test_plain_formats_take_their_width_for_every_value() -> None:
    sizes = {"linear_parameters": 100, "linear_rows": 10, "other_parameters": 7}
    assert block_bytes("float32", **sizes) == 428
    assert block_bytes("bfloat16", **sizes) == block_bytes("float16", **sizes) == 214


def test_quantised_formats_shrink_the_matrices_alone() -> None:
    sizes = {"linear_parameters": 19_200, "linear_rows": 200, "other_parameters": 10}
    assert block_bytes("int8", **sizes) == 19_200 + 4 * 200 + 4 * 10
    assert block_bytes("nf4", **sizes) == 9_600 + 4 * 300 + 4 * 10
    assert block_bytes("nf4", **sizes, other_bytes=2) == 9_600 + 4 * 300 + 2 * 10
    assert block_bytes("nf4", linear_parameters=65, linear_rows=1, other_parameters=0) == 33 + 4 * 2


@pytest.mark.filterwarnings("ignore")
def test_quantised_sizes_are_those_of_bitsandbytes() -> None:
    torch = pytest.importorskip("torch")
    bitsandbytes = pytest.importorskip("bitsandbytes")

    def num_bytes(*tensors: Any) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    weights = torch.randn(200, 96)
    sizes = {"linear_parameters": 200 * 96, "linear_rows": 200, "other_parameters": 0}
    packed, state = bitsandbytes.functional.quantize_4bit(weights, quant_type="nf4", compress_statistics=False)
    assert block_bytes("nf4", **sizes) == num_bytes(packed, state.absmax)
    layer = bitsandbytes.nn.Linear8bitLt(96, 200, bias=False, has_fp16_weights=False).to("cpu")
    assert block_bytes("int8", **sizes) == num_bytes(layer.weight.CB, layer.weight.SCB)


def test_an_unknown_number_format_is_the_volunteers_to_correct() -> None:
    with pytest.raises(ConfigurationError, match=r"'int3' is not a number format\. Use one of float32, .*nf4\."):
        block_bytes("int3", linear_parameters=1, linear_rows=1, other_parameters=1)


def test_a_token_takes_a_key_and_a_value_for_each_head() -> None:
    assert kv_bytes_per_token(num_kv_heads=3, head_dim=64, dtype_bytes=2) == 768


def test_a_block_needs_its_weights_and_room_for_sessions() -> None:
    shape = BlockShape(linear_parameters=100, linear_rows=10, other_parameters=7, num_kv_heads=3, head_dim=64)
    assert block_needs(shape, number_format="bfloat16", dtype="bfloat16", kv_tokens=32) == BlockNeeds(214, 32 * 768)
    assert block_needs(shape, number_format="int8", dtype="float32", kv_tokens=1) == BlockNeeds(168, 1536)


def test_a_limit_counts_where_it_is_lower_than_what_is_free() -> None:
    def fit(free_bytes: int, limit_bytes: int | None, of_blocks: int = 70) -> int:
        needs = BlockNeeds(3 * GIB, GIB)
        return fitting_blocks(free_bytes, needs, reserve_bytes=2 * GIB, limit_bytes=limit_bytes, of_blocks=of_blocks)

    assert fit(14 * GIB, None) == 3
    assert fit(14 * GIB, 8 * GIB) == 2
    assert fit(14 * GIB, 800 * GIB) == 3
    assert fit(14 * GIB, None, of_blocks=2) == 2
    with pytest.raises(NotEnoughMemory, match=r"One block needs 6\.4 GB with room for sessions, 5\.4 GB are free\."):
        fit(5 * GIB, None)
