"""Greedy tokens, hidden states and gradients through the swarm equal those of `transformers` in one process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from volunteer.client.model import SwarmCache, SwarmForCausalLM
from volunteer.models.onednn import exact_levels

MODELS = ["random_bloom", "random_opt", "smollm2", "wide_bloom"]
SPANS = {
    "random_bloom": [("0:6",), ("0:2", "2:6"), ("0:1", "1:4", "4:6")],
    "random_opt": [("0:6",), ("0:2", "2:6"), ("0:1", "1:4", "4:6")],
    "wide_bloom": [("0:1", "1:2")],
    "smollm2": [("0:30",), ("0:15", "15:30"), ("0:10", "10:20", "20:30")],
}
NEW_TOKENS = 12


@pytest.fixture(scope="module", params=[(model, spans) for model in MODELS for spans in SPANS[model]], ids=str)
def models(request: pytest.FixtureRequest, start_swarm: Callable[..., Any]) -> Iterator[tuple[SwarmForCausalLM, Any]]:
    """The model through 1, 2 and 3 servers, and the same model in this process."""
    name, spans = request.param
    folder: Path = request.getfixturevalue(name)
    swarm = start_swarm(folder, *spans)
    with swarm.client() as remote:
        local = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        yield remote, local
    for server in tuple(swarm.servers):
        swarm.stop(server)


@pytest.fixture
def prompt(models: tuple[SwarmForCausalLM, Any]) -> torch.Tensor:
    """[1, 9] token ids."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(4, models[1].config.vocab_size, (1, 9), generator=generator)


@pytest.fixture
def padded(models: tuple[SwarmForCausalLM, Any]) -> dict[str, torch.Tensor]:
    """Four rows of different lengths, padded at the left."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(4, models[1].config.vocab_size, (4, 9), generator=generator)
    mask = torch.ones_like(ids)
    for row, padding in enumerate((0, 3, 5, 1)):
        ids[row, :padding] = 3
        mask[row, :padding] = 0
    return {"input_ids": ids, "attention_mask": mask}


def assert_equal_but_for_rounding(found: torch.Tensor, expected: torch.Tensor, share: float = 2e-5) -> None:
    """Within 1e-4, or `share` of the largest number of the same token where that is more.

    SmolLM2's hidden states reach 4,000 in a few places, where a step of float32 is 2.4e-4, and the norm before every
    block spreads it over all others. transformers with two threads differs from itself with one by up to 8e-6 of a
    token's largest state, and by up to 5e-5 of its largest gradient.
    """
    scale = (share * expected.detach().abs().amax(dim=-1, keepdim=True)).clamp_min(1e-4)
    assert found.shape == expected.shape
    worst = ((found - expected).abs() / scale).max().item()
    assert worst <= 1.0, f"{worst:.1f} times as far apart as rounding explains"


def generate(model: Any, inputs: torch.Tensor | dict[str, torch.Tensor], **options: Any) -> torch.Tensor:
    arguments = inputs if isinstance(inputs, dict) else {"input_ids": inputs, "attention_mask": torch.ones_like(inputs)}
    with torch.inference_mode():
        return model.generate(
            **arguments, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=3, eos_token_id=None, **options
        )


def test_greedy_tokens_are_equal(models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor) -> None:
    remote, local = models
    assert generate(remote, prompt).tolist() == generate(local, prompt).tolist()


def test_large_heads_are_not_read_whole_for_a_greedy_token(
    models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor
) -> None:
    remote, local = models
    remote.greedy_head.prepare()
    before = dataclasses.replace(remote.greedy_head.counts)
    assert generate(remote, prompt).tolist() == generate(local, prompt).tolist()
    counts = remote.greedy_head.counts
    if local.config.vocab_size < 40_000 or exact_levels(local.config.hidden_size) is None:
        assert counts.proposed == 0
    else:
        assert counts.proposed - before.proposed > NEW_TOKENS // 2


def test_greedy_tokens_of_a_padded_batch_are_equal(
    models: tuple[SwarmForCausalLM, Any], padded: dict[str, torch.Tensor]
) -> None:
    remote, local = models
    assert generate(remote, padded).tolist() == generate(local, padded).tolist()


def test_beams_are_equal(models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor) -> None:
    remote, local = models
    assert generate(remote, prompt, num_beams=3).tolist() == generate(local, prompt, num_beams=3).tolist()


def test_beams_of_a_padded_batch_are_equal(
    models: tuple[SwarmForCausalLM, Any], padded: dict[str, torch.Tensor]
) -> None:
    remote, local = models
    assert generate(remote, padded, num_beams=3).tolist() == generate(local, padded, num_beams=3).tolist()


@pytest.fixture
def heads_asked(models: tuple[SwarmForCausalLM, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """ "quick" or "whole" for each time that logits were computed, quick for what may go without most of them."""
    remote, _ = models
    asked: list[str] = []
    quick, whole = remote.greedy_head, remote.ends.head.forward

    def ask_quick(hidden_states: torch.Tensor) -> torch.Tensor:
        asked.append("quick")
        logits = quick(hidden_states)
        if asked[-1] == "whole":  # its own fallback
            asked.pop()
        return logits

    def ask_whole(hidden_states: torch.Tensor) -> torch.Tensor:
        asked.append("whole")
        return whole(hidden_states)

    monkeypatch.setattr(remote, "greedy_head", ask_quick)
    monkeypatch.setattr(remote.ends.head, "forward", ask_whole)
    return asked


class _Nothing(transformers.LogitsProcessor):
    """Changes nothing, but it could have looked."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        assert scores.isfinite().all()
        return scores


@pytest.mark.parametrize(
    ("options", "head"),
    [
        ({}, "quick"),
        ({"prompt_lookup_num_tokens": 4}, "quick"),
        ({"return_dict_in_generate": True}, "quick"),
        ({"return_dict_in_generate": True, "output_logits": True}, "whole"),
        ({"return_dict_in_generate": True, "output_scores": True}, "whole"),
        ({"logits_processor": transformers.LogitsProcessorList([_Nothing()])}, "whole"),
        ({"logits_processor": [_Nothing()], "prompt_lookup_num_tokens": 4}, "whole"),
        ({"do_sample": True, "temperature": 0.8}, "whole"),
        ({"do_sample": True, "prompt_lookup_num_tokens": 4}, "whole"),
        ({"num_beams": 2}, "whole"),
        ({"repetition_penalty": 1.3}, "whole"),
        ({"no_repeat_ngram_size": 2}, "whole"),
        ({"bad_words_ids": [[7, 8]]}, "whole"),
        ({"sequence_bias": [[[7], -4.0]]}, "whole"),
        ({"suppress_tokens": [7, 8]}, "whole"),
        ({"begin_suppress_tokens": [7, 8]}, "whole"),
        ({"forced_eos_token_id": 9}, "whole"),
        ({"min_new_tokens": 3, "eos_token_id": 9}, "whole"),
        ({"prefix_allowed_tokens_fn": lambda row, ids: [7, 8, 9]}, "whole"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else value,
)
def test_which_head_is_asked(
    models: tuple[SwarmForCausalLM, Any],
    prompt: torch.Tensor,
    heads_asked: list[str],
    options: dict[str, Any],
    head: str,
) -> None:
    remote, local = models
    arguments = {"attention_mask": torch.ones_like(prompt), "max_new_tokens": 4, "pad_token_id": 3, "do_sample": False}
    answers = []
    for model in (remote, local):
        torch.manual_seed(7)
        with torch.inference_mode():
            answer = model.generate(prompt, **({"eos_token_id": None} | arguments | options))
        answers.append(answer if isinstance(answer, torch.Tensor) else answer.sequences)
    assert answers[0].tolist() == answers[1].tolist()
    assert heads_asked and set(heads_asked) == {head}


def test_direct_calls_ask_the_whole_head(
    models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor, heads_asked: list[str]
) -> None:
    with torch.inference_mode():
        outputs = models[0](prompt, use_cache=True)
    outputs.past_key_values.close()
    assert outputs.logits.isfinite().all()
    assert heads_asked == ["whole"]


def test_prompt_lookup_changes_no_token(models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor) -> None:
    remote, local = models
    repeated = prompt.repeat(1, 3)
    looked_up = generate(remote, repeated, prompt_lookup_num_tokens=4)
    assert looked_up.tolist() == generate(local, repeated).tolist()


def test_sampling_with_one_seed_gives_the_same_tokens(
    models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor
) -> None:
    remote, local = models
    answers = []
    for model in (remote, local):
        torch.manual_seed(7)
        with torch.inference_mode():
            answers.append(
                model.generate(
                    prompt,
                    attention_mask=torch.ones_like(prompt),
                    do_sample=True,
                    temperature=0.8,
                    top_k=20,
                    max_new_tokens=NEW_TOKENS,
                    pad_token_id=3,
                    eos_token_id=None,
                ).tolist()
            )
    assert answers[0] == answers[1]


def test_after_a_rollback_the_tokens_are_those_of_the_shorter_text(
    models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor
) -> None:
    remote, local = models
    cache = SwarmCache(remote, max_length=64)
    with torch.inference_mode():
        remote(prompt, past_key_values=cache, use_cache=True)
        remote(prompt.flip(1), past_key_values=cache, use_cache=True)
        cache.crop(prompt.shape[1] - 2)
        logits = remote(prompt[:, -2:], past_key_values=cache, use_cache=True).logits
        expected = local(prompt).logits[:, -2:]
    cache.close()
    torch.testing.assert_close(logits, expected, atol=2e-3, rtol=0)  # a head of 50,000 rows sums up the rounding
    assert logits.argmax(-1).tolist() == expected.argmax(-1).tolist()


def test_hidden_states_at_the_borders_of_spans_are_equal(
    models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor
) -> None:
    remote, local = models
    with torch.inference_mode():
        outputs = remote(prompt, use_cache=True, output_hidden_states=True)
        expected = local(prompt, output_hidden_states=True).hidden_states
    route = outputs.past_key_values.session.route
    outputs.past_key_values.close()
    assert route[0].start == 0 and route[-1].end == local.config.num_hidden_layers
    torch.testing.assert_close(outputs.hidden_states[0], expected[0], atol=1e-4, rtol=0)
    for hop, hidden_states in zip(route[:-1], outputs.hidden_states[1:], strict=False):
        assert_equal_but_for_rounding(hidden_states, expected[hop.end])


def test_logits_without_a_cache_are_equal(
    models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor, padded: dict[str, torch.Tensor]
) -> None:
    remote, local = models
    with torch.inference_mode():
        torch.testing.assert_close(remote(prompt, use_cache=False).logits, local(prompt).logits, atol=2e-3, rtol=1e-4)
        mask = padded["attention_mask"].bool()
        position_ids = {}
        if local.config.model_type == "llama":
            position_ids["position_ids"] = (padded["attention_mask"].cumsum(1) - 1).clamp_min(0)
        logits = remote(**padded, use_cache=False).logits[mask]
        expected = local(**padded, **position_ids, use_cache=False).logits[mask]
    torch.testing.assert_close(logits, expected, atol=2e-3, rtol=1e-4)


def test_gradients_of_a_prompt_are_equal(models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor) -> None:
    remote, local = models
    gradients = []
    for model in (remote, local):
        embeddings = model.get_input_embeddings()(prompt).detach()
        generator = torch.Generator().manual_seed(5)
        tuned = 0.1 * torch.randn(1, 4, embeddings.shape[2], generator=generator)
        tuned.requires_grad_(True)
        inputs = torch.cat([tuned, embeddings], dim=1)
        labels = torch.cat([torch.full((1, 4), -100), prompt], dim=1)
        model(inputs_embeds=inputs, labels=labels, use_cache=False).loss.backward()
        gradients.append(tuned.grad)
    assert_equal_but_for_rounding(gradients[0], gradients[1], share=5e-4)


def test_deep_prompts_and_their_gradients_are_equal(models: tuple[SwarmForCausalLM, Any], prompt: torch.Tensor) -> None:
    remote, local = models
    num_blocks, hidden_size = local.config.num_hidden_layers, local.config.hidden_size
    start = 0.1 * torch.randn(num_blocks, 1, 3, hidden_size, generator=torch.Generator().manual_seed(3))
    hidden_states = torch.randn(2, 6, hidden_size, generator=torch.Generator().manual_seed(4))
    prompts = start.clone().requires_grad_(True)
    outputs = remote.blocks(hidden_states, prompts=prompts)
    (outputs**2).mean().backward()

    reference = start.clone().requires_grad_(True)
    expected = local_blocks(local, hidden_states, reference)
    (expected**2).mean().backward()
    assert_equal_but_for_rounding(outputs, expected)
    assert_equal_but_for_rounding(prompts.grad, reference.grad, share=5e-4)

    with remote.session(max_length=16) as session:
        stepped = session.step(hidden_states, prompts=start)
    assert_equal_but_for_rounding(stepped, expected)


def local_blocks(local: Any, hidden_states: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
    """The local model's own blocks with deep prompts, through hooks on each of them."""
    layers = local.transformer.h if hasattr(local, "transformer") else None
    base = local.transformer if layers is not None else local.model
    if layers is None:
        base = getattr(local.model, "decoder", local.model)
        layers = base.layers
    hooks, captured = [], {}

    def add_prompt(index: int) -> Any:
        def hook(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            first = hidden_states if index == 0 else args[0]
            prefix = prompts.shape[2]
            return (torch.cat([first[:, :prefix] + prompts[index], first[:, prefix:]], dim=1), *args[1:])

        return hook

    def capture(module: Any, args: tuple[Any, ...], output: Any) -> None:
        captured["output"] = output[0] if isinstance(output, tuple) else output

    for index, layer in enumerate(layers):
        hooks.append(layer.register_forward_pre_hook(add_prompt(index)))
    hooks.append(layers[-1].register_forward_hook(capture))
    width = getattr(local.config, "word_embed_proj_dim", hidden_states.shape[2])
    base(inputs_embeds=torch.zeros(*hidden_states.shape[:2], width), use_cache=False)
    for hook in hooks:
        hook.remove()
    return captured["output"]
