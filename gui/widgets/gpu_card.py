"""One card for each GPU, or for the computer where there is none: how hot, how busy, how full, in words."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from gui import theme, words
from gui.viewmodels.home_words import GpuFacts, memory_meter
from gui.viewmodels.machine import MachineReading
from gui.widgets.card import Card
from gui.widgets.icon_label import IconLabel
from gui.widgets.meter_bar import MeterBar


class GpuCard(Card):
    def __init__(self, parent: QWidget) -> None:
        super().__init__("", parent)
        self.facts = QLabel(self)
        self.facts.setWordWrap(True)
        self.memory = MeterBar(self)
        self.problem = ProblemLine(self)
        self.body.addWidget(self.facts)
        self.body.addWidget(self.memory)
        self.body.addWidget(self.problem)
        self.body.addStretch(1)

    def show_gpu(self, gpu: GpuFacts) -> None:
        if gpu.name != self.title.text():
            self.set_title(gpu.name)
        self.facts.setText(" · ".join(gpu.facts))
        self.facts.setVisible(bool(gpu.facts))
        theme.state(self.facts, "warn" if gpu.is_warm else "")
        self.memory.setVisible(gpu.memory is not None)
        if gpu.memory is not None:
            self.memory.show_meter(gpu.memory)
        self.problem.show_problem(gpu.problem)


class ComputerCard(Card):
    """Of a machine that computes on its processor."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("", parent)
        self.set_title(self.tr("This computer"))
        self.processor = theme.role(QLabel(self), "secondary")
        self.processor.setWordWrap(True)
        self.busy = QLabel(self)
        self.memory = MeterBar(self)
        self.body.addWidget(self.busy)
        self.body.addWidget(self.memory)
        self.body.addWidget(self.processor)
        self.body.addStretch(1)
        self.show_reading(None)

    def show_reading(self, reading: MachineReading | None) -> None:
        self.memory.setVisible(reading is not None)
        if reading is None:
            self.busy.setText(self.tr("Looking at the processor …"))
            return
        self.processor.setText(reading.processor)
        self.memory.show_meter(memory_meter(self.tr("Memory"), reading.used_bytes, reading.total_bytes))
        if reading.busy_share is not None:
            self.busy.setText(self.tr("Processor {percent} busy").format(percent=words.percent(reading.busy_share)))


class ProblemLine(QWidget):
    """A sign and a sentence; not there while there is no problem."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.S)
        row.addWidget(IconLabel("warn", "warn", 18, self), 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.text, 1)

    def show_problem(self, problem: str) -> None:
        self.text.setText(problem)
        self.setVisible(bool(problem))
