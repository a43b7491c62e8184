"""The two ways to a private swarm: a pasted invitation, and a name for a new one. Both are read as one types."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QLineEdit, QPlainTextEdit, QPushButton, QWidget

from gui import theme
from gui.viewmodels.private_swarms import PrivateSwarmsViewModel, Reading, name_problem, read
from gui.widgets.card import Card

_INVITATION_LINES = 4


class _Form(Card):
    """Hidden until it is opened; Escape closes it."""

    def __init__(self, title: str, action: str, swarms: PrivateSwarmsViewModel, parent: QWidget) -> None:
        super().__init__(title, parent)
        self._swarms = swarms
        self.hide()
        self.go = QPushButton(action, self)
        theme.kind(self.go, "primary")
        self.cancel = QPushButton(self.tr("Cancel"), self)
        self.cancel.clicked.connect(self.end)
        self.foot = QHBoxLayout()
        self.foot.setSpacing(theme.S)
        self.foot.addWidget(self.cancel)
        self.foot.addWidget(self.go)

    def end(self) -> None:
        self.hide()
        self._swarms.changed.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.end()
            return
        super().keyPressEvent(event)


class JoinForm(_Form):
    def __init__(self, swarms: PrivateSwarmsViewModel, parent: QWidget) -> None:
        super().__init__(self.tr("Join a private swarm"), self.tr("Join"), swarms, parent)
        self.invitation = QPlainTextEdit(self)
        self.invitation.setPlaceholderText(self.tr("Paste the invitation here"))
        self.invitation.setAccessibleName(self.tr("Invitation"))
        self.invitation.setTabChangesFocus(True)
        self.invitation.setFixedHeight(self.fontMetrics().lineSpacing() * _INVITATION_LINES + theme.L)
        self.invitation.textChanged.connect(self._read)
        self.said = QLabel(self)
        self.said.setWordWrap(True)
        self.go.clicked.connect(lambda: swarms.join(self.invitation.toPlainText(), self.end))
        self.body.addWidget(self.invitation)
        self.foot.insertWidget(0, self.said, 1)
        self.body.addLayout(self.foot)
        self._read()

    def begin(self) -> None:
        self.invitation.clear()
        self.invitation.setFocus()

    def end(self) -> None:
        self.invitation.clear()  # no longer than it is needed
        super().end()

    def _read(self) -> None:
        found = read(self.invitation.toPlainText())
        self.go.setEnabled(found.reading in (Reading.GOOD, Reading.WEAK))
        theme.state(self.said, {Reading.GOOD: "good", Reading.WEAK: "warn", Reading.BAD: "bad"}.get(found.reading, ""))
        self.said.setText(found.text)


class CreateForm(_Form):
    def __init__(self, swarms: PrivateSwarmsViewModel, parent: QWidget) -> None:
        super().__init__(self.tr("Make a private swarm"), self.tr("Make it"), swarms, parent)
        self.name = QLineEdit(self)
        self.name.setPlaceholderText(self.tr("lab"))
        self.name.textChanged.connect(self._read)
        self.name.returnPressed.connect(self._go)
        self.model = QLineEdit(self)
        self.model.setPlaceholderText(self.tr("each member's own choice"))
        self.model.returnPressed.connect(self._go)
        self.said = QLabel(self)
        self.said.setWordWrap(True)
        theme.state(self.said, "bad")
        self.go.clicked.connect(self._go)
        form = QFormLayout()
        form.setHorizontalSpacing(theme.M)
        form.setVerticalSpacing(theme.S)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.tr("Name"), self.name)
        form.addRow(self.tr("Model"), self.model)
        self.name.setAccessibleName(self.tr("Name of the swarm"))
        self.model.setAccessibleName(self.tr("Model of the swarm"))
        self.body.addLayout(form)
        self.foot.insertWidget(0, self.said, 1)
        self.body.addLayout(self.foot)
        self._read()

    def begin(self) -> None:
        self.name.clear()
        self.model.setText(self._swarms.usual_model)
        self.name.setFocus()

    def _read(self) -> None:
        problem = name_problem(self.name.text())
        self.said.setText(problem)
        theme.state(self.name, "bad" if problem else "")
        self.go.setEnabled(bool(self.name.text()) and not problem)

    def _go(self) -> None:
        if self.go.isEnabled():
            self._swarms.create(self.name.text(), self.model.text(), self.end)
