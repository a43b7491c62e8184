"""The left rail: where one can go, and at its foot how it is with the worker, in a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QFont,
    QFontMetrics,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
    QShortcut,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QStyle,
    QStyleOption,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.icons import icon
from gui.viewmodels.worker import WorkerViewModel
from gui.widgets.plain_tip import plain_tip
from gui.widgets.state_dot import StateDot, dot_of
from gui.worker_link import Connection

_ICON_PX = 20
_LEAST_PX = 148


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
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Pages"))
        self._group = QButtonGroup(self)
        self._items: dict[str, _Item] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.S, theme.L, theme.S + 1, theme.M)
        column.setSpacing(theme.XS)
        for number, place in enumerate(places, 1):
            item = self._item(place, number)
            self._items[place.key] = item
            column.addWidget(item)
        column.addStretch(1)
        column.addWidget(_Foot(worker, self))

    def sizeHint(self) -> QSize:
        return super().sizeHint().expandedTo(QSize(_LEAST_PX, 0))

    def minimumSizeHint(self) -> QSize:
        """Its words are not cut off for a page that would like to be wide."""
        return QSize(self.sizeHint().width(), super().minimumSizeHint().height())

    def show_place(self, key: str) -> None:
        """Marks where one is."""
        self._items[key].setChecked(True)

    def focus(self) -> None:
        """Gives the keyboard to the place that is marked."""
        checked = self._group.checkedButton()
        if checked is not None:
            checked.setFocus(Qt.FocusReason.OtherFocusReason)

    def _item(self, place: Place, number: int) -> _Item:
        item = _Item(place, self)
        keys = QKeySequence(f"Ctrl+{number}")
        item.setToolTip(f"{place.word} ({keys.toString(QKeySequence.SequenceFormat.NativeText)})")
        self._group.addButton(item)
        item.clicked.connect(lambda: self.chosen.emit(place.key))
        QShortcut(keys, self).activated.connect(item.click)
        return item

    def paintEvent(self, event: QPaintEvent) -> None:
        # A subclass of QWidget in Python paints no background of the style sheet by itself.
        option = QStyleOption()
        option.initFrom(self)
        QStylePainter(self).drawPrimitive(QStyle.PrimitiveElement.PE_Widget, option)


class _Item(QAbstractButton):
    """Marked where one is; its ring is there for whoever came by the keyboard."""

    def __init__(self, place: Place, parent: QWidget):
        super().__init__(parent)
        self._icon, self._marked_icon = icon(place.icon, "secondary"), icon(place.icon, "accent")
        self._came_by_keyboard = False
        self.setText(place.word)
        self.setAccessibleName(place.word)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        self.ensurePolished()  # the font comes with the style sheet
        text = QFontMetrics(self._font(is_marked=True)).size(0, self.text())
        side = self._icon_side
        return QSize(text.width() + side + 3 * theme.M + theme.S, max(text.height(), side) + theme.L)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self.updateGeometry()

    @property
    def _icon_side(self) -> int:
        """As text grows, so does its icon."""
        return max(_ICON_PX, round(_ICON_PX * theme.text_scale()))

    def _font(self, *, is_marked: bool) -> QFont:
        return theme.semibold(self.font(), is_wanted=is_marked)

    def focusInEvent(self, event: QFocusEvent) -> None:
        by_keyboard = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)
        self._came_by_keyboard = event.reason() in by_keyboard
        super().focusInEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        self._came_by_keyboard = True
        self.update()
        super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colors = theme.current()
        around = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        if self.isChecked() or self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colors.sunken))
            painter.drawRoundedRect(around, theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)
        if self.hasFocus() and self._came_by_keyboard:
            painter.setPen(QPen(QColor(colors.accent), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(around, theme.RADIUS_CONTROL, theme.RADIUS_CONTROL)
        painter.setFont(self._font(is_marked=self.isChecked()))
        painter.setPen(QColor(colors.text if self.isChecked() else colors.secondary))
        side = self._icon_side
        mark = QRect(theme.M, (self.height() - side) // 2, side, side)
        (self._marked_icon if self.isChecked() else self._icon).paint(painter, mark)
        painter.drawText(
            self.rect().adjusted(mark.right() + theme.M, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self.text()
        )
        painter.end()


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
        self._dot.show_kind("off" if is_off else dot_of(self._worker.tray_state))
        self._word.setText(self._worker.word)
        self.setAccessibleName(self.tr("State of the worker: {word}").format(word=self._worker.word))
        self.setToolTip(plain_tip(self._worker.headline))
