"""Composition root of the worker: builds the parts, owns the order in which they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from volunteer.errors import ConfigurationError, ExitCode, UserError
from volunteer.events import Download, Event, Failed, Listening, Reachable, Ready, Stopped
from volunteer.models.loading import load_blocks, span_parts
from volunteer.models.store import DownloadProgress
from volunteer.server.announcer import Announcer
from volunteer.server.balance import BlockMove
from volunteer.server.balancer import Balancer
from volunteer.server.block_selection import BlockPlan
from volunteer.server.compute import ComputeThread, Priority
from volunteer.server.current import CurrentService
from volunteer.server.gpu import PinnedTransfer, compiled
from volunteer.server.handler import BlockService, Served
from volunteer.server.kv_cache import PAGE_TOKENS, pages_of
from volunteer.server.planning import KV_TOKENS_PER_BLOCK, Format, choose_format, max_session_tokens, plan_blocks
from volunteer.server.push import Push
from volunteer.server.reachability import Reach
from volunteer.server.scheduler import Scheduler
from volunteer.server.span import Span
from volunteer.server.throughput import PREFILL_TICK_S, measure_throughput, prefill_tokens
from volunteer.settings import peers_file, peers_folder
from volunteer.swarm.dial_back import is_loopback
from volunteer.swarm.node import NodeOptions, SwarmNode
from volunteer.swarm.rpc import ExpertResponse, Method
from volunteer.swarm_model import SwarmModel, open_swarm_model

_DRAIN_S = 20.0
_MOVE_DRAIN_S = 120.0
_QUIET_S = 3.0
_HAND_OVER_S = 1.0
"""For the sessions that are left to be told, and their answers to be sent."""
_RESERVATION_S = 3.0
"""For the relays to be found and asked; and helpers make a pause of 2 s between two checks."""
_PUSH_TIMEOUT_S = 10.0
_OPEN_FILES = 8192

logger = logging.getLogger(__name__)

OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class ServeOptions:
    """What the command line, the environment or the settings say of serving."""

    model: str
    data_dir: Path
    revision: str | None = None
    dht_prefix: str | None = None
    blocks: str | None = None
    num_blocks: int | None = None
    initial_peers: tuple[str, ...] = ()
    new_swarm: bool = False
    host_maddrs: tuple[str, ...] = ("/ip4/0.0.0.0/tcp/0",)
    announce_maddrs: tuple[str, ...] = ()
    identity_file: Path | None = None
    device: str | None = None
    dtype: str | None = None
    quantization: str | None = None
    public_name: str | None = None
    kv_tokens: int = KV_TOKENS_PER_BLOCK
    """KV room for all sessions, in tokens of each block."""
    session_idle_s: float = 120.0
    """A session that can begin again by itself, and is silent for so long, gives its KV room back."""


class Shutdown:
    """How the worker was asked to end.

    SIGTERM: goodbye, and a while for the open sessions. SIGINT: once, as long as they need; twice, no time at all;
    three times, the process ends where it stands.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.now = asyncio.Event()
        self.signal: int | None = None
        self._interrupts = 0

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Makes the process's signals ask for the end."""
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self._on_signal, number)
            except NotImplementedError:  # Windows: its loops have no signal handlers
                signal.signal(number, lambda caught, _: loop.call_soon_threadsafe(self._on_signal, caught))

    @property
    def drain_s(self) -> float | None:
        """How long open sessions may go on; None for as long as they want."""
        return None if self.signal == signal.SIGINT else _DRAIN_S

    def _on_signal(self, number: int) -> None:
        self.signal = self.signal or number
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts == 2:
                self.now.set()
            elif self._interrupts > 2:
                os._exit(128 + number)
        self.asked.set()


class AlreadyRunning(UserError):
    """One data folder has one worker."""

    exit_code = ExitCode.ALREADY_RUNNING


class DaemonDied(UserError):
    """p2pd ended by itself."""


async def run_worker(options: ServeOptions, on_event: OnEvent) -> int:
    """Serves until a signal; returns the exit code. What went wrong becomes a `Failed` event."""
    shutdown = Shutdown()
    shutdown.install(asyncio.get_running_loop())
    _allow_open_files(_OPEN_FILES)
    try:
        with _only_worker(options.data_dir):
            await serve(options, shutdown, on_event)
    except UserError as error:
        on_event(Failed(str(error)))
        return error.exit_code
    return ExitCode.OK if shutdown.signal is None else 128 + shutdown.signal


async def serve(options: ServeOptions, shutdown: Shutdown, on_event: OnEvent) -> None:
    """Joins the swarm, loads blocks and serves them until `shutdown` is asked.

    Raises:
        UserError: of the many kinds that the parts raise.
    """
    if not options.initial_peers and not options.new_swarm and not peers_folder(options.data_dir).is_dir():
        raise ConfigurationError("Say which swarm to join with --initial-peers, or start a new one with --new-swarm.")
    if options.kv_tokens < PAGE_TOKENS or not options.session_idle_s > 0:
        raise ConfigurationError(f"--kv-tokens must be at least {PAGE_TOKENS}, and --session-idle more than 0.")
    model = await asyncio.to_thread(
        open_swarm_model,
        options.model,
        models_dir=options.data_dir / "models",
        revision=options.revision,
        dht_prefix=options.dht_prefix,
    )
    chosen_format = choose_format(
        model.family, device=options.device, dtype=options.dtype, quantization=options.quantization
    )
    node_options = NodeOptions(
        initial_peers=options.initial_peers,
        host_maddrs=options.host_maddrs,
        announce_maddrs=options.announce_maddrs,
        identity_file=options.identity_file or options.data_dir / "identity.key",
        peers_file=peers_file(options.data_dir, model.dht_prefix),
        may_begin_alone=options.new_swarm,
    )
    async with SwarmNode(node_options) as node, ComputeThread() as compute:
        on_event(Listening(node.peer_id, tuple(await node.maddrs())))
        plan = await plan_blocks(
            node,
            model.family,
            model.dht_prefix,
            chosen_format,
            blocks=options.blocks,
            num_blocks=options.num_blocks,
            kv_tokens=options.kv_tokens,
            data_dir=options.data_dir,
        )
        current = CurrentService()
        served = Served()
        balancer = None if options.blocks else Balancer(node, model.dht_prefix, model.family.num_blocks)
        while True:
            stay = _Stay(options, shutdown, on_event, model, chosen_format, node, compute, current, balancer, served)
            move = await stay.serve(plan)
            gc.collect()  # the blocks that are left take as much memory as those that come
            if move is None:
                break
            plan = BlockPlan(move.start, move.end, "because the swarm was weakest there")
        on_event(Stopped(served.tokens, served.sessions))


@dataclass(frozen=True)
class _Stay:
    """A server's time with the same blocks."""

    options: ServeOptions
    shutdown: Shutdown
    on_event: OnEvent
    model: SwarmModel
    chosen_format: Format
    node: SwarmNode
    compute: ComputeThread
    current: CurrentService
    balancer: Balancer | None
    """None where the volunteer named the blocks."""
    served: Served

    async def serve(self, plan: BlockPlan) -> BlockMove | None:
        """Loads the blocks and serves them until the end, None, or until the swarm needs others more."""
        model, node, compute = self.model, self.node, self.compute
        announcer = Announcer(
            node,
            model,
            plan,
            number_format=self.chosen_format.weights,
            dtype=str(self.chosen_format.dtype).removeprefix("torch."),
            public_name=self.options.public_name,
            may_move=self.balancer is not None,
            on_reach=lambda reach, advice: self.on_event(Reachable(reach.value, advice)),
        )
        try:
            await announcer.joining()
            loading = _load(model, plan, self.chosen_format, compute, self.on_event)
            span = await _unless_stopped(self.shutdown, loading)
            if span is None:
                return None
            pool = await compute.run(Priority.BACKGROUND, span.new_pool, pages_of(self.options.kv_tokens))
            throughput = await compute.run(Priority.BACKGROUND, measure_throughput, span, pool)
            async with Scheduler(
                span,
                pool,
                compute,
                prefill_tokens=prefill_tokens(throughput, plan.end - plan.start),
                prefill_s=PREFILL_TICK_S,
                idle_s=self.options.session_idle_s,
            ) as scheduler:
                service = BlockService(
                    span,
                    model.dht_prefix,
                    scheduler,
                    compute,
                    _push_through(node),
                    max_length=min(max_session_tokens(model.family), scheduler.capacity_tokens),
                    open_stream=node.open_stream,
                    served=self.served,
                )
                self.current.put(service.service())
                if not node.is_serving:
                    await self._find_way_in(announcer)
                    await node.serve(self.current.facade(service.service()))
                await announcer.online(service, throughput)
                self.on_event(Ready(model.checkpoint.model, (plan.start, plan.end), plan.reason))
                async with announcer.refreshing():
                    move = await self._until_moved()
                service.refuse_new_sessions()
                await announcer.gone()
                if move is None:
                    await _drain(service, self.shutdown, self.shutdown.drain_s)
                else:
                    await _drain(service, self.shutdown, _MOVE_DRAIN_S, quiet_s=_QUIET_S)
                return None if self.shutdown.asked.is_set() else move
        finally:
            self.current.put(None)
            await announcer.gone()

    async def _find_way_in(self, announcer: Announcer) -> None:
        """Lets others come over a relay if they cannot come directly.

        Asked when the blocks are loaded, and not sooner, so that a router has had time to open a port (UPnP).
        """
        node, model = self.node, self.model
        if all(is_loopback(address) for address in self.options.host_maddrs):
            return
        if await announcer.find_reach() is not Reach.UNREACHABLE:
            return
        servers = await node.servers(model.dht_prefix, model.family.num_blocks)
        relays = [
            address
            for server in servers.values()
            if server.is_online and not server.record.using_relay
            for address in server.record.maddrs
            if not is_loopback(address)
        ]
        if not relays:
            return
        await node.use_relays(relays)
        self.on_event(Listening(node.peer_id, tuple(await node.maddrs())))
        await asyncio.sleep(_RESERVATION_S)
        await announcer.find_reach()

    async def _until_moved(self) -> BlockMove | None:
        """Returns the move that this server should make, its blocks on the disk; None when it is to end."""
        if self.balancer is None:
            await _until_stopped(self.shutdown, self.node)
            return None
        moving = asyncio.create_task(self._next_move(self.balancer))
        try:
            await _until_stopped(self.shutdown, self.node, moving)
            return moving.result() if moving.done() else None
        finally:
            moving.cancel()

    async def _next_move(self, balancer: Balancer) -> BlockMove:
        while True:
            move = await balancer.next_move()
            logger.info("The swarm needs blocks %d-%d more than these", move.start, move.end - 1)
            try:
                await _download(self.model, BlockPlan(move.start, move.end, ""), self.on_event)
            except UserError as error:
                logger.warning("This server stays where it is: %s", error)
            else:
                return move


def _allow_open_files(wanted: int) -> None:
    """Every stream of a peer is an open file, and many systems allow 1,024: fewer than peers may open streams."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


@contextlib.contextmanager
def _only_worker(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(data_dir / "worker.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise AlreadyRunning(f"A worker is already running on {data_dir}.") from None
    try:
        yield
    finally:
        lock.release()


async def _download(model: SwarmModel, plan: BlockPlan, on_event: OnEvent) -> None:
    """Brings what is missing of the blocks to the disk."""
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    def on_progress(progress: DownloadProgress) -> None:
        event = Download(progress.done_bytes, progress.total_bytes, progress.bytes_per_s, progress.eta_s)
        loop.call_soon_threadsafe(on_event, event)

    parts = span_parts(model.family, model.checkpoint, plan.start, plan.end)
    try:
        await asyncio.to_thread(model.checkpoint.prepare, parts, on_progress=on_progress, cancelled=cancelled)
    except asyncio.CancelledError:
        cancelled.set()
        raise


async def _load(
    model: SwarmModel, plan: BlockPlan, chosen_format: Format, compute: ComputeThread, on_event: OnEvent
) -> Span:
    await _download(model, plan, on_event)
    blocks = await compute.run(
        Priority.BACKGROUND,
        load_blocks,
        model.family,
        model.checkpoint,
        plan.start,
        plan.end,
        number_format=chosen_format.weights,
        dtype=chosen_format.dtype,
        device=chosen_format.device,
    )
    dtype, device = chosen_format.dtype, chosen_format.device
    if device.type != "cuda":
        return Span(model.family, plan.start, blocks, dtype, device)
    transfer = PinnedTransfer(device, dtype)
    return Span(model.family, plan.start, compiled(blocks), dtype, device, transfer, is_compiled=True)


async def _unless_stopped(shutdown: Shutdown, loading: Coroutine[Any, Any, Span]) -> Span | None:
    """What `loading` gives, or None when the worker is asked to stop first."""
    load_task = asyncio.create_task(loading)
    stop_task = asyncio.create_task(shutdown.asked.wait())
    try:
        await asyncio.wait((load_task, stop_task), return_when=asyncio.FIRST_COMPLETED)
        return await load_task if load_task.done() else None
    finally:
        stop_task.cancel()
        load_task.cancel()


async def _until_stopped(shutdown: Shutdown, node: SwarmNode, other: asyncio.Task[Any] | None = None) -> None:
    """Returns when the worker is asked to stop, or `other` is done."""
    died = asyncio.create_task(node.daemon_died())
    asked = asyncio.create_task(shutdown.asked.wait())
    waiting = (died, asked) if other is None else (died, asked, other)
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if died.done():
            raise DaemonDied("The libp2p daemon (p2pd) ended unexpectedly.")
    finally:
        died.cancel()
        asked.cancel()


async def _drain(
    service: BlockService, shutdown: Shutdown, limit_s: float | None, *, quiet_s: float = math.inf
) -> None:
    """Lets open sessions end, for as long as they may; then their clients are sent to other servers.

    Args:
        quiet_s: they are sent on sooner where none of them has asked for anything for so long. They may be waiting for
            the very blocks to which this server is on its way.
    """
    idle, cut = asyncio.create_task(service.idle()), asyncio.create_task(shutdown.now.wait())
    quiet = asyncio.create_task(service.quiet(quiet_s))
    await asyncio.wait((idle, cut, quiet), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    if not idle.done():
        service.hand_over_sessions()
        await asyncio.wait((idle,), timeout=_HAND_OVER_S)
    for task in (idle, cut, quiet):
        task.cancel()


def _push_through(node: SwarmNode) -> Push:
    async def push(peer_id: str, request: Any) -> None:
        await node.call(peer_id, Method.PUSH, request, ExpertResponse, timeout_s=_PUSH_TIMEOUT_S)

    return push
