"""The pictures of the installer for Windows, drawn from the program's icon: bitmaps, as NSIS takes nothing else."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QColor, QImage, QLinearGradient, QPainter
from PySide6.QtSvg import QSvgRenderer

SVG = Path(__file__).resolve().parent.parent / "icons" / "petals-volunteer.svg"
# What MUI shows at 100 %; drawn three times as large, Windows has something to shrink for denser screens.
_WELCOME, _HEADER, _SCALE = (164, 314), (150, 57), 3
_TOP, _BOTTOM = QColor("#FDF3F8"), QColor("#F5D6E6")


def write_pictures(folder: Path) -> tuple[Path, Path]:
    """The one beside welcome and farewell, and the one at the top of the pages between."""
    folder.mkdir(parents=True, exist_ok=True)
    welcome, header = folder / "welcome.bmp", folder / "header.bmp"
    _save(_drawn(_WELCOME, QRectF(32, 36, 100, 100), faded=True), welcome)
    _save(_drawn(_HEADER, QRectF(99, 7, 43, 43), faded=False), header)
    return welcome, header


def _drawn(size: tuple[int, int], icon: QRectF, *, faded: bool) -> QImage:
    width, height = size
    image = QImage(width * _SCALE, height * _SCALE, QImage.Format.Format_RGB32)
    image.fill(QColor("#FFFFFF"))
    painter = QPainter(image)
    painter.scale(_SCALE, _SCALE)
    if faded:
        shade = QLinearGradient(QPointF(0, 0), QPointF(0, height))
        shade.setColorAt(0, _TOP)
        shade.setColorAt(1, _BOTTOM)
        painter.fillRect(QRectF(0, 0, width, height), shade)
    QSvgRenderer(str(SVG)).render(painter, icon)
    painter.end()
    return image


def _save(image: QImage, path: Path) -> None:
    if not image.convertToFormat(QImage.Format.Format_RGB888).save(str(path), "BMP"):
        raise OSError(f"{path} cannot be written")
