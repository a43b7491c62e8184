"""The card that says how it is: state and reason in a sentence each, what backs them up, and what ends the state."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from gui import theme
from gui.viewmodels.home import HomeViewModel
from gui.viewmodels.home_words import Progress
from gui.viewmodels.worker import TrayState
from gui.widgets.card import Card
from gui.widgets.deed_buttons import DeedRow
from gui.widgets.icon_label import IconLabel
from gui.widgets.state_dot import StateDot, dot_of

_DOT_PX = 16
_STEPS = 1000


class StateCard(Card):
    def __init__(self, home: HomeViewModel, parent: QWidget) -> None:
        super().__init__("", parent)
        self._home = home
        self._dot = StateDot(self, _DOT_PX)
        self.headline = theme.role(_line(self), "card")
        self.reason = _line(self)
        self.facts = theme.role(_line(self), "secondary")
        self.tried = theme.role(_line(self), "secondary")
        self.progress = ProgressLine(self)
        self.deeds = DeedRow(self)
        self.report_note = theme.role(_line(self), "secondary")
        self.report_note.hide()
        self.advice = NoteLine("info", self)
        self.cannot_tell = NoteLine("info", self)
        column = QVBoxLayout()
        column.setSpacing(theme.XS)
        for line in (self.headline, self.reason, self.facts, self.tried):
            column.addWidget(line)
        column.addSpacing(theme.XS)
        below: tuple[QWidget, ...] = (self.progress, self.deeds, self.report_note, self.advice, self.cannot_tell)
        for widget in below:
            column.addWidget(widget)
        self._beside = QVBoxLayout()
        self._beside.addWidget(self._dot)
        self._beside.addStretch(1)
        row = QHBoxLayout()
        row.setSpacing(theme.M)
        row.addLayout(self._beside)
        row.addLayout(column, 1)
        self.body.addLayout(row)
        home.report_made.connect(self._note_report)
        home.report_failed.connect(self._note_failure)

    def show_state(self) -> None:
        home = self._home
        self._dot.show_kind("off" if home.is_off else dot_of(home.tray_state))
        # Beside the middle of the first line, however large text is.
        above = (self.headline.fontMetrics().height() - _DOT_PX) // 2
        self._beside.setContentsMargins(0, max(0, above), 0, 0)
        self.headline.setText(home.headline)
        self.setAccessibleName(home.headline)
        _say(self.reason, home.reason)
        _say(self.facts, " · ".join(home.facts))
        _say(self.tried, home.tried)
        self.progress.show_progress(home.progress)
        self.deeds.show_deeds(home.remedies)
        self.advice.show_note(home.advice)
        self.cannot_tell.show_note(home.cannot_tell)
        if home.tray_state is not TrayState.PROBLEM:
            self.report_note.hide()

    def _note_report(self, text: str) -> None:
        self.report_note.setText(
            self.tr(
                "The report is on the clipboard. Names, home folders, addresses of others and secrets were taken out; "
                "read it before you share it."
            )
        )
        self.report_note.show()

    def _note_failure(self, problem: str) -> None:
        self.report_note.setText(problem)
        self.report_note.show()


class ProgressLine(QWidget):
    """A bar and what it stands for: bytes, rate, time left. Not there while nothing is on its way."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setRange(0, _STEPS)
        self.bar.setAccessibleName(self.tr("Download"))
        self.text = QLabel(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, theme.XS)
        column.setSpacing(theme.XS)
        column.addWidget(self.bar)
        column.addWidget(self.text)

    def show_progress(self, progress: Progress | None) -> None:
        self.setVisible(progress is not None)
        if progress is not None:
            self.bar.setValue(round((progress.share or 0.0) * _STEPS))
            self.text.setText(progress.text)


class NoteLine(QWidget):
    """Something to know, in a smaller voice."""

    def __init__(self, icon: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.text = theme.role(_line(self), "secondary")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, theme.XS, 0, 0)
        row.setSpacing(theme.S)
        row.addWidget(IconLabel(icon, "secondary", 16, self), 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.text, 1)

    def show_note(self, text: str) -> None:
        self.text.setText(text)
        self.setVisible(bool(text))


def _line(parent: QWidget) -> QLabel:
    label = QLabel(parent)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _say(label: QLabel, text: str) -> None:
    label.setText(text)
    label.setVisible(bool(text))
