"""Practice mode: a private swarm of two workers on this computer, with the model that comes with the program.

All of it is in a folder of its own and goes with it. The window looks at the first worker as it would at any.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject

from gui.worker_link import Connection, WorkerLink
from volunteer.control.messages import SetSetting, Status
from volunteer.control.supervisor import running_pid
from volunteer.local_swarm import child_environment, even_spans
from volunteer.settings import AppSettings, Limits, ServingSettings, Settings, save_settings

FOLDER = "practice"
_NUM_BLOCKS = 30
"""Of the model that comes with the program."""
_NAME = "practice"
_FIRST, _SECOND = "first", "second"
_LOOPBACK = "/ip4/127.0.0.1/tcp/0"


def practice_settings(app: AppSettings, span: tuple[int, int], initial_peers: tuple[str, ...]) -> Settings:
    """Of one of the two workers; without peers it starts the swarm."""
    start, end = span
    return Settings(
        serving=ServingSettings(
            dht_prefix=_NAME,
            blocks=f"{start}:{end}",
            new_swarm=not initial_peers,
            initial_peers=initial_peers,
            host_maddrs=(_LOOPBACK,),
        ),
        limits=Limits(serve_on_battery=True),
        # What the window wears is the same; and nobody but its owner reads along here.
        app=dataclasses.replace(app, consented=True, chat_notice_seen=True),
    )


def is_left_running(data_dir: Path) -> bool:
    """Whether a window that was killed while it practised has left a worker behind; blocks."""
    return any(_is_running(data_dir / FOLDER / name) for name in (_FIRST, _SECOND))


class Practice(QObject):
    """
    Args:
        data_dir: of the window; the practice folder is made in it.
        app: how the window looks.

    Attributes:
        link: to the worker that the window shows.
        settings: that this worker begins with.
    """

    def __init__(self, data_dir: Path, app: AppSettings, parent: QObject | None):
        super().__init__(parent)
        self._folder = data_dir / FOLDER
        self._app = app
        spans = even_spans(_NUM_BLOCKS, 2)
        self._second_span = spans[1]
        self.settings = practice_settings(app, spans[0], ())
        # Serving options in the environment are meant for the worker that serves others.
        environment = child_environment(None)
        self.link = WorkerLink(self._folder / _FIRST, self, environment=environment)
        self._second = WorkerLink(self._folder / _SECOND, self, environment=environment)
        self._meeting_place: tuple[str, ...] = ()
        self._is_over = False
        self.link.status_changed.connect(self._take_status)

    def start(self) -> None:
        self.link.run_aside(self._prepare, lambda _: self._begin(), self.link.give_up)

    def end(self, done: Callable[[], None]) -> None:
        """Ends both workers, deletes what they wrote, then calls `done`."""
        self._is_over = True
        running = {self.link, self._second}

        def ended(link: WorkerLink) -> None:
            running.discard(link)
            if not running:
                self._clean_up(done)

        for link in tuple(running):
            link.quit_worker(partial(ended, link))

    def hurry(self) -> None:
        """Ends both at once."""
        self.link.hurry_worker()
        self._second.hurry_worker()

    def close(self) -> None:
        """Ends the threads; the workers are to be gone by then."""
        self.link.close()
        self._second.close()

    def _prepare(self) -> None:
        """A worker that was left by a killed window is kept, and goes on with the settings that it has."""
        if not _is_running(self.link.data_dir):
            save_settings(self.link.data_dir, self.settings)

    def _begin(self) -> None:
        if not self._is_over:
            self.link.start()

    def _take_status(self, status: Status) -> None:
        """The second worker follows the first: to where it listens, which is another place after each start."""
        if not status.maddrs or status.maddrs == self._meeting_place or self._is_over:
            return
        self._meeting_place = status.maddrs
        if self._second.connection is Connection.CONNECTED:
            self._second.send(SetSetting(name="serving.initial_peers", text=",".join(status.maddrs)))
            return
        settings = practice_settings(self._app, self._second_span, status.maddrs)
        settings = dataclasses.replace(
            settings, serving=dataclasses.replace(settings.serving, model=self._model_folder(status.model))
        )
        self.link.run_aside(lambda: save_settings(self._second.data_dir, settings), lambda _: self._begin_second())

    def _begin_second(self) -> None:
        if not self._is_over:
            self._second.start()

    def _model_folder(self, model: str) -> str | None:
        """Where the first has unpacked the model, so that it is done once."""
        folder = self.link.data_dir / "models" / Path(model).name
        return str(folder) if (folder / "model.safetensors").is_file() else None

    def _clean_up(self, done: Callable[[], None]) -> None:
        self.link.run_aside(lambda: _delete(self._folder), lambda _: done(), lambda _: done())


def _is_running(data_dir: Path) -> bool:
    return asyncio.run(running_pid(data_dir)) is not None


def _delete(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
