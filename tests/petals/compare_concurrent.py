"""The same chats at once through servers of real Petals and through ours, with one checkpoint, in turns.

    python compare_concurrent.py --chats 8 --servers 2 --rounds 4

Our client asks both, so that servers are compared and nothing else; Petals' own client asks Petals' servers too. One
torch thread in every process. Prints what `volunteer bench concurrent` prints, and with --json writes all numbers.
README.md in this folder says what it needs; the checkpoint is `bench` of petals_peer's `make_model.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from volunteer.bench.answers import Answer
from volunteer.bench.chats import Chats
from volunteer.bench.concurrent import prompts_of_all_lengths
from volunteer.bench.reference import ReferenceProcess
from volunteer.bench.report import Column, exactness_notes, exactness_values, round_table, round_values
from volunteer.bench.rounds import Round, run_rounds
from volunteer.bench.statistics import agreement
from volunteer.bench.swarms import format_options, in_words
from volunteer.client.model import SwarmForCausalLM
from volunteer.local_swarm import even_spans, local_swarm
from volunteer.swarm_model import open_swarm_model

HERE = Path(__file__).parent
THEIRS, THEIR_CLIENT, OURS = "theirs", "their client", "ours"
START_TIMEOUT_S = 300
ANSWER_TIMEOUT_S = 600


@contextlib.contextmanager
def petals_servers(
    peer: Path, swarm_options: list[str], model: str, spans: Sequence[tuple[int, int]]
) -> Iterator[list[str]]:
    """Real servers of these spans; gives their addresses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = [sys.executable, str(peer / "start_swarm.py")]
    blocks = ",".join(f"{start}:{end}" for start, end in spans)
    arguments = ["--model", model, "--spans", blocks, "--port", str(port), "--threads", "1"]
    try:
        started = subprocess.run(
            [*script, "up", *swarm_options, *arguments],
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            timeout=START_TIMEOUT_S,
        )
        yield [server["maddr"] for server in json.loads(started.stdout)]
    finally:
        subprocess.run([*script, "down", *swarm_options], check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def petals_client(peer: Path, swarm_options: list[str], model: str, peers: Sequence[str]) -> Iterator[Any]:
    """Petals' own client; gives a function from prompts, new tokens and whether at once to answers."""
    run = [sys.executable, str(peer / "run.py"), *swarm_options, "--threads", "1", "--"]
    process = subprocess.Popen(
        [*run, str(HERE / "their_chats.py"), "--model", model, "--peers", *peers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )

    def ask(prompts: Sequence[list[int]], new_tokens: int, at_once: bool) -> list[Answer]:
        request = {"prompts": prompts, "new_tokens": new_tokens, "at_once": at_once}
        print(json.dumps(request), file=process.stdin, flush=True)
        if not select.select([process.stdout], [], [], ANSWER_TIMEOUT_S)[0]:
            raise TimeoutError(f"Petals' client said nothing for {ANSWER_TIMEOUT_S} s")
        return [Answer(tuple(ids), tuple(times_s)) for ids, times_s in json.loads(process.stdout.readline())]

    try:
        yield ask
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with its DHT process and daemons, should it be frozen
        process.communicate()


def tokens_per_s(answers: Sequence[Answer], *, at_once: bool) -> float:
    times_s = [answer.last_token_s for answer in answers]
    return sum(len(answer.token_ids) for answer in answers) / (max(times_s) if at_once else sum(times_s))


def row_of(done: Round[Any]) -> dict[str, float]:
    row = {}
    for name in (THEIRS, THEIR_CLIENT, OURS):
        row[f"{name} one by one"] = tokens_per_s(done[f"{name} one by one"], at_once=False)
        row[f"{name} at once"] = tokens_per_s(done[f"{name} at once"], at_once=True)
        row[f"{name} gain"] = row[f"{name} at once"] / row[f"{name} one by one"]
    for name in (THEIRS, THEIR_CLIENT):
        row[f"ratio to {name}"] = row[f"{OURS} at once"] / row[f"{name} at once"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, default=os.environ.get("VOLUNTEER_PETALS_PEER"))
    parser.add_argument("--venv", default=os.environ.get("VOLUNTEER_PETALS_VENV"))
    parser.add_argument("--root", type=Path, default=os.environ.get("VOLUNTEER_PETALS_ROOT"))
    parser.add_argument("--model", default="bench", help="of petals_peer's make_model.py")
    parser.add_argument("--chats", type=int, default=8)
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--prompt-tokens", type=int, default=16)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not (options.peer and options.venv and options.root):
        parser.error("see README.md for --peer, --venv and --root")
    torch.set_num_threads(1)
    repository = f"harness/bloom-{options.model}"
    prefix = f"{repository}-petals"
    folder = next((options.root / "hub" / f"models--{repository.replace('/', '--')}" / "snapshots").iterdir())
    swarm_options = ["--venv", options.venv, "--root", str(options.root)]
    with contextlib.ExitStack() as stack:
        work_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # One for each client: a client changes its config.
        model, again = (open_swarm_model(str(folder), models_dir=work_dir, dht_prefix=prefix) for _ in range(2))
        spans = even_spans(model.family.num_blocks, options.servers)
        prompts = prompts_of_all_lengths(model.family.config.vocab_size, options.prompt_tokens, options.chats)
        their_peers = stack.enter_context(petals_servers(options.peer, swarm_options, options.model, spans))
        own_options = (*format_options("none"), "--dht-prefix", prefix)
        members = stack.enter_context(local_swarm(str(folder), spans, work_dir, options=own_options, threads=1))
        theirs = Chats(stack.enter_context(SwarmForCausalLM.join(model, initial_peers=their_peers)))
        ours = Chats(stack.enter_context(SwarmForCausalLM.join(again, initial_peers=members[0][1].maddrs)))
        ask = stack.enter_context(petals_client(options.peer, swarm_options, repository, their_peers))
        reference = stack.enter_context(ReferenceProcess(folder))
        local = [reference.greedy(prompt, options.new_tokens) for prompt in prompts]
        gaps = [reference.gaps(prompt, answer.token_ids) for prompt, answer in zip(prompts, local, strict=True)]

        def turns(name: str, chats: Chats) -> dict[str, Any]:
            return {
                f"{name} one by one": lambda _: [chats.answer(prompt, options.new_tokens) for prompt in prompts],
                f"{name} at once": lambda _: chats.answers(prompts, options.new_tokens),
            }

        def tell(done: Round[Any]) -> None:
            print(f"round {done.number}: {row_of(done)[f'ratio to {THEIRS}']:.2f}", file=sys.stderr, flush=True)

        rounds: list[Round[Any]] = run_rounds(
            {
                **turns(THEIRS, theirs),
                f"{THEIR_CLIENT} one by one": lambda _: ask(prompts, options.new_tokens, False),
                f"{THEIR_CLIENT} at once": lambda _: ask(prompts, options.new_tokens, True),
                **turns(OURS, ours),
            },
            rounds=options.rounds,
            on_round=tell,
        )
    agreements = {
        f"Round {done.number}, {name}, chat {number}": agreement(one.token_ids, other.token_ids, gaps[number])
        for done in rounds
        for name, answers in done.measured.items()
        for number, (one, other) in enumerate(zip(local, answers, strict=True))
    }
    rows, loads = [row_of(done) for done in rounds], [done.load for done in rounds]
    columns = [Column(key, key) for key in rows[0]]
    title = f"{options.chats} chats of {options.new_tokens} tokens through {in_words(spans)}, tokens/s"
    notes = [
        "theirs: our client, Petals' servers; their client: both of Petals; ours: both of ours.",
        "gain: at once over one by one; ratios: ours at once over the others at once.",
        *exactness_notes(agreements),
    ]
    print(round_table(title, columns, rows, loads, notes))
    if options.json:
        values = {**round_values(rows, loads), "exactness": exactness_values(agreements)}
        options.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
