"""The second page of the first run: what was found here, and the choice of model, share and swarm with its cost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.viewmodels.first_run import FirstRunViewModel
from gui.viewmodels.first_run_choice import LEAST_SHARE, SHARE_STEP, Way
from gui.viewmodels.first_run_words import Device, Option, Row
from gui.widgets.card import Card
from gui.widgets.icon_label import IconLabel
from gui.widgets.plain_tip import plain_tip

_ICON_PX = 20


class HardwarePage(QWidget):
    def __init__(self, first_run: FirstRunViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._first_run = first_run
        self.looking = QLabel(self.tr("Looking at this computer …"), self)
        self.look_again = QPushButton(self.tr("Look again"), self)
        self.look_again.clicked.connect(first_run.look)
        self.devices = DevicesCard(self)
        self.models = ModelsCard(first_run, self)
        self.share = ShareCard(first_run, self)
        self.forecast = ForecastCard(self)
        self.swarm = SwarmCard(first_run, self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, theme.XS, 0, theme.L)
        column.setSpacing(theme.M)
        column.addWidget(self.looking)
        column.addWidget(self.look_again, 0, Qt.AlignmentFlag.AlignLeft)
        self._cards: tuple[QWidget, ...] = (self.devices, self.models, self.share, self.forecast, self.swarm)
        for card in self._cards:
            column.addWidget(card)
        first_run.changed.connect(self._show)
        self._show()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show()

    def _show(self) -> None:
        first_run = self._first_run
        has_found = bool(first_run.options)
        self.looking.setVisible(first_run.is_looking)
        self.look_again.setVisible(bool(first_run.problem) and not has_found and not first_run.is_looking)
        for card in self._cards:
            card.setVisible(has_found)
        if has_found:
            self.devices.show_devices(first_run.devices)
            self.models.show_options(first_run.options)
            self.share.show_share()
            self.forecast.show_rows(first_run.rows, first_run.forecast_problem)
            self.swarm.show_way()


class DevicesCard(Card):
    def __init__(self, parent: QWidget) -> None:
        super().__init__("", parent)
        self.set_title(self.tr("This computer"))
        self.rows: list[DeviceRow] = []

    def show_devices(self, devices: Sequence[Device]) -> None:
        while len(self.rows) < len(devices):
            row = DeviceRow(self)
            self.rows.append(row)
            self.body.addWidget(row)
        for number, row in enumerate(self.rows):
            row.setVisible(number < len(devices))
            if number < len(devices):
                row.show_device(devices[number])


class DeviceRow(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._icon = IconLabel("check", "good", _ICON_PX, self)
        self.name = QLabel(self)
        self.verdict = theme.role(QLabel(self), "secondary")
        for label in (self.name, self.verdict):
            label.setWordWrap(True)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.name)
        words.addWidget(self.verdict)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.M)
        row.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)

    def show_device(self, device: Device) -> None:
        self._icon.set_icon(*(("check", "good") if device.can_hold else ("info", "secondary")))
        self.name.setText(f"{device.name} · {device.detail}" if device.detail else device.name)
        self.verdict.setText(device.verdict)


class ModelsCard(Card):
    """Radio buttons, each with what the model is and how much of it fits here."""

    def __init__(self, first_run: FirstRunViewModel, parent: QWidget) -> None:
        super().__init__("", parent)
        self._first_run = first_run
        self.set_title(self.tr("Model"))
        self._group = QButtonGroup(self)
        self.body.setSpacing(0)
        self.rows: dict[str, ModelRow] = {}

    def show_options(self, options: Sequence[Option]) -> None:
        for option in options:
            if option.hub_name not in self.rows:
                self.rows[option.hub_name] = self._new_row(option)
            self.rows[option.hub_name].show_option(option, is_chosen=option.hub_name == self._first_run.chosen.model)

    def _new_row(self, option: Option) -> ModelRow:
        row = ModelRow(option, self)
        row.button.clicked.connect(lambda: self._first_run.choose_model(option.hub_name))
        self._group.addButton(row.button)
        self.body.addWidget(row)
        return row


class ModelRow(QWidget):
    """Its name and what fits; more about it once it is chosen."""

    def __init__(self, option: Option, parent: QWidget) -> None:
        super().__init__(parent)
        self.button = QRadioButton(option.name, self)
        self.verdict = theme.role(QLabel(self), "secondary")
        self.about = theme.role(QLabel(self), "secondary")
        self.about.setWordWrap(True)
        head = QHBoxLayout()
        head.addWidget(self.button)
        head.addStretch(1)
        head.addWidget(self.verdict)
        indented = QHBoxLayout()
        indented.setContentsMargins(theme.XL + theme.XS, 0, 0, theme.XS)
        indented.addWidget(self.about)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addLayout(indented)

    def show_option(self, option: Option, *, is_chosen: bool) -> None:
        self.button.setChecked(is_chosen)
        self.button.setEnabled(not option.problem or is_chosen)
        self.button.setAccessibleDescription(f"{option.verdict}. {option.about}")
        self.verdict.setText(option.verdict)
        self.verdict.setToolTip(plain_tip(option.problem))
        self.about.setText(option.about)
        self.about.setVisible(is_chosen)


class ShareCard(Card):
    def __init__(self, first_run: FirstRunViewModel, parent: QWidget) -> None:
        super().__init__("", parent)
        self._first_run = first_run
        self.set_title(self.tr("How much of its memory"))
        self.words = QLabel(self)
        self.slider = QSlider(Qt.Orientation.Horizontal, self)
        self.slider.setRange(round(LEAST_SHARE / SHARE_STEP), round(1 / SHARE_STEP))
        self.slider.setPageStep(2)
        self.slider.setAccessibleName(self.tr("How much of its memory"))
        self.slider.valueChanged.connect(lambda value: first_run.choose_share(value * SHARE_STEP))
        self.body.addWidget(self.slider)
        self.body.addWidget(self.words)

    def show_share(self) -> None:
        value = round(self._first_run.chosen.share / SHARE_STEP)
        if self.slider.value() != value:
            self.slider.setValue(value)
        self.words.setText(self._first_run.memory_in_words)
        self.slider.setAccessibleDescription(self._first_run.memory_in_words)


class ForecastCard(Card):
    """A line for each thing that it costs or gives."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("", parent)
        self.set_title(self.tr("What that comes to"))
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(theme.L)
        self._grid.setVerticalSpacing(theme.XS + 2)
        self._grid.setColumnStretch(2, 1)
        self.lines: list[tuple[QLabel, QLabel, QLabel]] = []
        self.problem = QLabel(self)
        self.problem.setWordWrap(True)
        self.body.addLayout(self._grid)
        self.body.addWidget(self.problem)

    def show_rows(self, rows: Sequence[Row], problem: str) -> None:
        while len(self.lines) < len(rows):
            self.lines.append(self._new_line(len(self.lines)))
        for number, labels in enumerate(self.lines):
            is_there = number < len(rows)
            for label in labels:
                label.setVisible(is_there)
            if is_there:
                for label, text in zip(
                    labels, (rows[number].label, rows[number].value, rows[number].note), strict=True
                ):
                    label.setText(text)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))

    def _new_line(self, number: int) -> tuple[QLabel, QLabel, QLabel]:
        labels = (theme.role(QLabel(self), "secondary"), QLabel(self), theme.role(QLabel(self), "secondary"))
        labels[2].setWordWrap(True)
        for column, label in enumerate(labels):
            self._grid.addWidget(label, number, column, Qt.AlignmentFlag.AlignTop)
        return labels


class SwarmCard(Card):
    """Where the blocks are served: with others who are there already, or in a swarm that begins here."""

    def __init__(self, first_run: FirstRunViewModel, parent: QWidget) -> None:
        super().__init__("", parent)
        self._first_run = first_run
        self.set_title(self.tr("Swarm"))
        self.join = QRadioButton(self.tr("Join one: an invitation, or the address of a member"), self)
        self.new = QRadioButton(self.tr("Begin a new one, to which you invite others"), self)
        self.stay = QRadioButton(self.tr("Stay in {name}").format(name=first_run.private_swarm), self)
        self.stay.setVisible(bool(first_run.private_swarm))
        self._ways = {Way.STAY: self.stay, Way.JOIN: self.join, Way.NEW: self.new}
        group = QButtonGroup(self)
        for way, button in self._ways.items():
            group.addButton(button)
            button.clicked.connect(partial(self._choose, way))
        self.address = QLineEdit(self)
        self.address.setPlaceholderText("/ip4/203.0.113.7/tcp/31337/p2p/Qm…")
        self.address.setAccessibleName(self.tr("Invitation, or address of a member"))
        self.address.textEdited.connect(first_run.type_address)
        self.note = theme.role(QLabel(self), "secondary")
        self.note.setWordWrap(True)
        for widget in (self.stay, self.join, self.address, self.note, self.new):
            self.body.addWidget(widget)

    def _choose(self, way: Way) -> None:
        self._first_run.choose_way(way)
        if way is Way.JOIN:
            self.address.setFocus()

    def show_way(self) -> None:
        chosen = self._first_run.chosen
        self._ways[chosen.way].setChecked(True)
        self.address.setVisible(chosen.way is Way.JOIN)
        if self.address.text().strip() != chosen.address:
            self.address.setText(chosen.address)
        problem = self._first_run.way_problem
        self.note.setText(problem or self._first_run.way_note)
        self.note.setVisible(bool(self.note.text()))
        theme.state(self.address, "bad" if problem and chosen.address else "")
