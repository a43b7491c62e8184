"""What is measured is a whole checkpoint in a folder, wherever it came from."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from volunteer.bench.checkpoints import bloom_560m_shape, copy_whole, hop_shape, open_model, save_random
from volunteer.errors import UserError
from volunteer.models.families import read_family
from volunteer.models.store import open_checkpoint
from volunteer.swarm_model import SwarmModel

if TYPE_CHECKING:
    from hub_server import HubServer


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    save_random(hop_shape(64, 3), folder, std=0.02)
    return folder


def test_random_weights_are_the_same_each_time(tiny: Path, tmp_path: Path):
    save_random(hop_shape(64, 3), tmp_path / "again", std=0.02)
    first, second = ((folder / "model.safetensors").read_bytes() for folder in (tiny, tmp_path / "again"))
    assert first == second


def test_random_weights_fill_every_tensor_that_transformers_wants(tiny: Path):
    model, info = AutoModelForCausalLM.from_pretrained(tiny, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert read_family(tiny).num_blocks == 3


def test_the_default_model_has_the_blocks_of_bloom_560m():
    config = bloom_560m_shape()
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (1024, 24, 16)


def test_a_folder_is_measured_where_it_stands(tiny: Path, tmp_path: Path):
    model = open_model(str(tiny), None, tmp_path / "data", print)
    assert model.checkpoint.folder == tiny


def test_a_model_of_the_hub_becomes_a_whole_folder(tiny: Path, tmp_path: Path, hub: HubServer):
    hub.add_model("tests/tiny", tiny)
    checkpoint = open_checkpoint("tests/tiny", models_dir=tmp_path / "models", endpoint=hub.endpoint)
    copy_whole(SwarmModel(checkpoint, read_family(checkpoint.folder), "tiny"), tmp_path / "whole")
    copied = load_file(tmp_path / "whole" / "model.safetensors")
    original = load_file(tiny / "model.safetensors")
    assert copied.keys() == original.keys()
    assert all(torch.equal(copied[name], original[name]) for name in original)
    assert open_model(str(tmp_path / "whole"), None, tmp_path, print).family.num_blocks == 3


def test_a_full_disk_is_a_plain_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1000, 1000, 0))
    with pytest.raises(UserError, match="0 MB is free"):
        save_random(hop_shape(64, 1), tmp_path / "models" / "full", std=0.02)
    assert list((tmp_path / "models").iterdir()) == []
