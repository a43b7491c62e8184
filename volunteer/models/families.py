"""What differs between model families: tensor names, form of the blocks, positions, embeddings, final norm and head.

Knows neither files nor sessions: tensors come in by name, and attention is what a block is given for it.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.bloom.modeling_bloom import build_alibi_tensor

from volunteer.errors import ConfigurationError
from volunteer.models.lean import ATTENTION, Block, LayerBlock, LeanBloom, LeanLlama, MakeLinear, Rotation


@dataclass(frozen=True)
class Positions:
    """Where the tokens of one step stand.

    `past` tokens are in the KV cache already, `new` tokens come with this step; `left_padding` says for each row how
    many of its first positions are padding, and is None when there is none.
    """

    past: int
    new: int
    left_padding: tuple[int, ...] | None = None

    @property
    def total(self) -> int:
        return self.past + self.new

    def padding_mask(self, device: torch.device) -> torch.Tensor | None:
        """True where a key may be attended to, [batch, total]; None when nothing is padded."""
        if self.left_padding is None:
            return None
        padding = torch.tensor(self.left_padding, device=device)[:, None]
        return torch.arange(self.total, device=device)[None, :] >= padding

    def position_ids(self, device: torch.device) -> torch.Tensor:
        """Position of each new token counted from the first real one, [batch or 1, new] int64; padding stands at 0."""
        positions = torch.arange(self.past, self.total, device=device)[None, :]
        if self.left_padding is None:
            return positions
        return (positions - torch.tensor(self.left_padding, device=device)[:, None]).clamp_min(0)


class Ends(nn.Module, ABC):
    """The parts of a model that a client holds: embeddings before the first block, final norm and head after the last.

    `model` is `transformers`' own class with no blocks in it, so parameter names and tying are its own.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    @property
    @abstractmethod
    def embeddings(self) -> nn.Module: ...

    @property
    def head(self) -> nn.Module:
        return self.model.lm_head

    @abstractmethod
    def embed(self, token_embeddings: torch.Tensor, positions: Positions) -> torch.Tensor:
        """What the first block gets, [batch, new, hidden], from the embeddings of the tokens (same shape)."""

    @abstractmethod
    def normalise(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The last block's output as the head takes it, [batch, tokens, hidden]."""


class Family(ABC):
    """One model family, for one config.

    Args:
        config: a `transformers` config of one of `model_types`.
    """

    model_types: ClassVar[frozenset[str]]
    block_prefixes: ClassVar[tuple[str, ...]]
    """How tensor names of block i begin in checkpoints, without the index; the first is `transformers`' own."""
    ends_class: ClassVar[type[Ends]]

    def __init__(self, config: Any):
        self.config = copy.deepcopy(config)
        self._layer_config = copy.copy(self.config)
        self._layer_config._attn_implementation = ATTENTION
        self._skeleton = self._build(num_blocks=1)

    @property
    def num_blocks(self) -> int:
        return int(self.config.num_hidden_layers)

    @property
    def hidden_size(self) -> int:
        return int(self.config.hidden_size)

    @property
    def num_heads(self) -> int:
        return int(self.config.num_attention_heads)

    @property
    def num_kv_heads(self) -> int:
        return int(getattr(self.config, "num_key_value_heads", None) or self.num_heads)

    @property
    def head_dim(self) -> int:
        return int(getattr(self.config, "head_dim", None) or self.hidden_size // self.num_heads)

    @property
    def block_flops(self) -> int:
        """Of one token in one block: two for each weight of its matrices.

        What attention adds grows with the sequence and is left out: server and client must come to the same number.
        """
        layer = self._layers(self._skeleton)[0]
        return 2 * sum(weight.numel() for weight in layer.parameters() if weight.ndim > 1)

    @property
    def attention_scale(self) -> float:
        """What a query times a key is multiplied by before the softmax."""
        return self.head_dim**-0.5

    @property
    def alibi_slopes(self) -> torch.Tensor | None:
        """What a head adds to a score per position of the key, [heads] float32; None where positions are elsewhere."""
        return None

    def window(self, index: int) -> int | None:
        """How many tokens back, itself among them, a token of block `index` may look; None when all."""
        return None

    @property
    def max_length(self) -> int | None:
        """Longest sequence in tokens that the positions allow; None where they have no end (ALiBi)."""
        return int(self.config.max_position_embeddings)

    @property
    def dtype(self) -> torch.dtype:
        """The number format in which the checkpoint was saved; bfloat16 where it does not say, as Petals takes it.

        bigscience/bloom does not, and its tensors are bfloat16.
        """
        dtype = getattr(self.config, "dtype", None)
        return dtype if isinstance(dtype, torch.dtype) else torch.bfloat16

    def build_block(self, index: int) -> nn.Module:
        """`transformers`' layer `index` with parameters on the meta device, to be filled and given to `runnable`."""
        layer_class: type[nn.Module] = type(self._layers(self._skeleton)[0])
        with torch.device("meta"):
            block = layer_class(self._layer_config, layer_idx=index)
        return block.eval()

    @abstractmethod
    def runnable(self, layer: nn.Module, index: int, make: MakeLinear) -> Block:
        """The form in which block `index` runs.

        Args:
            layer: from `build_block`, filled; its parts are taken, so it is of no use afterwards.
            make: makes the linear layers.
        """

    def shared(self, positions: torch.Tensor, dtype: torch.dtype, device: torch.device) -> Any:
        """What all blocks need beside the hidden states, once for all of them.

        Args:
            positions: [tokens] int64, counted from the first real token of each sequence; padding stands at 0.
            dtype: of the hidden states.
        """
        return None

    def build_ends(self) -> Ends:
        """Embeddings, final norm and head with parameters on the meta device."""
        return self.ends_class(self._build(num_blocks=0)).eval()

    def block_tensors(self, names: Collection[str], index: int) -> dict[str, str]:
        """Checkpoint tensor name -> parameter name in `build_block(index)`.

        Raises:
            ConfigurationError: the checkpoint lacks a tensor of this block.
        """
        wanted = list(self._layers(self._skeleton)[0].state_dict())
        for prefix in self.block_prefixes:
            found = {f"{prefix}{index}.{name}": name for name in wanted if f"{prefix}{index}.{name}" in names}
            if len(found) == len(wanted):
                return found
        raise ConfigurationError(f"The checkpoint does not hold all tensors of block {index}.")

    def ends_tensors(self, names: Collection[str]) -> dict[str, str]:
        """Checkpoint tensor name -> parameter name in `build_ends().model`; a tied head may be absent.

        Raises:
            ConfigurationError: the checkpoint lacks one of these tensors.
        """
        model = self._build(num_blocks=0)
        found = {}
        for name in model.state_dict():
            without_prefix = name.removeprefix(f"{model.base_model_prefix}.")
            present = [candidate for candidate in (name, without_prefix) if candidate in names]
            if present:
                found[present[0]] = name
            elif not (name == "lm_head.weight" and self.config.tie_word_embeddings):
                raise ConfigurationError(f"The checkpoint does not hold the tensor {name}.")
        return found

    @abstractmethod
    def _layers(self, model: Any) -> nn.ModuleList: ...

    def _build(self, *, num_blocks: int) -> Any:
        config = copy.deepcopy(self.config)
        config.num_hidden_layers = num_blocks
        if getattr(config, "layer_types", None) is not None:
            config.layer_types = config.layer_types[:num_blocks]
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)


class _BloomEnds(Ends):
    @property
    def embeddings(self) -> nn.Module:
        return self.model.transformer.word_embeddings

    def embed(self, token_embeddings: torch.Tensor, positions: Positions) -> torch.Tensor:
        return self.model.transformer.word_embeddings_layernorm(token_embeddings)

    def normalise(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.model.transformer.ln_f(hidden_states)


class Bloom(Family):
    """BLOOM and BLOOMZ: ALiBi positions (Press et al., arXiv 2108.12409), fused query/key/value."""

    model_types = frozenset({"bloom"})
    block_prefixes = ("transformer.h.", "h.")
    ends_class = _BloomEnds

    def __init__(self, config: Any):
        super().__init__(config)
        # A slope is what one position makes: 0 at the first token, the slope at the second. Every tick asks for them.
        positions = torch.ones(1, 2, dtype=torch.int64)
        self._slopes = build_alibi_tensor(positions, self.num_heads, torch.float32)[:, 0, 1].clone()

    @property
    def max_length(self) -> int | None:
        return None

    def _layers(self, model: Any) -> nn.ModuleList:
        return model.transformer.h

    @property
    def alibi_slopes(self) -> torch.Tensor:
        return self._slopes

    def runnable(self, layer: nn.Module, index: int, make: MakeLinear) -> Block:
        return LeanBloom(layer, index, make)


class _OptEnds(Ends):
    @property
    def _decoder(self) -> Any:
        return self.model.model.decoder

    @property
    def embeddings(self) -> nn.Module:
        return self._decoder.embed_tokens

    def embed(self, token_embeddings: torch.Tensor, positions: Positions) -> torch.Tensor:
        decoder = self._decoder
        if decoder.project_in is not None:
            token_embeddings = decoder.project_in(token_embeddings)
        # OPT gives padding the position -1, which its embedding's offset of two turns into row 1.
        position_ids = positions.position_ids(token_embeddings.device)
        visible = positions.padding_mask(token_embeddings.device)
        if visible is not None:
            position_ids = position_ids.masked_fill(~visible[:, positions.past :], -1)
        return token_embeddings + decoder.embed_positions(None, positions.past, position_ids=position_ids)

    def normalise(self, hidden_states: torch.Tensor) -> torch.Tensor:
        decoder = self._decoder
        if decoder.final_layer_norm is not None:
            hidden_states = decoder.final_layer_norm(hidden_states)
        if decoder.project_out is not None:
            hidden_states = decoder.project_out(hidden_states)
        return hidden_states


class Opt(Family):
    """OPT: learned positions are added by the client, so blocks share nothing."""

    model_types = frozenset({"opt"})
    block_prefixes = ("model.decoder.layers.", "decoder.layers.")
    ends_class = _OptEnds

    def _layers(self, model: Any) -> nn.ModuleList:
        return model.model.decoder.layers

    @property
    def attention_scale(self) -> float:
        return 1.0  # its layers scale the queries themselves

    def runnable(self, layer: nn.Module, index: int, make: MakeLinear) -> Block:
        return LayerBlock(layer, index, make)


class _LlamaEnds(Ends):
    def __init__(self, model: Any):
        super().__init__(model)
        model.model.rotary_emb = None  # the blocks' business; its buffers are in no checkpoint

    @property
    def embeddings(self) -> nn.Module:
        return self.model.model.embed_tokens

    def embed(self, token_embeddings: torch.Tensor, positions: Positions) -> torch.Tensor:
        return token_embeddings

    def normalise(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.model.model.norm(hidden_states)


class Llama(Family):
    """Llama, SmolLM2, Mistral, Qwen2 and Qwen3: rotary positions, grouped keys and values, perhaps a sliding window."""

    model_types = frozenset({"llama", "mistral", "qwen2", "qwen3"})
    block_prefixes = ("model.layers.", "layers.")
    ends_class = _LlamaEnds

    def __init__(self, config: Any):
        super().__init__(config)
        # Computed from the config, so it is made on a real device: the checkpoint has no tensor for it.
        self._rotary = type(self._skeleton.model.rotary_emb)(self.config)

    def _layers(self, model: Any) -> nn.ModuleList:
        return model.model.layers

    def window(self, index: int) -> int | None:
        # Other model types' configs may carry these too, and their layers do not look at them.
        if self.config.model_type == "mistral":
            return self.config.sliding_window
        if self.config.model_type in ("qwen2", "qwen3") and self.config.layer_types[index] == "sliding_attention":
            return self.config.sliding_window
        return None

    def runnable(self, layer: nn.Module, index: int, make: MakeLinear) -> Block:
        if LeanLlama.knows(layer):
            return LeanLlama(layer, index, make)
        return LayerBlock(layer, index, make, inputs=_position_embeddings)

    def shared(self, positions: torch.Tensor, dtype: torch.dtype, device: torch.device) -> Rotation:
        cosines, sines = self._cosines_and_sines(torch.empty(0, dtype=dtype, device=device), positions.to(device))
        first, second = sines[:, None].chunk(2, dim=-1)
        return Rotation(cosines[:, None], torch.cat([-first, second], dim=-1))

    def _cosines_and_sines(self, like: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[tokens, head_dim] each."""
        if self._rotary.rope_type not in ("dynamic", "longrope"):
            cosines, sines = self._rotary(like, positions[None])
            return cosines[0], sines[0]
        # These stretch with the longest position of a call and remember it. Here each token gets what it would get as
        # the last of its sequence, whoever else is in the tick and however a prompt was cut.
        distinct, inverse = torch.unique(positions, return_inverse=True)
        alone = [type(self._rotary)(self.config)(like, position.view(1, 1)) for position in distinct]
        cosines, sines = (torch.cat(parts, dim=1)[0, inverse] for parts in zip(*alone, strict=True))
        return cosines, sines


def _position_embeddings(rotation: Rotation) -> dict[str, Any]:
    """As `transformers`' layers take them, [1, tokens, head_dim] each; their sines repeat with the same sign."""
    cosines, signed_sines = (tensor[None, :, 0] for tensor in rotation)
    second = signed_sines.chunk(2, dim=-1)[1]
    return {"position_embeddings": (cosines, torch.cat([second, second], dim=-1))}


_FAMILIES: tuple[type[Family], ...] = (Bloom, Opt, Llama)


def family_for(config: Any) -> Family:
    """The adapter for a `transformers` config.

    Raises:
        ConfigurationError: the model is of a family that this program does not serve.
    """
    for family in _FAMILIES:
        if config.model_type in family.model_types:
            return family(config)
    served = ", ".join(sorted(name for family in _FAMILIES for name in family.model_types))
    raise ConfigurationError(f"Models of the type {config.model_type!r} are not supported. Supported: {served}.")


def read_family(folder: Path) -> Family:
    """The adapter for the `config.json` in `folder`; no code from the folder is run.

    Raises:
        ConfigurationError: there is no readable config, or its family is not supported.
    """
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"The config.json in {folder} cannot be used: {error}") from error
    return family_for(config)
