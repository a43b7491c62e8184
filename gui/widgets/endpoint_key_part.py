"""Address and key of the chat endpoint, to be copied into another program."""

from __future__ import annotations

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.viewmodels.endpoint_key import EndpointKeyViewModel
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.icon_button import IconButton

_HIDDEN_KEY = "•" * 24


class EndpointKeyPart(QWidget):
    def __init__(self, key: EndpointKeyViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._key = key
        self.address = self._field(self.tr("Address of the endpoint"))
        self.why = QLabel(self)
        self.why.setWordWrap(True)
        self.copy_address = IconButton("copy", self.tr("Copy the address"), self._copy_address, self)
        self.key = self._field(self.tr("Key of the endpoint"))
        self.show_key = IconButton("eye", self.tr("Show the key"), self._show_or_hide_key, self)
        self.show_key.setCheckable(True)
        self.copy_key = IconButton("copy", self.tr("Copy the key"), lambda: key.with_key(self._copy), self)
        self.renew = QPushButton(self.tr("New key"), self)
        self.renew.clicked.connect(lambda: self._show_question(True))
        self.said = theme.role(QLabel(self), "secondary")
        self.said.setWordWrap(True)
        self.question = self._question()
        self._lay_out()
        key.changed.connect(self._show)
        self._show()

    def _field(self, name: str) -> QLineEdit:
        line = QLineEdit(self)
        line.setReadOnly(True)
        line.setAccessibleName(name)
        return line

    def _question(self) -> QWidget:
        question = QWidget(self)
        text = QLabel(
            self.tr("Programs that have the old key are let in no more, until they get the new one."), question
        )
        text.setWordWrap(True)
        self.keep = QPushButton(self.tr("Keep the old one"), question)
        self.keep.clicked.connect(lambda: self._show_question(False))
        self.confirm = QPushButton(self.tr("Make a new key"), question)
        theme.kind(self.confirm, "danger")
        self.confirm.clicked.connect(self._renew)
        answers = QWidget(question)
        row = FlowLayout(answers, spacing=theme.S)
        row.addWidget(self.keep)
        row.addWidget(self.confirm)
        column = QVBoxLayout(question)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.S)
        column.addWidget(text)
        column.addWidget(answers)
        question.hide()
        return question

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setHorizontalSpacing(theme.S)
        grid.setVerticalSpacing(theme.S)
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel(self.tr("Address"), self), 0, 0)
        grid.addWidget(self.address, 0, 1)
        grid.addWidget(self.why, 0, 1, 1, 3)
        grid.addWidget(self.copy_address, 0, 2)
        grid.addWidget(QLabel(self.tr("Key"), self), 1, 0)
        grid.addWidget(self.key, 1, 1)
        grid.addWidget(self.show_key, 1, 2)
        grid.addWidget(self.copy_key, 1, 3)
        grid.addWidget(self.renew, 1, 4)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, theme.XS, 0, 0)
        column.setSpacing(theme.S)
        column.addLayout(grid)
        column.addWidget(self.question)
        column.addWidget(self.said)

    def _show(self) -> None:
        key = self._key
        self.address.setText(key.address)
        self.address.setVisible(bool(key.address))
        self.copy_address.setVisible(bool(key.address))
        self.why.setText(key.why_no_address)
        self.why.setVisible(not key.address)
        self.key.setText(key.key or _HIDDEN_KEY)
        self.key.setCursorPosition(0)
        self.show_key.setChecked(key.key is not None)
        if not key.needs_key:
            self.said.setText(self.tr("It is not asked for now: every program on this computer is let in."))
        else:
            self.said.setText(key.problem or key.said)
        theme.state(self.said, "bad" if key.problem else "")
        self.said.setVisible(bool(self.said.text()))

    def _show_question(self, is_asked: bool) -> None:
        self.question.setVisible(is_asked)
        if is_asked:
            self.keep.setFocus()

    def _renew(self) -> None:
        self._show_question(False)
        self._key.renew()

    def _show_or_hide_key(self) -> None:
        if self.show_key.isChecked():
            self._key.show()
        else:
            self._key.hide()

    def _copy_address(self) -> None:
        QGuiApplication.clipboard().setText(self._key.address)

    def _copy(self, key: str) -> None:
        QGuiApplication.clipboard().setText(key)
        self._key.note_copied()
