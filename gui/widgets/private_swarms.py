"""Private swarms on the Swarm page: those that this computer is in, an invitation to copy, and the ways to one more."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui import theme, words
from gui.icons import icon
from gui.viewmodels.private_swarms import PrivateSwarm, PrivateSwarmsViewModel
from gui.widgets.banner import Banner
from gui.widgets.card import Card
from gui.widgets.empty_state import EmptyState
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.invitation_card import InvitationCard
from gui.widgets.state_dot import StateDot
from gui.widgets.swarm_forms import CreateForm, JoinForm


class PrivateSwarms(QWidget):
    def __init__(self, swarms: PrivateSwarmsViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._swarms = swarms
        self._shown: tuple[PrivateSwarm, ...] | None = None
        self.join = self._button(self.tr("Join with an invitation"), "key", lambda: self._open(self.join_form))
        self.make = self._button(self.tr("Make a swarm"), "plus", lambda: self._open(self.create_form))
        self.banner = Banner(self)
        self.invitation = InvitationCard(swarms, self)
        self.join_form = JoinForm(swarms, self)
        self.create_form = CreateForm(swarms, self)
        self.empty = EmptyState(
            "key",
            self.tr("A swarm for you and your friends"),
            self.tr(
                "In a private swarm only its members see who serves what, and only they can ask. Make one and pass on "
                "its invitation, or join one by an invitation that you were sent."
            ),
            parent=self,
        )
        self._cards = QVBoxLayout()
        self._cards.setSpacing(theme.M)
        self._lay_out()
        swarms.changed.connect(self._show)
        self._show()

    def _button(self, text: str, name: str, on_click: Callable[[], None]) -> QPushButton:
        button = QPushButton(text, self)
        button.setIcon(icon(name))
        button.clicked.connect(on_click)
        return button

    def _lay_out(self) -> None:
        actions = QHBoxLayout()
        actions.setSpacing(theme.S)
        actions.addWidget(self.make)
        actions.addWidget(self.join)
        actions.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.M)
        column.addLayout(actions)
        column.addWidget(self.banner)
        column.addWidget(self.create_form)
        column.addWidget(self.join_form)
        column.addWidget(self.invitation)
        column.addLayout(self._cards)
        column.addWidget(self.empty)
        column.addStretch(1)

    def _open(self, form: JoinForm | CreateForm) -> None:
        self._swarms.put_away_problem()
        for each in (self.join_form, self.create_form):
            each.setVisible(each is form)
        form.begin()
        self._show()

    def _show(self) -> None:
        swarms = self._swarms
        if swarms.problem:
            self.banner.show_message("bad", swarms.problem, self.tr("Close"), swarms.put_away_problem)
        elif swarms.busy:
            self.banner.show_message("info", self.tr("{doing} …").format(doing=swarms.busy))
        else:
            self.banner.hide()
        if swarms.swarms != self._shown:
            self._shown = swarms.swarms
            self._fill(swarms.swarms or ())
        is_first = swarms.swarms == () and swarms.invitation is None
        self.empty.setVisible(is_first and self.join_form.isHidden() and self.create_form.isHidden())
        for each in (self.join, self.make):
            each.setEnabled(not swarms.busy)

    def _fill(self, swarms: tuple[PrivateSwarm, ...]) -> None:
        while (item := self._cards.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for swarm in swarms:
            self._cards.addWidget(SwarmCard(swarm, self._swarms, self))


class SwarmCard(Card):
    """One swarm, and what can be done with it. What cannot be undone is asked on the card itself."""

    def __init__(self, swarm: PrivateSwarm, swarms: PrivateSwarmsViewModel, parent: QWidget) -> None:
        super().__init__(swarm.name, parent)
        self._swarm = swarm
        self._swarms = swarms
        self._question: Callable[[str], None] | None = None
        self.body.addLayout(self._state())
        self._buttons = self._make_buttons()
        self._asking = self._make_asking()
        self.body.addSpacing(theme.XS)
        self.body.addWidget(self._buttons)
        self.body.addWidget(self._asking)
        self._show_question(False)

    def _state(self) -> QHBoxLayout:
        swarm = self._swarm
        dot = StateDot(self)
        dot.show_kind("bad" if swarm.problem else "good" if swarm.is_served else "off")
        text = QLabel(self._said(), self)
        text.setWordWrap(True)
        row = QHBoxLayout()
        row.setSpacing(theme.S)
        row.addWidget(dot, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(text, 1)
        return row

    def _said(self) -> str:
        swarm = self._swarm
        if swarm.problem:
            return swarm.problem
        model = words.model(swarm.model) if swarm.model else self.tr("each member's own model")
        if swarm.is_served:
            return self.tr("Served by this computer: {model}").format(model=model)
        return self.tr("Not served now: {model}").format(model=model)

    def _make_buttons(self) -> QWidget:
        row = QWidget(self)
        layout = FlowLayout(row, spacing=theme.S)
        name = self._swarm.name
        self.invite = QPushButton(self.tr("Invite"), row)
        self.invite.clicked.connect(lambda: self._swarms.invite(name))
        self.serve = QPushButton(
            self.tr("Go back to the public swarm") if self._swarm.is_served else self.tr("Serve this one"), row
        )
        self.serve.clicked.connect(lambda: self._swarms.serve(None if self._swarm.is_served else name))
        self.rekey = QPushButton(self.tr("New key"), row)
        self.rekey.clicked.connect(self._ask_rekey)
        self.leave = QPushButton(self.tr("Leave"), row)
        self.leave.clicked.connect(self._ask_leave)
        for button in (self.invite, self.serve, self.rekey, self.leave):
            button.setAccessibleName(f"{button.text()}: {name}")
            is_usable = not self._swarm.problem or button is self.leave
            button.setVisible(is_usable)
            layout.addWidget(button)
        theme.kind(self.rekey, "quiet")
        theme.kind(self.leave, "quiet")
        return row

    def _make_asking(self) -> QWidget:
        row = QWidget(self)
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.S)
        self.question = QLabel(row)
        self.question.setWordWrap(True)
        self.confirm = QPushButton(row)
        theme.kind(self.confirm, "danger")
        self.confirm.clicked.connect(self._do)
        self.keep = QPushButton(self.tr("Keep it"), row)
        self.keep.clicked.connect(lambda: self._show_question(False))
        layout.addWidget(self.question, 1)
        layout.addWidget(self.keep)
        layout.addWidget(self.confirm)
        return row

    def _ask_rekey(self) -> None:
        self._ask(
            self.tr("Everybody needs the new invitation then. Whoever does not get it is out."),
            self.tr("Make a new key"),
            self._swarms.rekey,
        )

    def _ask_leave(self) -> None:
        self._ask(
            self.tr("This computer forgets the key. To come back it needs an invitation."),
            self.tr("Leave it"),
            self._swarms.leave,
        )

    def _ask(self, question: str, answer: str, act: Callable[[str], None]) -> None:
        self._question = act
        self.question.setText(question)
        self.confirm.setText(answer)
        self._show_question(True)
        self.keep.setFocus()

    def _show_question(self, is_asked: bool) -> None:
        self._buttons.setVisible(not is_asked)
        self._asking.setVisible(is_asked)

    def _do(self) -> None:
        self._show_question(False)
        if self._question is not None:
            self._question(self._swarm.name)
