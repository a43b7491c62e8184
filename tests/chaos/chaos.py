"""A swarm to which everything happens, while clients chat: no answer may be wrong or lost.

    python tests/chaos/chaos.py --minutes 10 --clients 8

Real workers behind TCP relays. A seeded schedule kills and restarts them, freezes them, says SIGTERM, holds their
connections up and cuts them, and ends the node through which everybody joined. At times all servers of a span are away
at once: clients then say which blocks are missing and go on by themselves. Every answer is compared with that of
`transformers` in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers

sys.path.insert(0, str(Path(__file__).parent))
from failover import undisturbed
from servers import HERE, Server, ServerSet, Watcher, answer, folder_of, joined

from volunteer.bench.relay import RelayProcess, free_ports
from volunteer.bench.table import Table
from volunteer.client.model import SwarmForCausalLM
from volunteer.client.routing import NoRoute

PATIENCE_S = 600.0


@dataclass
class Outcome:
    """What the clients saw."""

    answers: int = 0
    wrong: int = 0
    lost: list[str] = field(default_factory=list)
    tokens: int = 0
    longest_gaps_s: list[float] = field(default_factory=list)
    """Of each answer, from one token to the next."""
    no_route: set[str] = field(default_factory=set)
    """What clients said while there was no route."""
    events: Counter[str] = field(default_factory=Counter)


class Chaos:
    """Does things to servers, as a seed has it. Leaves one server of each span in peace, but for `blackout`."""

    def __init__(self, swarm: ServerSet, relay: RelayProcess, ports: dict[Server, int], seed: int, outcome: Outcome):
        self._swarm = swarm
        self._relay = relay
        self._ports = ports
        self._chance = random.Random(seed)
        self._outcome = outcome
        self._troubled: set[Server] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def run(self, seconds: float, *, interval_s: float) -> None:
        ends = time.monotonic() + seconds
        while (left_s := ends - time.monotonic()) > 0:
            time.sleep(min(left_s, self._chance.uniform(0.5, 1.5) * interval_s))
            self._happen()
        for thread in self._threads:
            thread.join()

    def _happen(self) -> None:
        kind = self._chance.choice(["kill", "kill", "freeze", "terminate", "cut", "delay", "blackout"])
        if kind == "delay":
            self._outcome.events[kind] += 1
            self._relay.delay(self._chance.uniform(0.0, 0.03))
            return
        spans = sorted({server.span for server in self._swarm.servers})
        span = self._chance.choice(spans)
        with self._lock:
            servers = [server for server in self._swarm.servers if server.span == span]
            free = [server for server in servers if server not in self._troubled]
            if kind == "blackout":
                # Rarely, and never two spans at once: clients should get somewhere.
                if self._chance.random() < 0.5 or self._troubled - set(servers):
                    return
                chosen = free
            elif len(free) < 2:
                return
            else:
                chosen = [self._chance.choice(free)]
            self._troubled.update(chosen)
        self._outcome.events[kind] += 1
        for server in chosen:
            how = self._chance.choice(["kill", "freeze", "cut"]) if kind == "blackout" else kind
            long_s, with_daemon = self._chance.uniform(2.0, 10.0), self._chance.random() < 0.5
            thread = threading.Thread(target=self._trouble, args=(server, how, long_s, with_daemon))
            self._threads.append(thread)
            thread.start()

    def _trouble(self, server: Server, kind: str, seconds: float, with_daemon: bool) -> None:
        try:
            if kind == "freeze":
                server.freeze(with_daemon=with_daemon)
                time.sleep(seconds)
                server.thaw()
            elif kind == "cut":
                self._relay.cut(self._ports[server])
                time.sleep(seconds)
                self._relay.mend(self._ports[server])
            else:
                if kind == "terminate":
                    server.terminate()
                    server.wait_gone()
                else:
                    server.kill(with_daemon=with_daemon)
                time.sleep(seconds)
                server.start()
                server.ready()
            time.sleep(3.0)  # before it may be hit again, so that others can be while it is well
        finally:
            with self._lock:
                self._troubled.discard(server)


def chat(
    model: SwarmForCausalLM,
    prompts: list[list[int]],
    expected: list[tuple[int, ...]],
    chance: random.Random,
    stop: threading.Event,
    outcome: Outcome,
    lock: threading.Lock,
) -> None:
    """One client's answers, one after another."""
    while not stop.is_set():
        which = chance.randrange(len(prompts))
        watcher = Watcher()
        try:
            tokens, _ = answer(model, prompts[which], len(expected[which]), watcher)
        except Exception as error:  # whatever it is, an answer is lost
            with lock:
                outcome.lost.append(f"{type(error).__name__}: {error}")
            continue
        gaps_s = [after - before for before, after in zip(watcher.times_s, watcher.times_s[1:], strict=False)]
        with lock:
            outcome.answers += 1
            outcome.wrong += tokens != expected[which]
            outcome.tokens += len(tokens)
            outcome.longest_gaps_s.append(max(gaps_s))


def run(
    folder: Path,
    work_dir: Path,
    *,
    seconds: float,
    clients: int,
    context: int,
    new_tokens: int,
    seed: int,
    interval_s: float = 4.0,
    replicas: int = 2,
) -> Outcome:
    config = transformers.AutoConfig.from_pretrained(folder)
    chance = random.Random(seed)
    prompts = [[chance.randrange(5, config.vocab_size) for _ in range(context)] for _ in range(6)]
    expected = undisturbed(folder, prompts, new_tokens)
    middle = config.num_hidden_layers // 2
    spans = [(0, middle), (middle, config.num_hidden_layers)] * replicas
    outcome, lock, stop = Outcome(), threading.Lock(), threading.Event()

    def note(error: NoRoute | None) -> None:
        if error is not None:
            with lock:
                outcome.no_route.add(str(error))

    with RelayProcess() as relay, ServerSet(folder, work_dir) as swarm, contextlib.ExitStack() as stack:
        ports = {}
        for span, port in zip(spans, free_ports(len(spans)), strict=True):
            relayed = relay.open(port)
            listen = ("--host-maddrs", f"{HERE.rsplit('/', 1)[0]}/{port}")
            server = swarm.add(span, *listen, "--announce-maddrs", f"{HERE.rsplit('/', 1)[0]}/{relayed}")
            ports[server] = relayed
        # Two programs that chat; the threads of each share its place in the swarm.
        models = [stack.enter_context(joined(folder, swarm.maddrs())) for _ in range(min(2, clients))]
        for model in models:
            model.connection.servers.patience_s = PATIENCE_S
            model.connection.servers.on_no_route = note
        threads = [
            threading.Thread(
                target=chat,
                args=(models[number % len(models)], prompts, expected, random.Random(number), stop, outcome, lock),
            )
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        try:
            Chaos(swarm, relay, ports, seed, outcome).run(seconds, interval_s=interval_s)
        finally:
            relay.delay(0.0)
            stop.set()
            for thread in threads:
                thread.join(PATIENCE_S)
        outcome.lost += ["still waiting when all servers were back" for thread in threads if thread.is_alive()]
    return outcome


def report(title: str, outcome: Outcome) -> str:
    gaps = sorted(outcome.longest_gaps_s) or [0.0]
    columns = ["answers", "wrong", "lost", "tokens", "longest gap, half s", "90 % s", "most s"]
    row = [
        *map(str, (outcome.answers, outcome.wrong, len(outcome.lost), outcome.tokens)),
        *(f"{value:.2f}" for value in (statistics.median(gaps), gaps[int(0.9 * (len(gaps) - 1))], gaps[-1])),
    ]
    happened = ", ".join(f"{count} x {kind}" for kind, count in sorted(outcome.events.items()))
    notes = [f"What happened: {happened}.", *(f"Clients said: {text}" for text in sorted(outcome.no_route))]
    return str(Table(title, columns, [row], notes + [f"Lost: {text}" for text in outcome.lost[:10]]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="smollm2, or a folder")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--context", type=int, default=64, help="tokens of the prompt")
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--interval", type=float, default=4.0, help="seconds from one event to the next, in the mean")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        folder = folder_of(options.model, Path(work))
        outcome = run(
            folder,
            Path(work),
            seconds=60 * options.minutes,
            clients=options.clients,
            context=options.context,
            new_tokens=options.new_tokens,
            seed=options.seed,
            interval_s=options.interval,
        )
    title = f"{options.model}: {options.clients} clients, {options.minutes:g} minutes, seed {options.seed}"
    print(report(title, outcome))
    return 1 if outcome.wrong or outcome.lost else 0


if __name__ == "__main__":
    sys.exit(main())
