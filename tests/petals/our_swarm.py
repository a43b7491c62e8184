"""Runs a command beside a swarm of our servers alone; it finds their addresses in INITIAL_PEERS.

    python our_swarm.py --ckpt FOLDER --prefix PREFIX --spans 0:5 3:8 0:2 --identity FILE -- COMMAND ARGUMENT...

The identity (a libp2p private key) is that of the first server. Ends with the command's exit code.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def our_swarm(
    folder: str | Path,
    prefix: str,
    spans: Sequence[str],
    *,
    initial_peers: Sequence[str] = (),
    identity: Path | None = None,
    log: Path | None = None,
) -> Iterator[list[str]]:
    """Servers of these spans, each a process of its own; gives the multiaddress of each.

    Args:
        initial_peers: of the swarm to join; none: the first server starts one.
        identity: private key of the first server.
        log: where the standard error of all goes.
    """
    peers, addresses = list(initial_peers), []
    with contextlib.ExitStack() as stack:
        work_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        errors = stack.enter_context(log.open("a")) if log is not None else None
        for number, span in enumerate(spans):
            data_dir = work_dir / str(number)
            data_dir.mkdir()
            if identity is not None and number == 0:
                shutil.copyfile(identity, data_dir / "identity.key")
                (data_dir / "identity.key").chmod(0o600)
            command = [sys.executable, "-m", "volunteer", "--no-gui", "--json-events"]
            command += ["--model", str(folder), "--dht-prefix", prefix, "--blocks", span]
            command += ["--host-maddrs", "/ip4/127.0.0.1/tcp/0", "--data-dir", str(data_dir)]
            command += ["--initial-peers", *peers] if peers else ["--new-swarm"]
            address = stack.enter_context(_running(command, errors))
            addresses.append(address)
            peers = peers or [address]
        yield addresses


@contextlib.contextmanager
def _running(command: Sequence[str], errors: object) -> Iterator[str]:
    """A server until the end of the `with`; gives its address once it serves."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        address = ""
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "listening":
                address = event["maddrs"][0]
            if event["event"] == "failed":
                raise RuntimeError(event["message"])
            if event["event"] == "ready":
                break
        else:
            raise RuntimeError(f"{' '.join(command)} ended with {process.wait()}")
        yield address
    finally:
        process.kill()  # no goodbye: each test has a swarm of its own
        process.wait()
        process.stdout.close()


def main() -> int:
    cut = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", required=True, help="checkpoint folder")
    parser.add_argument("--prefix", required=True, help="DHT prefix")
    parser.add_argument("--spans", nargs="+", required=True, metavar="START:END")
    parser.add_argument("--peers", nargs="*", default=[], help="multiaddresses of a swarm to join")
    parser.add_argument("--identity", type=Path, metavar="FILE")
    parser.add_argument("--log", type=Path, metavar="FILE")
    options = parser.parse_args(sys.argv[1:cut])
    command = sys.argv[cut + 1 :]
    if not command:
        parser.error("say after -- what to run")
    swarm = our_swarm(
        options.ckpt,
        options.prefix,
        options.spans,
        initial_peers=options.peers,
        identity=options.identity,
        log=options.log,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # stops the servers on the way
    with swarm as addresses:
        return subprocess.run(command, env=os.environ | {"INITIAL_PEERS": " ".join(addresses)}).returncode


if __name__ == "__main__":
    sys.exit(main())
