"""The switch for starting with the computer: it shows what will be written, word for word, before it is."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QScrollArea, QVBoxLayout, QWidget

from gui import theme
from gui.viewmodels.autostart import AutostartViewModel
from gui.widgets.switch import Switch

_PLAN_LINES = 11


class AutostartPart(QWidget):
    def __init__(self, autostart: AutostartViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._autostart = autostart
        self.label = QLabel(self.tr("Open Petals Volunteer when you log in"), self)
        self.label.setWordWrap(True)
        self.help = theme.role(QLabel(self.tr("In the tray, without a window."), self), "secondary")
        self.help.setWordWrap(True)
        self.switch = Switch("", self)
        self.switch.setAccessibleName(self.label.text())
        self.switch.clicked.connect(self._ask)
        self.problem = theme.role(QLabel(self), "secondary")
        self.problem.setWordWrap(True)
        theme.state(self.problem, "bad")
        self.plan = self._plan()
        self._lay_out()
        autostart.changed.connect(self._show)
        self._show()

    def _plan(self) -> QWidget:
        plan = QWidget(self)
        self.plan_text = QPlainTextEdit(plan)
        self.plan_text.setReadOnly(True)
        self.plan_text.setTabChangesFocus(True)
        self.plan_text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.plan_text.setAccessibleName(self.tr("What will be done"))
        self.plan_text.setFixedHeight(self.fontMetrics().lineSpacing() * _PLAN_LINES + theme.L)
        self.do = QPushButton(self.tr("Do this"), plan)
        theme.kind(self.do, "primary")
        self.do.clicked.connect(self._do)
        self.cancel = QPushButton(self.tr("Leave it as it is"), plan)
        self.cancel.clicked.connect(self._show)
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.S)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.do)
        column = QVBoxLayout(plan)
        column.setContentsMargins(0, theme.XS, 0, 0)
        column.setSpacing(theme.S)
        column.addWidget(self.plan_text)
        column.addLayout(buttons)
        return plan

    def _lay_out(self) -> None:
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.label)
        words.addWidget(self.help)
        words.addWidget(self.problem)
        head = QHBoxLayout()
        head.addLayout(words, 1)
        head.addWidget(self.switch, 0, Qt.AlignmentFlag.AlignVCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, theme.S, 0, theme.S)
        column.addLayout(head)
        column.addWidget(self.plan)

    def _show(self) -> None:
        state = self._autostart.state
        with QSignalBlocker(self.switch):
            self.switch.setChecked(state is not None and state.is_on)
        self.switch.setEnabled(state is not None and not state.problem)
        problem = self._autostart.problem or (state.problem if state is not None else "")
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        note = state.note if state is not None else ""
        self.help.setText(" ".join(part for part in (self.tr("In the tray, without a window."), note) if part))
        self.plan.hide()

    def _ask(self) -> None:
        """Whoever presses the switch again thinks better of it."""
        state = self._autostart.state
        if not self.plan.isHidden():
            self._show()
        elif state is not None:
            self.plan_text.setPlainText(state.plan)
            self.plan.show()
            self.do.setFocus()
            QTimer.singleShot(0, self, self._come_into_sight)

    def _come_into_sight(self) -> None:
        """What unfolds at the end of a page is otherwise missed."""
        around = self.parentWidget()
        while around is not None and not isinstance(around, QScrollArea):
            around = around.parentWidget()
        if around is not None:
            around.ensureWidgetVisible(self.plan)

    def _do(self) -> None:
        state = self._autostart.state
        if state is not None:
            self._autostart.switch(not state.is_on)
