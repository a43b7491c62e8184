"""Blocks that run a flat list of tokens, of any number of sequences, with few torch calls.

A block knows which tokens there are and nothing of whose they are: what reaches over tokens is done by `attend`, which
belongs to whoever holds the KV caches. Knows neither configs' families nor checkpoints: a filled `transformers` layer
comes in, and goes once its tensors are taken.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface

MakeLinear = Callable[[torch.Tensor, torch.Tensor | None], nn.Module]
"""A linear layer from its weight [out, in] and its bias [out], in whatever number format."""

ATTENTION = "volunteer"
"""Name of the attention function that a layer in a `LayerBlock` has to look up."""


class Attend(Protocol):
    """Stores the keys and values of the tokens, and attends per sequence."""

    def __call__(self, block: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """
        Args:
            block: index of the block within the model.
            queries: [tokens, heads, head_dim], a view that need not be contiguous; so are the others.
            keys: [tokens, kv_heads, head_dim].
            values: [tokens, kv_heads, head_dim].

        Returns:
            [tokens, heads, head_dim].
        """


class Block(nn.Module, ABC):
    """Block `index` of a model, with frozen weights; differentiable with respect to the hidden states."""

    def __init__(self, index: int):
        super().__init__()
        self.index = index

    @abstractmethod
    def forward(self, hidden_states: torch.Tensor, shared: Any, attend: Attend) -> torch.Tensor:
        """
        Args:
            hidden_states: [tokens, hidden], the new tokens of all sequences one after another; at least one.
            shared: what `Family.shared` made for these tokens.
            attend: called once.

        Returns:
            [tokens, hidden]; `hidden_states` stays as it is.
        """


# In the lean forms parts are registered under one name, which takes them along to a device, and called by another, as
# the bound `forward`: `nn.Module` looks parts up and calls them in Python, which is 3 % of a token of SmolLM2.


class LeanBloom(Block):
    """A `BloomBlock`: LayerNorm, ALiBi (the business of `attend`), GELU, biases everywhere."""

    def __init__(self, layer: Any, index: int, make: MakeLinear):
        super().__init__(index)
        attention, mlp = layer.self_attention, layer.mlp
        self._shape = (3, attention.num_heads, attention.head_dim)  # of the fused output of a token
        self._residual_after_norm: bool = layer.apply_residual_connection_post_layernorm
        self.input_norm = layer.input_layernorm
        self.query_key_value = make(
            _parts_first(attention.query_key_value.weight, attention.num_heads),
            _parts_first(attention.query_key_value.bias, attention.num_heads),
        )
        self.dense = _remade(attention.dense, make)
        self.post_attention_norm = layer.post_attention_layernorm
        self.up = _remade(mlp.dense_h_to_4h, make)
        self.down = _remade(mlp.dense_4h_to_h, make)

        self._normalise_input = self.input_norm.forward
        self._project = self.query_key_value.forward
        self._merge = self.dense.forward
        self._normalise_attended = self.post_attention_norm.forward
        self._widen = self.up.forward
        self._narrow = self.down.forward

    def forward(self, hidden_states: torch.Tensor, shared: Any, attend: Attend) -> torch.Tensor:
        normalised = self._normalise_input(hidden_states)
        residual = normalised if self._residual_after_norm else hidden_states
        fused = self._project(normalised).view(len(hidden_states), *self._shape)
        attended = attend(self.index, *fused.unbind(1))
        hidden_states = residual + self._merge(attended.reshape(hidden_states.shape))

        normalised = self._normalise_attended(hidden_states)
        residual = normalised if self._residual_after_norm else hidden_states
        # BLOOM's own formula with tanh is this one, to the constants' last digit in float32.
        return residual + self._narrow(F.gelu(self._widen(normalised), approximate="tanh"))


def _parts_first(tensor: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Rows [heads, 3, head_dim] of BLOOM's fused matrix or bias as [3, heads, head_dim], so that a part is dense."""
    return tensor.view(num_heads, 3, -1, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)


class Rotation(NamedTuple):
    """Rotary positions (Su et al., arXiv 2104.09864) of the tokens of a tick."""

    cosines: torch.Tensor  # [tokens, 1, head_dim]
    signed_sines: torch.Tensor  # [tokens, 1, head_dim], the first half negative: a rotation swaps halves and no signs


class LeanLlama(Block):
    """A decoder layer of Llama, Mistral, Qwen2 or Qwen3: RMSNorm, rotary positions, gated MLP."""

    def __init__(self, layer: Any, index: int, make: MakeLinear):
        super().__init__(index)
        attention, mlp = layer.self_attn, layer.mlp
        self._head_dim: int = attention.head_dim
        self._num_heads: int = attention.q_proj.out_features // self._head_dim
        self._num_kv_heads: int = attention.k_proj.out_features // self._head_dim
        self._shape = (self._num_heads + 2 * self._num_kv_heads, self._head_dim)  # of the fused output of a token
        epsilon = layer.input_layernorm.variance_epsilon
        self.input_norm = RMSNorm(layer.input_layernorm.weight, epsilon)
        self.query_key_value = _fused(make, attention.q_proj, attention.k_proj, attention.v_proj)
        self.query_key_norm: RMSNorm | None = None
        if hasattr(attention, "q_norm"):
            norms = [attention.q_norm.weight] * self._num_heads + [attention.k_norm.weight] * self._num_kv_heads
            self.query_key_norm = RMSNorm(torch.stack(norms), epsilon)
        self.dense = _remade(attention.o_proj, make)
        self.post_attention_norm = RMSNorm(layer.post_attention_layernorm.weight, epsilon)
        self.gate_up = _fused(make, mlp.gate_proj, mlp.up_proj)
        self.activation = mlp.act_fn
        self.down = _remade(mlp.down_proj, make)

        self._normalise_input = self.input_norm.forward
        self._project = self.query_key_value.forward
        self._normalise_heads = None if self.query_key_norm is None else self.query_key_norm.forward
        self._merge = self.dense.forward
        self._normalise_attended = self.post_attention_norm.forward
        self._widen = self.gate_up.forward
        self._activate = self.activation.forward
        self._narrow = self.down.forward

    @staticmethod
    def knows(layer: nn.Module) -> bool:
        """Whether `layer` has nothing but the parts that this class takes out of it."""
        return {name.rpartition(".")[0] for name in layer.state_dict()} <= _LLAMA_PARTS

    def forward(self, hidden_states: torch.Tensor, shared: Rotation, attend: Attend) -> torch.Tensor:
        fused = self._project(self._normalise_input(hidden_states)).view(len(hidden_states), *self._shape)
        rotated, values = fused.split_with_sizes([self._num_heads + self._num_kv_heads, self._num_kv_heads], dim=1)
        if self._normalise_heads is not None:
            rotated = self._normalise_heads(rotated)
        swapped = rotated.roll(self._head_dim // 2, dims=-1)
        rotated = swapped.mul_(shared.signed_sines).addcmul_(rotated, shared.cosines)
        queries, keys = rotated.split_with_sizes([self._num_heads, self._num_kv_heads], dim=1)
        attended = attend(self.index, queries, keys, values)
        hidden_states = hidden_states + self._merge(attended.flatten(1))

        gate, up = self._widen(self._normalise_attended(hidden_states)).chunk(2, dim=-1)
        activated = self._activate(gate)
        # In place where no gradient asks for what was there: for many rows another buffer costs more than the product.
        gated = activated * up if activated.requires_grad else activated.mul_(up)
        return hidden_states + self._narrow(gated)


class RMSNorm(nn.Module):
    """RMSNorm (Zhang and Sennrich, arXiv 1910.07467) over the last dimension, computed in float32.

    Four operations of torch where `F.rms_norm` makes ten, which for one row is 4 % of a token of SmolLM2:
    x / sqrt(mean(x^2) + epsilon) is x sqrt(n) / hypot(|x|, sqrt(n epsilon)).

    Args:
        weight: [..., n].
    """

    weight: torch.Tensor
    floor: torch.Tensor

    def __init__(self, weight: torch.Tensor, epsilon: float):
        super().__init__()
        size = weight.shape[-1]
        self.register_buffer("weight", weight.detach().float() * size**0.5)
        self.register_buffer("floor", torch.tensor((size * epsilon) ** 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        lengths = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).hypot(self.floor)
        return (wide / lengths).mul_(self.weight).to(x.dtype)


_LLAMA_PARTS = frozenset(
    {
        "input_layernorm",
        "post_attention_layernorm",
        *(f"self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm")),
        *(f"mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")),
    }
)


class LayerBlock(Block):
    """A `transformers` layer as it is, but for its linear layers and its attention: for layers without a lean form.

    The layer must have been built with a config whose `_attn_implementation` is `ATTENTION`, must hand keyword
    arguments that it does not know to its attention function, and must return the hidden states alone.

    Args:
        inputs: the keyword arguments of the layer's call, from what the blocks of a tick share.
    """

    def __init__(
        self,
        layer: nn.Module,
        index: int,
        make: MakeLinear,
        inputs: Callable[[Any], Mapping[str, Any]] = lambda shared: {},
    ):
        super().__init__(index)
        for parent in list(layer.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(parent, name, _remade(child, make))
        self.layer = layer
        self._inputs = inputs

    def forward(self, hidden_states: torch.Tensor, shared: Any, attend: Attend) -> torch.Tensor:
        return self.layer(hidden_states[None], attend=attend, **self._inputs(shared))[0]


def _attention_of_layer(
    module: Any,
    queries: torch.Tensor,  # [1, heads, tokens, head_dim]
    keys: torch.Tensor,  # [1, kv_heads, tokens, head_dim]
    values: torch.Tensor,
    attention_mask: None,
    *,
    attend: Attend,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What a layer calls instead of `transformers`' functions; `Family.attention_scale` stands for its `scaling`."""
    flat = [tensor[0].transpose(0, 1) for tensor in (queries, keys, values)]
    return attend(module.layer_idx, *flat)[None], None


AttentionInterface.register(ATTENTION, _attention_of_layer)


def _remade(linear: nn.Linear, make: MakeLinear) -> nn.Module:
    return make(linear.weight, linear.bias)


def _fused(make: MakeLinear, *linears: nn.Linear) -> nn.Module:
    """One linear layer whose output is theirs, one after another. They have biases all, or none."""
    weight = torch.cat(tuple(linear.weight for linear in linears))
    biases = tuple(linear.bias for linear in linears if linear.bias is not None)
    return make(weight, torch.cat(biases) if biases else None)
