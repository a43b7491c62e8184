import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from volunteer.errors import ConfigurationError
from volunteer.models.families import Ends, Family, Positions, family_for, read_family
from volunteer.models.lean import Block
from volunteer.models.linear import NumberFormat, make_linear

CPU = torch.device("cpu")
TOKENS = 14  # more than twice the sliding windows
PADDINGS = (0, 5, 2)


def linear(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Module:
    return make_linear(weight, bias, NumberFormat.FLOAT32, dtype=torch.float32, device=CPU)


def built(model: Any) -> tuple[Family, list[Block], Ends]:
    """Our blocks and ends, filled by name with the tensors of a `transformers` model."""
    family = family_for(model.config)
    tensors = model.state_dict()
    blocks = []
    for index in range(family.num_blocks):
        layer = family.build_block(index)
        layer.load_state_dict(
            {parameter: tensors[name] for name, parameter in family.block_tensors(tensors, index).items()}, assign=True
        )
        blocks.append(family.runnable(layer.requires_grad_(False), index, linear))
    ends = family.build_ends()
    names = family.ends_tensors(tensors)
    ends.model.load_state_dict({parameter: tensors[name] for name, parameter in names.items()}, assign=True)
    return family, blocks, ends


def input_ids(rows: int) -> torch.Tensor:
    return torch.randint(4, 128, (rows, TOKENS), generator=torch.Generator().manual_seed(0))


LogitsInSteps = Callable[[Any, torch.Tensor, list[int], tuple[int, ...] | None], torch.Tensor]


@pytest.fixture
def logits_in_steps(plain_attention: Any) -> LogitsInSteps:
    @torch.inference_mode()
    def run(model: Any, ids: torch.Tensor, steps: list[int], paddings: tuple[int, ...] | None) -> torch.Tensor:
        family, blocks, ends = built(model)
        rows, past = ids.shape[0], 0
        attend = plain_attention(family, paddings or (0,) * rows)
        outputs = []
        for new in steps:
            embeddings = ends.embeddings(ids[:, past : past + new])
            hidden_states = ends.embed(embeddings, Positions(past, new, paddings)).flatten(0, 1)
            shared = family.shared(attend.begin([new] * rows), torch.float32, CPU)
            for block in blocks:
                hidden_states = block(hidden_states, shared, attend)
            outputs.append(ends.head(ends.normalise(hidden_states.view(rows, new, -1))))
            past += new
        return torch.cat(outputs, dim=1)

    return run


STEPS = [[TOKENS], [1] * TOKENS, [5, 1, 1, 4, 3], [2, 11, 1]]


@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_blocks_and_ends_give_the_models_logits(
    random_model: Any, logits_in_steps: LogitsInSteps, steps: list[int]
) -> None:
    ids = input_ids(2)
    with torch.inference_mode():
        expected = random_model(ids, use_cache=False).logits
    # The only difference is the order in which float32 numbers are added up.
    torch.testing.assert_close(logits_in_steps(random_model, ids, steps, None), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_rows_that_are_padded_at_the_left_give_the_models_logits(
    random_model: Any, logits_in_steps: LogitsInSteps, steps: list[int]
) -> None:
    ids = input_ids(len(PADDINGS))
    mask = (torch.arange(TOKENS)[None, :] >= torch.tensor(PADDINGS)[:, None]).to(torch.int64)
    options = {}
    if random_model.config.model_type not in ("bloom", "opt"):  # as `generate` does it
        options["position_ids"] = (mask.cumsum(1) - 1).clamp_min(0)
    with torch.inference_mode():
        expected = random_model(ids, attention_mask=mask, use_cache=False, **options).logits
    found = logits_in_steps(random_model, ids, steps, PADDINGS)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=2e-4, rtol=1e-4)


def test_padding_says_the_same_as_a_shorter_row(random_model: Any, logits_in_steps: LogitsInSteps) -> None:
    ids = input_ids(len(PADDINGS))
    padded = logits_in_steps(random_model, ids, [6, 1, 7], PADDINGS)
    for row, padding in enumerate(PADDINGS):
        alone = logits_in_steps(random_model, ids[row : row + 1, padding:], [TOKENS - padding], None)
        torch.testing.assert_close(padded[row : row + 1, padding:], alone, atol=2e-4, rtol=1e-4)


# Names


def test_names_without_the_prefix_of_the_head_are_found(random_model: Any) -> None:
    """As checkpoints of the base model have them, bigscience/bloom-560m for one."""
    family = family_for(random_model.config)
    prefix = random_model.base_model_prefix + "."
    whole = set(random_model.state_dict())
    short = {name.removeprefix(prefix) for name in whole}
    for names in (whole, short):
        found = family.block_tensors(names, 2)
        assert set(found) <= names and set(found.values()) == set(family.build_block(2).state_dict())
        assert all(".2." in name for name in found)
        ends = family.ends_tensors(names)
        assert set(ends) <= names and set(ends.values()) <= set(family.build_ends().model.state_dict())


def test_a_tensor_that_is_missing_is_named_or_its_block_is(random_model: Any) -> None:
    family = family_for(random_model.config)
    names = set(random_model.state_dict())
    (some_name, *_) = family.block_tensors(names, 1)
    with pytest.raises(ConfigurationError, match=r"does not hold all tensors of block 1\."):
        family.block_tensors(names - {some_name}, 1)
    with pytest.raises(ConfigurationError, match=r"does not hold all tensors of block 3\."):
        family.block_tensors(names, 3)
    for name in family.ends_tensors(names):
        if name == "lm_head.weight" and random_model.config.tie_word_embeddings:
            assert name not in family.ends_tensors(names - {name})
            continue
        with pytest.raises(ConfigurationError, match=f"does not hold the tensor {name}"):
            family.ends_tensors(names - {name})


def test_blocks_and_ends_need_every_tensor_once(random_model: Any) -> None:
    family, names = family_for(random_model.config), set(random_model.state_dict())
    used = [name for index in range(family.num_blocks) for name in family.block_tensors(names, index)]
    used += family.ends_tensors(names)
    assert sorted(used) == sorted(names)


# What the rest of the program asks


def test_sizes_are_those_of_the_keys_that_blocks_hand_to_attention(random_model: Any) -> None:
    family, blocks, _ = built(random_model)
    shapes: list[tuple[int, ...]] = []

    def attend(block: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        shapes.append((block, *queries.shape, *keys.shape, *values.shape))
        return queries

    shared = family.shared(torch.arange(4), torch.float32, CPU)
    with torch.inference_mode():
        for block in blocks:
            block(torch.zeros(4, family.hidden_size), shared, attend)
    stored = (4, family.num_kv_heads, family.head_dim)
    assert shapes == [(index, 4, family.num_heads, family.head_dim, *stored, *stored) for index in range(3)]
    assert family.hidden_size == 64 and family.num_blocks == 3


def test_only_blooms_heads_have_slopes() -> None:
    slopes = family_for(transformers.BloomConfig(n_head=8, hidden_size=64)).alibi_slopes
    assert slopes is not None and slopes.tolist() == [2.0**-power for power in range(1, 9)]  # as in the paper
    slopes = family_for(transformers.BloomConfig(n_head=12, hidden_size=96)).alibi_slopes
    assert slopes is not None and slopes.dtype == torch.float32
    # Where heads are no power of two, the paper's authors take every other slope of the next one for the rest.
    expected = [2.0**-power for power in range(1, 9)] + [2.0**-power for power in (0.5, 1.5, 2.5, 3.5)]
    torch.testing.assert_close(slopes, torch.tensor(expected), rtol=1e-6, atol=0)
    assert family_for(_llama()).alibi_slopes is None


def test_windows_are_those_that_the_layers_keep_to() -> None:
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 8}
    windowed = sizes | {"num_hidden_layers": 3, "sliding_window": 6}

    def windows(config: Any) -> list[int | None]:
        return [family_for(config).window(index) for index in range(3)]

    assert windows(transformers.MistralConfig(**windowed, num_key_value_heads=2)) == [6, 6, 6]
    assert windows(transformers.Qwen2Config(**windowed, num_key_value_heads=2)) == [None] * 3
    some = transformers.Qwen2Config(**windowed, num_key_value_heads=2, use_sliding_window=True, max_window_layers=1)
    assert windows(some) == [None, 6, 6]
    assert windows(transformers.LlamaConfig(**windowed)) == [None] * 3  # Llama's layers know no window


def test_only_alibi_has_no_longest_sequence() -> None:
    assert family_for(transformers.BloomConfig()).max_length is None
    assert family_for(_llama(max_position_embeddings=77)).max_length == 77


def test_blocks_take_no_memory_before_they_are_filled(random_model: Any) -> None:
    family = family_for(random_model.config)
    modules = [family.build_block(0), family.build_ends()]
    assert all(parameter.is_meta for module in modules for parameter in module.parameters())
    assert not any(module.training for module in modules)


def test_the_config_that_was_given_stays_as_it_was(random_model: Any) -> None:
    before = random_model.config.to_dict()
    family = family_for(random_model.config)
    family.build_ends()
    family.build_block(0)
    assert random_model.config.to_dict() == before


# Positions


def test_padding_is_at_the_left() -> None:
    assert Positions(2, 3).padding_mask(CPU) is None
    mask = Positions(2, 2, (3, 1)).padding_mask(CPU)
    assert mask is not None and mask.tolist() == [[False, False, False, True], [False, True, True, True]]


def test_positions_count_from_the_first_real_token() -> None:
    assert Positions(4, 3).position_ids(CPU).tolist() == [[4, 5, 6]]
    assert Positions(1, 3, (0, 2)).position_ids(CPU).tolist() == [[1, 2, 3], [0, 0, 1]]


# What is refused


def test_a_family_that_is_not_served_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match=r"'gpt2' are not supported\. Supported: bloom, llama, .*qwen3\."):
        family_for(transformers.GPT2Config())


def test_a_config_is_read_from_its_folder(tmp_path: Path, random_model: Any) -> None:
    random_model.config.save_pretrained(tmp_path)
    family = read_family(tmp_path)
    assert family.config.model_type == random_model.config.model_type and family.num_blocks == 3


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"model_type": 5}', '{"model_type": "no_such_model"}'])
def test_a_folder_without_a_usable_config_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.json in .* cannot be used"):
        read_family(tmp_path)


def test_code_beside_a_config_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    auto_map = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": auto_map}))
    with pytest.raises(ConfigurationError):
        read_family(tmp_path)
    assert not (tmp_path / "ran").exists()


def _llama(**changes: Any) -> Any:
    return transformers.LlamaConfig(hidden_size=8, num_attention_heads=2, intermediate_size=8, vocab_size=8, **changes)
