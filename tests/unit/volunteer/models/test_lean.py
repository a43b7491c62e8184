import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from volunteer.models.families import Family, family_for
from volunteer.models.lean import Block, LayerBlock, LeanBloom, LeanLlama
from volunteer.models.linear import NumberFormat, make_linear

CPU = torch.device("cpu")
Reference = Callable[..., torch.Tensor]

# Tokens of three sequences in each tick: prompts and single tokens together, one that starts later, one that pauses.
TICKS = [(5, 3, 0), (1, 4, 7), (1, 0, 1), (2, 1, 1), (0, 1, 5)]
LENGTHS = tuple(sum(tick[number] for tick in TICKS) for number in range(3))

LLAMA_SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 128,
    "max_position_embeddings": 256,
}
BLOOM_SIZES: dict[str, Any] = {"hidden_size": 64, "n_layer": 3, "n_head": 4, "vocab_size": 128}
OPT_SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "ffn_dim": 96,
    "word_embed_proj_dim": 64,
    "vocab_size": 128,
    "max_position_embeddings": 256,
}
FURTHER_CONFIGS: dict[str, Callable[[], Any]] = {
    "bloom, residual after norm": lambda: transformers.BloomConfig(
        **BLOOM_SIZES, apply_residual_connection_post_layernorm=True
    ),
    "bloom, heads no power of two": lambda: transformers.BloomConfig(**BLOOM_SIZES | {"hidden_size": 48, "n_head": 6}),
    "opt, no biases, gelu": lambda: transformers.OPTConfig(
        **OPT_SIZES, enable_bias=False, layer_norm_elementwise_affine=False, activation_function="gelu"
    ),
    "llama, biases, another activation": lambda: transformers.LlamaConfig(
        **LLAMA_SIZES, attention_bias=True, mlp_bias=True, hidden_act="gelu_pytorch_tanh"
    ),
    "llama, relu": lambda: transformers.LlamaConfig(**LLAMA_SIZES, hidden_act="relu"),
    "llama, no activation": lambda: transformers.LlamaConfig(**LLAMA_SIZES, hidden_act="linear"),
    "llama, wide heads, one for all": lambda: transformers.LlamaConfig(
        **LLAMA_SIZES | {"num_key_value_heads": 1}, head_dim=40
    ),
    "llama, linear": lambda: _stretched("linear", factor=4.0),
    "llama, yarn": lambda: _stretched("yarn", factor=4.0, original_max_position_embeddings=64),
    "llama, dynamic": lambda: _stretched("dynamic", factor=4.0),
    "qwen3, window, biases": lambda: transformers.Qwen3Config(
        **LLAMA_SIZES,
        head_dim=24,
        attention_bias=True,
        use_sliding_window=True,
        sliding_window=5,
        max_window_layers=2,
    ),
}


def _stretched(rope_type: str, **parameters: Any) -> Any:
    rope_parameters = {"rope_type": rope_type, "rope_theta": 1000.0, **parameters}
    return transformers.LlamaConfig(**LLAMA_SIZES, rope_parameters=rope_parameters)


def random_model_of(config: Any) -> Any:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        # Norms and biases too, so that leaving one out would show.
        is_norm_weight = "norm" in name and name.endswith("weight")
        parameter.normal_(1.0 if is_norm_weight else 0.0, 0.1 if "norm" in name else 0.2)
    return model


@pytest.fixture(params=FURTHER_CONFIGS)
def further_model(request: pytest.FixtureRequest) -> Any:
    torch.set_num_threads(1)
    return random_model_of(FURTHER_CONFIGS[request.param]())


def blocks_of(
    model: Any,
    number_format: NumberFormat = NumberFormat.FLOAT32,
    change: Callable[[nn.Module], None] = lambda layer: None,
    is_plain: bool = False,
) -> tuple[Family, list[Block]]:
    family, tensors = family_for(model.config), model.state_dict()
    dtype = getattr(torch, number_format.value)

    def linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
        if is_plain:
            plain = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
            plain.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
            return plain.requires_grad_(False)
        return make_linear(weight, bias, number_format, dtype=dtype, device=CPU)

    blocks = []
    for index in range(family.num_blocks):
        layer = family.build_block(index)
        names = family.block_tensors(tensors, index)
        layer.load_state_dict({names[name]: tensors[name].to(dtype) for name in names}, assign=True)
        change(layer)
        blocks.append(family.runnable(layer.requires_grad_(False), index, linear))
    return family, blocks


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sequences(hidden_size: int) -> list[torch.Tensor]:
    return [numbers(length, hidden_size, seed=length) for length in LENGTHS]


def in_ticks(
    family: Family, blocks: Sequence[Block], attend: Any, inputs: list[torch.Tensor], ticks: Sequence[Sequence[int]]
) -> list[torch.Tensor]:
    """What comes out for each sequence when each tick runs the tokens it has of all of them at once."""
    done = [0] * len(inputs)
    outputs: list[list[torch.Tensor]] = [[] for _ in inputs]
    for tick in ticks:
        parts = [each[start : start + new] for each, start, new in zip(inputs, done, tick, strict=True)]
        hidden_states = torch.cat(parts)
        shared = family.shared(attend.begin(tick), hidden_states.dtype, CPU)
        for block in blocks:
            hidden_states = block(hidden_states, shared, attend)
        for each, part in zip(outputs, hidden_states.split(list(tick)), strict=True):
            each.append(part)
        done = [start + new for start, new in zip(done, tick, strict=True)]
    assert done == [len(each) for each in inputs]
    return [torch.cat(each) for each in outputs]


def assert_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    """Every number [tokens, hidden] within `tolerance` of the largest of its token."""
    allowed = tolerance * expected.abs().amax(dim=-1, keepdim=True)
    worst = ((found - expected).abs() / allowed).max().item()
    assert worst <= 1.0, f"{worst:.2f} times what is allowed"


# Rounding in float32 to 24 bits is 6e-8 of a number; sums of up to 96 products and three layers of them add up to less
# than 3e-6 of a token's largest number here. A forgotten bias or a wrong position is 1e-2 and more.
FLOAT32 = 1e-5


@torch.inference_mode()
def check_ticks(model: Any, plain_attention: Any, reference_blocks: Reference) -> None:
    family, blocks = blocks_of(model)
    inputs = sequences(family.hidden_size)
    attend = plain_attention(family, (0, 0, 0))
    for found, own_input in zip(in_ticks(family, blocks, attend, inputs, TICKS), inputs, strict=True):
        expected = reference_blocks(model, own_input[None], 0, 3)[0]
        assert_close(found, expected, FLOAT32)


def test_sequences_of_any_lengths_give_what_the_models_layers_give_each(
    random_model: Any, plain_attention: Any, reference_blocks: Reference
) -> None:
    check_ticks(random_model, plain_attention, reference_blocks)


def test_what_a_config_may_say_is_heeded(further_model: Any, plain_attention: Any, reference_blocks: Reference) -> None:
    check_ticks(further_model, plain_attention, reference_blocks)


def test_gradients_are_those_of_the_models_layers(
    random_model: Any, plain_attention: Any, reference_blocks: Reference
) -> None:
    check_gradients(random_model, plain_attention, reference_blocks)


def test_gradients_are_those_of_the_layers_whatever_the_config_says(
    further_model: Any, plain_attention: Any, reference_blocks: Reference
) -> None:
    check_gradients(further_model, plain_attention, reference_blocks)


def check_gradients(model: Any, plain_attention: Any, reference_blocks: Reference) -> None:
    family, blocks = blocks_of(model)
    inputs = [each.requires_grad_(True) for each in sequences(family.hidden_size)]
    grads = [numbers(*each.shape, seed=7 + len(each)) for each in inputs]
    outputs = in_ticks(family, blocks, plain_attention(family, (0, 0, 0)), inputs, [LENGTHS])
    found = torch.autograd.grad(outputs, inputs, grads)
    for own_found, own_input, grad in zip(found, inputs, grads, strict=True):
        (expected,) = torch.autograd.grad(reference_blocks(model, own_input[None], 0, 3)[0], own_input, grad)
        assert_close(own_found, expected, 2 * FLOAT32)  # backwards rounds as often again


def test_weights_take_no_gradients_and_inputs_are_left_alone(random_model: Any, plain_attention: Any) -> None:
    family, blocks = blocks_of(random_model)
    assert not any(parameter.requires_grad for block in blocks for parameter in block.parameters())
    inputs = numbers(6, family.hidden_size)
    before = inputs.clone()
    for block in blocks:
        attend = plain_attention(family, (0,))
        block(inputs, family.shared(attend.begin([6]), torch.float32, CPU), attend)
    assert torch.equal(inputs, before)


def test_bfloat16_is_near(random_model: Any, plain_attention: Any, reference_blocks: Reference) -> None:
    family, blocks = blocks_of(random_model, NumberFormat.BFLOAT16)
    inputs = [each.bfloat16() for each in sequences(family.hidden_size)]
    attend = plain_attention(family, (0, 0, 0))
    with torch.inference_mode():
        outputs = in_ticks(family, blocks, attend, inputs, TICKS)
        for found, own_input in zip(outputs, inputs, strict=True):
            assert found.dtype == torch.bfloat16
            expected = reference_blocks(random_model, own_input.float()[None], 0, 3)[0]
            # Eight bits of a number: 4e-3 at each rounding, of weights and of everything in between.
            assert (found.float() - expected).norm() <= 4e-2 * expected.norm()


# Forms


def test_every_family_has_its_form(random_model: Any) -> None:
    forms = {"bloom": LeanBloom, "opt": LayerBlock}
    _, blocks = blocks_of(random_model)
    assert {type(block) for block in blocks} == {forms.get(random_model.config.model_type, LeanLlama)}
    assert [block.index for block in blocks] == [0, 1, 2]


@pytest.mark.parametrize("name", ["llama, biases, another activation", "qwen3, window, biases"])
def test_a_layer_with_an_unknown_part_runs_as_it_is(
    name: str, plain_attention: Any, reference_blocks: Reference
) -> None:
    model = random_model_of(FURTHER_CONFIGS[name]())

    def add_part(layer: nn.Module) -> None:
        layer.post_feedforward_layernorm = nn.LayerNorm(64)  # as some newer layers have

    family, blocks = blocks_of(model, change=add_part)
    assert {type(block) for block in blocks} == {LayerBlock}
    inputs = sequences(family.hidden_size)
    attend = plain_attention(family, (0, 0, 0))
    with torch.inference_mode():
        for found, own_input in zip(in_ticks(family, blocks, attend, inputs, TICKS), inputs, strict=True):
            assert_close(found, reference_blocks(model, own_input[None], 0, 3)[0], FLOAT32)


@pytest.mark.parametrize("name", ["llama", "qwen3, window, biases", "bloom, residual after norm"])
def test_a_lean_block_calls_four_linear_layers(name: str) -> None:
    config = FURTHER_CONFIGS.get(name, lambda: transformers.LlamaConfig(**LLAMA_SIZES))()
    made: list[torch.Size] = []

    def linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
        made.append(weight.shape)
        return make_linear(weight, bias, NumberFormat.FLOAT32, dtype=torch.float32, device=CPU)

    family = family_for(config)
    layer = family.build_block(0).to_empty(device=CPU).requires_grad_(False)
    num_weights = sum(each.weight.numel() for each in layer.modules() if isinstance(each, nn.Linear))
    family.runnable(layer, 0, linear)
    assert len(made) == 4 and sum(shape.numel() for shape in made) == num_weights


# Rotary positions that depend on the length


@pytest.mark.parametrize("rope_type", ["dynamic", "longrope"])
def test_stretched_positions_do_not_depend_on_who_else_is_there(rope_type: str) -> None:
    parameters: dict[str, Any] = {"factor": 4.0}
    if rope_type == "longrope":
        parameters |= {"short_factor": [1.0] * 8, "long_factor": [3.0] * 8, "original_max_position_embeddings": 64}
    config = _stretched(rope_type, **parameters)
    family = family_for(config)
    places = [400, 3, 63, 64, 255, 256, 3, 300, 0]
    together = family.shared(torch.tensor(places), torch.float32, CPU)
    for number, place in enumerate(places):
        alone = family.shared(torch.tensor([place]), torch.float32, CPU)
        assert torch.equal(together[0][number], alone[0][0]) and torch.equal(together[1][number], alone[1][0])
        # As `transformers` has it where this token is the last one.
        rotary = type(transformers.LlamaModel(copy.deepcopy(config)).rotary_emb)(config)
        cosines, sines = rotary(torch.empty(0), torch.arange(place + 1)[None])
        torch.testing.assert_close(alone[0][0, 0], cosines[0, -1])
        torch.testing.assert_close(alone[1][0, 0, 8:], sines[0, -1, 8:])
        torch.testing.assert_close(alone[1][0, 0, :8], -sines[0, -1, :8])


# Real weights


# The residual stream reaches 4e3 here, where a float32 is exact to 2.4e-4: so relative to the largest number of each
# token. Against float64 `transformers` is wrong by up to 7e-6 after the thirty layers, a lean block with the same
# matrix products by as much, and with oneDNN's, which add up in another order, by 1.5e-5.
@pytest.mark.parametrize(("is_plain", "tolerance"), [(True, 1e-5), (False, 3e-5)], ids=["nn.Linear", "make_linear"])
@torch.inference_mode()
def test_smollm2_gives_what_transformers_gives(
    embedded_folder: Path, plain_attention: Any, reference_blocks: Reference, is_plain: bool, tolerance: float
) -> None:
    torch.set_num_threads(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(embedded_folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(embedded_folder)
    texts = ["The quick brown fox", "Once", "What is the capital of France? It is a city on the Seine, and its name is"]
    ids = [tokenizer(text, return_tensors="pt")["input_ids"] for text in texts]
    inputs = [model.get_input_embeddings()(own_ids)[0] for own_ids in ids]
    family, blocks = blocks_of(model, is_plain=is_plain)
    ticks = [tuple(len(each) - 1 for each in inputs), (1, 1, 1)]
    attend = plain_attention(family, (0, 0, 0))
    for found, own_input, own_ids in zip(in_ticks(family, blocks, attend, inputs, ticks), inputs, ids, strict=True):
        expected = reference_blocks(model, own_input[None], 0, family.num_blocks)[0]
        assert expected.abs().max() > 1e3
        assert_close(found, expected, tolerance)
        logits = model.lm_head(model.model.norm(found))
        assert torch.equal(logits.argmax(-1), model(own_ids, use_cache=False).logits[0].argmax(-1))
