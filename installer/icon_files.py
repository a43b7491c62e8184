"""The program's icon as systems want it, drawn from one SVG: PNG for Linux, ICO for Windows, ICNS for macOS."""

from __future__ import annotations

import struct
from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

SVG = Path(__file__).parent / "icons" / "petals-volunteer.svg"
PNG_SIDES = (16, 22, 24, 32, 48, 64, 128, 256, 512)
_ICO_SIDES = (16, 24, 32, 48, 64, 256)
# Apple names each size by four letters.
_ICNS_SIDES = {b"icp4": 16, b"icp5": 32, b"icp6": 64, b"ic07": 128, b"ic08": 256, b"ic09": 512, b"ic10": 1024}


def png(side: int) -> bytes:
    image = QImage(side, side, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    QSvgRenderer(str(SVG)).render(painter)
    painter.end()
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]  # the stubs want text, PySide bytes or text
    return bytes(data.data())


def ico() -> bytes:
    """A table of sizes and places, then the pictures; 256 is written as 0."""
    pictures = [png(side) for side in _ICO_SIDES]
    place = 6 + 16 * len(pictures)
    table = struct.pack("<HHH", 0, 1, len(pictures))
    for side, picture in zip(_ICO_SIDES, pictures, strict=True):
        table += struct.pack("<BBBBHHII", side % 256, side % 256, 0, 0, 1, 32, len(picture), place)
        place += len(picture)
    return table + b"".join(pictures)


def icns() -> bytes:
    pictures = {name: png(side) for name, side in _ICNS_SIDES.items()}
    parts = b"".join(name + struct.pack(">I", 8 + len(picture)) + picture for name, picture in pictures.items())
    return b"icns" + struct.pack(">I", 8 + len(parts)) + parts


def write_icons(folder: Path) -> None:
    """`petals-volunteer.ico` and `.icns`, which the spec puts into the programs of those systems."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "petals-volunteer.ico").write_bytes(ico())
    (folder / "petals-volunteer.icns").write_bytes(icns())
