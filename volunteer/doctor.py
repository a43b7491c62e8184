"""What is wrong on this computer, and what to do about it; and a report of it that can be shown to others.

Looks and never changes anything. Knows how the program's files lie on the disk; loads neither torch nor hivemind, so
that it still answers where these cannot be loaded.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import socket
import stat
import struct
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from volunteer import hardware
from volunteer.control.channel import CONNECTION_FILE
from volunteer.control.elsewhere import command_elsewhere, in_words
from volunteer.errors import ConfigurationError, ExitCode
from volunteer.hardware import Hardware
from volunteer.logs import Redactor, last_records, logs_folder, own_redactor
from volunteer.models.safetensors_index import PREFIX_BYTES, BadCheckpoint, TensorEntry, header_length, parse_header
from volunteer.settings import parse_settings, settings_file
from volunteer.whole_file import write_file

DISTRIBUTION = "petals-volunteer"
DETECTION_TIMEOUT_S = 10.0
_DISK_MARGIN_BYTES = 512 * 2**20  # what a download leaves free
_LITTLE_DISK_BYTES = 5 * 10**9
_WANTED_FILES, _FEWEST_FILES = 8192, 1024
"""Every stream of a peer is an open file; the worker raises its limit to the first number."""
_ONLINE_TIMEOUT_S = 5.0
_TOOL_TIMEOUT_S = 2.0
_CLOCK_TOLERANCE_S = 60.0
_KEY_FILES = ("*.key", "*[-_]key*", "*token*", "*secret*", CONNECTION_FILE)
_PRIVATE_FILES = (*_KEY_FILES, "ledger*", "*.sqlite*", "*.db")
_SECRET_VALUE = re.compile(r"(?=[A-Za-z_-]*\d)[A-Za-z0-9_+=-]{20,200}")  # a digit, so that no name of a folder is one
_HUB = "https://huggingface.co"
_REPORT_RECORDS = 500
_REPORT_LOG_CHARACTERS = 200_000


class State(StrEnum):
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"
    """It cannot be told here."""


@dataclass(frozen=True)
class Check:
    name: str
    state: State
    text: str
    """One sentence."""
    advice: str = ""
    """What to do about it."""


class _CannotTell(Exception):
    """Not here; the text says so."""


_Finding = tuple[State, str] | tuple[State, str, str]


def checks(
    data_dir: Path,
    *,
    online: bool = False,
    ports: Collection[int] = (),
    needed_bytes: int = 0,
    identity_file: Path | None = None,
    worker_answers: Callable[[], bool] | None = None,
    detect: Callable[[], Hardware] | None = None,
) -> list[Check]:
    """All that can be told without a worker; about a second where the graphics driver answers at once.

    Args:
        online: ask the Hub too.
        ports: that the worker is to listen on.
        needed_bytes: of disk, by the blocks that are still to be downloaded.
        worker_answers: whether the worker of this folder answers; None where nobody can ask it.
        detect: finds the hardware; None for looking now.
    """
    with ThreadPoolExecutor(2, thread_name_prefix="doctor") as threads:
        found = threads.submit(detect or _detection(data_dir))
        hub_date = threads.submit(_hub_date) if online else None
        findings: list[tuple[str, Callable[[], _Finding]]] = [
            ("Python", _python),
            ("data folder", lambda: _data_folder(data_dir)),
            ("secret files", lambda: _secret_files(data_dir)),
            ("identity", lambda: _identity(identity_file or data_dir / "identity.key")),
            ("settings", lambda: _settings(data_dir)),
            ("worker", lambda: _worker(data_dir, worker_answers)),
            ("network daemon", lambda: _daemon(_daemon_path())),
            ("open files", _open_files),
            ("blocks", lambda: _blocks(data_dir / "models")),
            *((f"port {port}", lambda port=port: _port(port, data_dir)) for port in sorted(ports)),
            ("disk", lambda: _disk(found.result(), needed_bytes)),
            ("graphics card", lambda: _gpu(found.result())),
            *([("Hub", lambda: _hub(hub_date))] if hub_date is not None else []),
            ("clock", lambda: _clock(hub_date)),
        ]
        return [_checked(name, find) for name, find in findings]


def exit_code(found: Sequence[Check]) -> int:
    return ExitCode.FAILURE if any(check.state is State.BAD for check in found) else ExitCode.OK


def to_json(found: Sequence[Check]) -> str:
    return json.dumps([asdict(check) for check in found], ensure_ascii=False, indent=2)


def describe(found: Sequence[Check]) -> str:
    """For a person: a line for each check, and one for what to do about it."""
    width = max((len(check.name) for check in found), default=0)
    lines = []
    for check in found:
        lines.append(f"{check.state:<7}  {check.name:<{width}}  {check.text}")
        if check.advice:
            lines.append(f"{'':<7}  {'':<{width}}  -> {check.advice}")
    return "\n".join(lines)


def _checked(name: str, find: Callable[[], _Finding]) -> Check:
    try:
        return Check(name, *find())
    except _CannotTell as error:
        return Check(name, State.UNKNOWN, str(error))
    except Exception as error:  # a doctor that dies of the illness helps nobody
        return Check(name, State.UNKNOWN, f"This cannot be told: {type(error).__name__}: {error}.")


# The checks.


def _python() -> _Finding:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}."
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        return State.BAD, text, "Use Python 3.11 or 3.12."
    if struct.calcsize("P") < 8:
        return State.BAD, text, "Use a 64-bit Python."
    if platform.system() != "Linux":
        return State.WARN, text, "Nobody has run this version on your system yet: please tell how it goes."
    return State.GOOD, text


def _data_folder(data_dir: Path) -> _Finding:
    if not data_dir.exists():
        return State.GOOD, f"{data_dir} is not there yet; the first start makes it."
    if not data_dir.is_dir():
        return State.BAD, f"{data_dir} is not a folder.", "Move it away, or choose another with --data-dir."
    if not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        return State.BAD, f"This user may not write to {data_dir}.", f"Let it belong to you: chown -R $USER {data_dir}"
    if os.name == "posix" and _mode(data_dir) & 0o077:
        return State.WARN, f"Other users of this computer can look into {data_dir}.", f"chmod 700 {data_dir}"
    return State.GOOD, f"{data_dir} is yours alone." if os.name == "posix" else f"{data_dir} can be written to."


def _secret_files(data_dir: Path) -> _Finding:
    if os.name != "posix":
        return State.UNKNOWN, "Who may read the files cannot be told on this system."
    readable = [path for path in _files_like(_PRIVATE_FILES, data_dir) if _mode(path) & 0o077]
    if not readable:
        return State.GOOD, "Nobody else can read keys, tokens and chats."
    names = ", ".join(path.name for path in readable)
    return State.BAD, f"Others can read {names}.", f"chmod 600 {' '.join(str(path) for path in readable)}"


def _identity(path: Path) -> _Finding:
    try:
        status = path.stat()
    except FileNotFoundError:
        return State.GOOD, "There is no identity yet; the first start makes one."
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        return State.BAD, f"Others can read the identity {path}, and pretend to be this node.", f"chmod 600 {path}"
    if status.st_size == 0 or not os.access(path, os.R_OK):
        return State.BAD, f"The identity {path} is empty or cannot be read.", "Delete it, and a new one is made."
    return State.GOOD, "The identity of this node is there, for you alone."


def _settings(data_dir: Path) -> _Finding:
    path = settings_file(data_dir)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return State.GOOD, "There are no settings yet, so all are as they come."
    except OSError as error:
        return State.BAD, f"{path} cannot be read: {error.strerror}.", "Let the file belong to you, or delete it."
    # Not `load_settings`, which puts a damaged file aside.
    try:
        notes = parse_settings(content).notes
    except ValueError as error:
        return State.BAD, f"{path} is damaged: {error}.", "The next start puts it aside; choose your settings again."
    if notes:
        return State.WARN, " ".join(notes), "Look through your settings: volunteer config"
    return State.GOOD, f"{path} is sound."


def _worker(data_dir: Path, answers: Callable[[], bool] | None) -> _Finding:
    try:
        command = in_words(command_elsewhere(data_dir))
    except ConfigurationError as error:
        return State.BAD, str(error)
    if command:
        return _worker_elsewhere(command, answers)
    if answers is not None and answers():
        return State.GOOD, "A worker is running here, and it answers."
    holder = _lock_holder(data_dir / "worker.lock")
    if holder is not None:
        text = f"A worker is running here (process {holder})"
        if answers is None:
            return State.GOOD, f"{text}."
        return State.BAD, f"{text}, but it does not answer.", f"End it: kill {holder}"
    if (data_dir / CONNECTION_FILE).exists():
        return (
            State.WARN,
            f"No worker is running; one that was killed has left {CONNECTION_FILE}.",
            "The next start clears it up.",
        )
    return State.GOOD, "No worker is running here."


def _worker_elsewhere(command: str, answers: Callable[[], bool] | None) -> _Finding:
    if answers is not None and not answers():
        return (
            State.WARN,
            f"The worker is the one behind `{command}`, and it does not answer.",
            "Run that in a terminal to see why.",
        )
    return (
        State.GOOD,
        f"The worker is the one behind `{command}`.",
        "All else here is about this computer alone; for the other one, run volunteer doctor there.",
    )


def _daemon(path: Path | None) -> _Finding:
    advice = "Install the program anew."
    if path is None and sys.platform == "win32":
        return State.GOOD, "It is not made for Windows: here the app shows and steers a worker elsewhere."
    if path is None:
        return State.BAD, "hivemind is not installed.", advice
    if not path.is_file():
        return State.BAD, f"p2pd is missing from {path.parent}.", advice
    if not os.access(path, os.X_OK):
        return State.BAD, f"{path} may not be started.", f"chmod +x {path}; the disk must not be mounted noexec."
    try:
        # Its help; it ends with another code than 0 after that.
        subprocess.run([path, "--help"], capture_output=True, stdin=subprocess.DEVNULL, timeout=_TOOL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return (
            State.WARN,
            f"{path} has not answered within {_TOOL_TIMEOUT_S:g} s.",
            "Try again when there is less to do.",
        )
    except OSError as error:  # made for another processor
        return State.BAD, f"{path} cannot be started: {error.strerror}.", advice
    return State.GOOD, "p2pd, which talks to the swarm, can be started."


def _open_files() -> _Finding:
    try:
        import resource
    except ImportError:
        return State.GOOD, "This system has no limit of open files."
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most >= _WANTED_FILES:
        return State.GOOD, "As many files as are wanted may be open at once."
    state = State.BAD if most < _FEWEST_FILES else State.WARN
    return state, f"Only {most} files may be open at once, so few peers can come.", f"ulimit -Hn {_WANTED_FILES}"


def _blocks(models_dir: Path) -> _Finding:
    damaged: list[str] = []
    num_files = num_bytes = num_partial = 0
    for folder in _model_folders(models_dir):
        expected = _index(folder)
        num_partial += len(list(folder.glob("*.safetensors.partial")))
        for path in sorted(folder.glob("*.safetensors")):
            num_files += 1
            try:
                if _is_commit(folder) and not path.with_name(f"{path.name}.sha256").exists():
                    raise BadCheckpoint(f"{path.name} has lost its checksum.")
                num_bytes += _whole_file(path, expected)
            except BadCheckpoint as error:
                damaged.append(f"In {folder.relative_to(models_dir)}: {error}")
            except OSError as error:
                damaged.append(f"In {folder.relative_to(models_dir)}: {path.name} cannot be read: {error.strerror}.")
    if damaged:
        return State.BAD, " ".join(damaged), "Delete these files; what is missing is downloaded again."
    if not num_files:
        return State.GOOD, "There are no blocks on this disk yet."
    partial = f", {num_partial} more in part" if num_partial else ""
    return State.GOOD, f"{num_files} files of blocks, {num_bytes / 1e9:.1f} GB, are whole{partial}."


def _port(port: int, data_dir: Path) -> _Finding:
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ports that wait out a connection are free
        try:
            probe.bind(("", port))
            return State.GOOD, "It is free."
        except PermissionError:
            return State.BAD, "This user may not listen on it.", "Choose one from 1024 on."
        except OSError:
            pass
    owner, holder = _listener(port), None
    with contextlib.suppress(_CannotTell):
        holder = _lock_holder(data_dir / "worker.lock")
    if owner is not None and holder is not None and _is_same_or_child(owner, holder):
        return State.GOOD, "The worker listens on it."
    who = f"process {owner}" if owner is not None else "another program"
    return State.BAD, f"It is in use by {who}.", "End that, or choose another port."


def _disk(found: Hardware, needed_bytes: int) -> _Finding:
    if found.disk is None:
        return State.UNKNOWN, "How much room the disk has cannot be told."
    free = found.disk.free_bytes
    text = f"{free / 1e9:.1f} GB are free"
    if free < needed_bytes + _DISK_MARGIN_BYTES:
        wanted = (needed_bytes + _DISK_MARGIN_BYTES) / 1e9
        return State.BAD, f"{text}, and {wanted:.1f} GB are needed.", "Make room, or serve fewer blocks."
    if free < needed_bytes + _LITTLE_DISK_BYTES:
        return State.WARN, f"{text}, which is little.", "Make room before you serve more blocks."
    return State.GOOD, f"{text}."


def _gpu(found: Hardware, pci: Path = Path("/sys/bus/pci/devices")) -> _Finding:
    if found.apple_gpu is not None:
        return State.GOOD, f"{found.apple_gpu.name} can be used."
    if usable := found.usable_gpus:
        return State.GOOD, f"{', '.join(gpu.name for gpu in usable)} can be used."
    if found.gpus:
        problems = " ".join(f"{gpu.name}: {gpu.problem}" for gpu in found.gpus)
        return State.BAD, problems, "Until that is mended this computer runs on its processor."
    if _has_nvidia_card(pci):
        return State.WARN, f"There is an NVIDIA card. {found.gpu_problem}", "Install or mend NVIDIA's driver."
    return State.GOOD, "There is no graphics card to use; this computer runs on its processor."


def _hub(answer: Future[float | None]) -> _Finding:
    try:
        answer.result()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return State.BAD, f"{_hub_address()} cannot be reached: {reason}.", "Check network and proxy (HTTPS_PROXY)."
    return State.GOOD, f"{_hub_address()} answers."


def _clock(hub_date: Future[float | None] | None) -> _Finding:
    # In a built program the modules are no files.
    installed = Path(sys.executable if getattr(sys, "frozen", False) else __file__)
    if time.time() < installed.stat().st_mtime - 86400:
        return State.BAD, "The clock is behind: it shows a time before this program was installed.", "Set the clock."
    if hub_date is None:
        raise _CannotTell("Whether the clock is right cannot be told without asking others.")
    ahead_s = None if hub_date.exception() else hub_date.result()
    if ahead_s is None:
        raise _CannotTell("Whether the clock is right cannot be told: the Hub does not tell the time.")
    if abs(ahead_s) > _CLOCK_TOLERANCE_S:
        direction = "ahead" if ahead_s > 0 else "behind"
        return State.BAD, f"The clock is {abs(ahead_s):.0f} s {direction}.", "Let the system set it (NTP)."
    return State.GOOD, "The clock is right."


# What they look at.


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _files_like(patterns: Sequence[str], data_dir: Path) -> list[Path]:
    """In the folder and those in it, but not among models and logs."""
    folders = [data_dir]
    with contextlib.suppress(OSError):
        folders += [path for path in data_dir.iterdir() if path.is_dir() and path.name not in ("models", "logs")]
    found = {path for folder in folders for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(found)


def _lock_holder(path: Path) -> int | None:
    """The process that holds the lock, if any.

    Only looks: whoever tried the lock would for that moment keep a worker from starting.

    Raises:
        _CannotTell: on systems that do not list their locks.
    """
    try:
        inode = path.stat().st_ino
    except FileNotFoundError:
        return None
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        raise _CannotTell("Whether a worker is running cannot be told on this system.") from None
    for line in lines:  # 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            holder = int(fields[4])
            if _may_hold(holder, path):
                return holder
    return None


def _may_hold(pid: int, path: Path) -> bool:
    """Whether this process has the file open: inodes are numbered anew on each disk."""
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:
        return True
    except OSError:
        return False
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            if descriptor.samefile(path):
                return True
    return False


def _daemon_path() -> Path | None:
    # Not imported: that takes seconds, and fails where torch cannot be loaded.
    spec = importlib.util.find_spec("hivemind")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "hivemind_cli" / ("p2pd.exe" if os.name == "nt" else "p2pd")


def _model_folders(models_dir: Path) -> Iterator[Path]:
    """Downloaded ones are a folder for each commit; one that was made here, like the demo model, has no commits."""
    for model in sorted(models_dir.glob("*/")):
        if not model.name.startswith("."):
            yield model
            yield from filter(_is_commit, sorted(model.glob("*/")))


def _is_commit(folder: Path) -> bool:
    return re.fullmatch("[0-9a-f]{40}", folder.name) is not None


def _index(folder: Path) -> dict[str, TensorEntry] | None:
    """The tensors that the model has, as they were listed at its first download; None where there is no such list."""
    try:
        saved = json.loads((folder / "shard-headers.json").read_bytes())
        shards = [(shard["header"].encode(), shard["file"], shard["num_bytes"]) for shard in saved["shards"]]
        return {name: entry for shard in shards for name, entry in parse_header(*shard).items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, BadCheckpoint):
        return None  # read again from the Hub when the model is opened


def _whole_file(path: Path, expected: dict[str, TensorEntry] | None) -> int:
    """Its size, if it is what its header says, and the header what the model's list says.

    Raises:
        BadCheckpoint, OSError: it is not.
    """
    with path.open("rb") as file:
        file_bytes = os.fstat(file.fileno()).st_size
        length = header_length(file.read(PREFIX_BYTES), path.name, file_bytes)
        entries = parse_header(file.read(length), path.name, file_bytes)
    for name, entry in entries.items():
        wanted = None if expected is None else expected.get(name)
        if expected is not None and (wanted is None or (wanted.dtype, wanted.shape) != (entry.dtype, entry.shape)):
            raise BadCheckpoint(f"{path.name} holds the tensor {name[:80]!r}, which is not one of this model.")
    return file_bytes


def _listener(port: int) -> int | None:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return connection.pid
    return None


def _is_same_or_child(pid: int, parent: int) -> bool:
    import psutil

    with contextlib.suppress(psutil.Error):
        return pid == parent or parent in [process.pid for process in psutil.Process(pid).parents()]
    return False


def _has_nvidia_card(pci: Path) -> bool:
    for device in pci.glob("*"):
        with contextlib.suppress(OSError):
            is_display = (device / "class").read_text().startswith("0x03")
            if is_display and (device / "vendor").read_text().strip() == "0x10de":
                return True
    return False


def _hub_address() -> str:
    return (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")


def _hub_date() -> float | None:
    """How many seconds this clock is ahead of the Hub's, if that tells the time.

    Raises:
        OSError, ValueError: it cannot be reached.
    """
    address = _hub_address()
    if not address.startswith(("https://", "http://")):
        raise ValueError("HF_ENDPOINT is no address")
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_ONLINE_TIMEOUT_S) as response:  # noqa: S310
            date = response.headers["Date"]
    except urllib.error.HTTPError as error:  # it answers, whatever it says
        date = error.headers["Date"]
        error.close()
    return time.time() - parsedate_to_datetime(date).timestamp() if date else None


# The report.


@dataclass(frozen=True)
class Report:
    """What a volunteer attaches when asking for help. Redacted already."""

    sections: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        return "".join(f"== {title}\n{text.rstrip()}\n\n" for title, text in self.sections)

    def contents(self) -> str:
        """What is in it, for the one who is about to share it."""
        lines = [f"  {title}: {len(text.splitlines())} lines" for title, text in self.sections]
        return "\n".join(["The report holds", *lines])


def make_report(
    data_dir: Path,
    found: Sequence[Check],
    redactor: Redactor | None = None,
    detect: Callable[[], Hardware] | None = None,
) -> Report:
    """Everything that helps to understand a problem from afar, without what is nobody else's business."""
    shown_hardware = hardware.describe((detect or _detection(data_dir))())
    redactor = redactor or own_redactor()
    for secret in _known_secrets(data_dir):
        redactor.add_secret(secret)
    sections = [("Checks", describe(found)), ("Versions", _versions()), ("Hardware", shown_hardware)]
    sections.append(("Settings", _shown_settings(data_dir)))
    for path in sorted(logs_folder(data_dir).glob("*.log")):
        records = "\n".join(last_records(path, _REPORT_RECORDS))
        sections.append((f"Log of {path.stem}", records[-_REPORT_LOG_CHARACTERS:]))
    # Once, over all: an address has the same number wherever it stands.
    return Report(tuple((title, redactor.shareable(text)) for title, text in sections))


def write_report(report: Report, path: Path, *, replace: bool = False) -> None:
    """
    Args:
        replace: what is there already goes; whoever chose the name was asked.

    Raises:
        ConfigurationError: the file cannot be written, or is there and may not be replaced.
    """
    content = report.text.encode("utf-8", errors="backslashreplace")
    try:
        if replace:
            write_file(path, content, is_private=True)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already: choose another name for the report.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _known_secrets(data_dir: Path) -> Iterator[str]:
    for path in _files_like(_KEY_FILES, data_dir):
        with contextlib.suppress(OSError):
            if path.stat().st_size <= 2**16:
                yield from _SECRET_VALUE.findall(path.read_text(encoding="ascii", errors="replace"))


def _versions() -> str:
    lines = [f"Python {platform.python_version()}", platform.platform()]
    names = [DISTRIBUTION]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        required = importlib.metadata.requires(DISTRIBUTION) or []
        names += [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in required if "extra ==" not in line]
    for name in names:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines)


def _detection(data_dir: Path) -> Callable[[], Hardware]:
    """Looks once: a driver that hangs takes ten seconds, and a report shows what its checks saw."""
    return functools.cache(lambda: hardware.detect(data_dir, timeout_s=DETECTION_TIMEOUT_S))


def _shown_settings(data_dir: Path) -> str:
    try:
        raw = json.loads(settings_file(data_dir).read_bytes())
    except FileNotFoundError:
        return "all as they come"
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    return json.dumps(_without_names(raw), ensure_ascii=False, indent=2)


def _without_names(value: Any) -> Any:
    """The name that others see says who this is; the programs that pause the worker say what this person does."""
    if not isinstance(value, dict):
        return value
    private = ("public_name", "exclusive_programs")
    return {name: "[set]" if name in private and inner else _without_names(inner) for name, inner in value.items()}


# The verb.


def run(
    data_dir: Path,
    *,
    out: TextIO,
    online: bool = False,
    as_json: bool = False,
    report_file: Path | None = None,
    ports: Collection[int] = (),
    needed_bytes: int = 0,
    identity_file: Path | None = None,
    worker_answers: Callable[[], bool] | None = None,
) -> int:
    """`volunteer doctor`: prints what was found, writes the report if one is wanted; returns the exit code."""
    detect = _detection(data_dir)
    found = checks(
        data_dir,
        online=online,
        ports=ports,
        needed_bytes=needed_bytes,
        identity_file=identity_file,
        worker_answers=worker_answers,
        detect=detect,
    )
    print(to_json(found) if as_json else describe(found), file=out)
    if report_file is not None:
        report = make_report(data_dir, found, detect=detect)
        write_report(report, report_file)
        if not as_json:
            kept = "Names, home folders, addresses of others and secrets were taken out. Read it before you share it."
            print(f"\n{report.contents()}\n{textwrap.fill(kept, 100)}\nWritten to {report_file}", file=out)
    return exit_code(found)
