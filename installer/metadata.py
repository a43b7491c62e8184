"""What `importlib.metadata` has to find in the built program: versions, and what the program requires.

Written anew from `pyproject.toml` for the program itself, so that the version is this tree's, whatever is installed in
the environment; of the others only METADATA goes in: an installed package's other notes name folders of this machine.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

PROJECT = "petals-volunteer"


def project_version(pyproject: Path) -> str:
    version: str = _project(pyproject)["version"]
    return version


def metadata_files(pyproject: Path, work_dir: Path) -> list[tuple[str, str]]:
    """Pairs of a file and the folder it goes to, as PyInstaller's `datas` has them."""
    project = _project(pyproject)
    own = work_dir / f"{PROJECT.replace('-', '_')}-{project['version']}.dist-info"
    own.mkdir(parents=True, exist_ok=True)
    (own / "METADATA").write_text(metadata_text(project), encoding="utf-8")
    files = [(str(own / "METADATA"), own.name)]
    for name in sorted(required_names(project["dependencies"])):
        found = distribution(name)
        folder = Path(str(found._path))  # type: ignore[attr-defined]  # the one way to the folder's name
        files.append((str(folder / "METADATA"), folder.name))
    return files


def keeps_metadata(destination: str, source: Path, work_dir: Path) -> bool:
    """Whether a file goes in, as far as notes on packages go.

    PyInstaller adds those of packages whose version the program asks for: with them the notes of this machine, and for
    the program itself what happens to be installed here.
    """
    folder, _, name = destination.rpartition("/")
    if not folder.endswith(".dist-info"):
        return ".dist-info/" not in destination and ".egg-info/" not in destination
    is_own = folder.startswith(PROJECT.replace("-", "_") + "-")
    return name == "METADATA" and (not is_own or source.is_relative_to(work_dir))


def metadata_text(project: dict[str, Any]) -> str:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {project['version']}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {requirement}" for requirement in project["dependencies"]),
    ]
    return "\n".join(lines) + "\n"


def required_names(requirements: list[str]) -> set[str]:
    """The installed packages that these need, with those that they need in turn, extras left aside."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        normal = re.sub(r"[-_.]+", "-", name).lower()
        if normal in found or "extra ==" in requirement:
            continue
        try:
            needs = distribution(normal).requires or []
        except PackageNotFoundError:
            continue  # meant for another system, or left out on purpose
        found.add(normal)
        waiting += needs
    return found


def _project(pyproject: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return project
