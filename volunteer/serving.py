"""A stay in the swarm: builds the parts that serve blocks, owns the order in which they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from volunteer.block_memory import KV_TOKENS_PER_BLOCK
from volunteer.control.lifecycle import Phase
from volunteer.errors import ConfigurationError, UserError
from volunteer.events import Download, Entered, Event, Listening, Planned, Reachable, Ready, SteppedDown
from volunteer.models.loading import load_blocks, span_parts
from volunteer.models.store import DownloadProgress
from volunteer.models.stored_parts import make_room
from volunteer.points.ledger import Ledger
from volunteer.points.wallet import Wallet
from volunteer.server.accounting import Accounting, Terms
from volunteer.server.admission import Admission, Books, Served
from volunteer.server.announcer import Announcer
from volunteer.server.balance import BlockMove
from volunteer.server.balancer import Balancer
from volunteer.server.block_selection import BlockPlan
from volunteer.server.compute import ComputeThread, Priority
from volunteer.server.current import CurrentService
from volunteer.server.fair_use import FairUse
from volunteer.server.gpu import PinnedTransfer, compiled
from volunteer.server.handler import BlockService
from volunteer.server.killed_while_loading import loading, most_blocks
from volunteer.server.kv_cache import PAGE_TOKENS, pages_of
from volunteer.server.planning import Format, choose_format, max_session_tokens, plan_blocks
from volunteer.server.push import Push
from volunteer.server.reachability import Reach
from volunteer.server.scheduler import Scheduler
from volunteer.server.span import Span
from volunteer.server.standing import Standings
from volunteer.server.throughput import PREFILL_TICK_S, Throughput, measure_throughput, prefill_tokens
from volunteer.settings import peers_file, peers_folder
from volunteer.swarm.dial_back import is_loopback
from volunteer.swarm.node import NodeOptions, SwarmNode
from volunteer.swarm.peer_lists import PeerLists
from volunteer.swarm.records import ServerInfo
from volunteer.swarm.rpc import ExpertResponse, Method
from volunteer.swarm.swarm_key import SwarmKey
from volunteer.swarm_model import SwarmModel, open_swarm_model

_MOVE_DRAIN_S = 120.0
_QUIET_S = 3.0
_HAND_OVER_S = 1.0
"""For the sessions that are left to be told, and their answers to be sent."""
_RESERVATION_S = 3.0
"""For the relays to be found and asked; and helpers make a pause of 2 s between two checks."""
_PUSH_TIMEOUT_S = 10.0

logger = logging.getLogger(__name__)

OnEvent = Callable[[Event], None]
OnServers = Callable[[Mapping[str, ServerInfo]], None]


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
    private_swarm: str | None = None
    """The name of one that this computer is in; what follows is of it."""
    swarm_key: SwarmKey | None = None
    peers_name: str | None = None
    """Under which its servers are remembered; None: that of the model."""
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
    ram_bytes: int | None = None
    """The most to take for blocks and caches on a processor, where the worker chooses; None for all that is free."""
    vram_bytes: int | None = None
    """The same on a GPU."""
    disk_bytes: int | None = None
    """The most that downloaded blocks may take; None for all that is free."""
    upload_bytes_per_s: float | None = None
    peers: PeerLists = PeerLists()  # noqa: RUF009
    """Who is served."""
    threads: int | None = None
    """Of torch; None for its own choice."""


class Leave:
    """How a stay is told to end: from outside, in the loop's thread."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.now = asyncio.Event()

    def ask(self, drain_s: float | None) -> None:
        """Ends the stay; open sessions may go on for `drain_s`, None for as long as they need.

        Asked again, it can only be hastened.
        """
        self.asked.set()
        if drain_s is not None and drain_s > 0:
            asyncio.get_running_loop().call_later(drain_s, self.now.set)
        elif drain_s is not None:
            self.now.set()


class DaemonDied(UserError):
    """p2pd ended by itself."""


class ShortOfMemory(UserError):
    """The blocks and their caches do not fit."""


async def serve(
    options: ServeOptions,
    leave: Leave,
    on_event: OnEvent,
    served: Served | None = None,
    on_servers: OnServers = lambda servers: None,
    wallet: Wallet | None = None,
) -> None:
    """Joins the swarm, loads blocks and serves them until `leave` is asked.

    Args:
        served: what was done in earlier stays, to be added to.
        on_servers: told who is in the swarm, by peer id, every half minute.
        wallet: claims what is done for others; without one they are all guests.

    Raises:
        UserError: of the many kinds that the parts raise.
    """
    if not options.initial_peers and not options.new_swarm and not peers_folder(options.data_dir).is_dir():
        raise ConfigurationError("Say which swarm to join with --initial-peers, or start a new one with --new-swarm.")
    if options.kv_tokens < PAGE_TOKENS or not options.session_idle_s > 0:
        raise ConfigurationError(f"--kv-tokens must be at least {PAGE_TOKENS}, and --session-idle more than 0.")
    on_event(Entered(Phase.STARTING))
    if options.threads is not None:
        torch.set_num_threads(options.threads)
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
        peers_file=peers_file(options.data_dir, options.peers_name or model.dht_prefix),
        may_begin_alone=options.new_swarm,
        upload_bytes_per_s=options.upload_bytes_per_s,
        peers=options.peers,
        swarm_key=options.swarm_key,
    )
    served = served or Served()
    async with SwarmNode(node_options) as node, ComputeThread() as compute:
        node.admits = lambda caller: caller == served.owner or options.peers.may_knock(caller)
        node.traffic = served.traffic
        on_event(Listening(node.peer_id, tuple(await node.maddrs())))
        plan = await plan_blocks(
            node,
            model.family,
            model.dht_prefix,
            chosen_format,
            blocks=options.blocks,
            num_blocks=options.num_blocks,
            kv_tokens=options.kv_tokens,
            memory_bytes=options.vram_bytes if chosen_format.device.type == "cuda" else options.ram_bytes,
            data_dir=options.data_dir,
        )
        most = most_blocks(options.data_dir)
        if most is not None and plan.end - plan.start > most:
            plan = BlockPlan(plan.start, plan.start + most, "because the system had no memory for one more")
            on_event(SteppedDown((plan.start, plan.end), "The system ended the worker for want of memory."))
        current = CurrentService()
        balancer = None if options.blocks else Balancer(node, model.dht_prefix, model.family.num_blocks)
        ledger = None if wallet is None else (await asyncio.to_thread(wallet.open)).ledger
        stay = _Stay(
            options, leave, on_event, on_servers, model, chosen_format, node, compute, current, balancer, served, ledger
        )
        while True:
            on_event(Planned(model.checkpoint.model, (plan.start, plan.end), model.family.num_blocks, plan.reason))
            try:
                move = await stay.serve(plan)
            except ShortOfMemory as error:
                plan = smaller(plan, error)
                on_event(SteppedDown((plan.start, plan.end), str(error)))
            else:
                if move is None:
                    break
                plan = BlockPlan(move.start, move.end, "because the swarm was weakest there")
            gc.collect()  # the blocks that are left take as much memory as those that come


def smaller(plan: BlockPlan, error: ShortOfMemory) -> BlockPlan:
    """One block less. Raises `error` where none would be left."""
    if plan.end - plan.start < 2:
        raise error
    return BlockPlan(plan.start, plan.end - 1, "because one more did not fit into memory")


@contextlib.contextmanager
def _short_of_memory(plan: BlockPlan) -> Iterator[None]:
    """Raises ShortOfMemory for what torch raises when memory is used up."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ShortOfMemory(f"Blocks {plan.start}-{plan.end - 1} do not fit into memory.") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; on a processor torch says so in words alone."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@dataclass(frozen=True)
class _Stay:
    """A server's time in the swarm."""

    options: ServeOptions
    leave: Leave
    on_event: OnEvent
    on_servers: OnServers
    model: SwarmModel
    chosen_format: Format
    node: SwarmNode
    compute: ComputeThread
    current: CurrentService
    balancer: Balancer | None
    """None where the volunteer named the blocks."""
    served: Served
    ledger: Ledger | None

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
            on_servers=self.on_servers,
            on_seen=self.served.note_seen,
        )
        try:
            await announcer.joining()
            self.on_event(Entered(Phase.DOWNLOADING))
            await _download(model, plan, self.options, self.on_event)
            self.on_event(Entered(Phase.LOADING))
            with _short_of_memory(plan), loading(self.options.data_dir, plan.end - plan.start):
                span = await _load(model, plan, self.chosen_format, compute)
                num_pages = pages_of(self.options.kv_tokens)
                throughput = await compute.run(Priority.BACKGROUND, _measured, span, num_pages)
                pool = await compute.run(Priority.BACKGROUND, span.new_pool, num_pages)
            self.on_event(Entered(Phase.JOINING))
            fair_use = FairUse()
            async with (
                self._books() as books,
                Scheduler(
                    span,
                    pool,
                    compute,
                    prefill_tokens=prefill_tokens(throughput, plan.end - plan.start),
                    prefill_s=PREFILL_TICK_S,
                    idle_s=self.options.session_idle_s,
                    is_over=fair_use.is_over,
                ) as scheduler,
            ):
                service = BlockService(
                    span,
                    model.dht_prefix,
                    scheduler,
                    compute,
                    _push_through(node),
                    max_length=min(max_session_tokens(model.family), scheduler.capacity_tokens),
                    open_stream=node.open_stream,
                    admission=Admission(self.served, books, self.options.peers, fair_use),
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
                limit_s, quiet_s = (None, math.inf) if move is None else (_MOVE_DRAIN_S, _QUIET_S)
                await asyncio.gather(announcer.gone(), _drain(service, self.leave, limit_s, quiet_s=quiet_s))
                return None if self.leave.asked.is_set() else move
        finally:
            self.current.put(None)
            await announcer.gone()

    @contextlib.asynccontextmanager
    async def _books(self) -> AsyncIterator[Books | None]:
        if self.ledger is None:
            yield None
            return
        model, node, chosen = self.model, self.node, self.chosen_format
        weights, dtype = chosen.weights.value, str(chosen.dtype).removeprefix("torch.")
        terms = Terms(
            server=node.peer_id,
            model=model.dht_prefix,
            revision=model.checkpoint.revision or "",
            number_format=weights if weights == dtype else f"{weights}/{dtype}",
            block_flops=model.family.block_flops,
        )
        async with Accounting(self.ledger, terms) as accounting:
            yield Books(Standings(self.ledger, node.peer_id, node.network_of), accounting)

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
            await _until_stopped(self.leave, self.node)
            return None
        moving = asyncio.create_task(self._next_move(self.balancer))
        try:
            await _until_stopped(self.leave, self.node, moving)
            return moving.result() if moving.done() else None
        finally:
            moving.cancel()

    async def _next_move(self, balancer: Balancer) -> BlockMove:
        while True:
            move = await balancer.next_move()
            logger.info("The swarm needs blocks %d-%d more than these", move.start, move.end - 1)
            try:
                await _download(self.model, BlockPlan(move.start, move.end, ""), self.options, self.on_event)
            except UserError as error:
                logger.warning("This server stays where it is: %s", error)
            else:
                return move


async def _download(model: SwarmModel, plan: BlockPlan, options: ServeOptions, on_event: OnEvent) -> None:
    """Brings what is missing of the blocks to the disk; others go where the owner allows no more room."""
    loop = asyncio.get_running_loop()
    cancelled = threading.Event()

    def on_progress(progress: DownloadProgress) -> None:
        event = Download(progress.done_bytes, progress.total_bytes, progress.bytes_per_s, progress.eta_s)
        loop.call_soon_threadsafe(on_event, event)

    parts = span_parts(model.family, model.checkpoint, plan.start, plan.end)
    if options.disk_bytes is not None and model.checkpoint.revision is not None:
        evicted = await asyncio.to_thread(
            make_room,
            options.data_dir / "models",
            model.checkpoint.folder,
            parts,
            quota_bytes=options.disk_bytes,
            needed_bytes=model.checkpoint.missing_bytes(parts),
        )
        for part in evicted:
            logger.info("Deleted %s of %s to stay within %.1f GB", part.part, part.model, options.disk_bytes / 1e9)
    try:
        await asyncio.to_thread(model.checkpoint.prepare, parts, on_progress=on_progress, cancelled=cancelled)
    except asyncio.CancelledError:
        cancelled.set()
        raise


async def _load(model: SwarmModel, plan: BlockPlan, chosen_format: Format, compute: ComputeThread) -> Span:
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


def _measured(span: Span, num_pages: int) -> Throughput:
    """In a pool of its own: pages that were written once stay in memory."""
    return measure_throughput(span, span.new_pool(num_pages))


async def _until_stopped(leave: Leave, node: SwarmNode, other: asyncio.Task[Any] | None = None) -> None:
    """Returns when the worker is asked to stop, or `other` is done."""
    died = asyncio.create_task(node.daemon_died())
    asked = asyncio.create_task(leave.asked.wait())
    waiting = (died, asked) if other is None else (died, asked, other)
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if died.done():
            raise DaemonDied("The libp2p daemon (p2pd) ended unexpectedly.")
    finally:
        died.cancel()
        asked.cancel()


async def _drain(service: BlockService, leave: Leave, limit_s: float | None, *, quiet_s: float) -> None:
    """Lets open sessions end, for as long as they may; then their clients are sent to other servers.

    Args:
        quiet_s: they are sent on sooner where none of them has asked for anything for so long. They may be waiting for
            the very blocks to which this server is on its way.
    """
    idle, cut = asyncio.create_task(service.idle()), asyncio.create_task(leave.now.wait())
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
