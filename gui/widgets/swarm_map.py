"""The swarm as a picture: replicas of each block on top, and below them each server with its span as a bar."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from gui import theme
from gui.viewmodels.swarm import SwarmViewModel
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.replica_strip import ReplicaStrip
from gui.widgets.server_view import ServerView

_SWATCH_PX = 12

Look = Literal["bad", "warn", "good", "accent"]


class SwarmMap(QWidget):
    def __init__(self, swarm: SwarmViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._swarm = swarm
        self.strip = ReplicaStrip(self)
        self.strip.chosen.connect(lambda block: swarm.find(str(block)))
        self.read_out = theme.role(QLabel(self), "secondary")
        self.read_out.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.strip.read.connect(self.read_out.setText)
        self.table = ServerView(swarm, self)
        self.table.track_moved.connect(self.strip.set_track)
        below = QHBoxLayout()
        below.setSpacing(theme.M)
        below.addWidget(self._legend(), 1)
        below.addWidget(self.read_out)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.S)
        column.addWidget(self.strip)
        column.addLayout(below)
        column.addWidget(self.table, 1)
        swarm.changed.connect(self._show)
        self._show()

    def _legend(self) -> QWidget:
        legend = QWidget(self)
        looks: dict[Look, str] = {
            "bad": self.tr("nobody"),
            "warn": self.tr("one server"),
            "good": self.tr("two or more"),
            "accent": self.tr("this computer"),
        }
        row = FlowLayout(legend, spacing=theme.M)
        for look, text in looks.items():
            row.addWidget(_LegendItem(look, text, legend))
        return legend

    def _show(self) -> None:
        own = self._swarm.own
        self.strip.show_counts(self._swarm.counts, range(0) if own is None else range(own.start, own.end))
        self.table.show_runs(self._swarm.num_blocks, self._swarm.runs)


class _LegendItem(QWidget):
    def __init__(self, look: Look, text: str, parent: QWidget) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.XS + 2)
        row.addWidget(_Swatch(look, self))
        row.addWidget(theme.role(QLabel(text, self), "secondary"))


class _Swatch(QWidget):
    """As the strip draws it: the pattern and the height count as much as the colour."""

    def __init__(self, look: Look, parent: QWidget) -> None:
        super().__init__(parent)
        self._look = look
        self.setFixedSize(QSize(_SWATCH_PX, _SWATCH_PX))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        now = theme.current()
        area = QRectF(self.rect())
        painter.setPen(Qt.PenStyle.NoPen)
        match self._look:
            case "bad":
                painter.fillRect(area, QColor(theme.mixed(now.window, now.bad, 0.16)))
                painter.fillRect(area, QBrush(QColor(now.bad), Qt.BrushStyle.BDiagPattern))
            case "accent":
                painter.fillRect(QRectF(0, area.height() - 4, area.width(), 4), QColor(now.accent))
            case look:
                share = 0.3 if look == "warn" else 0.75
                painter.fillRect(area, QColor(theme.mixed(now.window, now.outline, 0.14)))
                color = QColor(now.warn if look == "warn" else now.good)
                painter.fillRect(QRectF(0, area.height() * (1 - share), area.width(), area.height() * share), color)
        painter.end()
