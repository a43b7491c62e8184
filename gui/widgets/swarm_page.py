"""The Swarm page: who serves which blocks of the model, whether it is whole, and the private swarms."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QStackedWidget, QVBoxLayout, QWidget

from gui import theme, words
from gui.icons import icon
from gui.viewmodels.block_coverage import Health
from gui.viewmodels.private_swarms import PrivateSwarmsViewModel
from gui.viewmodels.swarm import Situation, SwarmViewModel
from gui.widgets.empty_state import EmptyState
from gui.widgets.icon_label import IconLabel
from gui.widgets.page import Page
from gui.widgets.private_swarms import PrivateSwarms
from gui.widgets.segments import Segments
from gui.widgets.server_details import ServerDetails
from gui.widgets.swarm_map import SwarmMap

_MAP, _PRIVATE = "map", "private"
_SEARCH_PX = 190
_ARRIVED_MS = 100
_LOOKS = {
    Health.HEALTHY: ("check", "good"),
    Health.THIN: ("warn", "warn"),
    Health.BROKEN: ("warn", "bad"),
    Health.UNKNOWN: ("info", "secondary"),
}


class SwarmPage(Page):
    def __init__(self, swarm: SwarmViewModel, private_swarms: PrivateSwarmsViewModel, parent: QWidget | None) -> None:
        super().__init__("", parent, fills=True)
        self.set_title(self.tr("Swarm"))
        self._swarm = swarm
        self._private = private_swarms
        self.parts = Segments(
            self.tr("Part of the page"),
            {_MAP: self.tr("Map"), _PRIVATE: self.tr("Private swarms")},
            self.show_part,
            self,
        )
        self.search = QLineEdit(self)
        self.search.setPlaceholderText(self.tr("Name, peer id or block"))
        self.search.setAccessibleName(self.tr("Find servers by name, peer id or block"))
        self.search.setClearButtonEnabled(True)
        self.search.setMinimumWidth(_SEARCH_PX)
        self.search.addAction(icon("search", "secondary"), QLineEdit.ActionPosition.LeadingPosition)
        self.search.textChanged.connect(swarm.find)
        swarm.changed.connect(self._show_wanted)
        self.actions.addWidget(self.search)
        self.actions.addWidget(self.parts)
        self._stack = QStackedWidget(self)
        self._map = _MapPart(swarm, self)
        self._stack.addWidget(self._map)
        self._stack.addWidget(PrivateSwarms(private_swarms, self))
        self.body.addWidget(self._stack)
        # Details come to their place in a few turns, and in a small window that is below what is seen.
        self._arriving = QTimer(self, interval=_ARRIVED_MS, singleShot=True)
        self._arriving.timeout.connect(self._come_into_sight)
        swarm.selected.connect(lambda: self._arriving.start())
        self.scroll_area.verticalScrollBar().rangeChanged.connect(self._go_along)
        self.show_part(_MAP)

    def show_part(self, part: str) -> None:
        self.parts.show_choice(part)
        self._stack.setCurrentIndex((_MAP, _PRIVATE).index(part))
        self.scroll_area.verticalScrollBar().setValue(0)
        self._show_wanted()

    def _go_along(self) -> None:
        if self._arriving.isActive():
            self._come_into_sight()

    def _come_into_sight(self) -> None:
        if self._map.seen.details.isVisible():
            self.scroll_area.ensureWidgetVisible(self._map.seen.details)

    def _show_wanted(self) -> None:
        is_map = self._stack.currentIndex() == 0
        self.search.setVisible(is_map and self._swarm.situation is Situation.SEEN)
        if self.search.text() != self._swarm.wanted:
            self.search.setText(self._swarm.wanted)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._private.refresh()


class _MapPart(QStackedWidget):
    """The map, or what will be there."""

    def __init__(self, swarm: SwarmViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._swarm = swarm
        self.empty = EmptyState("swarm", "", "", parent=self)
        self.seen = _SeenSwarm(swarm, self)
        self.addWidget(self.empty)
        self.addWidget(self.seen)
        swarm.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        situation = self._swarm.situation
        self.setCurrentWidget(self.seen if situation is Situation.SEEN else self.empty)
        if situation is not Situation.SEEN:
            self.empty.show_words(*self._said(situation))

    def _said(self, situation: Situation) -> tuple[str, str]:
        match situation:
            case Situation.NO_WORKER:
                return (
                    self.tr("Not in a swarm"),
                    self.tr(
                        "Once the worker runs, this is a map: each block of the model, how many computers hold it, and "
                        "which ones."
                    ),
                )
            case Situation.AWAY:
                return (
                    self.tr("The worker rests"),
                    self.tr("It looks at the swarm while it serves. Resume it on the home page, and the map is here."),
                )
        return (
            self.tr("Looking for the swarm"),
            self.tr("The map is here as soon as the worker has joined and asked who serves what. That takes a minute."),
        )


class _SeenSwarm(QWidget):
    def __init__(self, swarm: SwarmViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._swarm = swarm
        self.icon = IconLabel("info", "secondary", 20, self)
        self.headline = theme.role(QLabel(self), "card")
        self.totals = theme.role(QLabel(self), "secondary")
        self.why = QLabel(self)
        self.map = SwarmMap(swarm, self)
        self.nobody = theme.role(QLabel(self), "secondary")
        self.nobody.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.details = ServerDetails(swarm, self)
        for label in (self.headline, self.totals, self.why, self.nobody):
            label.setWordWrap(True)  # names of models are long
        self._lay_out()
        swarm.changed.connect(self._show)
        self._show()

    def _lay_out(self) -> None:
        said = QVBoxLayout()
        said.setSpacing(theme.XS)
        first = QHBoxLayout()
        first.setSpacing(theme.S)
        first.addWidget(self.icon)
        first.addWidget(self.headline, 1)
        said.addLayout(first)
        said.addWidget(self.totals)
        said.addWidget(self.why)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.M)
        column.addLayout(said)
        column.addWidget(self.map, 1)
        column.addWidget(self.nobody)
        column.addWidget(self.details)

    def _show(self) -> None:
        swarm = self._swarm
        self.icon.set_icon(*_LOOKS[swarm.health])
        self.headline.setText(swarm.headline)
        self.totals.setText(self._totals())
        self.why.setText(swarm.why)
        self.why.setVisible(bool(swarm.why))
        found = swarm.table.rowCount()
        self.nobody.setVisible(not found)
        if not found:
            self.nobody.setText(
                self.tr("No server is called “{wanted}”, or holds such a block.").format(wanted=swarm.wanted)
            )

    def _totals(self) -> str:
        swarm = self._swarm
        if swarm.is_current or swarm.seen_s is None:
            return swarm.totals
        return self.tr("{totals}, as seen at {time}").format(totals=swarm.totals, time=words.time_of_day(swarm.seen_s))
