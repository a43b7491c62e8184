"""The background process: does what its lifecycle says, and lets its owner's programs look and act.

One place acts. Signals, commands and limits change the `Lifecycle`; the loop in `Worker.run` does the next step.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.metadata
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from volunteer.activity import SAMPLE_EVERY_S, Activity
from volunteer.control import lifecycle as machine
from volunteer.control.channel import ControlServer, Peer
from volunteer.control.lifecycle import Leaving, Lifecycle, Mode, Phase, Step, next_step
from volunteer.control.limits import Readings, Verdict, budgets, decide
from volunteer.control.messages import (
    AnyCommand,
    ChatCommand,
    Done,
    Download,
    Finish,
    GetHistory,
    GetSettings,
    GetStatus,
    GpuReading,
    LogLine,
    Pause,
    Quit,
    Refused,
    Resume,
    Sample,
    SampleTaken,
    SetMode,
    SetSetting,
    Status,
    StatusChanged,
    Subscribe,
    SwarmChanged,
    SwarmServer,
)
from volunteer.control.readings import Machine, current_moment
from volunteer.control.wish_file import load_wish, save_wish
from volunteer.done_work import DoneWork
from volunteer.errors import ExitCode, UserError
from volunteer.events import Download as DownloadEvent
from volunteer.events import (
    Entered,
    Event,
    Failed,
    Listening,
    Paused,
    Planned,
    Reachable,
    Ready,
    Resumed,
    SteppedDown,
    Stopped,
    log_text,
)
from volunteer.logs import LogMemory, LogRecord, logging_to_files
from volunteer.models.embedded import EMBEDDED_MODEL
from volunteer.own_process import allow_open_files, free_memory, only_worker, stand_back
from volunteer.owner_services import OwnerServices, Swarm
from volunteer.points.wallet import Wallet
from volunteer.private_swarms import load_swarm
from volunteer.server.admission import Served
from volunteer.serving import Leave, OnEvent, ServeOptions, serve
from volunteer.settings import Settings, load_settings, reset_setting, save_settings, set_setting, settings_text
from volunteer.swarm.peer_lists import PeerLists
from volunteer.swarm.records import ServerInfo

_DRAIN_S: dict[Leaving, float | None] = {Leaving.FINISH: None, Leaving.QUIT: 20.0, Leaving.NOW: 0.0}
_TICK_S = 1.0
_LIMITS_S = 5.0
_OPEN_FILES = 8192
_MAX_SERVERS = 10_000
"""Of the swarm, told to a client."""
_UNSENT_LINES = 1000
"""Of the log, for one client."""

logger = logging.getLogger(__name__)


async def run_worker(
    data_dir: Path, chosen: Mapping[str, Any], on_event: OnEvent, *, waits_when_failed: bool = False
) -> int:
    """Serves until it is told to quit; returns the exit code. What went wrong becomes a `Failed` event.

    Args:
        chosen: fields of `ServeOptions` that count more than the owner's settings.
        waits_when_failed: a failure that only the owner can mend leaves the process there, to be asked and told to
            go on. Otherwise each failure ends it.
    """
    allow_open_files(_OPEN_FILES)
    try:
        with only_worker(data_dir), logging_to_files(data_dir) as log:
            kept = _written_down(on_event)
            return await Worker(data_dir, chosen, kept, log, waits_when_failed=waits_when_failed).run()
    except UserError as error:
        on_event(Failed(str(error)))
        return error.exit_code


def _written_down(on_event: OnEvent) -> OnEvent:
    """Tells events on, and has those that are worth it in the log: who looks later finds what went before."""

    def note(event: Event) -> None:
        text = log_text(event)
        if text is not None:
            logger.log(logging.WARNING if isinstance(event, SteppedDown) else logging.INFO, "%s", text)
        on_event(event)

    return note


class Worker:
    """One per data folder and process; see the module."""

    def __init__(
        self,
        data_dir: Path,
        chosen: Mapping[str, Any],
        on_event: OnEvent,
        log: LogMemory,
        *,
        waits_when_failed: bool = False,
    ):
        self._data_dir = data_dir
        self._log = log
        self._chosen = chosen
        self._on_event = on_event
        self._waits_when_failed = waits_when_failed
        self._settings = load_settings(data_dir).settings
        self._options = options = serve_options(self._settings, chosen, data_dir)
        self._machine = Machine(data_dir, uses_gpu=options.device != "cpu" and torch.cuda.is_available())
        self._served = Served()
        self._wallet = Wallet(data_dir, options.identity_file)
        self._owner = OwnerServices(
            data_dir,
            self._swarm,
            self._served.note_owner,
            self._wallet,
            lambda: self._settings.points.offered,
        )
        self._verdict = Verdict()
        self._readings = Readings()
        self._limits_changed = asyncio.Event()
        self._kept_wish = load_wish(data_dir)
        self._lifecycle = Lifecycle(wish=self._kept_wish)
        self._saving = asyncio.Lock()
        self._changed = asyncio.Event()
        self._stay: asyncio.Task[None] | None = None
        self._leave = Leave()
        self._error: UserError | None = None
        self._signal: int | None = None
        self._was_told_to_quit = False
        self._interrupts = 0
        self._was_paused = False
        self._done = DoneWork(Activity(data_dir), self._served, self._owner.traffic, self._wallet)
        self._told: Status | None = None
        self._servers: SwarmChanged | None = None
        self._control = ControlServer(data_dir, self._answer)
        self._status = Status(
            state=self._lifecycle.state,
            started_s=time.time(),
            pid=os.getpid(),
            program_version=importlib.metadata.version("petals-volunteer"),
            data_dir=str(data_dir),
            model=options.model,
        )

    async def run(self) -> int:
        """Does what the lifecycle says until it says to exit; returns the exit code."""
        self._catch_signals(asyncio.get_running_loop())
        stand_back(self._settings.limits.nice)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._wallet)
            await stack.enter_async_context(self._done)
            await stack.enter_async_context(self._owner)
            await stack.enter_async_context(self._control)
            await self._open_endpoint()
            await self._look_at_limits()
            await self._look_at_points()
            watching = [asyncio.create_task(self._watch_limits()), asyncio.create_task(self._watch_activity())]
            try:
                await self._follow_lifecycle()
            finally:
                for task in watching:
                    task.cancel()
                if self._stay is not None:
                    self._stay.cancel()
                    await asyncio.wait((self._stay,))
                await self._take_sample()
        self._on_event(Stopped(self._served.tokens, self._served.sessions))
        if self._error is not None and self._signal is None and not self._was_told_to_quit:
            raise self._error
        return ExitCode.OK if self._signal is None else 128 + self._signal

    async def _follow_lifecycle(self) -> None:
        while True:
            step, leaving = next_step(self._lifecycle)
            match step:
                case Step.EXIT:
                    self._tell()
                    return
                case Step.START:
                    self._start_stay()
                case Step.LEAVE if leaving is not None:
                    self._leave_stay(leaving)
            self._tell()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._changed.wait()
            self._changed.clear()
            self._change(machine.passed(self._lifecycle, time.time()))
            await self._keep_wish()

    async def _keep_wish(self) -> None:
        """Writes down what was asked for last, before anybody is told that it was heard."""
        async with self._saving:
            wish = self._lifecycle.wish
            if wish != self._kept_wish:
                await asyncio.to_thread(save_wish, self._data_dir, wish)
                self._kept_wish = wish

    def _change(self, lifecycle: Lifecycle) -> None:
        if lifecycle != self._lifecycle:
            self._lifecycle = lifecycle
            self._changed.set()

    # The limits

    async def _watch_limits(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LIMITS_S):
                    await self._limits_changed.wait()
            self._limits_changed.clear()
            try:
                await self._look_at_limits()
                await self._look_at_points()
            except Exception:  # the next look may succeed, and a worker without limits must not go unnoticed
                logger.exception("The limits could not be looked at")

    async def _look_at_limits(self) -> None:
        limits = self._settings.limits
        is_serving = self._lifecycle.phase is not None
        readings = await asyncio.to_thread(self._machine.read, limits, serving=is_serving)
        self._verdict = decide(limits, readings, current_moment(), self._verdict)
        self._readings = readings
        self._change(machine.limited(self._lifecycle, self._verdict.reason or None, self._verdict.danger or None))

    async def _change_settings(self, change: Callable[[Settings], Settings]) -> None:
        """Goes by other settings from now on; those of serving begin with the next stay, which begins at once."""
        async with self._saving:
            settings = change(self._settings)
            options = serve_options(settings, self._chosen, self._data_dir)
            await asyncio.to_thread(save_settings, self._data_dir, settings)
            before, self._settings = self._settings, settings
            self._limits_changed.set()
            stand_back(settings.limits.nice)
            if settings.endpoint != before.endpoint:
                await self._owner.open_endpoint(settings.endpoint)
            if options != self._options:
                self._options = options
                self._change(machine.outdated(self._lifecycle))

    # What was done

    async def _watch_activity(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            try:
                sample = await self._take_sample()
                self._control.publish(SampleTaken(sample=sample), lambda topics: topics.samples)
            except Exception:  # a plot with a hole must not end the worker
                logger.exception("What was done could not be noted")

    async def _take_sample(self) -> Sample:
        # While it is away nobody reads the GPUs, which may sleep.
        gpus = self._readings.gpus or () if self._lifecycle.phase is not None else ()
        return await self._done.take_sample(gpus, is_serving=self._lifecycle.phase is Phase.SERVING)

    async def _look_at_points(self) -> None:
        points = await self._done.points()
        if points is not None and points != self._status.points:
            self._status = self._status.model_copy(update={"points": points})
            self._changed.set()

    # The owner's own questions

    async def _open_endpoint(self) -> None:
        """A port that is taken must not keep the worker from serving."""
        try:
            await self._owner.open_endpoint(self._settings.endpoint)
        except UserError as error:
            logger.warning("The endpoint cannot be opened: %s", error)

    def _swarm(self) -> Swarm:
        options = self._options
        own = self._status.maddrs if self._lifecycle.phase is Phase.SERVING else ()
        return Swarm(
            options.model,
            options.revision,
            options.dht_prefix,
            own or options.initial_peers,
            options.swarm_key,
            options.peers_name,
            # The worker itself is no stranger to its owner.
            options.peers.with_allowed(self._status.peer_id),
        )

    # The stay

    def _start_stay(self) -> None:
        self._leave = Leave()
        self._error = None
        self._served.seen_at = None
        self._change(machine.started(self._lifecycle))
        self._stay = asyncio.create_task(
            serve(self._options, self._leave, self._note, self._served, self._note_servers, self._wallet)
        )
        self._stay.add_done_callback(self._stay_ended)

    def _leave_stay(self, leaving: Leaving) -> None:
        is_serving = self._lifecycle.phase is Phase.SERVING
        self._change(machine.left(self._lifecycle, leaving))
        self._leave.ask(_DRAIN_S[leaving])
        if not is_serving and self._stay is not None:
            self._stay.cancel()  # there is nobody to be waited for yet

    def _stay_ended(self, stay: asyncio.Task[None]) -> None:
        error = None if stay.cancelled() else stay.exception()
        del stay
        self._stay = None
        free_memory()
        failure = None
        if isinstance(error, UserError):
            self._error, failure = error, str(error)
            logger.warning("Serving ended: %s", failure)
        elif error is not None:
            logger.error("The worker failed", exc_info=error)
            self._error = UserError("The worker has met a problem of its own; its log tells more.")
            failure = str(self._error)
        lifecycle = machine.ended(self._lifecycle, failure)
        if self._error is not None and not (self._waits_when_failed and _is_the_owners(self._error)):
            lifecycle = machine.quit_worker(lifecycle)
        self._change(lifecycle)

    def _note(self, event: Event) -> None:
        """What the stay tells of itself."""
        changes: dict[str, object] = {}
        match event:
            case Entered(phase=phase):
                self._change(machine.came_to(self._lifecycle, Phase(phase)))
            case Listening(peer_id=peer_id, maddrs=maddrs):
                changes = {"peer_id": peer_id, "maddrs": maddrs}
            case Planned(model=model, blocks=blocks, num_blocks=num_blocks, reason=reason):
                changes = {"model": model, "blocks": blocks, "num_blocks": num_blocks, "blocks_reason": reason}
            case DownloadEvent(done_bytes=done, total_bytes=total, bytes_per_s=rate, eta_s=eta_s):
                self._done.note_download(done, is_over=done == total)
                progress = Download(done_bytes=done, total_bytes=total, bytes_per_s=rate, eta_s=eta_s)
                changes = {"download": None if done == total else progress}
            case Reachable(reach=reach, advice=advice):
                changes = {"reach": reach, "advice": advice}
            case Ready():
                free_memory()  # what loading left
                self._change(machine.came_to(self._lifecycle, Phase.SERVING))
                if self._was_paused:
                    self._was_paused = False
                    self._on_event(Resumed("The pause is over."))
        self._status = self._status.model_copy(update=changes)
        self._changed.set()
        self._on_event(event)

    def _note_servers(self, servers: Mapping[str, ServerInfo]) -> None:
        rows = [
            SwarmServer(
                peer_id=server.peer_id,
                start=server.start,
                end=server.end,
                state=server.record.state.name.lower(),
                throughput=server.record.throughput,
                public_name=server.record.public_name,
                using_relay=server.record.using_relay,
            )
            for server in sorted(servers.values(), key=lambda server: (server.start, server.end, server.peer_id))
        ]
        self._servers = SwarmChanged(num_blocks=self._status.num_blocks or 0, servers=tuple(rows[:_MAX_SERVERS]))
        self._control.publish(self._servers, lambda topics: topics.swarm)

    # What others see

    def _tell(self) -> None:
        """Publishes the status where it is another one than before, and pauses as events."""
        now = self._lifecycle
        rests = now.state is machine.State.PAUSED
        if rests and not self._was_paused:
            self._on_event(Paused(now.reason))
        self._was_paused = self._was_paused or rests
        status = self.status()
        if status != self._told:
            self._told = status
            self._control.publish(StatusChanged(status=status), lambda topics: topics.status)

    def status(self) -> Status:
        """As it is now."""
        now = self._lifecycle
        is_gone = now.phase is None
        changes: dict[str, object] = self._done.status() | {
            "state": now.state,
            "reason": now.reason,
            "until_s": self._until_s(),
            "may_override": now.unsafe is None,
            "cannot_tell": self._verdict.cannot_tell,
            "gpus": tuple(GpuReading.model_validate(gpu, from_attributes=True) for gpu in self._readings.gpus or ()),
            "on_battery": None if self._readings.power is None else self._readings.power.on_battery,
            "endpoint": self._owner.endpoint_url,
            "mode": now.wish.mode,
            "mode_until_s": now.wish.until_s,
        }
        if is_gone:
            changes |= {
                "blocks": None,
                "maddrs": (),
                "download": None,
                "reach": None,
                "advice": "",
                "seen_by_others_s": None,
            }
        return self._status.model_copy(update=changes)

    def _until_s(self) -> float | None:
        """When what keeps it from serving ends by itself, if that is known."""
        now = self._lifecycle
        if now.wish.mode is Mode.NEVER:
            return now.wish.until_s
        until = self._verdict.until if now.reason else None
        return None if until is None else until.timestamp()

    # What others ask

    async def _answer(self, peer: Peer, command: AnyCommand) -> Done | Refused:
        now_s = time.time()
        match command:
            case GetStatus():
                pass
            case GetHistory(since_s=since_s):
                history = await self._done.history(since_s)
                return Done(id=command.id, result=await asyncio.to_thread(history.model_dump, mode="json"))
            case Pause(for_s=for_s):
                self._change(machine.pause(self._lifecycle, now_s, for_s))
            case Resume():
                self._change(machine.resume(self._lifecycle, now_s))
            case Finish():
                self._change(machine.finish(self._lifecycle, now_s))
            case SetMode(mode=mode, for_s=for_s):
                self._change(machine.set_mode(self._lifecycle, mode, now_s, for_s))
            case Quit():
                self._was_told_to_quit = True
                self._change(machine.quit_worker(self._lifecycle))
            case GetSettings():
                return Done(id=command.id, result=settings_text(self._settings))
            case SetSetting(name=name, text=None):
                await self._change_settings(lambda settings: reset_setting(settings, name))
            case SetSetting(name=name, text=str(text)):
                await self._change_settings(lambda settings: set_setting(settings, name, text))
            case Subscribe(topics=topics):
                peer.topics = topics
                peer.cancel_work()
                if topics.status:
                    peer.post(StatusChanged(status=self.status()))
                if topics.swarm and self._servers is not None:
                    peer.post(self._servers)
                if topics.chats:
                    peer.do(self._owner.forward(peer))
                if topics.logs:
                    peer.do(self._forward_log(peer))
            case ChatCommand(action=action, arguments=arguments):
                return Done(id=command.id, result=await self._owner.commands.run(action, arguments))
        await self._keep_wish()
        return Done(id=command.id, result=self.status().model_dump(mode="json"))

    async def _forward_log(self, peer: Peer) -> None:
        """Sends what was logged and what will be; a client that is slower than the log misses lines of it."""
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[LogRecord] = asyncio.Queue(_UNSENT_LINES)

        def put(record: LogRecord) -> None:
            with contextlib.suppress(asyncio.QueueFull):
                lines.put_nowait(record)

        def take(record: LogRecord) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(put, record)

        with contextlib.suppress(ConnectionError), self._log.listening(take) as remembered:
            for record in remembered:
                await peer.send(LogLine(**dataclasses.asdict(record)))
            while True:
                await peer.send(LogLine(**dataclasses.asdict(await lines.get())))

    # Signals

    def _catch_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self._on_signal, number)
            except NotImplementedError:  # Windows: its loops have no signal handlers
                signal.signal(number, lambda caught, _: loop.call_soon_threadsafe(self._on_signal, caught))

    def _on_signal(self, number: int) -> None:
        """SIGTERM: goodbye, and a while for the open sessions. SIGINT: once, as long as they need; twice, no time at
        all; three times, the process ends where it stands.
        """
        self._signal = self._signal or number
        how = Leaving.QUIT
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 2:
                os._exit(128 + number)
            how = Leaving.FINISH if self._interrupts == 1 else Leaving.NOW
        self._change(machine.quit_worker(self._lifecycle, how))


def serve_options(settings: Settings, chosen: Mapping[str, Any], data_dir: Path) -> ServeOptions:
    """What is chosen for this process, else what the owner's settings say, else the defaults."""
    fields = {name: value for name, value in dataclasses.asdict(settings.serving).items() if value not in (None, ())}
    if "identity_file" in fields:
        fields["identity_file"] = Path(fields["identity_file"]).expanduser()
    limits = budgets(settings.limits)
    fields |= {
        "threads": limits.threads,
        "disk_bytes": limits.disk_bytes,
        "upload_bytes_per_s": limits.upload_bytes_per_s,
    }
    lists = settings.swarm
    fields["peers"] = PeerLists(frozenset(lists.allow_peers), frozenset(lists.deny_peers))
    fields |= {"ram_bytes": limits.ram_bytes, "vram_bytes": limits.vram_bytes}
    private_swarm = chosen.get("private_swarm", fields.get("private_swarm"))
    if private_swarm is not None:
        fields |= _private(data_dir, private_swarm)
    fields |= chosen
    model = fields.pop("model", EMBEDDED_MODEL)
    return ServeOptions(model=model, data_dir=data_dir, **fields)


def _private(data_dir: Path, name: str) -> dict[str, Any]:
    """What serving in a private swarm means: its key, its model, and the way in.

    A member that finds nobody there begins alone: the others know its address, or learn it from those who do.
    """
    swarm = load_swarm(data_dir, name)
    given = {"model": swarm.model, "revision": swarm.revision, "dht_prefix": swarm.dht_prefix}
    return {field: value for field, value in given.items() if value is not None} | {
        "swarm_key": swarm.key,
        "peers_name": swarm.peers_name,
        "initial_peers": swarm.addresses,
        "new_swarm": not swarm.addresses,
    }


def _is_the_owners(error: UserError) -> bool:
    """Whether only the owner can mend it: to start again would give the same."""
    return error.exit_code in (ExitCode.BAD_CONFIGURATION, ExitCode.NO_PERMISSION, ExitCode.FAILURE)
