"""A swarm whose first peers are gone is found again through any server that was seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from volunteer.client.model import SwarmForCausalLM
from volunteer.errors import Unavailable
from volunteer.swarm_model import open_swarm_model


def test_clients_and_servers_come_back_when_all_bootstrap_nodes_are_gone(
    random_bloom: Path, start_swarm: Callable[..., Any], tmp_path: Path
) -> None:
    swarm = start_swarm(random_bloom, "0:6")
    bootstrap = swarm.servers[0]
    dead = bootstrap.maddrs
    swarm.start("0:3")
    returning = swarm.start("3:6", data_dir=tmp_path / "returning")
    model = open_swarm_model(str(random_bloom), models_dir=tmp_path)
    peers_file = tmp_path / "peers.json"
    prompt = torch.randint(5, 500, (1, 6))

    def answer(client: SwarmForCausalLM) -> list[int]:
        out = client.generate(prompt, max_new_tokens=5, do_sample=False, pad_token_id=3, eos_token_id=None)
        return out[0].tolist()

    with SwarmForCausalLM.join(model, initial_peers=dead, peers_file=peers_file) as client:
        expected = answer(client)
        swarm.stop(bootstrap)
        assert answer(client) == expected  # the chat goes on
    assert peers_file.is_file()

    swarm.stop(returning)
    again = swarm.start("3:6", data_dir=tmp_path / "returning", initial_peers=())
    assert again.peer_id == returning.peer_id
    for initial_peers in (dead, ()):
        with SwarmForCausalLM.join(model, initial_peers=initial_peers, peers_file=peers_file) as client:
            assert answer(client) == expected
    with pytest.raises(Unavailable):
        SwarmForCausalLM.join(model, initial_peers=dead)


def test_without_anybody_known_the_volunteer_is_told_what_to_do(
    random_bloom: Path, start_swarm: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "server" / "peers").mkdir(parents=True)  # of another swarm
    swarm = start_swarm(random_bloom)
    with pytest.raises(RuntimeError, match="Name one with --initial-peers"):
        swarm.start("0:6", data_dir=tmp_path / "server", new_swarm=False)
