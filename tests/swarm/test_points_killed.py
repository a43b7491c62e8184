"""A conversation of 2,000 tokens through two real workers, in which each worker and the client is killed once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from volunteer.local_swarm import Worker, child_environment
from volunteer.points.identity import load_identity
from volunteer.points.ledger import Ledger
from volunteer.points.ledger_file import LEDGER_FILE
from volunteer.points.wallet import IDENTITY_FILE
from volunteer.server.accounting import CHUNK_TOKENS

TOKENS = 2000
CONTEXT = 256
"""Tokens of the conversation that go along, so that a replay is short beside what is new."""
BLOCK_FLOPS = 2 * 12 * 64**2
SPANS = ("0:3", "3:6")

# Asks for 50 tokens at a time and keeps what it has, so that another process can go on.
CLIENT = r"""
import sys
from pathlib import Path
import torch
from volunteer.client.account import Account
from volunteer.client.model import SwarmForCausalLM
from volunteer.points.wallet import Wallet
from volunteer.swarm_model import open_swarm_model

torch.set_num_threads(1)
model_dir, data_dir, tokens, context = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
kept = data_dir / "tokens"
with Wallet(data_dir) as wallet:
    account = Account(wallet.open().identity, wallet.open().ledger)
    opened = open_swarm_model(str(model_dir), models_dir=data_dir / "models")
    with SwarmForCausalLM.join(opened, initial_peers=sys.argv[5:], account=account) as model:
        ids = [int(word) for word in kept.read_text().split()] if kept.exists() else [5]
        while len(ids) <= tokens:
            prompt = torch.tensor([ids[-context:]])
            out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=50, do_sample=False)
            ids += out[0, prompt.shape[1]:].tolist()
            beside = data_dir / "tokens.new"
            beside.write_text(" ".join(map(str, ids)))
            beside.replace(kept)
            print(len(ids) - 1, flush=True)
"""


def start_client(folder: Path, data_dir: Path, peers: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(folder), str(data_dir), str(TOKENS), str(CONTEXT), *peers],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(1),
    )


def read_until(client: subprocess.Popen[str], tokens: int) -> None:
    assert client.stdout is not None
    for line in client.stdout:
        if int(line) >= tokens:
            return
    raise AssertionError(f"the client ended before it had {tokens} tokens")


def reference(folder: Path) -> list[int]:
    local: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = [5]
    while len(ids) <= TOKENS:
        prompt = torch.tensor([ids[-CONTEXT:]])
        with torch.inference_mode():
            out = local.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=50, do_sample=False)
        ids += out[0, prompt.shape[1] :].tolist()
    return ids


@pytest.mark.long
def test_ledgers_agree_to_within_a_chunk_after_each_is_killed(random_bloom: Path, tmp_path: Path) -> None:
    client_dir = tmp_path / "client"
    client_dir.mkdir()
    where = ["--model", str(random_bloom), "--host-maddrs", "/ip4/127.0.0.1/tcp/0"]
    peers: list[list[str]] = [[], []]
    workers: list[Worker] = []

    def start(number: int) -> Worker:
        others = peers[1 - number]
        join = ["--initial-peers", *others] if others else ["--new-swarm"]
        worker = Worker([*where, *join, "--blocks", SPANS[number]], tmp_path / f"worker-{number}", threads=1)
        worker.__enter__()
        peers[number] = worker.wait_for("listening")["maddrs"]
        worker.wait_for("ready")
        return worker

    client = None
    try:
        workers += [start(0), start(1)]
        client = start_client(random_bloom, client_dir, peers[0] + peers[1])
        for number in (0, 1):
            read_until(client, 400 + 500 * number)
            workers[number]._process.kill()
            workers[number].__exit__()
            workers[number] = start(number)
        read_until(client, 1400)
        client.kill()
        client.communicate()
        client = start_client(random_bloom, client_dir, peers[0] + peers[1])
        read_until(client, TOKENS)
        client.communicate(timeout=30)
        assert client.returncode == 0
    finally:
        if client is not None:
            client.kill()
            client.communicate()
        for worker in workers:
            worker.__exit__()

    ids = [int(word) for word in (client_dir / "tokens").read_text().split()]
    assert ids == reference(random_bloom)
    chunk_units = CHUNK_TOKENS * 3 * BLOCK_FLOPS // 10**6
    with _ledger(client_dir) as own:
        assert own.verify() == []
        for number in (0, 1):
            with _ledger(tmp_path / f"worker-{number}") as theirs:
                assert theirs.verify() == []
                given = theirs.balance(load_identity(client_dir / IDENTITY_FILE).peer_id).given
                received = own.balance(load_identity(tmp_path / f"worker-{number}" / IDENTITY_FILE).peer_id).received
                print(f"worker {number}: given {given}, received {received}, a chunk is {chunk_units} units")
                # The client writes first, so it can only be ahead, by what was on its way when one was killed.
                assert 0 <= received - given <= chunk_units
                # Each of the 40 answers takes its prompt and its own tokens; what a kill leaves unsigned is missing.
                least, most = _computed_tokens()
                assert least - 3 * CHUNK_TOKENS <= received * 10**6 / (3 * BLOCK_FLOPS) + 41
                assert received * 10**6 / (3 * BLOCK_FLOPS) <= most


def _ledger(data_dir: Path) -> Ledger:
    return Ledger(data_dir / LEDGER_FILE, load_identity(data_dir / IDENTITY_FILE))


def _computed_tokens() -> tuple[int, int]:
    """Of all answers: without any repetition, and with three that were replayed whole."""
    prompts = [min(CONTEXT, 1 + 50 * number) for number in range(TOKENS // 50)]
    once = sum(prompt + 49 for prompt in prompts)
    return once, once + 3 * (CONTEXT + 49)
