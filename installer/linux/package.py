"""Makes the Linux packages of a built program: `python installer/linux/package.py [--program FOLDER] [--out FOLDER]`.

A .deb for the whole computer (the program under /opt, its command, menu entry, manual and units for systemd), and an
archive with `install.sh` for one user, who needs no administrator. Prints times and sizes. FOLDER is what
`installer/build.py` has made on this machine.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:  # started by its file
    sys.path.insert(0, str(ROOT))

from installer.icon_files import PNG_SIDES, SVG, png  # noqa: E402
from installer.linux.appstream import metainfo  # noqa: E402
from installer.linux.changes import debian_changelog, release_date  # noqa: E402
from installer.linux.libraries import UnknownLibrary, depends, is_elf, needed_libraries, newest_c_library  # noqa: E402
from installer.linux.manual import manual  # noqa: E402
from installer.metadata import PROJECT, project_version  # noqa: E402
from volunteer.cli import _parser  # noqa: E402
from volunteer.completion import Shell, completion_script  # noqa: E402
from volunteer.publisher import HOMEPAGE, MAINTAINER  # noqa: E402
from volunteer.service import STATE_DIR, Kind, unit_text  # noqa: E402

_HERE = Path(__file__).resolve().parent
_PLACE = f"opt/{PROJECT}"
_SHELLS: dict[Shell, str] = {
    "bash": "bash-completion/completions/volunteer",
    "zsh": "zsh/site-functions/_volunteer",
    "fish": "fish/vendor_completions.d/volunteer.fish",
}
_XZ_LEVEL = 1
"""Of torch's library, level 6 makes a file 12 % smaller in six times the time, and zstd in that time one as large."""
_OTHER_PACKAGES = ("ca-certificates", "debconf (>= 0.5) | debconf-2.0")
_NOBODY = f"Petals Volunteer <{PROJECT}@users.noreply.github.com>"
"""Of a build that nobody has published: Debian wants an address, and this one says that it takes no mail."""


class CannotPackage(Exception):
    """The text says why."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Makes the Linux packages of a built program.")
    parser.add_argument("--program", type=Path, default=ROOT / "dist" / PROJECT, help="the built folder")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the packages go (default: dist)")
    parser.add_argument("--only", choices=["deb", "archive"], help="make one of the two")
    options = parser.parse_args(arguments)
    try:
        package(options.program.resolve(), options.out.resolve(), only=options.only)
    except (CannotPackage, UnknownLibrary) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def package(program: Path, out: Path, *, only: str | None = None) -> list[Path]:
    """
    Raises:
        CannotPackage: something is missing.
        UnknownLibrary: the program needs a library that no package is known of.
    """
    check(program)
    version = project_version(ROOT / "pyproject.toml")
    out.mkdir(parents=True, exist_ok=True)
    made = []
    with tempfile.TemporaryDirectory(prefix="volunteer-package-", dir=out) as scratch:
        share = Path(scratch) / "share"
        stage_share(share, version)
        if only != "archive":
            with timed() as seconds:
                made.append(make_deb(program, share, Path(scratch), out, version))
            say(made[-1], seconds())
        if only != "deb":
            with timed() as seconds:
                made.append(make_archive(program, share, Path(scratch), out, version))
            say(made[-1], seconds())
    return made


def check(program: Path) -> None:
    if not (program / "volunteer").is_file():
        raise CannotPackage(f"There is no built program in {program}: run installer/build.py first.")
    for tool in ("dpkg-deb", "readelf", "tar", "xz"):
        if shutil.which(tool) is None:
            raise CannotPackage(f"There is no {tool}: apt install binutils dpkg tar xz-utils")


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    began = time.monotonic()
    yield lambda: time.monotonic() - began


def say(path: Path, seconds: float) -> None:
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB, made in {seconds:.0f} s", flush=True)


# What both have below `share`


def stage_share(share: Path, version: str) -> None:
    write(share / "metainfo" / "io.github.petals_volunteer.petals_volunteer.metainfo.xml", metainfo(version, HOMEPAGE))
    icons = share / "icons" / "hicolor"
    for side in PNG_SIDES:
        write(icons / f"{side}x{side}" / "apps" / f"{PROJECT}.png", png(side))
    write(icons / "scalable" / "apps" / f"{PROJECT}.svg", SVG.read_bytes())
    text = manual(_parser(), version, release_date().isoformat())
    write(share / "man" / "man1" / "volunteer.1.gz", gzip.compress(text.encode(), mtime=0))
    for shell, place in _SHELLS.items():
        write(share / place, completion_script(_parser(), shell))


def write(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)


def copy_program(program: Path, place: Path) -> None:
    """Hard links where the file system can: a gigabyte is not copied to be packed once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(program, place, symlinks=True, copy_function=os.link)
    except (OSError, shutil.Error):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(program, place, symlinks=True)


# The .deb


def make_deb(program: Path, share: Path, scratch: Path, out: Path, version: str) -> Path:
    tree = scratch / "deb"
    copy_program(program, tree / _PLACE)
    shutil.copytree(share, tree / "usr/share")
    write(tree / f"usr/share/applications/{PROJECT}.desktop", (_HERE / f"{PROJECT}.desktop").read_bytes())
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/volunteer").symlink_to(f"/{_PLACE}/volunteer")
    command = (f"/{_PLACE}/volunteer", "--no-gui")
    write(tree / f"usr/lib/systemd/user/{PROJECT}.service", unit_text(Kind.USER, command))
    system = (*command, "--data-dir", str(STATE_DIR))
    write(tree / f"usr/lib/systemd/system/{PROJECT}.service", unit_text(Kind.SYSTEM, system))
    stage_documents(tree / f"usr/share/doc/{PROJECT}", version)
    write(tree / f"usr/share/lintian/overrides/{PROJECT}", (_HERE / "debian" / "lintian-overrides").read_bytes())
    set_modes(tree)
    stage_control(tree, program, version)
    file = out / f"{PROJECT}_{version}_{architecture()}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zxz", f"-z{_XZ_LEVEL}", "--build", str(tree), str(file))
    return file


def stage_documents(folder: Path, version: str) -> None:
    licence = (ROOT / "resources" / "LICENSE").read_text(encoding="utf-8").partition("\n\n")[2]
    indented = "\n".join(f" {line or '.'}" for line in licence.strip().splitlines())
    write(folder / "copyright", (_HERE / "debian" / "copyright").read_text(encoding="utf-8").replace("@MIT@", indented))
    changes = debian_changelog(version, MAINTAINER or _NOBODY)
    write(folder / "changelog.gz", gzip.compress(changes.encode(), mtime=0))


def set_modes(tree: Path) -> None:
    """As Debian wants them; who built it may have another umask."""
    for path in tree.rglob("*"):
        if path.is_symlink():
            continue
        is_program = path.is_dir() or (is_elf(path) and ".so" not in path.name) or path.suffix == ".sh"
        path.chmod(0o755 if is_program else 0o644)


def stage_control(tree: Path, program: Path, version: str) -> None:
    sizes = [path.stat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    needed = needed_libraries(program)
    write(
        tree / "DEBIAN/control",
        f"Package: {PROJECT}\n"
        f"Version: {version}\n"
        f"Architecture: {architecture()}\n"
        f"Maintainer: {MAINTAINER or _NOBODY}\n"
        f"Installed-Size: {sum(sizes) // 1024}\n"
        f"Depends: {depends(needed, newest_c_library(program), _OTHER_PACKAGES)}\n"
        "Recommends: fonts-dejavu-core | fonts-noto-core, default-dbus-session-bus | dbus-session-bus\n"
        "Section: net\n"
        "Priority: optional\n"
        f"{f'Homepage: {HOMEPAGE}' + chr(10) if HOMEPAGE else ''}"
        f"{description()}",
    )
    for name in ("postinst", "prerm", "postrm"):
        write(tree / "DEBIAN" / name, (_HERE / "debian" / name).read_bytes(), 0o755)
    write(tree / "DEBIAN/templates", (_HERE / "debian" / "templates").read_bytes())
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    sums = [f"{md5(path)}  {path.relative_to(tree)}\n" for path in files if "DEBIAN" not in path.parts]
    write(tree / "DEBIAN/md5sums", "".join(sums))
    (tree / "DEBIAN").chmod(0o755)


def description() -> str:
    import torch

    has_cuda = torch.version.cuda is not None
    computes = "an NVIDIA card or the processor" if has_cuda else "the processor, not on a graphics card"
    return (
        "Description: run large language models together with others\n"
        " Large language models are too big for most computers. With this program\n"
        " many people run one together: each computer holds some of the model's\n"
        " layers, and a question travels from one computer to the next until the\n"
        " answer is there. You lend what you like, for as long as you like, and can\n"
        " chat with the whole model as if it ran at home.\n"
        " .\n"
        " Nothing starts by itself at login, and nothing is served before you agree.\n"
        f" This build computes on {computes}.\n"
    )


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


# The archive


def make_archive(program: Path, share: Path, scratch: Path, out: Path, version: str) -> Path:
    tree = scratch / f"{PROJECT}-{version}"
    copy_program(program, tree / "program")
    shutil.copytree(share, tree / "share")
    for name in ("install.sh", f"{PROJECT}.desktop"):
        shutil.copy(_HERE / name, tree / name)
    write(tree / "README.txt", (_HERE / "archive_readme.txt").read_bytes())
    file = out / f"{PROJECT}-{version}-linux-{os.uname().machine}.tar.xz"
    tar = ["tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go=rX,u+rw"]
    run(*tar, f"--use-compress-program=xz -T0 -{_XZ_LEVEL}", "-C", str(scratch), "-cf", str(file), tree.name)
    return file


def run(*command: str) -> None:
    """
    Raises:
        CannotPackage: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CannotPackage(f"{command[0]} failed: {done.stderr.strip()}")


if __name__ == "__main__":
    raise SystemExit(main())
