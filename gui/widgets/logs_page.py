"""The log as it is written: filtered, followed, copied."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QSignalBlocker
from PySide6.QtGui import QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.icons import icon
from gui.viewmodels.log_table import Level, LogEntry
from gui.viewmodels.logs import LogsViewModel
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.folders import open_folder
from gui.widgets.log_view import LogView
from gui.widgets.switch import Switch

_WHOLE_LINES = 7
_SEARCH_PX = 150
_ICON_BUTTON_PX = 44


class LogsPage(QWidget):
    """The worker tells its log as long as this is seen."""

    def __init__(self, logs: LogsViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._logs = logs
        self._topics: list[str] = []
        self.level = self._box(self.tr("Least level"))
        for level in Level:
            self.level.addItem(self._level_words(level))
        self.level.setCurrentIndex(Level.INFO)
        self.level.activated.connect(lambda place: logs.show_level(Level(place)))
        self.topic = self._box(self.tr("Topic"))
        self.topic.activated.connect(lambda place: logs.show_topic(self._topics[place - 1] if place else None))
        self.search = QLineEdit(self)
        self.search.setPlaceholderText(self.tr("Find in the log"))
        self.search.setAccessibleName(self.tr("Find in the log"))
        self.search.setClearButtonEnabled(True)
        self.search.setMinimumWidth(_SEARCH_PX)
        self.search.addAction(icon("search", "secondary"), QLineEdit.ActionPosition.LeadingPosition)
        self.search.textChanged.connect(logs.find)
        self.follow = Switch(self.tr("Follow"), self)
        self.follow.setChecked(True)
        self.lines = LogView(logs, self.follow, self)
        self.whole = self._whole_text()
        self.counted = theme.role(QLabel(self), "secondary")
        self.copy = self._button("copy", self.tr("Copy"), self.lines.copy)
        self.folder = self._button("folder", self.tr("Open the folder"), lambda: open_folder(logs.folder))
        self.clear = self._button("close", self.tr("Clear"), logs.clear)
        self._lay_out()
        logs.show_level(Level.INFO)
        logs.changed.connect(self._show)
        self._show()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._logs.watch(True)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._logs.watch(False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.FontChange:
            self._fit()

    @property
    def _buttons(self) -> tuple[QPushButton, ...]:
        return self.clear, self.folder, self.copy

    def _fit(self) -> None:
        """Where there is no room for their words, the buttons have their icons alone."""
        for button in self._buttons:
            button.setText(button.accessibleName())
        words = (self.follow, self.counted, *self._buttons)
        if sum(widget.sizeHint().width() + theme.S for widget in words) > self.width():
            for button in self._buttons:
                button.setText("")

    def _level_words(self, level: Level) -> str:
        return {
            Level.DETAIL: self.tr("All levels"),
            Level.INFO: self.tr("From info on"),
            Level.WARNING: self.tr("From warnings on"),
            Level.FAILURE: self.tr("Failures"),
        }[level]

    def _box(self, name: str) -> QComboBox:
        box = QComboBox(self)
        box.setAccessibleName(name)
        box.setToolTip(name)
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        return box

    def _button(self, name: str, text: str, act: Callable[[], None]) -> QPushButton:
        button = QPushButton(text, self)
        button.setIcon(icon(name))
        button.setAccessibleName(text)
        button.setToolTip(text)
        button.setMinimumWidth(_ICON_BUTTON_PX)  # its words may go
        button.clicked.connect(lambda: act())
        return button

    def _whole_text(self) -> QPlainTextEdit:
        whole = QPlainTextEdit(self)
        whole.setReadOnly(True)
        whole.setTabChangesFocus(True)
        whole.setAccessibleName(self.tr("The whole record"))
        whole.setFixedHeight(self.fontMetrics().lineSpacing() * _WHOLE_LINES + theme.L)
        whole.hide()
        self.lines.chosen.connect(self._show_whole)
        return whole

    def _lay_out(self) -> None:
        filters = QWidget(self)
        flow = FlowLayout(filters, spacing=theme.S)
        for widget in (self.level, self.topic, self.search):
            flow.addWidget(widget)
        foot = QHBoxLayout()
        foot.setSpacing(theme.S)
        foot.addWidget(self.follow)
        foot.addWidget(self.counted, 1)
        for button in self._buttons:
            foot.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.S)
        column.addWidget(filters)
        column.addWidget(self.lines, 1)
        column.addWidget(self.whole)
        column.addLayout(foot)

    def _show(self) -> None:
        topics = self._logs.topics
        if topics != self._topics or not self.topic.count():
            chosen = self._logs.table.filter.topic
            self._topics = topics
            with QSignalBlocker(self.topic):
                self.topic.clear()
                self.topic.addItems([self.tr("All topics"), *topics])
                self.topic.setCurrentIndex(topics.index(chosen) + 1 if chosen in topics else 0)
        self.counted.setText(self._logs.problem or self._logs.counted)

    def _show_whole(self, entry: LogEntry | None) -> None:
        self.whole.setVisible(entry is not None and (bool(entry.num_more_lines) or self.lines.is_cut(entry)))
        if entry is not None:
            self.whole.setPlainText(entry.text)
