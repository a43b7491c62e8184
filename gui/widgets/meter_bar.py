"""How full something is: a line of words and a thin bar below it."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui import theme
from gui.viewmodels.home import Meter

_HEIGHT_PX = 6


class MeterBar(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        self._bar = _Bar(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.XS)
        column.addWidget(self.text)
        column.addWidget(self._bar)

    def show_meter(self, meter: Meter) -> None:
        self.text.setText(meter.text)
        self._bar.show_share(meter.share)


class _Bar(QWidget):
    """The words above say the same."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._share = 0.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_share(self, share: float) -> None:
        self._share = share
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(80, _HEIGHT_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        now = theme.current()
        whole = QRectF(self.rect())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.mixed(now.sunken, now.outline, 0.25)))
        painter.drawRoundedRect(whole, _HEIGHT_PX / 2, _HEIGHT_PX / 2)
        # Not in the accent colour: what fills it is only in part ours.
        painter.setBrush(QColor(now.secondary))
        filled = QRectF(whole.topLeft(), whole.size())
        filled.setWidth(max(float(_HEIGHT_PX), whole.width() * self._share) if self._share > 0 else 0.0)
        painter.drawRoundedRect(filled, _HEIGHT_PX / 2, _HEIGHT_PX / 2)
        painter.end()
