"""The checkpoints that are measured: a model's own, or random weights of a real shape, made once and kept.

Every one ends up as a whole folder that `transformers` can load as well as the workers.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BloomConfig, LlamaConfig

from volunteer.bench.options import BLOOM_560M_SHAPE, SMOLLM2
from volunteer.errors import UserError
from volunteer.models.embedded import EMBEDDED_MODEL
from volunteer.models.loading import ends_parts, span_parts
from volunteer.models.store import Checkpoint
from volunteer.swarm_model import SwarmModel, open_swarm_model

_BLOOM_FOLDER = f"{BLOOM_560M_SHAPE}-1"  # another number for other weights: an old folder must not pass for a new one
_WEIGHTS_FILE = "model.safetensors"


def open_model(name: str, revision: str | None, data_dir: Path, say: Callable[[str], None]) -> SwarmModel:
    """The model of that name, whole, in a folder.

    Raises:
        ConfigurationError: there is no such model, or it cannot be used.
        Unavailable: the Hub cannot be reached.
        UserError: the disk does not take it.
    """
    models_dir, kept = data_dir / "models", data_dir / "bench"
    if name == BLOOM_560M_SHAPE:
        folder = kept / _BLOOM_FOLDER
        if not folder.is_dir():
            say(f"Making random weights in the shape of BLOOM-560m, 1.4 GB, in {folder} (once) ...")
            save_random(bloom_560m_shape(), folder, std=0.075, attention_scale=1.3)
        return open_swarm_model(str(folder), models_dir=models_dir)
    model = open_swarm_model(EMBEDDED_MODEL if name == SMOLLM2 else name, models_dir=models_dir, revision=revision)
    if model.checkpoint.revision is None:
        return model
    folder = kept / f"{model.checkpoint.model.replace('/', '--')}-{model.checkpoint.revision}"
    if not folder.is_dir():
        say(f"Downloading {model.checkpoint.model}, all of it ...")
        copy_whole(model, folder)
    return open_swarm_model(str(folder), models_dir=models_dir)


def bloom_560m_shape() -> BloomConfig:
    """Blocks of BLOOM-560m; the vocabulary is a fifth of its own, as in most models of that size."""
    return BloomConfig(hidden_size=1024, n_layer=24, n_head=16, vocab_size=50_000)


def hop_shape(hidden_size: int, num_blocks: int) -> LlamaConfig:
    """Hidden states as wide as a real model's, blocks that have next to nothing to compute."""
    return LlamaConfig(
        hidden_size=hidden_size,
        num_hidden_layers=num_blocks,
        intermediate_size=8,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        vocab_size=16,
        max_position_embeddings=65_536,
        tie_word_embeddings=True,
    )


def save_random(config: Any, folder: Path, *, std: float, attention_scale: float = 1.0, seed: int = 0) -> None:
    """A checkpoint of random float32 weights. Norms and biases are random too: leaving one out would show.

    Args:
        std: of weight matrices and embeddings. Large enough, it makes greedy answers vary from token to token, which
            the small values used for training do not.
        attention_scale: of fused query, key and value weights: sharp attention keeps answers from repeating a token.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    tied = "lm_head.weight" if config.tie_word_embeddings else None
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, parameter in model.state_dict().items():
        if name == tied:
            continue
        tensor = torch.empty(parameter.shape, dtype=torch.float32)
        if name.endswith("bias"):
            tensor.normal_(0.0, 0.02, generator=generator)
        elif parameter.ndim == 1:
            tensor.normal_(1.0, 0.05, generator=generator)
        else:
            tensor.normal_(0.0, std * (attention_scale if "query_key_value" in name else 1.0), generator=generator)
        tensors[name] = tensor
    config = type(config).from_dict(config.to_dict() | {"architectures": [type(model).__name__], "dtype": "float32"})
    _save(folder, tensors, {"config.json": json.dumps(config.to_dict(), indent=1)})


def copy_whole(model: SwarmModel, folder: Path) -> None:
    """A downloaded model, which is kept block by block, as one file of tensors."""
    family, checkpoint = model.family, model.checkpoint
    parts = span_parts(family, checkpoint, 0, family.num_blocks) | ends_parts(family, checkpoint)
    checkpoint.prepare(parts)
    tensors = {name: tensor for part, names in parts.items() for name, tensor in checkpoint.load(part, names).items()}
    _save(folder, tensors, _small_files(checkpoint))


def _small_files(checkpoint: Checkpoint) -> dict[str, str]:
    names = ("config.json", "generation_config.json")
    return {
        name: (checkpoint.folder / name).read_text(encoding="utf-8")
        for name in names
        if (checkpoint.folder / name).is_file()
    }


def _save(folder: Path, tensors: dict[str, torch.Tensor], texts: dict[str, str]) -> None:
    """The folder appears whole or not at all."""
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(folder.parent).free
        if free_bytes < num_bytes + 1_000_000:
            raise UserError(
                f"The model needs {num_bytes / 1e6:.0f} MB in {folder.parent}, {free_bytes / 1e6:.0f} MB is free."
            )
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent, ignore_cleanup_errors=True) as temporary:
            made = Path(temporary) / folder.name
            made.mkdir()
            save_file(tensors, made / _WEIGHTS_FILE, metadata={"format": "pt"})
            for name, text in texts.items():
                (made / name).write_text(text, encoding="utf-8")
            made.rename(folder)
    except OSError as error:
        raise UserError(f"The model cannot be written to {folder.parent}: {error}") from error
