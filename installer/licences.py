"""The licences of everything that is built in, gathered into one folder.

Of Python packages: the files that the installed package holds. Of libraries that come from this machine's system: what
Debian says of their package. The network daemon comes packed inside hivemind, so of its parts only its makers can tell.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

_LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|authors)", re.IGNORECASE)
_COMMON = Path(__file__).parent / "licences"
"""Texts that packages name and do not bring: of Qt and PySide6 (LGPL), and of some under Apache-2.0."""


def gather(names: Iterable[str], folder: Path, *, system_libraries: Iterable[Path]) -> int:
    """Writes the folder; returns of how many works.

    Args:
        names: of Python packages.
        system_libraries: where the libraries were taken from.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = ["What Petals Volunteer is made of, and under which licence; the texts are in this folder.", ""]
    works = [_python(folder), *(_package(distribution(name), folder) for name in sorted(names))]
    works.append(
        ("p2pd, the libp2p daemon inside hivemind (https://github.com/libp2p/go-libp2p-daemon)", "MIT or Apache-2.0")
    )
    works += _system(system_libraries, folder)
    lines += [f"{name}: {licence}" for name, licence in works]
    for text in sorted(_COMMON.iterdir()):
        shutil.copy(text, folder / text.name)
    (folder / "README.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(works)


def _python(folder: Path) -> tuple[str, str]:
    text = Path(sysconfig.get_path("stdlib")) / "LICENSE.txt"
    if text.is_file():
        shutil.copy(text, folder / "Python.txt")
    return f"Python {sys.version.split()[0]}", "PSF-2.0"


def _package(found: Distribution, folder: Path) -> tuple[str, str]:
    texts = [text for text in _licence_files(found) if text.is_file()]
    for text in texts:
        own = folder / found.name
        own.mkdir(exist_ok=True)
        # Packages have several of one name, in folders of what they in turn contain.
        number = len(list(own.glob(f"*{text.name}")))
        shutil.copy(text, own / (f"{number}-{text.name}" if number else text.name))
    return f"{found.name} {found.version}", licence_of(found)


def _licence_files(found: Distribution) -> Iterator[Path]:
    for file in found.files or ():
        if ".dist-info" in file.parts[0] and _LICENCE_FILE.search(file.name):
            yield Path(str(file.locate()))


def licence_of(found: Distribution) -> str:
    """In the package's own words: an expression, an old one-line field, or the classifiers."""
    for field in ("License-Expression", "License"):
        for text in found.metadata.get_all(field) or ():
            if text.strip() and "\n" not in text.strip():
                return str(text.strip())
    classifiers = found.metadata.get_all("Classifier") or ()
    said = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")]
    return ", ".join(said) or "see its text"


def _system(libraries: Iterable[Path], folder: Path) -> Iterator[tuple[str, str]]:
    """Debian and its children know which package a file is of; elsewhere the library is only named."""
    for package, names in sorted(_packages_of(libraries).items()):
        copyright_file = Path("/usr/share/doc") / package / "copyright"
        if copyright_file.is_file():
            shutil.copy(copyright_file, folder / f"{package}.txt")
        yield f"{package} ({', '.join(sorted(names))})", "see its text"


def _packages_of(libraries: Iterable[Path]) -> dict[str, set[str]]:
    packages: dict[str, set[str]] = {}
    for library in libraries:
        packages.setdefault(_package_of(library) or library.name, set()).add(library.name)
    return packages


def _package_of(library: Path) -> str | None:
    if shutil.which("dpkg") is None:
        return None
    # Some packages file their libraries under /lib, which is a link to /usr/lib by now.
    place = str(library.resolve())
    found = subprocess.run(["dpkg", "-S", place, place.removeprefix("/usr")], capture_output=True, text=True)
    return found.stdout.partition(":")[0] or None
