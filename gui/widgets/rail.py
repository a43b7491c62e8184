"""The left rail: where one can go, and at its foot how it is with the worker, in a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QKeySequence, QPaintEvent, QShortcut
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QStyle,
    QStyleOption,
    QStylePainter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.icons import icon
from gui.viewmodels.worker import TrayState, WorkerViewModel
from gui.widgets.state_dot import DotKind, StateDot
from gui.worker_link import Connection

_ICON_PX = 20
_LEAST_PX = 148
_DOTS: dict[TrayState, DotKind] = {
    TrayState.SERVING: "good",
    TrayState.DOWNLOADING: "busy",
    TrayState.BUSY: "busy",
    TrayState.PAUSED: "paused",
    TrayState.PROBLEM: "bad",
}


@dataclass(frozen=True)
class Place:
    """Where the rail leads: a page by its key, under an icon and a word."""

    key: str
    word: str
    icon: str


class Rail(QWidget):
    chosen = Signal(str)
    """The key of a place."""

    def __init__(self, places: Sequence[Place], worker: WorkerViewModel, parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("Rail")
        self.setMinimumWidth(_LEAST_PX)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Pages"))
        self._group = QButtonGroup(self)
        self._items: dict[str, QToolButton] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.S, theme.L, theme.S + 1, theme.M)
        column.setSpacing(theme.XS)
        for number, place in enumerate(places, 1):
            item = self._item(place, number)
            self._items[place.key] = item
            column.addWidget(item)
        column.addStretch(1)
        column.addWidget(_Foot(worker, self))

    def show_place(self, key: str) -> None:
        """Marks where one is."""
        self._items[key].setChecked(True)

    def focus(self) -> None:
        """Gives the keyboard to the place that is marked."""
        checked = self._group.checkedButton()
        if checked is not None:
            checked.setFocus(Qt.FocusReason.OtherFocusReason)

    def _item(self, place: Place, number: int) -> QToolButton:
        item = QToolButton(self)
        item.setObjectName("RailItem")
        item.setText(place.word)
        item.setIcon(icon(place.icon))
        item.setIconSize(QSize(_ICON_PX, _ICON_PX))
        item.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        item.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        item.setCheckable(True)
        item.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        keys = QKeySequence(f"Ctrl+{number}")
        item.setToolTip(f"{place.word} ({keys.toString(QKeySequence.SequenceFormat.NativeText)})")
        item.setAccessibleName(place.word)
        self._group.addButton(item)
        item.clicked.connect(lambda: self.chosen.emit(place.key))
        QShortcut(keys, self).activated.connect(item.click)
        return item

    def paintEvent(self, event: QPaintEvent) -> None:
        # A subclass of QWidget in Python paints no background of the style sheet by itself.
        option = QStyleOption()
        option.initFrom(self)
        QStylePainter(self).drawPrimitive(QStyle.PrimitiveElement.PE_Widget, option)


class _Foot(QWidget):
    """The dot and the word."""

    def __init__(self, worker: WorkerViewModel, parent: QWidget):
        super().__init__(parent)
        self._worker = worker
        self._dot = StateDot(self)
        self._word = QLabel(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.M, theme.XS, theme.S, theme.XS)
        row.setSpacing(theme.S)
        row.addWidget(self._dot)
        row.addWidget(self._word, 1)
        worker.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        is_off = self._worker.connection in (Connection.OFF, Connection.ENDED)
        self._dot.show_kind("off" if is_off else _DOTS[self._worker.tray_state])
        self._word.setText(self._worker.word)
        self.setAccessibleName(self.tr("State of the worker: {word}").format(word=self._worker.word))
        self.setToolTip(self._worker.headline)
