"""Real workers that are killed, frozen and started again, and one client's answers with the time of each token."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from volunteer.client.model import SwarmCache, SwarmForCausalLM
from volunteer.local_swarm import Worker
from volunteer.models.embedded import embedded_checkpoint_folder

HERE = "/ip4/127.0.0.1/tcp/0"


@dataclass(eq=False)
class Server:
    """A worker process for a span, that comes back with the same identity when it was killed."""

    swarm: ServerSet
    name: str
    span: tuple[int, int]
    options: tuple[str, ...]
    worker: Worker | None = None
    peer_id: str = ""
    maddrs: tuple[str, ...] = ()
    is_frozen: bool = False

    def start(self) -> None:
        """Starts the process; `ready` waits until it serves."""
        join = self.swarm.join_options(self)
        blocks = ["--blocks", f"{self.span[0]}:{self.span[1]}"]
        arguments = ["--model", str(self.swarm.folder), *blocks, *self.options, *join]
        self.worker = Worker(arguments, self.swarm.work_dir / self.name, threads=1)
        self.worker.__enter__()
        self.is_frozen = False

    def ready(self) -> None:
        if self.worker is None:
            raise RuntimeError(f"{self.name} is not running")
        listening = self.worker.wait_for("listening")
        self.peer_id, self.maddrs = listening["peer_id"], tuple(listening["maddrs"])
        self.worker.wait_for("ready")

    def kill(self, *, with_daemon: bool) -> None:
        """kill -9: the worker alone, whose daemon finds that out by itself, or both as when a machine goes."""
        if self.worker is None:
            return
        self._signal(signal.SIGKILL, with_daemon)
        self.worker.wait()
        worker, self.worker = self.worker, None
        worker.__exit__(None, None, None)

    def freeze(self, *, with_daemon: bool) -> None:
        self._signal(signal.SIGSTOP, with_daemon)
        self.is_frozen = True

    def thaw(self) -> None:
        if self.is_frozen:
            self._signal(signal.SIGCONT, True)
            self.is_frozen = False

    def terminate(self) -> None:
        """SIGTERM: the worker says goodbye and drains."""
        if self.worker is not None:
            self._signal(signal.SIGTERM, False)

    def wait_gone(self) -> None:
        """Until a server that was told to go is gone."""
        if self.worker is not None:
            self.worker.wait(60.0)
            worker, self.worker = self.worker, None
            worker.__exit__(None, None, None)

    def stop(self) -> None:
        """Ends it without ceremony."""
        if self.worker is not None:
            self.thaw()
            self.kill(with_daemon=True)

    def _signal(self, number: int, to_daemon: bool) -> None:
        if self.worker is None:
            raise RuntimeError(f"{self.name} is not running")
        if to_daemon:
            os.killpg(self.worker.pid, number)  # the worker leads a session of its own
        else:
            os.kill(self.worker.pid, number)


@dataclass
class ServerSet:
    """The servers of one model. Use as `with`."""

    folder: Path
    work_dir: Path
    servers: list[Server] = field(default_factory=list)
    bootstrap: tuple[str, ...] = ()
    """Addresses that a server is told at its start; by default those of all servers that run."""

    def __enter__(self) -> ServerSet:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            with contextlib.suppress(ProcessLookupError):
                server.stop()

    def add(self, span: tuple[int, int], *options: str) -> Server:
        """A server of these blocks, serving."""
        where = options if "--host-maddrs" in options else ("--host-maddrs", HERE, *options)
        server = Server(self, f"server-{len(self.servers)}", span, tuple(where))
        self.servers.append(server)
        server.start()
        server.ready()
        return server

    def join_options(self, joining: Server) -> list[str]:
        known = self.bootstrap or tuple(
            address for each in self.servers if each is not joining and each.worker for address in each.maddrs
        )
        return ["--initial-peers", *known] if known else ["--new-swarm"]

    def by_peer(self, peer_id: str) -> Server:
        return next(each for each in self.servers if each.peer_id == peer_id)

    def maddrs(self) -> tuple[str, ...]:
        return tuple(address for each in self.servers if each.worker for address in each.maddrs)


class Watcher:
    """A `streamer` for `generate`: notes when each token came, and calls back at some of them."""

    def __init__(self, on_token: Any = lambda number: None):
        self.times_s: list[float] = []
        self._on_token = on_token
        self._is_prompt = True

    def put(self, token_ids: torch.Tensor) -> None:
        if self._is_prompt:
            self._is_prompt = False
            return
        self.times_s.append(time.perf_counter())
        self._on_token(len(self.times_s))

    def end(self) -> None:
        pass


def answer(
    model: SwarmForCausalLM, prompt_ids: Sequence[int], new_tokens: int, watcher: Watcher | None = None, **more: Any
) -> tuple[tuple[int, ...], SwarmCache]:
    """One greedy answer: its tokens, and the cache with its closed session."""
    cache = SwarmCache(model, len(prompt_ids) + new_tokens)
    ids = torch.tensor([list(prompt_ids)])
    try:
        with torch.inference_mode():
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                past_key_values=cache,
                streamer=watcher,
                max_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=0,
                eos_token_id=None,
                **more,
            )
    finally:
        cache.close()
    return tuple(out[0, len(prompt_ids) :].tolist()), cache


def folder_of(model: str, work_dir: Path) -> Path:
    """The checkpoint that an option --model names: smollm2, or a folder."""
    return embedded_checkpoint_folder(work_dir / "models") if model == "smollm2" else Path(model)


@contextlib.contextmanager
def joined(folder: Path, initial_peers: Sequence[str]) -> Iterator[SwarmForCausalLM]:
    with SwarmForCausalLM.from_pretrained(str(folder), initial_peers=list(initial_peers)) as model:
        model.greedy_head.prepare()
        yield model
