import struct

import pytest

pytest.importorskip("PySide6", reason="PySide6 draws the icons")

from installer.icon_files import icns, ico, png


def test_a_picture_has_the_wanted_size() -> None:
    assert png(48)[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png(48)[16:24]) == (48, 48)


def test_an_ico_file_lists_pictures_that_lie_where_it_says() -> None:
    file = ico()
    _, kind, count = struct.unpack("<HHH", file[:6])
    assert (kind, count) == (1, 6)
    for number in range(count):
        *_, length, place = struct.unpack("<BBBBHHII", file[6 + 16 * number : 22 + 16 * number])
        assert file[place : place + 4] == b"\x89PNG"
        assert place + length <= len(file)


def test_an_icns_file_says_its_own_length() -> None:
    file = icns()
    assert file[:4] == b"icns"
    assert struct.unpack(">I", file[4:8]) == (len(file),)
