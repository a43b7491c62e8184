"""The frame of every page: title, actions at its right, and a column that scrolls and stays narrow enough to read."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from gui import theme

MAX_WIDTH = 1080


class Page(QWidget):
    """
    Args:
        fills: the body has the whole height where there is room for it, and scrolls where there is not.

    Attributes:
        actions: right of the title.
        body: the column; what is added last is followed by empty room unless the body fills the page.
    """

    # Hides the list of QActions that every QWidget has and nothing here uses.
    actions: QHBoxLayout  # type: ignore[assignment]

    def __init__(self, title: str, parent: QWidget | None = None, *, fills: bool = False):
        super().__init__(parent)
        self.setObjectName("Page")
        self.setAccessibleName(title)
        self.title = theme.role(QLabel(title), "title")
        self.actions = QHBoxLayout()
        self.actions.setSpacing(theme.S)
        column = self._column = _Column(fills=fills)
        self.body = column.body
        self.scroll_area = QScrollArea()
        self.scroll_area.setWidgetResizable(True)
        self.scroll_area.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll_area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # its contents have the focus, and it follows them
        self.scroll_area.setWidget(column)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addLayout(_limited(_Head(self.title, self.actions)))
        outer.addWidget(self.scroll_area, 1)
        self.scroll_area.verticalScrollBar().rangeChanged.connect(self._align)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._align()

    def _align(self) -> None:
        """Lets the column end where the title's row does, whether or not there is a scroll bar."""
        bar = self.scroll_area.verticalScrollBar()
        room = self.width() - (bar.sizeHint().width() if bar.maximum() > 0 else 0)
        self._column.set_right_margin(theme.XL - min(self.width(), MAX_WIDTH) + min(room, MAX_WIDTH))

    def set_title(self, title: str) -> None:
        self.title.setText(title)
        self.setAccessibleName(title)


class _Column(QWidget):
    def __init__(self, *, fills: bool) -> None:
        super().__init__()
        self.setObjectName("PageBody")
        inner = QWidget()
        inner.setMaximumWidth(MAX_WIDTH)
        self.body = QVBoxLayout()
        self.body.setSpacing(theme.M)
        inside = self._inside = QVBoxLayout(inner)
        inside.setContentsMargins(theme.XL, theme.XS, theme.XL, theme.XL)
        inside.addLayout(self.body, 1 if fills else 0)
        if not fills:
            inside.addStretch(1)
        across = QHBoxLayout(self)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(inner, 1)
        # Room at the right of the column on a wide screen: the page stays where the eye left it, at the rail.
        across.addStretch(0)

    def set_right_margin(self, width_px: int) -> None:
        margins = self._inside.contentsMargins()
        margins.setRight(width_px)
        self._inside.setContentsMargins(margins)


class _Head(QWidget):
    """The title, and the actions right of it; below it where they would not fit beside each other."""

    def __init__(self, title: QLabel, actions: QHBoxLayout):
        super().__init__()
        self._title, self._actions = title, actions
        self._box = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._box.setContentsMargins(theme.XL, theme.L, theme.XL, theme.M)
        self._box.setSpacing(theme.S)
        self._box.addWidget(title, 1)
        self._box.addLayout(actions)

    def minimumSizeHint(self) -> QSize:
        """Of the two below each other, which is what a narrow page comes to."""
        margins = self._box.contentsMargins()
        widest = max(self._title.minimumSizeHint().width(), self._actions.minimumSize().width())
        return QSize(widest + margins.left() + margins.right(), super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def event(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.LayoutRequest:
            self._arrange()
        return super().event(event)

    def _arrange(self) -> None:
        margins = self._box.contentsMargins()
        taken = margins.left() + margins.right() + self._box.spacing()
        fits = taken + self._title.sizeHint().width() + self._actions.minimumSize().width() <= self.width()
        directions = QBoxLayout.Direction
        direction = directions.LeftToRight if fits else directions.TopToBottom
        if self._box.direction() is not direction:
            self._box.setDirection(direction)


def _limited(head: QWidget) -> QHBoxLayout:
    """The head, not wider than the column below it."""
    head.setMaximumWidth(MAX_WIDTH)
    across = QHBoxLayout()
    across.addWidget(head, 1)
    across.addStretch(0)
    return across
