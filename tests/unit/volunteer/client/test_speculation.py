"""When drafts pay, and which models may draft for which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models

from volunteer.client.speculation import load_draft, speculation_pays
from volunteer.errors import ConfigurationError
from volunteer.models.embedded import embedded_checkpoint_folder
from volunteer.swarm.records import ServerRecord, ServerState
from volunteer.swarm_model import SwarmModel, open_swarm_model


@pytest.mark.parametrize(
    ("free_rows", "pays"),
    [([], True), ([None, None], True), ([8, 1], True), ([None, 3], True), ([0], False), ([8, 0, None], False)],
)
def test_drafts_pay_while_every_server_of_the_route_has_room(free_rows: list[int | None], pays: bool) -> None:
    records = [ServerRecord(state=ServerState.ONLINE, throughput=1.0, free_rows=rows) for rows in free_rows]
    assert speculation_pays(records) is pays


@pytest.fixture
def bloom(tmp_path: Path) -> Callable[..., SwarmModel]:
    """`bloom(name, words=None, **config)`: a random BLOOM in a folder, with a tokenizer of these words if given."""

    def make(name: str, words: list[str] | None = None, **config: Any) -> SwarmModel:
        torch.manual_seed(len(name))
        sizes = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64} | config
        folder = tmp_path / name
        transformers.AutoModelForCausalLM.from_config(transformers.BloomConfig(**sizes)).save_pretrained(folder)
        if words is not None:
            vocabulary = {word: index for index, word in enumerate(words)}
            Tokenizer(models.WordLevel(vocabulary, unk_token=words[0])).save(str(folder / "tokenizer.json"))
        return open_swarm_model(str(folder), models_dir=tmp_path / "models")

    return make


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.arange(4, 14)[None]).logits


def test_a_draft_model_is_the_checkpoint_itself(bloom: Callable[..., SwarmModel]) -> None:
    draft = bloom("small", ["a", "b"])
    loaded = load_draft(draft, bloom("large", ["a", "b"], hidden_size=64)).model
    expected = transformers.AutoModelForCausalLM.from_pretrained(draft.checkpoint.folder, dtype=torch.float32)
    assert torch.equal(logits(loaded), logits(expected.eval()))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_the_embedded_model_can_draft(tmp_path: Path) -> None:
    folder = embedded_checkpoint_folder(tmp_path)
    opened = open_swarm_model(str(folder), models_dir=tmp_path)
    expected = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert torch.equal(logits(load_draft(opened, opened).model), logits(expected))


def test_a_vocabulary_of_another_size_is_refused(bloom: Callable[..., SwarmModel]) -> None:
    with pytest.raises(ConfigurationError, match=r"vocabularies differ \(64 tokens and 96\)"):
        load_draft(bloom("small"), bloom("large", vocab_size=96))


def test_another_vocabulary_of_the_same_size_is_refused(bloom: Callable[..., SwarmModel]) -> None:
    with pytest.raises(ConfigurationError, match="not the same"):
        load_draft(bloom("small", ["a", "b"]), bloom("large", ["a", "c"]))


def test_a_broken_tokenizer_is_the_users_to_mend(bloom: Callable[..., SwarmModel]) -> None:
    draft = bloom("small")
    (draft.checkpoint.folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        load_draft(draft, bloom("large", ["a"]))
