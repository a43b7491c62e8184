"""Real networks between real processes: a server behind NAT, and a client whose cable is pulled out.

    python tests/chaos/networks.py

Network namespaces on one bridge stand for computers on the internet, one more behind a router that translates
addresses. Needs root on Linux, with `ip` and `iptables`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PUBLIC = ("public1", "public2", "public3", "public4", "client")
SWITCH, ROUTER, HOME = "switch", "router", "home"
PREFIX = "volunteer-"
DARK_S = 20.0
QUESTION = "Once upon a time, in a village by the sea,"
STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:6.1f} {text}", flush=True)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def inside(name: str, *command: str) -> list[str]:
    """The command line that runs a program on one of the computers."""
    return ["ip", "netns", "exec", PREFIX + name, *command]


def connect(name: str, address: str, other: str, device: str) -> None:
    """A cable from `eth0` of one computer to a device of another."""
    ip("link", "add", "pv-near", "type", "veth", "peer", "name", "pv-far")
    ip("link", "set", "pv-near", "netns", PREFIX + name, "name", "eth0")
    ip("link", "set", "pv-far", "netns", PREFIX + other, "name", device)
    ip("-n", PREFIX + name, "addr", "add", f"{address}/24", "dev", "eth0")
    ip("-n", PREFIX + name, "link", "set", "eth0", "up")
    ip("-n", PREFIX + other, "link", "set", device, "up")


@contextlib.contextmanager
def networks() -> Iterator[None]:
    """Computers with addresses that count as public (11.0.0.0/24), and one at home behind a router."""
    names = (SWITCH, *PUBLIC, ROUTER, HOME)
    try:
        for name in names:
            ip("netns", "add", PREFIX + name)
            ip("-n", PREFIX + name, "link", "set", "lo", "up")
        ip("-n", PREFIX + SWITCH, "link", "add", "bridge0", "type", "bridge")
        ip("-n", PREFIX + SWITCH, "link", "set", "bridge0", "up")
        for number, name in enumerate((*PUBLIC, ROUTER), 1):
            connect(name, f"11.0.0.{number}", SWITCH, name)
            ip("-n", PREFIX + SWITCH, "link", "set", name, "master", "bridge0")
        connect(HOME, "192.168.7.2", ROUTER, "eth1")
        ip("-n", PREFIX + ROUTER, "addr", "add", "192.168.7.1/24", "dev", "eth1")
        ip("-n", PREFIX + HOME, "route", "add", "default", "via", "192.168.7.1")
        subprocess.run(inside(ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1"), check=True)
        translate = ("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE")
        subprocess.run(inside(ROUTER, *translate), check=True)
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", PREFIX + name], check=False)


class Server:
    """A worker on one of the computers."""

    def __init__(self, name: str, blocks: str, data_dir: Path, join: list[str]):
        self.name = name
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        serve = ("--no-gui", "--json-events", "--data-dir", str(data_dir / name), "--blocks", blocks, *join)
        self._process = subprocess.Popen(
            inside(name, sys.executable, "-m", "volunteer", *serve, "--host-maddrs", "/ip4/0.0.0.0/tcp/4001"),
            stdout=subprocess.PIPE,
            stderr=(data_dir / f"{name}.log").open("w"),
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            event = json.loads(line)
            if event["event"] in ("reachable", "ready", "failed"):
                say(f"{self.name}: {line.strip()}")
            self._events.put(event)

    def wait_for(self, name: str) -> dict[str, Any]:
        while True:
            event = self._events.get(timeout=120)
            if event["event"] == name:
                return event

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def chat(data_dir: Path, initial_peers: list[str]) -> subprocess.Popen[str]:
    question = (
        "chat",
        QUESTION,
        "--temperature",
        "0",
        "--max-new-tokens",
        "300",
        "--data-dir",
        str(data_dir / "client"),
    )
    return subprocess.Popen(
        inside("client", sys.executable, "-m", "volunteer", *question, "--initial-peers", *initial_peers),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        data_dir = Path(folder)
        stack.enter_context(networks())

        def start(name: str, blocks: str, *join: str) -> Server:
            server = Server(name, blocks, data_dir, list(join))
            stack.callback(server.stop)
            return server

        first = start("public1", "15:30", "--new-swarm")
        peers = [address for address in first.wait_for("listening")["maddrs"] if "/11.0.0." in address]
        first.wait_for("ready")
        for name in ("public2", "public3", "public4"):
            start(name, "25:30", "--initial-peers", *peers).wait_for("ready")
        behind = start(HOME, "0:15", "--initial-peers", *peers)
        behind.wait_for("ready")  # the only server of blocks 0-14

        undisturbed, words = chat(data_dir, peers).communicate()
        say(f"undisturbed: {words.strip().splitlines()[-1]}")
        running = chat(data_dir, peers)
        assert running.stdout is not None
        text = running.stdout.read(200)
        cable = ("-n", PREFIX + SWITCH, "link", "set", "client")
        ip(*cable, "down")
        say(f"the client's cable is out, after {len(text)} characters")
        time.sleep(DARK_S)
        ip(*cable, "up")
        say("the cable is in again")
        rest, words = running.communicate()
        say(f"disturbed: {words.strip().splitlines()[-1]}")
        is_equal = text + rest == undisturbed
        say(f"The answers of {len(undisturbed)} characters are {'equal' if is_equal else 'NOT equal'}.")
        return 0 if is_equal and running.returncode == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
