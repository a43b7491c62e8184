"""Whom to ask: everybody who serves, or chosen servers alone."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from gui import theme, words
from gui.viewmodels.server_table import Server
from gui.widgets.plain_tip import plain_tip

_MOST_LISTED = 200
_MOST_CHOSEN = 64
"""As many as the worker takes."""
_LIST_PX = 150


class ServerChoice(QWidget):
    changed = Signal()

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self._servers: tuple[Server, ...] = ()
        self._chosen: tuple[str, ...] = ()
        self._shown: object = None
        """What the list was filled with: it is not filled anew under the hand of whoever chooses in it."""
        self.only = QCheckBox(self.tr("Ask chosen servers alone"))
        self.only.toggled.connect(self._toggle)
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Servers to ask"))
        self.list.setFixedHeight(_LIST_PX)
        self.list.itemChanged.connect(self._take_item)
        note = self.tr("Together they must hold all blocks of the model; otherwise answers wait for a route.")
        self.note = theme.role(QLabel(note), "secondary")
        self.note.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, theme.XS, 0, 0)
        column.setSpacing(theme.XS)
        column.addWidget(self.only)
        column.addWidget(self.list)
        column.addWidget(self.note)
        self._show()

    def chosen(self) -> tuple[str, ...]:
        """Empty for everybody."""
        return self._chosen if self.only.isChecked() else ()

    def show_servers(self, servers: Sequence[Server]) -> None:
        if tuple(servers) != self._servers:
            self._servers = tuple(servers)
            self._show()

    def show_chosen(self, peers: tuple[str, ...]) -> None:
        self._chosen = peers
        self.only.setChecked(bool(peers))
        self._show()

    def _toggle(self) -> None:
        self._show()
        self.changed.emit()

    def _take_item(self, item: QListWidgetItem) -> None:
        peer_id = item.data(Qt.ItemDataRole.UserRole)
        others = tuple(each for each in self._chosen if each != peer_id)
        is_chosen = item.checkState() is Qt.CheckState.Checked
        self._chosen = (*others, peer_id)[-_MOST_CHOSEN:] if is_chosen else others
        self.changed.emit()

    def _show(self) -> None:
        is_used = self.only.isChecked()
        self.list.setVisible(is_used)
        self.note.setVisible(is_used)
        lines = self._lines()
        if not is_used or (lines, set(self._chosen)) == self._shown:
            return
        self._shown = lines, set(self._chosen)
        current = self.list.currentItem()
        current_id = None if current is None else current.data(Qt.ItemDataRole.UserRole)
        self.list.blockSignals(True)
        self.list.clear()
        for peer_id, text in lines:
            item = QListWidgetItem(text, self.list)
            item.setData(Qt.ItemDataRole.UserRole, peer_id)
            item.setToolTip(plain_tip(peer_id))
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if peer_id in self._chosen else Qt.CheckState.Unchecked)
            if peer_id == current_id:
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)

    def _lines(self) -> list[tuple[str, str]]:
        known = {
            server.peer_id: f"{server.title}: {words.blocks(server.start, server.end)}"
            for server in self._servers[:_MOST_LISTED]
        }
        gone = {peer_id: self.tr("{name}, not seen now") for peer_id in self._chosen if peer_id not in known}
        lines = [(peer_id, text.format(name=words.peer(peer_id))) for peer_id, text in gone.items()]
        return [*known.items(), *lines]
