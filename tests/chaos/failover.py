"""Kills and freezes a server of the route in the middle of answers, again and again, and prints how long each took.

    python tests/chaos/failover.py --model smollm2 --kills 100 --freezes 50

Two spans with a spare each, all real workers on loopback with a torch thread each. The moment, the server, and whether
its libp2p daemon goes with it are random, from --seed. Each answer must be that of `transformers` in one process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

sys.path.insert(0, str(Path(__file__).parent))
from servers import Server, ServerSet, Watcher, answer, folder_of, joined

from volunteer.bench.table import Table
from volunteer.client.model import SwarmForCausalLM

KILL, FREEZE = "kill", "freeze"
REFRESH_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Trial:
    """What one disturbance did to one answer."""

    kind: str
    is_equal: bool
    pause_s: float
    """The longest wait for a token after the disturbance, less an ordinary token."""
    with_daemon: bool
    hop: int


def undisturbed(folder: Path, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[tuple[int, ...]]:
    """Answers of `transformers` in this process."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    answers = []
    for prompt in prompts:
        ids = torch.tensor([list(prompt)])
        with torch.inference_mode():
            out = model.generate(ids, max_new_tokens=new_tokens, do_sample=False, pad_token_id=0, eos_token_id=None)
        answers.append(tuple(out[0, len(prompt) :].tolist()))
    return answers


def run_trial(
    model: SwarmForCausalLM,
    swarm: ServerSet,
    kind: str,
    prompt: Sequence[int],
    expected: tuple[int, ...],
    chance: random.Random,
) -> tuple[Trial, Server]:
    """Disturbs one answer; afterwards the server is still gone or frozen."""
    new_tokens = len(expected)
    number = chance.randint(2, new_tokens - 2)
    delay_s = chance.uniform(0.0, 0.05)
    hop, with_daemon = chance.randrange(2), chance.random() < 0.5
    victims: list[tuple[Server, float]] = []

    def strike(peer_id: str) -> None:
        victim = swarm.by_peer(peer_id)
        time.sleep(delay_s)  # anywhere in a token, not at its end
        struck_at = time.perf_counter()
        (victim.kill if kind == KILL else victim.freeze)(with_daemon=with_daemon)
        victims.append((victim, struck_at))

    strikers: list[threading.Thread] = []

    def on_token(count: int) -> None:
        if count == number:
            route = sessions[0].route
            strikers.append(threading.Thread(target=strike, args=(route[hop % len(route)].peer_id,)))
            strikers[0].start()

    sessions: list[Any] = []
    opened = model.session

    def remember(**options: Any) -> Any:
        sessions.append(opened(**options))
        return sessions[-1]

    model.session = remember  # type: ignore[method-assign]
    try:
        watcher = Watcher(on_token)
        tokens, _ = answer(model, prompt, new_tokens, watcher)
    finally:
        model.session = opened  # type: ignore[method-assign]
    strikers[0].join()
    (victim, struck_at), times_s = victims[0], watcher.times_s
    gaps_s = [after - before for before, after in itertools.pairwise(times_s)]
    usual_s = statistics.median(gaps_s)
    after_s = [gap for gap, at in zip(gaps_s, times_s[1:], strict=True) if at > struck_at]
    pause_s = max(0.0, max(after_s, default=usual_s) - usual_s)
    return Trial(kind, tokens == expected, pause_s, with_daemon, hop), victim


def restore(victim: Server, model: SwarmForCausalLM) -> None:
    """Brings a server back, and waits until the client knows it."""
    if victim.is_frozen:
        victim.thaw()
    else:
        victim.start()
        victim.ready()
    table_ = model.connection.servers
    deadline = time.monotonic() + REFRESH_TIMEOUT_S
    while time.monotonic() < deadline:
        model.connection.run(table_.refresh())
        info = table_.servers.get(victim.peer_id)
        if info is not None and info.is_online:
            break
        time.sleep(0.5)
    table_.record_success(victim.peer_id)  # forgiven, so that every trial begins with a spare


def run(
    folder: Path,
    work_dir: Path,
    *,
    kills: int,
    freezes: int,
    context: int,
    new_tokens: int,
    seed: int,
    say: Any = lambda text: None,
) -> list[Trial]:
    """All trials, kills and freezes in random order."""
    config = transformers.AutoConfig.from_pretrained(folder)
    chance = random.Random(seed)
    prompts = [[chance.randrange(5, config.vocab_size) for _ in range(context)] for _ in range(3)]
    expected = undisturbed(folder, prompts, new_tokens)
    middle = config.num_hidden_layers // 2
    spans = [(0, middle), (middle, config.num_hidden_layers)]
    kinds = [KILL] * kills + [FREEZE] * freezes
    chance.shuffle(kinds)
    trials: list[Trial] = []
    with ServerSet(folder, work_dir) as swarm:
        for span in (*spans, *spans):
            swarm.add(span)
        with joined(folder, swarm.maddrs()) as model:
            answer(model, prompts[0], new_tokens)
            for number, kind in enumerate(kinds):
                which = chance.randrange(len(prompts))
                trial, victim = run_trial(model, swarm, kind, prompts[which], expected[which], chance)
                trials.append(trial)
                say(
                    f"{number + 1}/{len(kinds)} {kind}: {'equal' if trial.is_equal else 'OTHER'}, {trial.pause_s:.2f} s"
                )
                restore(victim, model)
    return trials


def report(title: str, trials: Sequence[Trial]) -> str:
    rows = []
    for kind in (KILL, FREEZE):
        chosen = [trial for trial in trials if trial.kind == kind]
        if chosen:
            pauses = sorted(trial.pause_s for trial in chosen)
            at = [pauses[min(len(pauses) - 1, int(share * len(pauses)))] for share in (0.5, 0.9, 0.99)]
            equal = sum(trial.is_equal for trial in chosen)
            rows.append([kind, str(len(chosen)), str(equal), *(f"{value:.2f}" for value in (*at, pauses[-1]))])
    return str(Table(title, ["", "trials", "equal", "p50 s", "p90 s", "p99 s", "longest s"], rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="smollm2, or a folder")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--freezes", type=int, default=50)
    parser.add_argument("--context", type=int, default=512, help="tokens of the prompt")
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        folder = folder_of(options.model, Path(work))
        trials = run(
            folder,
            Path(work),
            kills=options.kills,
            freezes=options.freezes,
            context=options.context,
            new_tokens=options.new_tokens,
            seed=options.seed,
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
    print(report(f"{options.model}, {options.context} tokens of context, 2 servers and a spare of each", trials))
    if options.json:
        options.json.write_text(json.dumps([asdict(trial) for trial in trials], indent=1) + "\n", encoding="utf-8")
    return 0 if all(trial.is_equal for trial in trials) else 1


if __name__ == "__main__":
    sys.exit(main())
