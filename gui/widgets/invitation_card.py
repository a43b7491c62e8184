"""An invitation to be copied, and what it is worth."""

from __future__ import annotations

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

from gui import theme
from gui.icons import icon
from gui.viewmodels.private_swarms import PrivateSwarmsViewModel, ShownInvitation
from gui.widgets.card import Card


class InvitationCard(Card):
    """Hidden while there is none to show."""

    def __init__(self, swarms: PrivateSwarmsViewModel, parent: QWidget) -> None:
        super().__init__("", parent)
        self._swarms = swarms
        self._shown: ShownInvitation | None = None
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        self.invitation = QLineEdit(self)
        self.invitation.setReadOnly(True)
        self.invitation.setAccessibleName(self.tr("Invitation"))
        self.copy = QPushButton(self.tr("Copy"), self)
        self.copy.setIcon(icon("copy", "on_accent"))
        theme.kind(self.copy, "primary")
        self.copy.clicked.connect(self._copy)
        self.done = QPushButton(self.tr("Done"), self)
        self.done.clicked.connect(swarms.put_away_invitation)
        self.warning = theme.role(QLabel(self), "body")
        self.warning.setWordWrap(True)
        theme.state(self.warning, "warn")
        row = QHBoxLayout()
        row.setSpacing(theme.S)
        row.addWidget(self.invitation, 1)
        row.addWidget(self.copy)
        row.addWidget(self.done)
        self.body.addWidget(self.text)
        self.body.addLayout(row)
        self.body.addWidget(self.warning)
        swarms.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        shown = self._swarms.invitation
        if shown == self._shown:
            self.setVisible(shown is not None)
            return
        self._shown = shown
        self.setVisible(shown is not None)
        if shown is None:
            self.invitation.clear()  # no longer than it is needed
            return
        title = self.tr("New invitation to {name}") if shown.is_new_key else self.tr("Invitation to {name}")
        self.set_title(title.format(name=shown.swarm))
        self.text.setText(self._said(shown))
        self.invitation.setText(shown.text)
        self.invitation.setCursorPosition(0)
        self.copy.setText(self.tr("Copy"))
        self.warning.setVisible(not shown.has_ways_in)
        self.warning.setText(
            self.tr(
                "It has no address in it yet, so nobody would find the way in. Once the worker serves this swarm, "
                "“Invite” makes one that has."
            )
        )

    def _said(self, shown: ShownInvitation) -> str:
        worth = self.tr("It is as good as a key: whoever has it is a member. Send it where nobody else reads.")
        if not shown.is_new_key:
            return worth
        return f"{self.tr('Every member needs this one now; the old invitations are worth nothing any more.')} {worth}"

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.invitation.text())
        self.copy.setText(self.tr("Copied"))
