"""A column that scrolls by itself inside a page, and is no wider than one likes to read."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from gui import theme

_WIDEST_PX = 720


class ReadingColumn(QScrollArea):
    """
    Attributes:
        column: for its contents; what is added last is followed by empty room.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._inner = QWidget()
        self._inner.setObjectName("PageBody")
        self.column = QVBoxLayout()
        self.column.setSpacing(theme.M)
        around = QVBoxLayout(self._inner)
        around.setContentsMargins(0, 0, theme.M, theme.L)
        around.addLayout(self.column)
        around.addStretch(1)
        self.setWidget(self._inner)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # its contents have the focus, and it follows them
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._limit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._limit()

    def _limit(self) -> None:
        self._inner.setMaximumWidth(round(_WIDEST_PX * theme.text_scale()))
