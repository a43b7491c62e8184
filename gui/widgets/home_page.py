"""The first page: how it is, what this computer gives, and the one thing that can be done about it."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtGui import QGuiApplication, QHideEvent, QShowEvent
from PySide6.QtWidgets import QLabel, QWidget

from gui import theme
from gui.viewmodels.home import HomeViewModel
from gui.viewmodels.home_words import BlockFacts
from gui.widgets.amount_card import AmountCard
from gui.widgets.block_strip import BlockStrip
from gui.widgets.card import Card
from gui.widgets.deed_buttons import SplitButton
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.gpu_card import ComputerCard, GpuCard
from gui.widgets.page import Page
from gui.widgets.sparkline import Sparkline
from gui.widgets.state_card import StateCard

_COLUMN_PX = 216
_REFRESH_MS = 5000
"""For "3 s ago", and for what only this process reads of the machine."""
_LONGEST_GAP_S = 35.0


class HomePage(Page):
    def __init__(self, home: HomeViewModel, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Home"), parent)
        self._home = home
        self.pause = SplitButton(self.tr("More ways to pause"), self)
        self.actions.addWidget(self.pause)
        self.state = StateCard(home, self)
        self.now = AmountCard(self.tr("Now"), self)
        self._spark = Sparkline(self.tr("Tokens a second over the last half hour"), self.now)
        self.now.body.addStretch(1)
        self.now.body.addWidget(self._spark)
        self.given = AmountCard(self.tr("Given today"), self)
        self.given.body.addStretch(1)
        self.network = AmountCard(self.tr("Network"), self)
        self.network.body.addStretch(1)
        self.computer = ComputerCard(self)
        self.gpus: list[GpuCard] = []
        self.blocks = BlocksCard(self)
        self._cards = QWidget(self)
        self._flow = FlowLayout(self._cards, spacing=theme.M, column_px=_COLUMN_PX, fills_rows=True)
        for card in (self.now, self.given, self.computer, self.network):
            self._flow.addWidget(card)
        for widget in (self.state, self._cards, self.blocks):
            self.body.addWidget(widget)
        self._timer = QTimer(self)
        self._timer.setInterval(_REFRESH_MS)
        self._timer.timeout.connect(self._refresh)
        home.changed.connect(self._show)
        home.report_made.connect(_to_clipboard)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._timer.start()
        self._refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        self._timer.stop()
        super().hideEvent(event)

    def _refresh(self) -> None:
        if not self._home.gpus:
            self._home.machine.look()
        self._show()

    def _show(self) -> None:
        if not self.isVisible():
            return
        home = self._home
        self.pause.show_deeds(home.ways_to_pause)
        self.state.show_state()
        self.now.show_amount(home.now)
        points, window_s = home.spark
        self._spark.show_points(points, window_s, _LONGEST_GAP_S)
        self.given.show_amount(home.given)
        self.network.show_amount(home.network)
        self._show_gpus()
        self.blocks.show_blocks(home.blocks)

    def _show_gpus(self) -> None:
        facts = self._home.gpus
        while len(self.gpus) > len(facts):
            card = self.gpus.pop()
            self._flow.removeWidget(card)
            card.deleteLater()
        while len(self.gpus) < len(facts):
            card = GpuCard(self._cards)
            self.gpus.append(card)
            self._flow.addWidget(card)
            # The network stays last.
            self._flow.removeWidget(self.network)
            self._flow.addWidget(self.network)
        for card, gpu in zip(self.gpus, facts, strict=True):
            card.show_gpu(gpu)
        self.computer.setVisible(not facts)
        if not facts:
            self.computer.show_reading(self._home.machine.reading)


class BlocksCard(Card):
    """Which part of the model is held here; the first card says why that one."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("", parent)
        self.strip = BlockStrip(self)
        self.first = theme.role(QLabel(self), "secondary")
        self.first.setWordWrap(True)
        self.first.setText(
            self.tr(
                "A model is a chain of blocks, and each computer holds a few in a row. Which ones this computer "
                "holds is chosen when it starts to serve: those that the swarm needs most."
            )
        )
        self.body.addWidget(self.strip)
        self.body.addWidget(self.first)
        self.show_blocks(None)

    def show_blocks(self, blocks: BlockFacts | None) -> None:
        self.strip.setVisible(blocks is not None)
        self.first.setVisible(blocks is None)
        if blocks is None:
            self.set_title(self.tr("Blocks"))
            return
        self.set_title(blocks.title)
        self.strip.show_blocks(blocks.num_blocks, blocks.own, are_served=blocks.are_served, in_words=blocks.in_words)


def _to_clipboard(text: str) -> None:
    QGuiApplication.clipboard().setText(text)
