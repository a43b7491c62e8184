"""What this program is: version, what is new in it, whose work it stands on, and what it tells whom."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QObject, Signal

from gui.worker_link import WorkerLink
from volunteer.doctor import DISTRIBUTION
from volunteer.resource_files import resource

_UNSAID = "UNKNOWN"
_DEMO_MODEL = "SmolLM2-135M-Instruct"

translate = QCoreApplication.translate


@dataclass(frozen=True)
class Licence:
    """Of one part."""

    part: str
    version: str
    licence: str


@dataclass(frozen=True)
class Papers:
    """What is read from the program's own files."""

    changelog: str = ""
    """Markdown."""
    own_licence: str = ""
    parts: tuple[Licence, ...] = ()


def read_papers() -> Papers:
    """Blocks."""
    changelog = resource("changelog.md").read_text(encoding="utf-8")
    licence = resource("LICENSE").read_text(encoding="utf-8")
    model = Licence(translate("About", "{model}, the practice model").format(model=_DEMO_MODEL), "", "Apache-2.0")
    return Papers(changelog, licence, (*licences(), model))


def licences(distribution: str = DISTRIBUTION) -> list[Licence]:
    """Of the packages that this program asks for itself, as they say; a built program may not have them all."""
    try:
        required = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line]
    found = []
    for name in sorted(names, key=str.lower):
        try:
            metadata = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(Licence(name, metadata["Version"], licence_of(metadata)))
    return found


def licence_of(metadata: importlib.metadata.PackageMetadata) -> str:
    """In a few words, from the three places where a package may say it."""
    expression = _said(metadata, "License-Expression")
    if expression:
        return expression
    classified = [
        line.rpartition(" :: ")[2].removesuffix(" License")
        for line in metadata.get_all("Classifier") or []
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    if classified:
        return ", ".join(classified)
    written = _said(metadata, "License").strip().partition("\n")[0]
    return written or translate("About", "see its package")


def _said(metadata: importlib.metadata.PackageMetadata, name: str) -> str:
    value = (metadata.get_all(name) or [""])[0]
    return "" if value == _UNSAID else value


@dataclass(frozen=True)
class Told:
    """Who gets to know what."""

    who: str
    what: str


def told() -> tuple[Told, ...]:
    """Everybody whom this program speaks to."""
    return (
        Told(
            translate("About", "Other computers in the swarm"),
            translate(
                "About",
                "See your network address, the blocks that you serve, how fast, and the name that you gave yourself. "
                "The text of your chats passes through them: they can read it, and a dishonest one could change the "
                "answer. Pieces of their chats pass through yours.",
            ),
        ),
        Told(
            translate("About", "Members of your private swarms"),
            translate(
                "About",
                "The same, and nobody else sees anything of it. Whoever has the invitation is a member.",
            ),
        ),
        Told(
            translate("About", "The Hugging Face Hub"),
            translate(
                "About",
                "Sees that your address downloads files of a model, and which ones. Nothing is sent to it.",
            ),
        ),
        Told(
            translate("About", "Whoever publishes this program"),
            translate(
                "About",
                "Only if you let it look for newer versions: sees once a week that your address asks for one. Nothing "
                "is sent, and nothing but the news is fetched.",
            ),
        ),
        Told(
            translate("About", "Programs on this computer"),
            translate(
                "About",
                "May chat through the swarm if you switch the chat endpoint on, and only with its key. What they ask "
                "is not kept.",
            ),
        ),
        Told(
            translate("About", "Nobody else"),
            translate(
                "About",
                "No statistics, no crash reports, no speed tests. Your chats are kept in the data folder, for you "
                "alone.",
            ),
        ),
    )


class AboutViewModel(QObject):
    changed = Signal()

    def __init__(self, link: WorkerLink, parent: QObject) -> None:
        super().__init__(parent)
        self._link = link
        self._was_read = False
        self.papers = Papers()

    @property
    def version(self) -> str:
        try:
            return importlib.metadata.version(DISTRIBUTION)
        except importlib.metadata.PackageNotFoundError:
            return ""

    @property
    def data_folder(self) -> Path:
        return self._link.data_dir

    def read(self) -> None:
        """Once, when somebody looks."""
        if not self._was_read:
            self._was_read = True
            self._link.run_aside(read_papers, self._show)

    def _show(self, papers: Papers) -> None:
        self.papers = papers
        self.changed.emit()
