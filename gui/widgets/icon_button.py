"""A small button of an icon, which says in its name and its tooltip what it does."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QSize
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QToolButton, QWidget

from gui import theme
from gui.icons import icon

_ICON_PX = 16


class IconButton(QToolButton):
    def __init__(
        self,
        icon_name: str,
        name: str,
        on_click: Callable[[], object],
        parent: QWidget | None = None,
        *,
        color: str = "secondary",
        icon_px: int = _ICON_PX,
    ):
        super().__init__(parent)
        self._color = color
        self._is_hidden_at_rest = False
        self._icon_px = icon_px
        self._shown: tuple[str, str, str | None] | None = None
        self._fit()
        self.show_as(icon_name, name)
        self.clicked.connect(lambda: on_click())

    def show_as(self, icon_name: str, name: str, color: str | None = None) -> None:
        # Rows of messages say it at every turn of the wheel.
        if (wanted := (icon_name, name, color)) == self._shown:
            return
        self._shown = wanted
        self.setIcon(icon(icon_name, color or self._color, self.iconSize().width()))
        self.setAccessibleName(name)
        self.setToolTip(name)

    def hide_at_rest(self, is_hidden: bool) -> None:
        """Not painted until the mouse or the keyboard comes to it; it can be pressed all the same."""
        if is_hidden != self._is_hidden_at_rest:
            self._is_hidden_at_rest = is_hidden
            self.update()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._fit()

    def _fit(self) -> None:
        """As large beside large text as beside text of the usual size."""
        side = round(self._icon_px * theme.text_scale())
        self.setIconSize(QSize(side, side))

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._is_hidden_at_rest or self.hasFocus() or self.underMouse():
            super().paintEvent(event)
