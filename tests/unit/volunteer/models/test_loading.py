import gc
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from volunteer.block_memory import block_bytes
from volunteer.models.families import Family, family_for
from volunteer.models.lean import Block
from volunteer.models.linear import NumberFormat
from volunteer.models.loading import (
    block_size,
    compute_dtype,
    ends_parts,
    load_blocks,
    load_ends,
    span_parts,
)
from volunteer.models.store import Checkpoint, open_checkpoint

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
) -> tuple[Block, ...]:
    dtype = dtype or compute_dtype(number_format, torch.float32)
    return load_blocks(family, checkpoint, 0, 2, number_format=number_format, dtype=dtype, device=CPU)


HIDDEN_STATES = torch.randn(2, 12, HIDDEN, generator=torch.Generator().manual_seed(0))

OutputsOf = Callable[..., torch.Tensor]


@pytest.fixture
def outputs_of(plain_attention: Any) -> OutputsOf:
    """`outputs_of(family, blocks, dtype=float32, hidden_states=HIDDEN_STATES)`: [rows, tokens, hidden] float32."""

    def run(
        family: Family,
        blocks: tuple[Block, ...],
        dtype: torch.dtype = torch.float32,
        hidden_states: torch.Tensor = HIDDEN_STATES,
    ) -> torch.Tensor:
        rows, tokens, _ = hidden_states.shape
        attend = plain_attention(family, (0,) * rows)
        outputs = []
        for part in hidden_states.to(dtype).split([7, tokens - 8, 1], dim=1):
            flat = part.flatten(0, 1)
            shared = family.shared(attend.begin([part.shape[1]] * rows), dtype, CPU)
            for block in blocks:
                flat = block(flat, shared, attend)
            assert flat.dtype == dtype
            outputs.append(flat.view(part.shape))
        return torch.cat(outputs, dim=1).float()

    return run


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
    model: tuple[Family, Checkpoint], outputs_of: OutputsOf, reference_blocks: OutputsOf, number_format: NumberFormat
) -> None:
    family, checkpoint = model
    reference = transformers.AutoModelForCausalLM.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()
    plain = reference_blocks(reference.requires_grad_(False), HIDDEN_STATES, 0, 2)
    dtype = compute_dtype(number_format, torch.float32)
    found = outputs_of(family, load(family, checkpoint, number_format), dtype)
    assert (found - plain).norm() <= TOLERANCES[number_format] * plain.norm()
    if number_format is not NumberFormat.FLOAT32:
        assert not torch.equal(found, plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("number_format", [NumberFormat.INT8, NumberFormat.NF4], ids=str)
def test_quantised_weights_work_with_halved_activations(
    model: tuple[Family, Checkpoint], outputs_of: OutputsOf, number_format: NumberFormat, dtype: torch.dtype
) -> None:
    family, checkpoint = model
    plain = outputs_of(family, load(family, checkpoint, NumberFormat.FLOAT32))
    blocks = load(family, checkpoint, number_format, dtype)
    found = outputs_of(family, blocks, dtype)
    assert (found - plain).norm() <= (TOLERANCES[number_format] + 1e-2) * plain.norm()


@pytest.mark.parametrize("number_format", NumberFormat, ids=str)
def test_backward_works_in_every_format(
    model: tuple[Family, Checkpoint], outputs_of: OutputsOf, number_format: NumberFormat
) -> None:
    family, checkpoint = model
    hidden_states = HIDDEN_STATES.clone().requires_grad_(True)

    def gradient(chosen: NumberFormat) -> torch.Tensor:
        blocks = load(family, checkpoint, chosen)
        outputs = outputs_of(family, blocks, compute_dtype(chosen, torch.float32), hidden_states)
        return torch.autograd.grad(outputs.sum(), hidden_states)[0]

    expected, found = gradient(NumberFormat.FLOAT32), gradient(number_format)
    # Forwards is computed in the format too, then backwards: twice what was measured in the worst case.
    assert (found - expected).norm() <= 4 * TOLERANCES[number_format] * expected.norm()


@contextmanager
def counted_tensors() -> Iterator[Callable[[], int]]:
    """Bytes of all tensors made since, those of which only bitsandbytes knows among them, each memory once."""

    def count() -> int:
        gc.collect()
        tensors = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor) and not thing.is_meta]
        packed = [tensor for tensor in tensors if tensor.is_mkldnn]  # they have no storage
        storages = [tensor.untyped_storage() for tensor in tensors if not tensor.is_mkldnn]
        plain = {storage.data_ptr(): storage.nbytes() for storage in storages}
        return sum(plain.values()) + sum(torch.ops.mkldnn._nbytes(tensor) for tensor in packed)

    gc.collect()
    gc.freeze()  # what is there already is not among gc.get_objects()
    try:
        yield count
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("number_format", NumberFormat, ids=str)
def test_a_block_takes_the_memory_that_was_planned(
    model: tuple[Family, Checkpoint], outputs_of: OutputsOf, number_format: NumberFormat
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
    assert size.linear_rows == sum(entry.shape[0] for entry in entries if len(entry.shape) == 2)


def test_blocks_outlive_their_files(folders: dict[str, Path], outputs_of: OutputsOf, tmp_path: Path) -> None:
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
        assert told == [0, 1] and [block.index for block in blocks] == [0, 1]
        assert torch.equal(outputs_of(family, blocks), outputs_of(family, expected))
        assert not any(parameter.requires_grad for block in blocks for parameter in block.parameters())
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
    folders: dict[str, Path], outputs_of: OutputsOf, tmp_path: Path, dtype: torch.dtype
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
        assert {each.dtype for block in blocks for each in block.state_dict().values()} == {torch.float32}
        plain = outputs_of(family, load(*opened(folder, tmp_path), NumberFormat.FLOAT32))
        tolerance = TOLERANCES[NumberFormat.BFLOAT16 if dtype is torch.bfloat16 else NumberFormat.FLOAT16]
        assert (outputs_of(family, blocks) - plain).norm() <= tolerance * plain.norm()


def test_the_dtype_of_computing_is_that_of_plain_weights() -> None:
    assert compute_dtype(NumberFormat.BFLOAT16, torch.float32) == torch.bfloat16
    assert compute_dtype(NumberFormat.FLOAT32, torch.bfloat16) == torch.float32
    assert compute_dtype(NumberFormat.NF4, torch.bfloat16) == torch.bfloat16
    assert compute_dtype(NumberFormat.INT8, torch.float32) == torch.float32
