"""What every row of the message list can do."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from gui.widgets.chat.code_view import CodeView
from gui.widgets.chat.rows import Row
from gui.widgets.chat.text_view import TextView


class RowWidget(QWidget):
    """Shows one row after another: there are as many as fit in the window, however long the conversation is."""

    def show_row(self, row: Row) -> None:
        raise NotImplementedError

    def height_for(self, width: int) -> int:
        """Also lays the row out for this width."""
        raise NotImplementedError

    def text_view(self) -> TextView | CodeView | None:
        """Its text, where that can be selected together with the text of other rows."""
        return None

    def restyle(self) -> None:
        """Another theme or size of text: draws anew what was drawn."""
