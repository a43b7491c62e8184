"""The last page of the first run: who can read what, whether it starts with the computer, and the owner's word."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from gui import theme
from gui.viewmodels.first_run import FirstRunViewModel
from gui.widgets.card import Card
from gui.widgets.point_row import PointRow
from gui.widgets.switch import Switch

_PLAN_LINES = 9


class ConsentPage(QWidget):
    def __init__(self, first_run: FirstRunViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._first_run = first_run
        self.readers = PointRow("users", "", "", self)
        points = (
            PointRow(
                "chat",
                self.tr("Models can be wrong"),
                self.tr(
                    "Answers can be false, biased or offensive, and sound sure of themselves. What others ask is their "
                    "own affair; your computer sees pieces of it and cannot choose among them."
                ),
                self,
            ),
            PointRow(
                "link",
                self.tr("Whom it talks to"),
                self.tr(
                    "To the other computers of the swarm, which see its network address and the blocks that it holds, "
                    "and to the hub that the model comes from. Nobody else is contacted, and nothing is reported to "
                    "anyone."
                ),
                self,
            ),
        )
        self.autostart = AutostartCard(first_run, self)
        self.summary = QLabel(self)
        self.summary.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, theme.S, 0, theme.L)
        column.setSpacing(theme.L)
        column.addWidget(self.readers)
        for point in points:
            column.addWidget(point)
        column.addWidget(self.autostart)
        column.addWidget(self.summary)
        first_run.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        if self._first_run.is_private:
            self.readers.show_words(
                self.tr("Members can read along"),
                self.tr(
                    "This is a private swarm: nobody outside of it gets in or reads along. Its members can recover the "
                    "text that passes through their computers, and could change answers."
                ),
            )
        else:
            self.readers.show_words(
                self.tr("Others can read along"),
                self.tr(
                    "What you chat passes through other people's computers. They can recover the text, and a dishonest "
                    "one could change the answer. Keep private things out of it: a private swarm among people you "
                    "trust is the place for those."
                ),
            )
        self.summary.setText(self._first_run.summary)
        self.autostart.show_choice()


class AutostartCard(Card):
    """Asked once, off unless it is switched on; what it would write can be read first."""

    def __init__(self, first_run: FirstRunViewModel, parent: QWidget) -> None:
        super().__init__("", parent)
        self._first_run = first_run
        self.switch = Switch(self.tr("Start when I log in to this computer"), self)
        self.switch.clicked.connect(first_run.choose_autostart)
        self.about = theme.role(QLabel(self), "secondary")
        self.about.setWordWrap(True)
        self.show_plan = QPushButton(self.tr("Show what would be written"), self)
        theme.kind(self.show_plan, "quiet")
        self.show_plan.setCheckable(True)
        self.show_plan.toggled.connect(self.show_choice)
        self.plan = QPlainTextEdit(self)
        self.plan.setReadOnly(True)
        self.plan.setAccessibleName(self.tr("What would be written"))
        self.plan.setTabChangesFocus(True)
        self.plan.setFixedHeight(self.plan.fontMetrics().height() * _PLAN_LINES)
        self.body.addWidget(self.switch)
        self.body.addWidget(self.about)
        self.body.addWidget(self.show_plan, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self.plan)
        self.show_choice()

    def show_choice(self) -> None:
        state = self._first_run.autostart.state
        problem = state.problem if state is not None else ""
        self.switch.setChecked(self._first_run.chosen.starts_at_login)
        self.switch.setEnabled(not problem)
        usual = self.tr("It then waits in the tray and serves within your limits. Settings can change it at any time.")
        self.about.setText(problem or usual)
        has_plan = state is not None and bool(state.plan) and not problem
        self.show_plan.setVisible(has_plan)
        self.plan.setVisible(has_plan and self.show_plan.isChecked())
        if state is not None and self.plan.toPlainText() != state.plan:
            self.plan.setPlainText(state.plan)
