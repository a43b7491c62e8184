"""Tiny models of every family with random weights, their blocks run by `transformers`; and peers with ledgers."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import settings

from volunteer.points.identity import new_identity
from volunteer.points.ledger import Ledger
from volunteer.points.receipts import NONCE_BYTES, Receipt, Work

settings.register_profile("no deadline", deadline=None)  # a busy machine is no bug
settings.load_profile("no deadline")

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 128,
    "max_position_embeddings": 256,
}
LLAMA_SIZES: dict[str, Any] = SIZES | {"intermediate_size": 96, "num_key_value_heads": 2}
CONFIGS: dict[str, Callable[[], Any]] = {
    "bloom": lambda: transformers.BloomConfig(hidden_size=64, n_layer=3, n_head=4, vocab_size=128),
    "opt": lambda: transformers.OPTConfig(**SIZES, ffn_dim=96, word_embed_proj_dim=64),
    "opt-350m": lambda: transformers.OPTConfig(**SIZES, ffn_dim=96, word_embed_proj_dim=32, do_layer_norm_before=False),
    "llama": lambda: transformers.LlamaConfig(**LLAMA_SIZES),
    "llama-3": lambda: transformers.LlamaConfig(
        **LLAMA_SIZES,
        tie_word_embeddings=True,
        attention_bias=True,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    "mistral": lambda: transformers.MistralConfig(**LLAMA_SIZES, sliding_window=6),
    "qwen2": lambda: transformers.Qwen2Config(
        **LLAMA_SIZES, use_sliding_window=True, sliding_window=6, max_window_layers=1
    ),
    "qwen3": lambda: transformers.Qwen3Config(**LLAMA_SIZES, head_dim=32),
}


@cache
def _random_model(name: str) -> Any:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name]()).eval().requires_grad_(False)
    for parameter_name, parameter in model.named_parameters():
        # Norms and biases too, so that leaving one out would show.
        is_norm_weight = ("norm" in parameter_name or "ln_f" in parameter_name) and parameter_name.endswith("weight")
        parameter.normal_(1.0 if is_norm_weight else 0.0, 0.1 if "norm" in parameter_name else 0.2)
    return model


@pytest.fixture(params=CONFIGS)
def random_model(request: pytest.FixtureRequest) -> Any:
    """One model of each family; tests only read it."""
    torch.set_num_threads(1)
    return _random_model(request.param)


def _layers(model: Any) -> Any:
    if hasattr(model, "transformer"):
        return model.transformer.h
    return getattr(model.model, "decoder", model.model).layers


@pytest.fixture
def reference_blocks() -> Callable[..., torch.Tensor]:
    """`reference_blocks(model, hidden_states, start, end, prompts=None)` runs blocks by the model's own forward."""

    def run(
        model: Any, hidden_states: torch.Tensor, start: int, end: int, prompts: torch.Tensor | None = None
    ) -> torch.Tensor:
        captured: dict[str, torch.Tensor] = {}
        hooks = []

        def enter(index: int) -> Any:
            def hook(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
                inputs = hidden_states if index == start else args[0]
                if prompts is not None:
                    prompt = prompts[index - start]
                    prefix = prompt.shape[1]
                    inputs = torch.cat([inputs[:, :prefix] + prompt, inputs[:, prefix:]], dim=1)
                return (inputs, *args[1:])

            return hook

        def leave(module: Any, args: tuple[Any, ...], output: Any) -> None:
            captured["output"] = output[0] if isinstance(output, tuple) else output

        layers = _layers(model)
        for index in range(start, end):
            hooks.append(layers[index].register_forward_pre_hook(enter(index)))
        hooks.append(layers[end - 1].register_forward_hook(leave))
        try:
            model(torch.zeros(hidden_states.shape[:2], dtype=torch.int64), use_cache=False)
        finally:
            for each in hooks:
                each.remove()
        return captured["output"]

    return run


class Peer:
    """Somebody with an account and a ledger of its own."""

    def __init__(self, folder: Path, make_ledger: type[Ledger] = Ledger):
        self.identity = new_identity()
        self.id = self.identity.peer_id
        self.ledger = make_ledger(folder / f"{self.id}.sqlite", self.identity)

    def work_for(self, client: Peer, units: int, **changes: Any) -> Work:
        fields: dict[str, Any] = {
            "server": self.id,
            "client": client.id,
            "model": "model",
            "revision": "",
            "start": 0,
            "end": 2,
            "number_format": "float32",
            "nonce": secrets.token_bytes(NONCE_BYTES),
            "counter": 1,
            "tokens": 1,
            "units": units,
            "price_milli": 1000,
            "digest": bytes(32),
        } | changes
        return Work(**fields, charged=fields["units"] * fields["price_milli"] // 1000)

    def works_for(self, client: Peer, units: int, **changes: Any) -> Receipt:
        """A session of its own, which stands in both ledgers."""
        work = self.work_for(client, units, **changes)
        return self.ledger.settle(client.ledger.countersign(self.ledger.claim(work), work))


@pytest.fixture
def new_peer(tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    with contextlib.ExitStack() as stack:

        def make(make_ledger: type[Ledger] = Ledger) -> Peer:
            peer = Peer(tmp_path, make_ledger)
            stack.callback(peer.ledger.close)
            return peer

        yield make
