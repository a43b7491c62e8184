"""All that is known of one server, below the map."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from gui import theme
from gui.viewmodels.server_table import Server
from gui.viewmodels.swarm import SwarmViewModel
from gui.widgets.card import Card
from gui.widgets.icon_button import IconButton


class ServerDetails(Card):
    """Hidden while no server is looked at."""

    def __init__(self, swarm: SwarmViewModel, parent: QWidget) -> None:
        super().__init__("", parent)
        self._swarm = swarm
        self.facts = self._selectable("body")
        self.peer = self._selectable("secondary")
        self.copy = IconButton("copy", self.tr("Copy the peer id"), self._copy, self)
        self.close_details = IconButton("close", self.tr("Close the details"), lambda: swarm.select(None), self)
        self.actions.addWidget(self.close_details)
        row = QHBoxLayout()
        row.setSpacing(theme.XS)
        row.addWidget(self.peer, 1)
        row.addWidget(self.copy)
        self.body.setSpacing(0)
        self.body.addWidget(self.facts)
        self.body.addLayout(row)
        swarm.selected.connect(self._show)
        swarm.changed.connect(self._show)
        self._show()

    def _selectable(self, role: theme.Role) -> QLabel:
        label = theme.role(QLabel(self), role)
        label.setWordWrap(True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label

    def _show(self) -> None:
        server = self._swarm.selected_server
        self.setVisible(server is not None)
        if server is not None:
            self.set_title(server.title)
            self.facts.setText(" · ".join(self._facts(server)))
            self.peer.setText(server.peer_id)

    def _facts(self, server: Server) -> tuple[str, ...]:
        num_blocks = server.end - server.start
        held = self.tr("block {blocks}") if num_blocks == 1 else self.tr("blocks {blocks} (%n)", "", num_blocks)
        return (
            server.state_in_words,
            held.format(blocks=server.blocks),
            self.tr("{speed} by its own word").format(speed=server.speed_in_words),
            self.tr("connection: {way}").format(way=server.way_in_words),
        )

    def _copy(self) -> None:
        server = self._swarm.selected_server
        if server is not None:
            QGuiApplication.clipboard().setText(server.peer_id)
