"""Practice mode: a private swarm of two worker processes on loopback, one question answered, everything cleaned up."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TextIO

from volunteer.client.account import Account
from volunteer.client.chat import Answer, Chat, Sampling, load_tokenizer
from volunteer.client.model import SwarmForCausalLM
from volunteer.errors import ExitCode
from volunteer.local_swarm import Member, even_spans, local_swarm
from volunteer.models.embedded import EMBEDDED_MODEL
from volunteer.points.wallet import Wallet
from volunteer.settings import default_data_dir
from volunteer.swarm_model import SwarmModel, open_swarm_model

QUESTION = "What is the capital of France?"
_NUM_WORKERS = 2


def run_demo(question: str, *, out: TextIO) -> int:
    """Answers `question` through two workers of this machine; returns the exit code."""
    print(f"Preparing {EMBEDDED_MODEL}, the model inside this program ...", file=out, flush=True)
    model = open_swarm_model(EMBEDDED_MODEL, models_dir=default_data_dir() / "models")
    spans = even_spans(model.family.num_blocks, _NUM_WORKERS)
    print(f"Starting a private swarm of {_NUM_WORKERS} workers on this machine ...", file=out, flush=True)
    with tempfile.TemporaryDirectory(prefix="volunteer-demo-") as work_dir:
        with local_swarm(str(model.checkpoint.folder), spans, Path(work_dir)) as members:
            for worker, member in members:
                print(
                    f"  worker {worker.pid} serves blocks {member.blocks[0]}-{member.blocks[1] - 1} "
                    f"as {member.peer_id[-6:]}",
                    file=out,
                )
            answer = _ask(model, members[0][1].maddrs, question, out, Path(work_dir) / "you")
            served = []
            for worker, _ in members:
                worker.__exit__()
                served.append(worker.wait_for("stopped")["served_tokens"])
        _report(answer, [member for _, member in members], served, out)
    return ExitCode.OK


def _ask(opened: SwarmModel, initial_peers: tuple[str, ...], question: str, out: TextIO, data_dir: Path) -> Answer:
    with (
        Wallet(data_dir) as wallet,
        SwarmForCausalLM.join(
            opened, initial_peers=initial_peers, account=Account(wallet.open().identity, wallet.open().ledger)
        ) as model,
    ):
        chat = Chat(model, load_tokenizer(opened.checkpoint.folder))
        prompt_ids = chat.prompt([{"role": "user", "content": question}])
        print(f"\n  You:   {question}\n  Model: ", end="", file=out, flush=True)
        return chat.answer(
            prompt_ids,
            Sampling(temperature=0, max_new_tokens=64),
            on_text=lambda text: print(text, end="", file=out, flush=True),
        )


def _report(answer: Answer, members: list[Member], served: list[int], out: TextIO) -> None:
    hops = " -> ".join(f"{hop.peer_id[-6:]} {hop.start}-{hop.end - 1}" for hop in answer.route)
    print(
        f"\n\n  {answer.tokens_per_s:.1f} tokens/s, first token after {answer.first_token_s:.2f} s"
        f"\n  route: you -> {hops}"
        f"\n  {answer.spent_points:.2g} points from you to the workers, signed by both sides",
        file=out,
    )
    for member, tokens in zip(members, served, strict=True):
        print(
            f"  worker {member.peer_id[-6:]} (blocks {member.blocks[0]}-{member.blocks[1] - 1}) served {tokens} tokens",
            file=out,
        )
    print("\nThe workers have stopped. Answers of a model this small are often wrong.", file=out)
