"""What is wrong on this computer, and what helps; and a report of it for others."""

from __future__ import annotations

import datetime
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.icons import icon
from gui.viewmodels.doctor import DoctorViewModel, Finding
from gui.widgets.banner import Banner
from gui.widgets.card import Card
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.folders import open_folder
from gui.widgets.icon_label import IconLabel
from gui.widgets.reading_column import ReadingColumn
from gui.widgets.switch import Switch
from volunteer.doctor import State

_LOOKS = {
    State.GOOD: ("check", "good"),
    State.WARN: ("warn", "warn"),
    State.BAD: ("warn", "bad"),
    State.UNKNOWN: ("help", "secondary"),
}


class DoctorPage(ReadingColumn):
    """Looks by itself the first time: it changes nothing and asks nobody."""

    def __init__(self, doctor: DoctorViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._doctor = doctor
        self._shown: tuple[Finding, ...] | None = None
        self.icon = IconLabel("info", "secondary", 20, self)
        self.summary = theme.role(QLabel(self), "card")
        self.summary.setWordWrap(True)
        self.look = QPushButton(self.tr("Look again"), self)
        self.look.setIcon(icon("retry"))
        self.look.clicked.connect(doctor.look)
        self.save = QPushButton(self.tr("Save report …"), self)
        self.save.setIcon(icon("export"))
        self.save.clicked.connect(self._choose_file)
        self.asks_hub = Switch(self.tr("Also ask the model hub whether it can be reached"), self)
        self.asks_hub.toggled.connect(self._ask_hub)
        self.banner = Banner(self)
        self.card = Card("", self)
        self.card.body.setSpacing(0)
        self._lay_out()
        doctor.changed.connect(self._show)
        self._show()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._doctor.found is None:
            self._doctor.look()

    def save_to(self, path: Path) -> None:
        self._doctor.save_report(path)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(theme.S)
        head.addWidget(self.icon)
        head.addWidget(self.summary, 1)
        actions = QWidget(self)
        buttons = FlowLayout(actions, spacing=theme.S)
        buttons.addWidget(self.look)
        buttons.addWidget(self.save)
        about = theme.role(
            QLabel(
                self.tr(
                    "The report holds these checks, versions, your settings and the end of the log, without names, "
                    "addresses and keys. Read it before you share it."
                ),
                self,
            ),
            "secondary",
        )
        about.setWordWrap(True)
        self.column.addLayout(head)
        self.column.addWidget(actions)
        self.column.addWidget(self.banner)
        self.column.addWidget(self.card)
        self.column.addWidget(self.asks_hub)
        self.column.addWidget(about)

    def _show(self) -> None:
        doctor = self._doctor
        self.icon.set_icon(*_LOOKS[doctor.worst] if doctor.found else ("info", "secondary"))
        self.summary.setText(doctor.summary)
        self.look.setEnabled(not doctor.is_looking)
        self.save.setEnabled(doctor.found is not None and not doctor.is_saving)
        self.card.setVisible(bool(doctor.found))
        if doctor.found != self._shown:
            self._shown = doctor.found
            self._fill(doctor.found or ())
        self._show_banner()

    def _show_banner(self) -> None:
        doctor = self._doctor
        if doctor.problem:
            self.banner.show_message("bad", doctor.problem)
        elif doctor.saved is not None:
            folder = doctor.saved.parent
            self.banner.show_message(
                "good",
                self.tr("The report is in {file}.").format(file=doctor.saved),
                self.tr("Open the folder"),
                lambda: open_folder(folder),
            )
        else:
            self.banner.hide()

    def _fill(self, found: tuple[Finding, ...]) -> None:
        while (item := self.card.body.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for finding in found:
            if self.card.body.count():
                line = QFrame(self.card)
                line.setObjectName("Line")
                self.card.body.addWidget(line)
            self.card.body.addWidget(FindingRow(finding, self.card))

    def _ask_hub(self, wanted: bool) -> None:
        self._doctor.asks_hub = wanted
        if wanted:
            self._doctor.look()

    def _choose_file(self) -> None:
        name = f"petals-volunteer-report-{datetime.date.today().isoformat()}.txt"
        dialog = QFileDialog(self, self.tr("Save report"), str(Path.home() / name), self.tr("Text (*.txt)"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("txt")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda file: self.save_to(Path(file)))
        dialog.open()


class FindingRow(QWidget):
    def __init__(self, finding: Finding, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName(finding.in_words())
        name, color = _LOOKS[finding.state]
        title = QLabel(finding.title, self)
        word = theme.role(QLabel(finding.word, self), "secondary")
        theme.state(word, color if color != "secondary" else "")
        text = theme.role(self._wrapped(finding.text), "secondary")
        first = QHBoxLayout()
        first.setSpacing(theme.S)
        first.addWidget(title)
        first.addStretch(1)
        first.addWidget(word)
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addLayout(first)
        column.addWidget(text)
        if finding.advice:
            column.addWidget(self._wrapped(finding.advice))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, theme.S, 0, theme.S)
        row.setSpacing(theme.M)
        row.addWidget(IconLabel(name, color, 20, self), 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(column, 1)

    def _wrapped(self, text: str) -> QLabel:
        label = QLabel(text, self)
        label.setWordWrap(True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label
