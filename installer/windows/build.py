"""Makes the installer for Windows out of a one-folder build: `build.py --staged FOLDER --version 1.2.0 --output FILE`.

NSIS runs on Linux as well as on Windows, so the script is compiled and checked on both; the programs that go into an
installer for people can only be built on Windows.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
if str(ROOT) not in sys.path:  # started by its file
    sys.path.insert(0, str(ROOT))

from installer.icon_files import ico  # noqa: E402
from installer.windows.pictures import write_pictures  # noqa: E402

SCRIPT = HERE / "petals-volunteer.nsi"
PROGRAMS = ("Petals Volunteer.exe", "volunteer.exe")
TEXTS = {
    "Serving through WSL2.txt": HERE / "serving_through_wsl2.txt",
    "LICENSE.txt": ROOT / "resources" / "LICENSE",
}
"""What the installer shows and leaves beside the programs, by the name that it has there."""


class NotBuilt(Exception):
    """There is no installer; the text says why."""


def build_installer(
    staged: Path,
    version: str,
    output: Path,
    *,
    sign_command: str | None = None,
    more_options: Sequence[str] = (),
) -> None:
    """Compiles the installer; takes any warning for a failure.

    Args:
        staged: the one-folder build; gets the texts, and its programs are signed.
        sign_command: signs the program whose path follows it, for the programs, the uninstaller and the installer.
        more_options: for makensis.

    Raises:
        NotBuilt: something is missing, or the command that signs or makensis says no.
    """
    missing = [name for name in (*PROGRAMS, "_internal") if not (staged / name).exists()]
    if missing:
        raise NotBuilt(f"{staged} is no build for Windows: {', '.join(missing)} is missing.")
    makensis = shutil.which("makensis")
    if makensis is None:
        raise NotBuilt("There is no makensis: install nsis (on Debian: apt-get install nsis).")
    for name, source in TEXTS.items():
        # Notepad on old systems shows lone line feeds as one long line.
        (staged / name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8-sig", newline="\r\n")
    if sign_command is not None:
        # The libraries are others' work: who made them signs them, or nobody.
        for name in PROGRAMS:
            _sign(staged / name, sign_command)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as drawn:
        welcome, header = write_pictures(Path(drawn))
        icon = Path(drawn, "icon.ico")
        icon.write_bytes(ico())
        defined = {"VERSION": version, "STAGED": staged.resolve(), "OUTPUT": output.resolve()}
        defined |= {"ICON": icon, "WELCOME_PICTURE": welcome, "HEADER_PICTURE": header}
        if sign_command is not None:
            defined["SIGN_COMMAND"] = sign_command
        definitions = [f"-D{name}={value}" for name, value in defined.items()]
        command = [makensis, "-V2", "-WX", "-INPUTCHARSET", "UTF8", *more_options, *definitions, SCRIPT.name]
        done = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    if done.returncode != 0 or not output.is_file():
        output.unlink(missing_ok=True)  # after a warning, makensis has written one all the same
        raise NotBuilt(f"makensis made no installer:\n{done.stdout.strip()}")


def _sign(program: Path, sign_command: str) -> None:
    """Raises NotBuilt."""
    done = subprocess.run(  # noqa: S602 (as makensis runs it: the publisher's own words)
        f'{sign_command} "{program.resolve()}"',
        shell=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode != 0:
        raise NotBuilt(f"{program.name} was not signed:\n{done.stdout.strip()}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--staged", type=Path, required=True, help="the one-folder build")
    parser.add_argument("--version", required=True)
    parser.add_argument("--output", type=Path, required=True, help="the installer's file, which ends in .exe")
    parser.add_argument("--sign-command", help="signs the program whose path is put after it")
    options = parser.parse_args(arguments)
    try:
        build_installer(options.staged, options.version, options.output, sign_command=options.sign_command)
    except NotBuilt as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
