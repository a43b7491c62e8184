"""Which libraries of the system the built program asks for, and in which packages Debian and Ubuntu have them.

Asked of the files themselves, so that a library that is new in the build and in no package here ends the packaging,
and not the program on somebody's computer.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

_PACKAGES = {
    "ld-linux-x86-64.so.2": "libc6",
    "libc.so.6": "libc6",
    "libdl.so.2": "libc6",
    "libm.so.6": "libc6",
    "libpthread.so.0": "libc6",
    "libresolv.so.2": "libc6",
    "librt.so.1": "libc6",
    "libutil.so.1": "libc6",
    "libgcc_s.so.1": "libgcc-s1",
    "libstdc++.so.6": "libstdc++6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libX11.so.6": "libx11-6",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libbrotlicommon.so.1": "libbrotli1",
    "libbrotlidec.so.1": "libbrotli1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
    "libwayland-egl.so.1": "libwayland-egl1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-glx.so.0": "libxcb-glx0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb.so.1": "libxcb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libzstd.so.1": "libzstd1",
}
# The driver's own, which stand where there is a card and are asked for only there.
_OF_DRIVERS = re.compile(r"lib(cuda|nvidia-ml)\.so\.1")
_NEEDED = re.compile(r"\(NEEDED\).*\[(.+)\]")
_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)")


class UnknownLibrary(Exception):
    """A library is asked for that this module knows no package of."""


def is_elf(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def needed_libraries(folder: Path) -> dict[str, list[str]]:
    """Of the system: name of the library -> the files in the folder that ask for it."""
    own = {path.name for path in folder.rglob("*")}
    needed: dict[str, list[str]] = {}
    for path in filter(is_elf, sorted(folder.rglob("*"))):
        for name in _NEEDED.findall(_read(path)):
            if name not in own and not _OF_DRIVERS.fullmatch(name):
                needed.setdefault(name, []).append(path.relative_to(folder).as_posix())
    return needed


def newest_c_library(folder: Path) -> str:
    """The version of glibc, as in "2.35", without which the program does not start."""
    newest = (2, 0)
    for path in filter(is_elf, folder.rglob("*")):
        newest = max([newest, *((int(major), int(minor)) for major, minor in _GLIBC.findall(_read(path)))])
    return f"{newest[0]}.{newest[1]}"


def packages_of(needed: dict[str, list[str]]) -> set[str]:
    """
    Raises:
        UnknownLibrary: with who asks.
    """
    unknown = [name for name in needed if name not in _PACKAGES]
    if unknown:
        who = "; ".join(f"{name} by {needed[name][0]}" for name in sorted(unknown))
        raise UnknownLibrary(f"No Debian package is known for: {who}. Add it to installer/linux/libraries.py.")
    return {_PACKAGES[name] for name in needed}


def depends(needed: dict[str, list[str]], c_library: str, others: Iterable[str] = ()) -> str:
    """As the field of a Debian package."""
    return ", ".join(_with_versions(sorted({*packages_of(needed), *others}), c_library))


def _with_versions(packages: Iterable[str], c_library: str) -> Iterator[str]:
    for package in packages:
        yield f"{package} (>= {c_library})" if package == "libc6" else package


def _read(path: Path) -> str:
    return subprocess.run(
        ["readelf", "--dynamic", "--version-info", "--wide", path], capture_output=True, text=True
    ).stdout
