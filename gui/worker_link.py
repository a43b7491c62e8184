"""The window's end of the control channel: what the worker says becomes Qt signals, what the window asks, commands.

What happens in the thread that talks to the worker is put in a list, which the GUI thread empties at most sixty times a
second: a worker that talks fast never fills the event loop. QtCore only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import shiboken6
from PySide6.QtCore import QCoreApplication, QObject, Qt, Signal

from gui.worker_side import Became, Connection, Happening, WorkerSide, newest
from volunteer.control.messages import ChatCommand, ChatEvent, Command, SampleTaken, StatusChanged, SwarmChanged
from volunteer.errors import UserError
from volunteer.local_swarm import program_command

__all__ = ["Connection", "WorkerLink", "worker_command"]

T = TypeVar("T")

_BATCH_S = 1 / 60
_END_S = 10.0
"""For what still runs when the window ends; most of it ends at once."""

logger = logging.getLogger(__name__)


def _nothing(_: Any) -> None:
    pass


def worker_command(data_dir: Path, options: Sequence[str] = ()) -> list[str]:
    """This program in the role of the worker.

    Args:
        options: of serving, as on a command line.
    """
    return [*program_command(), *options, "--data-dir", str(data_dir), "worker"]


class WorkerLink(QObject):
    """
    Args:
        command: starts the worker; None for this program's own.
        environment: of the worker; None for this process's own.

    Attributes:
        connection_reason: why, in a sentence, where the worker is not as it should be.
        restart_delay_s: while RESTARTING, from that moment until the next try.
    """

    status_changed = Signal(object)
    swarm_changed = Signal(object)
    logged = Signal(object)
    chat_happened = Signal(object)
    sampled = Signal(object)
    connection_changed = Signal()
    _woken = Signal()

    def __init__(
        self,
        data_dir: Path,
        parent: QObject | None,
        *,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ):
        super().__init__(parent)
        self.data_dir = data_dir
        self.connection = Connection.OFF
        self.connection_reason = ""
        self.restart_delay_s: float | None = None
        self._happened: list[Happening] = []
        self._lock = threading.Lock()
        self._woken.connect(self._empty, Qt.ConnectionType.QueuedConnection)
        self._loop = asyncio.new_event_loop()
        self._running: set[asyncio.Task[None]] = set()
        self._side = WorkerSide(command or worker_command(data_dir), data_dir, self._post, environment)
        self._thread = threading.Thread(target=self._run_loop, name="worker link", daemon=True)
        self._thread.start()

    # From the GUI thread.

    def start(self) -> None:
        """From now on a worker is wanted: one is found or started, and started again when it dies."""
        if self.connection in (Connection.OFF, Connection.GAVE_UP, Connection.ENDED):
            self._become(Became(Connection.STARTING))
            self._do(self._side.start())

    def give_up(self, reason: str) -> None:
        """Says that no worker is started, and why, where something fails that has to be done before."""
        self._become(Became(Connection.GAVE_UP, reason))

    def send(
        self, command: Command, done: Callable[[Any], None] = _nothing, refused: Callable[[str], None] = _nothing
    ) -> None:
        """Asks the worker. `done` gets the result as plain JSON, `refused` a sentence; one of them, in this thread."""
        self._do(self._side.send(command, done, refused))

    def chat(
        self,
        action: str,
        arguments: dict[str, Any],
        done: Callable[[Any], None] = _nothing,
        refused: Callable[[str], None] = _nothing,
    ) -> None:
        """Asks the chat service."""
        self.send(ChatCommand(action=action, arguments=arguments), done, refused)

    def run_aside(
        self, work: Callable[[], T], done: Callable[[T], None] = _nothing, failed: Callable[[str], None] = _nothing
    ) -> None:
        """Does blocking work in a thread of its own and tells the outcome in this one."""

        def run() -> None:
            try:
                result = work()
            except Exception as error:
                self._post(partial(failed, _in_words(error)))
            else:
                self._post(partial(done, result))

        # A thread for each, and a daemon: work is rare, and what hangs on a driver or a dead disk must hold up
        # neither other work nor the end of the program.
        threading.Thread(target=run, name="aside", daemon=True).start()

    def want_logs(self, wanted: bool) -> None:
        """Has lines of the log sent only while somebody reads them."""
        self._do(self._side.subscribe(wants_logs=wanted))

    def quit_worker(self, done: Callable[[], None]) -> None:
        """Tells the worker to end, sees to it that its process has, then calls `done`. It is not started again."""
        self._do(self._side.quit(done))

    def hurry_worker(self) -> None:
        """Ends the worker at once, for whoever does not want to wait for its goodbye."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._side.hurry)

    def close(self) -> None:
        """Ends the thread. A worker that runs goes on: `quit_worker` first where it should not."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _empty(self) -> None:
        with self._lock:
            happened, self._happened = self._happened, []
        for happening in newest(happened):
            match happening:
                case list(lines):
                    self.logged.emit(lines)
                case StatusChanged(status=status):
                    self.status_changed.emit(status)
                case SwarmChanged():
                    self.swarm_changed.emit(happening)
                case SampleTaken(sample=sample):
                    self.sampled.emit(sample)
                case ChatEvent():
                    self.chat_happened.emit(happening)
                case Became():
                    self._become(happening)
                case call if callable(call):
                    self._call(call)

    @staticmethod
    def _call(call: Callable[[], None]) -> None:
        """A fault in what one page does with an answer must not cost others theirs."""
        if _is_for_nobody(call):
            return
        try:
            call()
        except Exception:
            logger.exception("An answer of the worker could not be shown")

    def _become(self, became: Became) -> None:
        self.connection = became.connection
        self.connection_reason = became.reason
        self.restart_delay_s = became.restart_delay_s
        self.connection_changed.emit()

    # From any thread.

    def _post(self, happening: Happening) -> None:
        with self._lock:
            self._happened.append(happening)
            if len(self._happened) > 1:
                return
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody listens any more
            self._loop.call_soon_threadsafe(self._loop.call_later, _BATCH_S, self._woken.emit)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._begin, work)
        else:
            work.close()  # nobody is there any more to hear the answer

    # In the loop's thread.

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        # Tasks of asyncio itself are let be: one that starts a process and is cancelled leaves others waiting for ever.
        own = {asyncio.current_task()}
        for task in self._running:
            task.cancel()
        await self._side.let_go()
        await self._loop.shutdown_asyncgens()
        if left := asyncio.all_tasks() - own:
            await asyncio.wait(left, timeout=_END_S)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Talking to the worker failed", exc_info=error)


def _is_for_nobody(call: Callable[[], None]) -> bool:
    """The one who asked has been deleted since, as a page is that was left."""
    asker = getattr(getattr(call, "func", call), "__self__", None)
    return isinstance(asker, QObject) and not shiboken6.isValid(asker)


def _in_words(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    logger.error("Work aside of the window failed", exc_info=error)
    return QCoreApplication.translate("WorkerLink", "This did not work, for a reason of the program's own.")
