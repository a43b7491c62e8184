"""Runs Petals' own tests one by one, each in a process of its own, and prints a line for each. See README.md.

    python run_suite.py --peer PEER --venv VENV --root ROOT --tests PETALS/tests --model REPOSITORY [FILE::TEST ...]

The addresses of the servers are in INITIAL_PEERS. Petals' client freezes now and then: the garbage collector closes one
of its sessions on the very thread that the closing waits for. That says nothing of the servers, so a frozen test is
run again, and its line says how often.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FILES = (
    "test_full_model.py",
    "test_block_exact_match.py",
    "test_chained_calls.py",
    "test_remote_sequential.py",
    "test_server_stats.py",
    "test_speculative_generation.py",
    "test_sequence_manager.py",
    "test_dtype.py",
)
TIMEOUT_S = 100
MAX_FREEZES = 3


def run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> str | None:
    """What it printed; None when it froze."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=TIMEOUT_S)[0]
    except subprocess.TimeoutExpired:
        output = None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # tests leave DHT processes and daemons behind
    process.wait()
    return output


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="folder of petals_peer")
    parser.add_argument("--venv", required=True, help="environment made by its setup.sh")
    parser.add_argument("--root", required=True, help="root of its models")
    parser.add_argument("--tests", type=Path, required=True, help="folder of Petals' tests")
    parser.add_argument("--model", required=True, help="such as harness/bloom-calm")
    parser.add_argument("--log", type=Path, help="where the full output goes")
    parser.add_argument("names", nargs="*", help="tests as pytest names them (default: all that speak to servers)")
    options = parser.parse_args()
    environment = os.environ | {"MODEL_NAME": options.model, "REF_NAME": options.model, "PETALS_MAX_RETRIES": "10"}
    pytest = [sys.executable, str(Path(options.peer) / "run.py"), "--venv", options.venv, "--root", options.root]
    pytest += ["--", "-m", "pytest", "-p", "no:cacheprovider", "-rA"]
    names = options.names
    if not names:
        collected = run([*pytest, "--collect-only", "-q", *FILES], options.tests, environment) or ""
        names = re.findall(r"^(?:tests/)?(test_\S+::\S+)$", collected, flags=re.MULTILINE)
    failed = not names
    for name in names:
        freezes = 0
        while (output := run([*pytest, name], options.tests, environment)) is None and freezes < MAX_FREEZES:
            freezes += 1
        if options.log is not None:
            with options.log.open("a") as log:
                log.write(output or f"{name} froze\n")
        outcome = re.search(r"^=.* (\d+ (?:passed|failed|skipped|error))", output or "", flags=re.MULTILINE)
        failed |= outcome is None or outcome[1] not in ("1 passed", "1 skipped")
        again = f" (Petals' client froze {freezes} times before)" if freezes else ""
        print(f"{name} {outcome[1].removeprefix('1 ') if outcome else 'frozen'}{again}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
