import gc
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from volunteer.models.families import Family, family_for
from volunteer.models.loading import (
    NumberFormat,
    block_size,
    compute_dtype,
    ends_parts,
    load_blocks,
    load_ends,
    span_parts,
)
from volunteer.models.store import Checkpoint, open_checkpoint
from volunteer.server.block_selection import block_bytes
from volunteer.server.kv_cache import SessionCache
from volunteer.server.span import Span

pytestmark = pytest.mark.filterwarnings("ignore")  # bitsandbytes' own

CPU = torch.device("cpu")
HIDDEN = 256  # wide enough for the groups and rows of quantisation to matter as they do in real models
SIZES: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
    "intermediate_size": 512,
}
CONFIGS = {
    "bloom": transformers.BloomConfig(hidden_size=HIDDEN, n_layer=2, n_head=4, vocab_size=100),
    "opt": transformers.OPTConfig(
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        ffn_dim=512,
        num_attention_heads=4,
        vocab_size=100,
        word_embed_proj_dim=HIDDEN,
        max_position_embeddings=64,
    ),
    "llama": transformers.LlamaConfig(**SIZES, num_key_value_heads=2),
    "qwen2": transformers.Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    found = {}
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
        found[name] = tmp_path_factory.mktemp("models") / name
        model.save_pretrained(found[name])
    return found


@pytest.fixture(autouse=True)
def quick_garbage_collection() -> Iterator[None]:
    """Loading collects garbage, which takes a third of a second in a process that has imported this much."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest, folders: dict[str, Path], tmp_path: Path) -> tuple[Family, Checkpoint]:
    return opened(folders[request.param], tmp_path)


def opened(folder: Path, tmp_path: Path) -> tuple[Family, Checkpoint]:
    family = family_for(transformers.AutoConfig.from_pretrained(folder))
    return family, open_checkpoint(str(folder), models_dir=tmp_path)


def load(
    family: Family, checkpoint: Checkpoint, number_format: NumberFormat, dtype: torch.dtype | None = None
) -> nn.ModuleList:
    dtype = dtype or compute_dtype(number_format, torch.float32)
    return load_blocks(family, checkpoint, 0, 2, number_format=number_format, dtype=dtype, device=CPU)


def outputs_of(family: Family, blocks: nn.ModuleList, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    hidden_states = torch.randn(2, 12, HIDDEN, generator=torch.Generator().manual_seed(0))
    span = Span(family, 0, blocks, dtype, CPU)
    cache = SessionCache(start=0, end=2, max_length=12)
    return torch.cat([span.step(part, cache) for part in hidden_states.split([7, 1, 4], dim=1)], dim=1).float()


# How far the outputs of two blocks may be from those in float32, as a share of their length; two to four times what
# was measured. A block adds to its input, so most of the output is not touched by rounding the weights.
TOLERANCES = {
    NumberFormat.FLOAT32: 1e-6,
    NumberFormat.FLOAT16: 1e-3,
    NumberFormat.BFLOAT16: 1e-2,
    NumberFormat.INT8: 8e-3,
    NumberFormat.NF4: 5e-2,
}


@pytest.mark.parametrize("number_format", NumberFormat, ids=str)
def test_outputs_are_close_to_those_of_the_model_in_float32(
    model: tuple[Family, Checkpoint], number_format: NumberFormat
) -> None:
    family, checkpoint = model
    reference = transformers.AutoModelForCausalLM.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()
    layers = reference.transformer.h if hasattr(reference, "transformer") else None
    layers = layers or getattr(reference.model, "decoder", reference.model).layers
    plain = outputs_of(family, nn.ModuleList(layers).requires_grad_(False))
    dtype = compute_dtype(number_format, torch.float32)
    found = outputs_of(family, load(family, checkpoint, number_format), dtype)
    assert (found - plain).norm() <= TOLERANCES[number_format] * plain.norm()
    if number_format is not NumberFormat.FLOAT32:
        assert not torch.equal(found, plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("number_format", [NumberFormat.INT8, NumberFormat.NF4], ids=str)
def test_quantised_weights_work_with_halved_activations(
    model: tuple[Family, Checkpoint], number_format: NumberFormat, dtype: torch.dtype
) -> None:
    family, checkpoint = model
    plain = outputs_of(family, load(family, checkpoint, NumberFormat.FLOAT32))
    blocks = load(family, checkpoint, number_format, dtype)
    assert {parameter.dtype for name, parameter in blocks.named_parameters() if "norm" in name} == {dtype}
    found = outputs_of(family, blocks, dtype)
    assert (found - plain).norm() <= (TOLERANCES[number_format] + 1e-2) * plain.norm()


@pytest.mark.parametrize("number_format", NumberFormat, ids=str)
def test_backward_works_in_every_format(model: tuple[Family, Checkpoint], number_format: NumberFormat) -> None:
    family, checkpoint = model
    dtype = compute_dtype(number_format, torch.float32)
    hidden_states = torch.randn(1, 5, HIDDEN, generator=torch.Generator().manual_seed(0))
    plain = Span(family, 0, load(family, checkpoint, NumberFormat.FLOAT32), torch.float32, CPU)
    span = Span(family, 0, load(family, checkpoint, number_format), dtype, CPU)
    (expected,) = plain.backward(hidden_states, torch.ones(1, 5, HIDDEN), 0, 2)
    (found,) = span.backward(hidden_states, torch.ones(1, 5, HIDDEN), 0, 2)
    assert (found.float() - expected).norm() <= 2 * TOLERANCES[number_format] * expected.norm()


@contextmanager
def counted_tensors() -> Iterator[Callable[[], int]]:
    """Bytes of all tensors made since, those of which only bitsandbytes knows among them, each memory once."""

    def count() -> int:
        gc.collect()
        tensors = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor) and not thing.is_meta]
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
        return sum(storages.values())

    gc.collect()
    gc.freeze()  # what is there already is not among gc.get_objects()
    try:
        yield count
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("number_format", NumberFormat, ids=str)
def test_a_block_takes_the_memory_that_was_planned(
    model: tuple[Family, Checkpoint], number_format: NumberFormat
) -> None:
    family, checkpoint = model
    size = block_size(family)
    planned = block_bytes(
        number_format,
        linear_parameters=size.linear_parameters,
        linear_rows=size.linear_rows,
        other_parameters=size.other_parameters,
        other_bytes=4,
    )
    load(family, checkpoint, number_format)  # loads what is loaded once
    with counted_tensors() as count:
        blocks = load(family, checkpoint, number_format)
        assert count() == pytest.approx(2 * planned, rel=0.1)
        outputs_of(family, blocks, compute_dtype(number_format, torch.float32))
        assert count() == pytest.approx(2 * planned, rel=0.1)  # no second copy appears with the first use


def test_every_parameter_is_counted(model: tuple[Family, Checkpoint]) -> None:
    family, checkpoint = model
    size = block_size(family)
    entries = checkpoint.entries(span_parts(family, checkpoint, 0, 1)["block-00000"])
    assert 4 * (size.linear_parameters + size.other_parameters) == sum(entry.num_bytes for entry in entries)
    rows = sum(
        each.out_features for each in load(family, checkpoint, NumberFormat.FLOAT32)[0].modules() if _linear(each)
    )
    assert size.linear_rows == rows


def _linear(module: Any) -> bool:
    return isinstance(module, nn.Linear)


def test_blocks_outlive_their_files(folders: dict[str, Path], tmp_path: Path) -> None:
    for name, folder in folders.items():
        copy = Path(shutil.copytree(folder, tmp_path / name))
        family, checkpoint = opened(copy, tmp_path)
        told: list[int] = []
        blocks = load_blocks(
            family,
            checkpoint,
            0,
            2,
            number_format=NumberFormat.FLOAT32,
            dtype=torch.float32,
            device=CPU,
            on_block=told.append,
        )
        ends = load_ends(family, checkpoint, dtype=torch.float32, device=CPU)
        (weights,) = copy.glob("*.safetensors")
        with weights.open("r+b") as file:  # in place, so that a tensor that is still mapped would change
            file.seek(weights.stat().st_size // 10)
            file.write(bytes(weights.stat().st_size - weights.stat().st_size // 10))
        expected = load(family, opened(folder, tmp_path)[1], NumberFormat.FLOAT32)
        assert told == [0, 1]
        for mine, theirs in zip(blocks.parameters(), expected.parameters(), strict=True):
            assert torch.equal(mine, theirs) and not mine.requires_grad
        kept = load_ends(family, opened(folder, tmp_path)[1], dtype=torch.float32, device=CPU)
        assert all(torch.equal(*pair) for pair in zip(ends.parameters(), kept.parameters(), strict=True))


# Ends


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("name", ["bloom", "opt", "llama", "qwen2"])
def test_a_tied_head_shares_the_embeddings_and_an_untied_one_does_not(name: str, is_tied: bool, tmp_path: Path) -> None:
    config = type(CONFIGS[name])(**(CONFIGS[name].to_diff_dict() | {"tie_word_embeddings": is_tied}))
    torch.manual_seed(1)
    reference = transformers.AutoModelForCausalLM.from_config(config).eval()
    reference.save_pretrained(tmp_path / name)
    family, checkpoint = opened(tmp_path / name, tmp_path)
    assert ("lm_head.weight" in ends_parts(family, checkpoint)["ends"]) == (not is_tied)

    ends = load_ends(family, checkpoint, dtype=torch.float32, device=CPU)
    head, embeddings = ends.head.weight, ends.embeddings.weight
    assert (head.data_ptr() == embeddings.data_ptr()) == is_tied
    assert not any(parameter.is_meta or parameter.requires_grad for parameter in ends.parameters())
    assert torch.equal(head, reference.lm_head.weight)
    assert torch.equal(embeddings, reference.get_input_embeddings().weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_ends_and_blocks_are_cast_when_the_checkpoint_has_another_dtype(
    folders: dict[str, Path], tmp_path: Path, dtype: torch.dtype
) -> None:
    for name, folder in folders.items():
        halved = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        halved.save_pretrained(tmp_path / name)
        family, checkpoint = opened(tmp_path / name, tmp_path)
        assert family.dtype == dtype
        ends = load_ends(family, checkpoint, dtype=torch.float32, device=CPU)
        assert {parameter.dtype for parameter in ends.parameters()} == {torch.float32}
        assert torch.equal(ends.embeddings.weight, halved.get_input_embeddings().weight.float())
        blocks = load(family, checkpoint, NumberFormat.FLOAT32)
        assert {parameter.dtype for parameter in blocks.parameters()} == {torch.float32}
        plain = outputs_of(family, load(*opened(folder, tmp_path), NumberFormat.FLOAT32))
        tolerance = TOLERANCES[NumberFormat.BFLOAT16 if dtype is torch.bfloat16 else NumberFormat.FLOAT16]
        assert (outputs_of(family, blocks) - plain).norm() <= tolerance * plain.norm()


def test_the_dtype_of_computing_is_that_of_plain_weights() -> None:
    assert compute_dtype(NumberFormat.BFLOAT16, torch.float32) == torch.bfloat16
    assert compute_dtype(NumberFormat.FLOAT32, torch.bfloat16) == torch.float32
    assert compute_dtype(NumberFormat.NF4, torch.bfloat16) == torch.bfloat16
    assert compute_dtype(NumberFormat.INT8, torch.float32) == torch.float32
