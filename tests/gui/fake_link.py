"""A worker link without a worker: keeps what was asked, and lets a test answer and say what the worker would say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Signal

from gui.worker_link import Connection
from volunteer.control.lifecycle import State
from volunteer.control.messages import ChatCommand, Command, Status
from volunteer.errors import UserError


@dataclass
class Asked:
    """A command on its way to the worker."""

    command: Command
    done: Callable[[Any], None]
    refused: Callable[[str], None]


def _nothing(_: Any) -> None:
    pass


class FakeLink(QObject):
    """The names of WorkerLink. Work aside is done at once, in the same thread."""

    status_changed = Signal(object)
    swarm_changed = Signal(object)
    logged = Signal(object)
    chat_happened = Signal(object)
    sampled = Signal(object)
    connection_changed = Signal()

    def __init__(self, data_dir: Path, parent: QObject | None = None, connection: Connection = Connection.CONNECTED):
        # Never left to Python's garbage collector, which takes view-models and their parent in no order: that crashes.
        super().__init__(parent or QCoreApplication.instance())
        self.data_dir = data_dir
        self.connection = connection
        self.connection_reason = ""
        self.restart_delay_s: float | None = None
        self.asked: list[Asked] = []
        self.wants_logs = False
        self.has_quit = False
        self.was_hurried = False
        self.starts = 0

    @property
    def sent(self) -> list[Command]:
        return [each.command for each in self.asked]

    def start(self) -> None:
        self.starts += 1
        self.become(Connection.STARTING)

    def give_up(self, reason: str) -> None:
        self.become(Connection.GAVE_UP, reason)

    def send(
        self, command: Command, done: Callable[[Any], None] = _nothing, refused: Callable[[str], None] = _nothing
    ) -> None:
        if self.connection is not Connection.CONNECTED:
            refused("No worker is running.")
            return
        self.asked.append(Asked(command, done, refused))

    def chat(
        self,
        action: str,
        arguments: dict[str, Any],
        done: Callable[[Any], None] = _nothing,
        refused: Callable[[str], None] = _nothing,
    ) -> None:
        self.send(ChatCommand(action=action, arguments=arguments), done, refused)

    def run_aside(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None] = _nothing,
        failed: Callable[[str], None] = _nothing,
    ) -> None:
        try:
            result = work()
        except UserError as error:
            failed(str(error))
        else:
            done(result)

    def want_logs(self, wanted: bool) -> None:
        self.wants_logs = wanted

    def quit_worker(self, done: Callable[[], None]) -> None:
        self.has_quit = True
        self.become(Connection.ENDED)
        done()

    def hurry_worker(self) -> None:
        self.was_hurried = True

    def close(self) -> None:
        pass

    # What a test says.

    def answer(self, result: Any = None, number: int = -1) -> None:
        """Answers one of the commands, the last if not told which; it stays in the list."""
        self.asked[number].done(result)

    def refuse(self, text: str, number: int = -1) -> None:
        self.asked[number].refused(text)

    def become(self, connection: Connection, reason: str = "", restart_delay_s: float | None = None) -> None:
        self.connection = connection
        self.connection_reason = reason
        self.restart_delay_s = restart_delay_s
        self.connection_changed.emit()

    def say(self, **status: Any) -> Status:
        """Sends a status; what is not named is as in a worker that serves."""
        said = Status(**({"state": State.SERVING, "model": "bigscience/bloom", "num_blocks": 70} | status))
        self.status_changed.emit(said)
        return said
