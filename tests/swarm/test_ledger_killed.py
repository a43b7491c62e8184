"""Two ledgers in a real process that is killed, again and again, while it claims, countersigns and settles."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from volunteer.points.identity import load_identity
from volunteer.points.ledger import Ledger
from volunteer.points.ledger_file import read_ledger_file

KILLS = int(os.environ.get("VOLUNTEER_TEST_KILLS", "30"))

# Imports once, then forks for every line it is given: each child is a process of its own.
WRITER = r"""
import hashlib, os, secrets, sys
from pathlib import Path
from volunteer.points.identity import load_identity
from volunteer.points.ledger import Ledger
from volunteer.points.receipts import Work

def say(word, half):
    os.write(1, f"{word} {hashlib.sha256(half.body).hexdigest()}\n".encode())

def write(folder):
    server_id, client_id = load_identity(folder / "server.key"), load_identity(folder / "client.key")
    with Ledger(folder / "server.sqlite", server_id) as server, Ledger(folder / "client.sqlite", client_id) as client:
        while True:
            nonce = secrets.token_bytes(16)
            for counter in range(1, 9):
                work = Work(
                    server=server_id.peer_id, client=client_id.peer_id, model="m", revision="", start=0, end=4,
                    number_format="float32", nonce=nonce, counter=counter, tokens=256 * counter, units=999 * counter,
                    charged=999 * counter, price_milli=1000, digest=hashlib.sha256(nonce).digest(),
                )
                claim = server.claim(work)
                say("claimed", claim)
                half = client.countersign(claim, work)
                say("countersigned", half)
                receipt = server.settle(half)
                say("settled", receipt.countersignature)

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        write(Path(sys.argv[1]))
    print("child", pid, flush=True)
    os.waitpid(pid, 0)
    print("dead", flush=True)
"""


def halves(path: Path) -> set[str]:
    with read_ledger_file(path) as connection:
        return {hashlib.sha256(row[0]).hexdigest() for row in connection.execute("SELECT body FROM half")}


def test_kill_9_loses_nothing_that_was_handed_out(tmp_path: Path) -> None:
    server, client = tmp_path / "server.sqlite", tmp_path / "client.sqlite"
    identities = {path: load_identity(path.with_suffix(".key")) for path in (server, client)}
    chance = random.Random(6)
    said: dict[str, set[str]] = {"claimed": set(), "countersigned": set(), "settled": set()}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        for kill in range(KILLS):
            writer.stdin.write("go\n")
            writer.stdin.flush()
            pid = None
            left = chance.randrange(1, 60)
            for line in writer.stdout:
                word, value = (*line.split(), "")[:2]
                if word == "dead":
                    break
                if word == "child":
                    pid = int(value)
                else:
                    said[word].add(value)
                left -= 1
                if left <= 0 and pid is not None:
                    time.sleep(chance.random() * 0.01)  # any point of a commit, not only what follows a line
                    os.kill(pid, signal.SIGKILL)
                    pid = None
            kept = halves(server), halves(client)
            assert said["claimed"] | said["settled"] <= kept[0]
            assert said["countersigned"] <= kept[1]
            if kill % 10 == 9 or kill == KILLS - 1:
                for path, identity in identities.items():
                    with Ledger(path, identity) as ledger:
                        assert ledger.verify() == []
        writer.stdin.close()
    with Ledger(server, identities[server]) as ours, Ledger(client, identities[client]) as theirs:
        given = ours.balance(identities[client].peer_id).given
        received = theirs.balance(identities[server].peer_id).received
    # A chunk is under way at each kill at most: signed by the client, and not come to the server.
    assert 0 <= received - given <= KILLS * 999
    assert len(said["settled"]) >= 5 * KILLS
