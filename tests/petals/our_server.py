"""Our server for a swarm with real Petals peers, in the words of petals_peer's `interop.py`.

Prints what `volunteer --no-gui` prints, its multiaddress first. Arguments that are not known here go to it as they are.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ckpt", required=True, help="checkpoint folder")
    parser.add_argument("--prefix", required=True, help="DHT prefix")
    parser.add_argument("--span", required=True, help="START:END")
    parser.add_argument("--peers", nargs="*", default=[], help="multiaddresses; none: the first peer of a new swarm")
    parser.add_argument("--work-dir", help="where the fresh data folder is made")
    known, more = parser.parse_known_args()
    command = [sys.executable, "-m", "volunteer", "--no-gui"]
    command += ["--model", known.ckpt, "--dht-prefix", known.prefix, "--blocks", known.span]
    command += ["--host-maddrs", "/ip4/127.0.0.1/tcp/0"]
    command += ["--data-dir", tempfile.mkdtemp(prefix="server-", dir=known.work_dir)]
    command += ["--initial-peers", *known.peers] if known.peers else ["--new-swarm"]
    os.execv(command[0], command + more)  # noqa: S606 (no shell is wanted: signals are for the server itself)


if __name__ == "__main__":
    main()
