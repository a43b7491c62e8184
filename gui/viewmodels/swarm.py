"""The swarm as the worker saw it last: who serves which blocks, what is missing, and which server is looked at."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from PySide6.QtCore import QObject, Signal

from gui import words
from gui.viewmodels.block_coverage import (
    Health,
    Run,
    health,
    missing_in_words,
    replicas,
    runs,
    spans_in_words,
    thin_in_words,
)
from gui.viewmodels.server_table import Column, Server, ServerTable, arranged, matches
from gui.viewmodels.worker import WorkerViewModel
from gui.worker_link import Connection, WorkerLink
from volunteer.control.lifecycle import State
from volunteer.control.messages import Status, SwarmChanged, SwarmServer


class Situation(StrEnum):
    """What the page has to show."""

    NO_WORKER = "no worker"
    AWAY = "away"
    """Paused or failed, and nothing was seen of the swarm before."""
    LOOKING = "looking"
    SEEN = "seen"


class SwarmViewModel(QObject):
    changed = Signal()
    selected = Signal()

    def __init__(
        self, link: WorkerLink, worker: WorkerViewModel, parent: QObject, *, now_s: Callable[[], float] = time.time
    ) -> None:
        super().__init__(parent)
        self._worker = worker
        self._now_s = now_s
        self._seen: SwarmChanged | None = None
        self._seen_model = ""
        self._own: tuple[str | None, tuple[int, int] | None, State | None] = (None, None, None)
        self.seen_s: float | None = None
        self.servers: tuple[Server, ...] = ()
        self.num_blocks = 0
        self.counts: tuple[int, ...] = ()
        """How many servers hold each block."""
        self.runs: tuple[Run, ...] = ()
        self.health = Health.UNKNOWN
        self.wanted = ""
        """What the rows are searched for."""
        self.order = (Column.MAP, False)
        self.selected_id: str | None = None
        self.table = ServerTable(self)
        link.swarm_changed.connect(self._see)
        worker.changed.connect(self._follow_worker)
        self._follow_worker()

    # What is shown

    @property
    def model(self) -> str:
        """Without the folder or the account that it is kept under."""
        status = self._worker.status
        name = status.model if status is not None and status.model else self._seen_model
        return words.model(name) if name else ""

    @property
    def situation(self) -> Situation:
        if self.servers:
            return Situation.SEEN
        status = self._worker.status
        if status is None or self._worker.connection is not Connection.CONNECTED:
            return Situation.NO_WORKER
        if status.state in (State.PAUSED, State.FAILED, State.STOPPED):
            return Situation.AWAY
        return Situation.LOOKING

    @property
    def is_current(self) -> bool:
        """False: the worker has left the swarm, and this is what it saw last."""
        status = self._worker.status
        return (
            status is not None
            and self._worker.connection is Connection.CONNECTED
            and status.state not in (State.PAUSED, State.FAILED, State.STOPPED)
        )

    @property
    def headline(self) -> str:
        match self.health:
            case Health.HEALTHY:
                return self.tr("{model} is healthy").format(model=self.model)
            case Health.THIN:
                return self.tr("{model} works, and hangs by a thread").format(model=self.model)
            case Health.BROKEN:
                return self.tr("{model} is broken").format(model=self.model)
        return self.model

    @property
    def why(self) -> str:
        """In sentences, the worst first."""
        if self.health is Health.HEALTHY:
            return self.tr("Each of its {blocks} blocks is held by two servers or more.").format(blocks=self.num_blocks)
        said = [missing_in_words(self.runs), thin_in_words(self.runs), self._coming()]
        return " ".join(sentence for sentence in said if sentence)

    @property
    def totals(self) -> str:
        online = sum(server.is_online for server in self.servers)
        if online == 1:
            return self.tr("1 server, {blocks} blocks").format(blocks=self.num_blocks)
        return self.tr("%n servers, {blocks} blocks", "", online).format(blocks=self.num_blocks)

    @property
    def own(self) -> Server | None:
        return next((server for server in self.servers if server.is_own), None)

    @property
    def selected_server(self) -> Server | None:
        return next((server for server in self.servers if server.peer_id == self.selected_id), None)

    def _coming(self) -> str:
        """Of the blocks that nobody serves, those that somebody is loading."""
        spans = [(each.start, each.end) for each in self.servers if each.state == "joining"]
        loading = replicas(spans, self.num_blocks)
        is_coming = [bool(load) and not held for held, load in zip(self.counts, loading, strict=True)]
        coming = [run for run in runs(is_coming) if run.level]
        if not coming:
            return ""
        if all(each.is_own for each in self.servers if each.state == "joining"):
            return self.tr("This computer is loading {blocks}.").format(blocks=spans_in_words(coming))
        return self.tr("Somebody is loading {blocks}.").format(blocks=spans_in_words(coming))

    # What is done

    def find(self, wanted: str) -> None:
        if wanted != self.wanted:
            self.wanted = wanted
            self._arrange()
            self.changed.emit()

    def arrange_by(self, column: Column, *, descending: bool) -> None:
        self.order = (column, descending)
        self._arrange()
        self.changed.emit()

    def select(self, peer_id: str | None) -> None:
        if peer_id != self.selected_id:
            self.selected_id = peer_id
            self.selected.emit()

    # What comes in

    def _see(self, seen: SwarmChanged) -> None:
        self._seen = seen
        self.seen_s = self._now_s()
        status = self._worker.status
        self._seen_model = status.model if status is not None else self._seen_model
        self._rebuild()

    def _follow_worker(self) -> None:
        status = self._worker.status
        if status is not None and self._seen is not None and status.model and status.model != self._seen_model:
            self._seen, self.seen_s = None, None  # it serves another model now
        own = (None, None, None) if status is None else (status.peer_id, status.blocks, status.state)
        if own != self._own or self._seen is None:
            self._own = own
            self._rebuild()
        else:
            self.changed.emit()

    def _rebuild(self) -> None:
        seen = self._seen
        self.servers = () if seen is None else _with_own(tuple(map(self._server, seen.servers)), self._worker.status)
        self.num_blocks = 0 if seen is None else seen.num_blocks or max((each.end for each in self.servers), default=0)
        self.counts = replicas(((each.start, each.end) for each in self.servers if each.is_online), self.num_blocks)
        self.runs = runs(self.counts)
        self.health = health(self.counts)
        self._arrange()
        self.changed.emit()

    def _server(self, told: SwarmServer) -> Server:
        is_own = told.peer_id == self._own[0]
        name = told.public_name or ""
        return Server(told.peer_id, told.start, told.end, told.state, told.throughput, name, told.using_relay, is_own)

    def _arrange(self) -> None:
        column, descending = self.order
        found = [server for server in self.servers if matches(server, self.wanted)]
        self.table.show_servers(arranged(found, column, descending=descending))


def _with_own(servers: tuple[Server, ...], status: Status | None) -> tuple[Server, ...]:
    """The swarm is looked at every half minute: until then, this computer is what its worker says that it is."""
    if status is None or status.peer_id is None or status.blocks is None:
        return servers
    seen = next((server for server in servers if server.is_own), Server(status.peer_id, 0, 0, "", 0.0, is_own=True))
    start, end = status.blocks
    state = {State.SERVING: "online", State.DRAINING: "offline"}.get(status.state, "joining")
    own = seen._replace(start=start, end=end, state=state)
    return (own, *(server for server in servers if not server.is_own))
