"""The first page of the first run: what the program does, what it costs, and who is in charge."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from gui import theme
from gui.widgets.point_row import PointRow


class WelcomePage(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        intro = QLabel(
            self.tr(
                "The largest open language models fit into no home computer. Together, many computers can run one: "
                "each holds a few of its blocks, and a question travels from one to the next until the answer is there."
            ),
            self,
        )
        intro.setWordWrap(True)
        points = (
            (
                "users",
                self.tr("What you give"),
                self.tr(
                    "Your graphics card, or just the processor, holds some blocks and works on them for anyone in the "
                    "swarm who asks. It costs electricity, disk space and network traffic; the next page says how much."
                ),
            ),
            (
                "chat",
                self.tr("What you get"),
                self.tr(
                    "You can chat with the whole model as if it ran here. Who gives is served sooner: work is counted "
                    "in points, the swarm's thanks. They are not money."
                ),
            ),
            (
                "pause",
                self.tr("You stay in charge"),
                self.tr(
                    "Pausing gives the memory back within seconds. It pauses by itself on battery or when the card "
                    "gets hot, and, if you want, while you play or use the computer, or outside of hours that you "
                    "choose."
                ),
            ),
            (
                "check",
                self.tr("Nothing has been done yet"),
                self.tr(
                    "Nothing is downloaded, served or started with the computer before you agree on the last page."
                ),
            ),
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, theme.S, 0, theme.L)
        column.setSpacing(theme.L)
        column.addWidget(intro)
        for icon, title, text in points:
            column.addWidget(PointRow(icon, title, text, self))
