"""A setting that is on or off, painted as a switch; to keyboard and screen reader a check box, which it is."""

from __future__ import annotations

from PySide6.QtCore import QEasingCurve, QPointF, QRectF, QSize, Qt, QVariantAnimation
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QCheckBox, QWidget

from gui import theme

_TRACK_WIDTH, _TRACK_HEIGHT = 36, 20
_KNOB_GAP = 3
_RING = 2
_FADE_MS = 120


class Switch(QCheckBox):
    """Its text stands right of it; without text it needs an accessible name."""

    def __init__(self, text: str = "", parent: QWidget | None = None):
        super().__init__(text, parent)
        self._place = 0.0
        """Of the knob, from 0 for off to 1 for on."""
        self._slide = QVariantAnimation(self)
        self._slide.setDuration(_FADE_MS)
        self._slide.setEasingCurve(QEasingCurve.Type.OutCubic)
        self._slide.valueChanged.connect(self._place_knob)
        self.toggled.connect(self._move_knob)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        text = self.fontMetrics().size(Qt.TextFlag.TextShowMnemonic, self.text())
        width = _TRACK_WIDTH + 2 * (_RING + 1) + (theme.S + text.width() if self.text() else 0)
        return QSize(width, max(_TRACK_HEIGHT + 2 * _RING + 2, text.height() + 4))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def hitButton(self, position: object) -> bool:
        return True

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top = (self.height() - _TRACK_HEIGHT) / 2
        track = QRectF(_RING + 1, top, _TRACK_WIDTH, _TRACK_HEIGHT)
        self._paint_track(painter, track)
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme.current().accent), _RING))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(track.adjusted(-2, -2, 2, 2), _TRACK_HEIGHT / 2 + 2, _TRACK_HEIGHT / 2 + 2)
        if self.text():
            self._paint_text(painter, round(track.right()) + theme.S)
        painter.end()

    def _paint_track(self, painter: QPainter, track: QRectF) -> None:
        colors = theme.current()
        on, off = (colors.accent, colors.outline) if self.isEnabled() else (colors.outline, colors.border)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.mixed(off, on, self._place)))
        painter.drawRoundedRect(track, _TRACK_HEIGHT / 2, _TRACK_HEIGHT / 2)
        radius = _TRACK_HEIGHT / 2 - _KNOB_GAP
        way = _TRACK_WIDTH - 2 * (radius + _KNOB_GAP)
        painter.setBrush(QColor(theme.mixed(colors.surface, colors.on_accent, self._place)))
        left = track.left() + radius + _KNOB_GAP
        share = 1 - self._place if self.layoutDirection() is Qt.LayoutDirection.RightToLeft else self._place
        painter.drawEllipse(QPointF(left + way * share, track.center().y()), radius, radius)

    def _paint_text(self, painter: QPainter, left: int) -> None:
        group = self.palette().currentColorGroup()
        painter.setPen(self.palette().color(group, self.foregroundRole()))
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(
            self.rect().adjusted(left, 0, 0, 0), int(flags) | int(Qt.TextFlag.TextShowMnemonic), self.text()
        )

    def _move_knob(self, is_on: bool) -> None:
        target = 1.0 if is_on else 0.0
        # What is not seen does not move, and nothing does unless the desktop has its effects on: what the style says of
        # motion is yes everywhere. Where a desktop does not tell, still is the better guess.
        if not self.isVisible() or not QApplication.isEffectEnabled(Qt.UIEffect.UI_General):
            self._slide.stop()
            self._place_knob(target)
            return
        self._slide.stop()
        self._slide.setStartValue(self._place)
        self._slide.setEndValue(target)
        self._slide.start()

    def _place_knob(self, place: float) -> None:
        self._place = place
        self.update()
