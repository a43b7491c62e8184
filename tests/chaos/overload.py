"""A real worker with twice the chats that it can take: who waits for how long, and what a crowd of identities gets.

    python tests/chaos/overload.py --seconds 30

The worker and its clients are processes on computers of their own (network namespaces), each client's in a network of
its own, because guests share by network. Needs root on Linux, with `ip`.
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
    "friend": "11.0.5.1",
}
HIDDEN, BLOCKS = 512, 8
GUESTS = 32
"""Twice the rows of a tick."""


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
            ip("-n", PREFIX + name, "route", "add", "11.0.0.0/16", "dev", "eth0")
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", PREFIX + name], check=False)


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
        async with SwarmNode(options) as node:
            table = ServerTable(node, opened.dht_prefix, opened.family.num_blocks, patience_s=600.0)
            waits: list[float] = []
            until = time.monotonic() + arguments.seconds

            async def chat(account: Account) -> int:
                tokens = 0
                while time.monotonic() < until:
                    purse = Purse(account, opened.family.block_flops)
                    session = Session(table, max_length=256, purse=purse, peers=arguments.only)
                    try:
                        for new in (arguments.prompt, *(200 * [1])):
                            started = time.monotonic()
                            await session.step(torch.randn(1, new, HIDDEN))
                            if started > until or time.monotonic() > until:
                                break
                            tokens += new
                            if new == 1:
                                waits.append(time.monotonic() - started)
                                await asyncio.sleep(arguments.think)
                    finally:
                        await session.close()
                return tokens

            tokens = sum(await asyncio.gather(*(chat(account) for account in accounts)))
            await table.close()
    waits.sort()

    def at(share: float) -> float:
        return round(1e3 * waits[int(share * (len(waits) - 1))], 1) if waits else 0.0

    return {"tokens": tokens, "p50_ms": at(0.5), "p95_ms": at(0.95), "max_ms": at(1.0)}


def start_client(name: str, model: Path, data_dir: Path, peers: list[str], *options: str) -> subprocess.Popen[str]:
    command = (sys.executable, __file__, "--client", "--model", str(model), "--data-dir", str(data_dir / name))
    return subprocess.Popen(
        inside(name, *command, "--peers", *peers, *options),
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def result(client: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = client.communicate()
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found


def main(arguments: argparse.Namespace) -> int:
    seconds = ("--seconds", str(arguments.seconds))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        data_dir = Path(folder)
        model = save_model(data_dir / "random-bloom")
        stack.enter_context(networks())

        def start(name: str, *join: str) -> list[str]:
            server = Server(name, f"0:{BLOCKS}", data_dir, ["--model", str(model), "--kv-tokens", "40960", *join])
            stack.callback(server.stop)
            peers = [address for address in server.wait_for("listening")["maddrs"] if "/11.0." in address]
            server.wait_for("ready")
            return peers

        peers = start("public1", "--new-swarm")
        start("public2", "--initial-peers", *peers)
        first = peers[0].rsplit("/", 1)[-1]
        second = next(
            peer_id
            for peer_id in _servers(start_client("friend", model, data_dir, peers, "--list"))
            if peer_id != first
        )

        def client(name: str, *options: str, only: str = first) -> subprocess.Popen[str]:
            return start_client(name, model, data_dir, peers, *seconds, "--only", only, *options)

        # The owner of the first worker has the second one work for it: the first then owes the second.
        owed = result(
            client("friend", "--wallet", str(data_dir / "public1"), "--prompt", "128", "--think", "0", only=second)
        )
        say(f"the second worker did {owed['tokens']} tokens for the first one's owner")
        is_good = True
        for think in ("0.002", "0.05"):
            guests = client("guests", "--accounts", str(GUESTS))
            friend = result(client("friend", "--wallet", str(data_dir / "public2"), "--think", think, "--prompt", "8"))
            waited = result(guests)
            ratio = friend["p95_ms"] / waited["p95_ms"]
            say(f"contributor, {think} s between tokens: {friend}; {GUESTS} guests: {waited}; p95 ratio {ratio:.3f}")
            is_good = is_good and ratio <= 0.25 and waited["max_ms"] < 60_000
        shares = {}
        for accounts in (1, 100):
            guests = client("guests", "--accounts", "1", "--think", "0")
            crowd = result(client("crowd", "--accounts", str(accounts), "--think", "0"))
            shares[accounts] = crowd["tokens"]
            say(f"{accounts} identities of one network: {crowd}; one guest of another: {result(guests)}")
        ratio = shares[100] / shares[1]
        say(f"100 identities get {ratio:.3f} of what one gets")
        return 0 if is_good and ratio <= 1.1 else 1


def _servers(client: subprocess.Popen[str]) -> list[str]:
    output, _ = client.communicate()
    found: list[str] = json.loads(output.strip().splitlines()[-1])
    return found


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
    for hidden in ("--client", "--list"):
        parser.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--data-dir", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--wallet", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peers", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", default=(), help=argparse.SUPPRESS)
    parser.add_argument("--accounts", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--prompt", type=int, default=16, help=argparse.SUPPRESS)
    parser.add_argument("--think", type=float, default=0.002, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        print(json.dumps(asyncio.run(list_servers(given) if given.list else talk(given))), flush=True)
        raise SystemExit(0)
    raise SystemExit(main(given))
