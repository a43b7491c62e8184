"""Drafted tokens change how often the swarm is asked, and no token of a greedy answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from volunteer.client.chat import Answer, Chat, Sampling, load_tokenizer
from volunteer.client.model import SwarmForCausalLM
from volunteer.client.speculation import DraftModel, PromptLookup, Speculation, load_draft
from volunteer.swarm_model import open_swarm_model

LETTER = "Dear Sir, the seven green boats of Captain Alder left the harbour of Brisk at dawn and did not return. "
COPY = [{"role": "user", "content": f"Repeat this text word for word, twice:\n\n{LETTER}"}]
QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]


@pytest.fixture(scope="module")
def smollm2_client(smollm2: Path, start_swarm: Callable[..., Any]) -> Iterator[SwarmForCausalLM]:
    """SmolLM2 through 2 servers."""
    swarm = start_swarm(smollm2, "0:15", "15:30")
    with swarm.client() as client:
        yield client
    for server in tuple(swarm.servers):
        swarm.stop(server)


@pytest.fixture(scope="module")
def smollm2_draft(smollm2: Path) -> DraftModel:
    opened = open_swarm_model(str(smollm2), models_dir=smollm2.parent)
    return load_draft(opened, opened)


def answer(
    client: SwarmForCausalLM,
    folder: Path,
    speculation: Speculation | None,
    messages: list[dict[str, str]] = COPY,
    **options: Any,
) -> Answer:
    chat = Chat(client, load_tokenizer(folder), speculation)
    return chat.answer(chat.prompt(messages), Sampling(**({"temperature": 0, "max_new_tokens": 48} | options)))


@pytest.mark.parametrize("messages", [COPY, QUESTION], ids=["copy", "question"])
def test_lookup_gives_the_same_greedy_answer(
    smollm2_client: SwarmForCausalLM, smollm2: Path, messages: list[dict[str, str]]
) -> None:
    plain = answer(smollm2_client, smollm2, None, messages)
    drafted = answer(smollm2_client, smollm2, PromptLookup(), messages)
    assert drafted.token_ids == plain.token_ids and drafted.text == plain.text
    assert plain.passes == len(plain.token_ids)
    assert drafted.passes <= plain.passes
    if messages is COPY:
        assert drafted.passes < plain.passes / 2


def test_a_model_that_drafts_for_itself_is_mostly_right(
    smollm2_client: SwarmForCausalLM, smollm2: Path, smollm2_draft: DraftModel
) -> None:
    plain = answer(smollm2_client, smollm2, None, QUESTION)
    drafted = answer(smollm2_client, smollm2, smollm2_draft, QUESTION)
    assert drafted.token_ids == plain.token_ids and drafted.text == plain.text
    assert drafted.passes < plain.passes / 2


@pytest.mark.parametrize("full", [0, 1])
def test_a_full_server_gets_no_drafts(
    smollm2_client: SwarmForCausalLM, smollm2: Path, monkeypatch: pytest.MonkeyPatch, full: int
) -> None:
    table = smollm2_client.connection.servers
    smollm2_client.connection.run(table.refresh())
    by_start = sorted(table.servers, key=lambda peer_id: table.servers[peer_id].start)
    for peer_id, free_rows in ((by_start[full], 0), (by_start[1 - full], 16)):
        server = table.servers[peer_id]
        record = server.record.model_copy(update={"free_rows": free_rows})
        monkeypatch.setitem(table.servers, peer_id, dataclasses.replace(server, record=record))
    busy = answer(smollm2_client, smollm2, PromptLookup())
    assert busy.passes == len(busy.token_ids)
    monkeypatch.undo()
    assert answer(smollm2_client, smollm2, PromptLookup()).passes < busy.passes


def test_answers_with_drafts_can_be_sampled(smollm2_client: SwarmForCausalLM, smollm2: Path) -> None:
    options = {"temperature": 0.7, "seed": 3}
    answers = [answer(smollm2_client, smollm2, PromptLookup(), **options) for _ in range(2)]
    assert answers[0].token_ids == answers[1].token_ids
    assert len(answers[0].token_ids) > 4


def test_where_positions_end_nothing_is_drafted_beyond(
    smollm2_client: SwarmForCausalLM, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt_tokens = answer(smollm2_client, smollm2, None, max_new_tokens=1).prompt_tokens
    monkeypatch.setattr(smollm2_client.config, "max_position_embeddings", prompt_tokens + 48)
    drafted = answer(smollm2_client, smollm2, PromptLookup())
    assert drafted.passes == len(drafted.token_ids)


@pytest.fixture(scope="module")
def blooms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random BLOOM of 6 blocks, and a smaller one made of the first 4 of them, so that they agree now and then."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 64, "n_head": 4, "vocab_size": 200, "pad_token_id": 3, "eos_token_id": None}
    large, small = (
        transformers.AutoModelForCausalLM.from_config(transformers.BloomConfig(n_layer=layers, **sizes))
        for layers in (6, 4)
    )
    with torch.no_grad():
        for name, parameter in large.named_parameters():
            if parameter.ndim == 2 and "embeddings" not in name:
                parameter.normal_(0.0, 0.5)
    small.load_state_dict({name: large.state_dict()[name] for name in small.state_dict()})
    folder = tmp_path_factory.mktemp("blooms")
    large.save_pretrained(folder / "large")
    small.save_pretrained(folder / "small")
    return folder / "large", folder / "small"


def test_a_smaller_bloom_drafts_for_a_larger_one(
    blooms: tuple[Path, Path], start_swarm: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = (open_swarm_model(str(folder), models_dir=tmp_path) for folder in blooms)
    swarm = start_swarm(blooms[0], "0:2", "2:6")
    local = transformers.AutoModelForCausalLM.from_pretrained(blooms[0], dtype=torch.float32).eval()
    passes = 0
    with swarm.client() as client, torch.inference_mode():
        forward = client.forward

        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal passes
            passes += 1
            return forward(*arguments, **options)

        monkeypatch.setattr(client, "forward", counted)
        draft, itself = load_draft(small, large), load_draft(large, large)
        prompts = torch.randint(4, 200, (6, 1, 9), generator=torch.Generator().manual_seed(1))
        counts = []
        for speculation in (None, draft, itself, PromptLookup()):
            passes = 0
            for prompt in prompts:
                options = {"attention_mask": torch.ones_like(prompt), "max_new_tokens": 24, "do_sample": False}
                drafting = speculation.arguments() if speculation is not None else {}
                expected = local.generate(prompt, **options).tolist()
                assert client.generate(prompt, **options, **drafting).tolist() == expected
            counts.append(passes)
    for server in tuple(swarm.servers):
        swarm.stop(server)
    plain, with_draft, with_itself, _ = counts
    assert plain == 6 * 24
    assert with_itself < with_draft < plain  # of the smaller model's drafts some were right and some were not
