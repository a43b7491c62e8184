"""A private swarm on loopback: real worker processes of this program, followed through their events and ended together.

Knows processes and the command line of a worker; neither torch nor hivemind is imported here.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from volunteer.errors import ConfigurationError, Unavailable

_START_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 15.0
_SETTINGS_PREFIX = "VOLUNTEER_"


@dataclass(frozen=True)
class Member:
    """One worker of the private swarm, as its own events told of it."""

    peer_id: str
    maddrs: tuple[str, ...]
    blocks: tuple[int, int]


class Worker:
    """A worker process, followed through its `--json-events`. Use as `with`.

    Args:
        arguments: for `volunteer --no-gui`.
        data_dir: of its own.
        threads: of torch; None for what the environment says, or else one.
    """

    def __init__(self, arguments: list[str], data_dir: Path, *, threads: int | None = None):
        self._arguments = arguments
        self._data_dir = data_dir
        self._threads = threads
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def __enter__(self) -> Worker:
        data = ["--data-dir", str(self._data_dir)]
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [*program_command(), "--no-gui", "--json-events", "--ends-with-input", *data, *self._arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            stdin=subprocess.PIPE,  # nothing is written: it ends with this process, also with one that is killed
            text=True,
            env=child_environment(self._threads),
            # Ctrl-C in the terminal is for the one who started the workers, who also ends them.
            start_new_session=True,
        )
        threading.Thread(target=self._read, name="worker events", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_running:
            self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout_s: float = _STOP_TIMEOUT_S) -> int:
        """The exit code, once the process has ended."""
        return self._process.wait(timeout_s)

    def wait_for(self, name: str, *, timeout_s: float = _START_TIMEOUT_S) -> dict[str, Any]:
        """The next event of that name; earlier ones are dropped.

        Raises:
            Unavailable: the worker failed, ended or took too long, with its own words.
        """
        while True:
            try:
                event = self._events.get(timeout=timeout_s)
            except queue.Empty:
                raise Unavailable(f"The worker did not get to {name!r} within {timeout_s:.0f} s.") from None
            if event is None:
                raise Unavailable(f"The worker ended before it was {name}.\n{self._last_words()}")
            if event["event"] == "failed":
                raise Unavailable(event["message"])
            if event["event"] == name:
                return event

    def _read(self) -> None:
        stdout: TextIO = self._process.stdout  # type: ignore[assignment]
        with contextlib.suppress(ValueError), stdout:
            for line in stdout:
                with contextlib.suppress(json.JSONDecodeError):
                    self._events.put(json.loads(line))
        self._events.put(None)

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read()[-2000:]


def program_command() -> list[str]:
    """This program, to be started again in another role: an installed build has no `python` to call."""
    if getattr(sys, "frozen", False):
        return [sys.executable]
    return [sys.executable, "-m", "volunteer"]


def child_environment(threads: int | None) -> dict[str, str]:
    """The environment without the user's own serving options, which are not meant for a private swarm.

    Args:
        threads: of torch; None for what the environment says, or else one.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS_PREFIX)}
    if threads is None:
        return {"OMP_NUM_THREADS": "1"} | kept
    return kept | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def even_spans(num_blocks: int, num_workers: int) -> list[tuple[int, int]]:
    """All blocks, cut into spans whose lengths differ by at most one.

    Raises:
        ConfigurationError: there are fewer blocks than workers.
    """
    if num_workers > num_blocks:
        raise ConfigurationError(f"A model of {num_blocks} blocks cannot be cut into {num_workers} spans.")
    borders = [number * num_blocks // num_workers for number in range(num_workers + 1)]
    return list(itertools.pairwise(borders))


@contextlib.contextmanager
def local_swarm(
    model: str,
    spans: list[tuple[int, int]],
    work_dir: Path,
    *,
    options: Sequence[str] = (),
    own_options: Sequence[Sequence[str]] = (),
    threads: int | None = None,
) -> Iterator[list[tuple[Worker, Member]]]:
    """Workers on loopback, one for each span, ready to serve; all are gone when the `with` ends.

    Args:
        model: a folder, or a name that each worker looks up for itself.
        work_dir: for the workers' data.
        options: of serving, the same for all.
        own_options: more of each worker, in the order of the spans.
        threads: of torch in each worker; None for what the environment says, or else one.
    """
    workers: list[Worker] = []
    listening: list[dict[str, Any]] = []
    members: list[tuple[Worker, Member]] = []
    with contextlib.ExitStack() as stack:
        for number, (start, end) in enumerate(spans):
            # The first starts the swarm; the others start side by side and join it.
            join = ["--initial-peers", *listening[0]["maddrs"]] if listening else ["--new-swarm"]
            where = ["--model", model, "--blocks", f"{start}:{end}", "--host-maddrs", "/ip4/127.0.0.1/tcp/0"]
            own = own_options[number] if own_options else ()
            worker = Worker([*where, *join, *options, *own], work_dir / f"worker-{number}", threads=threads)
            workers.append(stack.enter_context(worker))
            if not listening:
                listening.append(worker.wait_for("listening"))
        listening += [worker.wait_for("listening") for worker in workers[1:]]
        for worker, event in zip(workers, listening, strict=True):
            start, end = worker.wait_for("ready")["blocks"]
            members.append((worker, Member(event["peer_id"], tuple(event["maddrs"]), (start, end))))
        yield members
