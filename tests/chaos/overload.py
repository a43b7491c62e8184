"""A real worker with twice the chats that it can take: who waits for how long, and what a crowd of identities gets.

    python tests/chaos/overload.py --seconds 30
    python tests/chaos/overload.py --seconds 60 --crowd

The worker and its clients are processes on computers of their own (network namespaces), each client's in a network of
its own, because guests share by network. The guests' computer stands for many networks: a router translates each of its
connections to another address. Needs root on Linux, with `ip` and `iptables`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from networks import PREFIX, SWITCH, Server, connect, inside, ip, say

COMPUTERS = {
    "public1": "11.0.1.1",
    "public2": "11.0.2.1",
    "guests": "11.0.3.1",
    "crowd": "11.0.4.1",
    "single": "11.0.5.1",
    "friend": "11.0.6.1",
}

HIDDEN, BLOCKS = 512, 8
GUESTS = 40
"""More than twice the rows of a tick, while one contributor waits."""
NETWORKS, CROWDED_GUESTS = 48, 192
"""Their chats fill every tick though each is slow to send its next token: a crowd gets no row that nobody wants."""


@contextlib.contextmanager
def networks() -> Iterator[None]:
    names = (SWITCH, *COMPUTERS)
    try:
        for name in names:
            ip("netns", "add", PREFIX + name)
            ip("-n", PREFIX + name, "link", "set", "lo", "up")
        ip("-n", PREFIX + SWITCH, "link", "add", "bridge0", "type", "bridge")
        ip("-n", PREFIX + SWITCH, "link", "set", "bridge0", "up")
        for name, address in COMPUTERS.items():
            connect(name, address, SWITCH, name)
            ip("-n", PREFIX + SWITCH, "link", "set", name, "master", "bridge0")
            ip("-n", PREFIX + name, "route", "add", "11.0.0.0/15", "dev", "eth0")
        for number in range(NETWORKS):
            _translate_one_in(NETWORKS - number, f"11.1.{number}.1")
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", PREFIX + name], check=False)


def _translate_one_in(count: int, address: str) -> None:
    """Of the guests' connections to the worker that are not translated yet, one in so many comes from this address."""
    ip("-n", PREFIX + "guests", "addr", "add", f"{address}/24", "dev", "eth0")
    chosen = ("-m", "statistic", "--mode", "nth", "--every", str(count), "--packet", "0")
    rule = ("-A", "POSTROUTING", "-d", COMPUTERS["public1"], "-p", "tcp", *chosen, "-j", "SNAT", "--to-source", address)
    subprocess.run(inside("guests", "iptables", "-t", "nat", *rule), check=True)


def save_model(folder: Path) -> Path:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.BloomConfig(hidden_size=HIDDEN, n_layer=BLOCKS, n_head=8, vocab_size=512)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


async def talk(arguments: argparse.Namespace) -> dict[str, Any]:
    """As so many accounts, one chat each, until the time is over; how long each token took, and how many there were."""
    import torch

    from volunteer.client.account import Account, Purse
    from volunteer.client.servers import ServerTable
    from volunteer.client.session import Session
    from volunteer.points.identity import new_identity
    from volunteer.points.ledger import Ledger
    from volunteer.points.wallet import Wallet
    from volunteer.swarm.node import NodeOptions, SwarmNode
    from volunteer.swarm_model import open_swarm_model

    opened = open_swarm_model(str(arguments.model), models_dir=arguments.data_dir / "models")
    with contextlib.ExitStack() as stack:
        if arguments.wallet is not None:
            holder = stack.enter_context(Wallet(arguments.wallet)).open()
            accounts = [Account(holder.identity, holder.ledger)]
        else:
            identities = [new_identity() for _ in range(arguments.accounts)]
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            ledgers = [
                stack.enter_context(Ledger(folder / f"{number}.sqlite", each)) for number, each in enumerate(identities)
            ]
            accounts = [Account(each, ledger) for each, ledger in zip(identities, ledgers, strict=True)]
        options = NodeOptions(initial_peers=tuple(arguments.peers), is_client=True, may_begin_alone=False)
        async with contextlib.AsyncExitStack() as nodes:
            tables: list[ServerTable] = []
            for _ in range(arguments.nodes):
                node = await nodes.enter_async_context(SwarmNode(options))
                table = ServerTable(node, opened.dht_prefix, opened.family.num_blocks, patience_s=600.0)
                nodes.push_async_callback(table.close)
                tables.append(table)
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            waits: list[float] = []
            until = time.monotonic() + arguments.seconds

            async def chat(account: Account, table: ServerTable) -> int:
                tokens = 0
                while time.monotonic() < until:
                    purse = Purse(account, opened.family.block_flops)
                    session = Session(table, max_length=512, purse=purse, peers=arguments.only)
                    try:
                        for new in (arguments.prompt, *(200 * [1])):
                            started = time.monotonic()
                            await session.step(torch.randn(1, new, HIDDEN))
                            waited_s = time.monotonic() - started
                            if new == 1:
                                waits.append(waited_s)
                            if time.monotonic() > until:
                                break
                            tokens += new
                            await asyncio.sleep(arguments.think)
                    finally:
                        await session.close()
                return tokens

            accounts *= arguments.chats
            chats = (chat(account, tables[number % len(tables)]) for number, account in enumerate(accounts))
            tokens = sum(await asyncio.gather(*chats))
    waits.sort()

    def at(share: float) -> float:
        return round(1e3 * waits[int(share * (len(waits) - 1))], 1) if waits else 0.0

    return {"tokens": tokens, "p50_ms": at(0.5), "p95_ms": at(0.95), "max_ms": at(1.0)}


class Client:
    """A process of chats on one of the computers; they begin when `begin` is called."""

    def __init__(self, name: str, model: Path, data_dir: Path, peers: list[str], *options: str):
        command = (sys.executable, __file__, "--client", "--model", str(model), "--data-dir", str(data_dir / name))
        self._process = subprocess.Popen(
            inside(name, *command, "--peers", *peers, *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def begin(self) -> Client:
        if self._process.stdout is not None and self._process.stdin is not None:
            self._process.stdout.readline()
            self._process.stdin.write("begin\n")
            self._process.stdin.flush()
        return self

    def result(self) -> Any:
        output, _ = self._process.communicate()
        return json.loads(output.strip().splitlines()[-1])


class Overload:
    """Two workers: the owner of the second one is owed work by the first, which is the one that is asked."""

    def __init__(self, stack: contextlib.ExitStack, data_dir: Path, seconds: float):
        self.data_dir = data_dir
        self._seconds = seconds
        self._model = save_model(data_dir / "random-bloom")
        self._stack = stack
        self._peers = self._start("public1", "--new-swarm")
        self._start("public2", "--initial-peers", *self._peers)
        self.first = self._peers[0].rsplit("/", 1)[-1]
        listed = Client("friend", self._model, data_dir, self._peers, "--list").result()
        self.second = next(peer_id for peer_id in listed if peer_id != self.first)

    def _start(self, name: str, *join: str) -> list[str]:
        server = Server(
            name, f"0:{BLOCKS}", self.data_dir, ["--model", str(self._model), "--kv-tokens", "65536", *join]
        )
        self._stack.callback(server.stop)
        peers = [address for address in server.wait_for("listening")["maddrs"] if "/11.0." in address]
        server.wait_for("ready")
        return peers

    def client(self, name: str, *options: str, only: str = "", seconds: float | None = None) -> Client:
        chosen = ("--only", only or self.first, "--seconds", str(seconds or self._seconds))
        return Client(name, self._model, self.data_dir, self._peers, *chosen, *options)


def measure_waits(overload: Overload) -> bool:
    """A contributor among more guests than the worker can take at once."""
    wallets = (str(overload.data_dir / "public1"), str(overload.data_dir / "public2"))
    owed = overload.client(
        "friend", "--wallet", wallets[0], "--prompt", "128", "--think", "0", only=overload.second
    ).begin()
    say(f"the second worker did {owed.result()['tokens']} tokens for the first one's owner")
    is_good = True
    for think in ("0.002", "0.05"):
        guests = overload.client("guests", "--accounts", str(GUESTS), "--nodes", "8").begin()
        friend = overload.client("friend", "--wallet", wallets[1], "--think", think, "--prompt", "8").begin()
        first, others = friend.result(), guests.result()
        ratio = first["p95_ms"] / others["p95_ms"]
        say(f"contributor, {think} s between tokens: {first}; {GUESTS} guests: {others}; p95 ratio {ratio:.3f}")
        is_good = is_good and ratio <= 0.25 and others["max_ms"] < 60_000
    return is_good


def measure_crowd(overload: Overload, seconds: float) -> bool:
    """What a hundred identities of one network and one identity of another get at the same time.

    Other networks leave nothing idle. A chat waits for each token before it sends the next, so a single chat cannot use
    a network's share: the one identity has as many chats as each of the other networks has.
    """
    chats = CROWDED_GUESTS // NETWORKS
    clients = {
        "crowd": overload.client("crowd", "--accounts", "100", "--think", "0"),
        "single": overload.client("single", "--chats", str(chats), "--think", "0"),
    }
    others = ("--accounts", str(CROWDED_GUESTS), "--nodes", str(NETWORKS), "--think", "0")
    guests = overload.client("guests", *others, seconds=seconds + 10).begin()
    time.sleep(5)
    begun = {name: client.begin() for name, client in clients.items()}
    got = {name: client.result() for name, client in begun.items()}
    waited = guests.result()
    share = waited["tokens"] / NETWORKS * seconds / (seconds + 10)
    say(f"{CROWDED_GUESTS} guests of {NETWORKS} networks: {waited}, {share:.0f} tokens a network")
    say(f"100 identities of one network: {got['crowd']}")
    say(f"1 identity of one network with {chats} chats: {got['single']}")
    ratio = got["crowd"]["tokens"] / got["single"]["tokens"]
    say(f"100 identities get {ratio:.3f} of what one gets")
    return ratio <= 1.1


def main(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stack.enter_context(networks())
        overload = Overload(stack, Path(folder), arguments.seconds)
        is_good = measure_crowd(overload, arguments.seconds) if arguments.crowd else measure_waits(overload)
        return 0 if is_good else 1


async def list_servers(arguments: argparse.Namespace) -> list[str]:
    from volunteer.swarm.node import NodeOptions, SwarmNode
    from volunteer.swarm_model import open_swarm_model

    opened = open_swarm_model(str(arguments.model), models_dir=arguments.data_dir / "models")
    options = NodeOptions(initial_peers=tuple(arguments.peers), is_client=True, may_begin_alone=False)
    async with SwarmNode(options) as node:
        return list(await node.servers(opened.dht_prefix, opened.family.num_blocks))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--crowd", action="store_true", help="measure what a crowd of identities gets")
    for hidden in ("--client", "--list"):
        parser.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--data-dir", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--wallet", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peers", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", default=(), help=argparse.SUPPRESS)
    parser.add_argument("--accounts", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--nodes", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--chats", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--prompt", type=int, default=16, help=argparse.SUPPRESS)
    parser.add_argument("--think", type=float, default=0.002, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        print(json.dumps(asyncio.run(list_servers(given) if given.list else talk(given))), flush=True)
        raise SystemExit(0)
    raise SystemExit(main(given))
