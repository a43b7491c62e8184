"""The servers of a swarm as a table: own one first, found by name or by a block that they hold, in a chosen order."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from PySide6.QtCore import QAbstractTableModel, QCoreApplication, QModelIndex, QObject, QPersistentModelIndex, Qt

from gui import words
from gui.viewmodels.block_coverage import span_in_words

translate = QCoreApplication.translate
AnyIndex = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


class Server(NamedTuple):
    """One row. A named tuple: ten thousand of them are made in one go, in a fifth of the time of a frozen dataclass."""

    peer_id: str
    start: int
    end: int
    """The end is not part of it."""
    state: str
    tokens_per_s: float
    """By its own word."""
    name: str = ""
    using_relay: bool | None = None
    is_own: bool = False

    @property
    def title(self) -> str:
        if self.is_own:
            return own_title()
        return self.name or words.peer(self.peer_id)

    @property
    def blocks(self) -> str:
        return span_in_words(self.start, self.end)

    @property
    def is_online(self) -> bool:
        return self.state == "online"

    @property
    def state_in_words(self) -> str:
        return states_in_words().get(self.state, self.state)

    @property
    def way_in_words(self) -> str:
        return ways_in_words()[self.using_relay]

    @property
    def speed_in_words(self) -> str:
        return translate("Servers", "{number} tokens/s").format(number=words.short_number(self.tokens_per_s))

    def in_words(self) -> str:
        """One line with all that a row shows."""
        return translate("Servers", "{title}, blocks {blocks}, {state}, {speed}, {way}").format(
            title=self.title,
            blocks=self.blocks,
            state=self.state_in_words,
            speed=self.speed_in_words,
            way=self.way_in_words,
        )


def own_title() -> str:
    return translate("Servers", "This computer")


def states_in_words() -> dict[str, str]:
    """By what records call them."""
    return {
        "online": translate("Servers", "serving"),
        "joining": translate("Servers", "loading its blocks"),
        "offline": translate("Servers", "leaving"),
    }


def ways_in_words() -> dict[bool | None, str]:
    """By whether a relay is used; None where the record does not say."""
    return {
        None: translate("Servers", "not told"),
        True: translate("Servers", "over a relay"),
        False: translate("Servers", "direct"),
    }


class Column(IntEnum):
    SERVER = 0
    MAP = 1
    SPEED = 2
    WAY = 3


SERVER_ROLE = Qt.ItemDataRole.UserRole


def matches(server: Server, wanted: str) -> bool:
    """By a part of its name or peer id; a number finds who holds that block."""
    wanted = wanted.strip().lower()
    if not wanted:
        return True
    if wanted.isdecimal() and len(wanted) < 6:
        return server.start <= int(wanted) < server.end
    return wanted in server.title.lower() or wanted in server.peer_id.lower()


def arranged(servers: Sequence[Server], column: Column, *, descending: bool) -> list[Server]:
    """In the order of a column; the own one first whatever it is, and equals by their blocks."""

    def key(server: Server) -> tuple[Any, ...]:
        place = (server.start, server.end, server.peer_id)
        match column:
            case Column.SERVER:
                return (server.title.lower(), place)
            case Column.SPEED:
                return (server.tokens_per_s, place)
            case Column.WAY:
                return (server.state, server.way_in_words, place)
        return place

    ordered = sorted(servers, key=key, reverse=descending)
    return sorted(ordered, key=lambda server: not server.is_own)


class ServerTable(QAbstractTableModel):
    """Rows for a view that draws only those in sight, so that thousands of them cost nothing."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._servers: list[Server] = []

    def show_servers(self, servers: list[Server]) -> None:
        """The same servers in the same order keep the view where it is."""
        if [each.peer_id for each in servers] == [each.peer_id for each in self._servers]:
            if servers != self._servers:
                self._servers = servers
                self.dataChanged.emit(self.index(0, 0), self.index(len(servers) - 1, len(Column) - 1))
            return
        self.beginResetModel()
        self._servers = servers
        self.endResetModel()

    def server(self, row: int) -> Server | None:
        return self._servers[row] if 0 <= row < len(self._servers) else None

    def row_of(self, peer_id: str | None) -> int | None:
        for row, server in enumerate(self._servers):
            if server.peer_id == peer_id:
                return row
        return None

    def rowCount(self, parent: AnyIndex = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._servers)

    def columnCount(self, parent: AnyIndex = _ROOT) -> int:
        return 0 if parent.isValid() else len(Column)

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        server = self.server(index.row())
        if server is None:
            return None
        column = Column(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return _shown(server, column)
            case Qt.ItemDataRole.AccessibleTextRole if column is Column.MAP:
                return translate("Servers", "blocks {blocks}").format(blocks=server.blocks)
            case Qt.ItemDataRole.AccessibleTextRole:
                return _shown(server, column)
            case Qt.ItemDataRole.ToolTipRole:
                return f"{server.in_words()}\n{server.peer_id}"
            case Qt.ItemDataRole.TextAlignmentRole if column is Column.SPEED:
                return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            case role if role == SERVER_ROLE:
                return server
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal:
            return None
        column = Column(section)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            is_number = column is Column.SPEED
            return (Qt.AlignmentFlag.AlignRight if is_number else Qt.AlignmentFlag.AlignLeft) | (
                Qt.AlignmentFlag.AlignVCenter
            )
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return {
            Column.SERVER: translate("Servers", "Server"),
            Column.MAP: translate("Servers", "Blocks"),
            Column.SPEED: translate("Servers", "Tokens/s"),
            Column.WAY: translate("Servers", "Connection"),
        }[column]


def _shown(server: Server, column: Column) -> str:
    match column:
        case Column.SERVER:
            return server.title
        case Column.MAP:
            return ""  # drawn
        case Column.SPEED:
            return words.short_number(server.tokens_per_s)
        case Column.WAY:
            return server.way_in_words if server.is_online else server.state_in_words
