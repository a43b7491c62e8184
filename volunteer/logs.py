"""What the program writes down about itself: files that stay small, the last records for clients, and nothing secret.

A record is one line, or a line with indented ones below it (a traceback). Secrets are taken out of every record before
it is kept anywhere. What leaves this computer goes through `Redactor.shareable` as well, which also takes out who and
where the volunteer and the others are.
"""

from __future__ import annotations

import getpass
import ipaddress
import logging
import logging.handlers
import os
import re
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from volunteer.errors import ConfigurationError

FILE_BYTES = 2_000_000
NUM_FILES = 5
"""With the one that is being written to."""
REMEMBERED_RECORDS = 1000
RECORD_CHARACTERS = 8000
_READ_CHARACTERS = 8 * RECORD_CHARACTERS
"""Longer texts are cut before anything looks at them: what a stranger sends must not cost much time."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_ROOT = "volunteer"
_INDENT = "    "
_POLL_S = 0.25

logger = logging.getLogger(__name__)


# Taking things out.

REMOVED = "[removed]"

_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s"',;&)}\]]+)"""
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.S),
        REMOVED,
    ),
    (
        re.compile(
            r"\b(authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?)(?:(?:bearer|basic|token)\s{1,4})?[^\s\"',;]+", re.I
        ),
        rf"\1{REMOVED}",
    ),
    (re.compile(r"\b(bearer\s{1,4})[A-Za-z0-9._~+/=-]{8,}", re.I), rf"\1{REMOVED}"),
    # Keys of the Hub, of OpenAI's and its likes, of GitHub; JSON web tokens.
    (re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|[sp]k-[A-Za-z0-9_-]{16,}|gh[opsu]_[A-Za-z0-9]{20,})"), REMOVED),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), REMOVED),
    # Whoever has an invitation is in: all that comes after its scheme is secret.
    (re.compile(r"\b((?:petals-volunteer|petals|volunteer)://)[^\s\"'<>]+", re.I), rf"\1{REMOVED}"),
    (re.compile(r"\b(https?://)[^\s/@\"']+@", re.I), rf"\1{REMOVED}@"),
    (
        # api_key="...", "password": "...", --api-key ...
        re.compile(
            r"((?:api|access|secret|private|swarm)[_-]?key|secret|password|passwd|passphrase|invitation)"
            rf"([\"']?(?:\s{{0,4}}[:=]\s{{0,4}}|(?<=-key)\s{{1,4}})){_VALUE}",
            re.I,
        ),
        rf"\1\2{REMOVED}",
    ),
    # HF_TOKEN=..., "token": "..."; not "first token: 0.31 s", where it is one of a text.
    (re.compile(rf"(token[\"']?\s{{0,4}}[:=]\s{{0,4}})(?![\d.]+\b){_VALUE}", re.I), rf"\1{REMOVED}"),
)
_HOME_FOLDER = re.compile(r"(?:/home/|/Users/|/var/home/|\b[A-Za-z]:[\\/]+Users[\\/]+)[^\s/\\:\"'<>|,;]+")
_NAMED_HOST = re.compile(r"(/dns(?:4|6|addr)?/)([^/\s\"',]+)")
# Wider than addresses are: `ipaddress` decides.
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![\w:]|\.\d)"
)
_NOBODYS_NAMES = frozenset(
    {"root", "user", "admin", "administrator", "ubuntu", "debian", "volunteer", "petals", "nobody"}
)
"""Accounts that say nothing about a person, and whose names are words of ordinary messages."""


class Redactor:
    """Replaces what others must not read.

    Args:
        home: the volunteer's home folder.
        names: of the volunteer's account and computer.
        secrets: values that are known to be secret, whatever they look like.
    """

    def __init__(self, *, home: Path | None = None, names: Sequence[str] = (), secrets: Sequence[str] = ()):
        self._home = str(home) if home is not None and len(home.parts) > 1 else None
        self._names = _any_of([name for name in names if len(name) >= 3 and name.lower() not in _NOBODYS_NAMES])
        self._secrets: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self._addresses: dict[str, str] = {}
        for secret in secrets:
            self.add_secret(secret)

    def add_secret(self, secret: str) -> None:
        """From now on this very text is taken out, also where nothing tells that it is a secret."""
        if len(secret) >= 6:
            self._secrets.add(secret)
            self._known = _any_of(sorted(self._secrets, key=len, reverse=True), within_words=True)

    def without_secrets(self, text: str) -> str:
        """For files on this computer."""
        if self._known is not None:
            text = self._known.sub(REMOVED, text)
        for pattern, replacement in _SECRETS:
            text = pattern.sub(replacement, text)
        return text

    def shareable(self, text: str) -> str:
        """For others to read: also without names, home folders and addresses.

        The same address gets the same number, so that it can still be followed through a log.
        """
        text = self.without_secrets(text)
        if self._home is not None:
            text = re.sub(re.escape(self._home) + r"(?![\w.-])", "~", text)
        text = _HOME_FOLDER.sub("~", text)
        text = _NAMED_HOST.sub(lambda found: found[1] + self._numbered("host", found[2]), text)
        text = _IPV6.sub(self._address, text)  # first: it may end like the other
        text = _IPV4.sub(self._address, text)
        return text if self._names is None else self._names.sub("[name]", text)

    def _address(self, found: re.Match[str]) -> str:
        try:
            address = ipaddress.ip_address(found[0])
        except ValueError:
            return found[0]
        if address.is_loopback or address.is_unspecified:
            return found[0]
        return self._numbered("private address" if address.is_private else "address", str(address))

    def _numbered(self, kind: str, value: str) -> str:
        return self._addresses.setdefault(value, f"[{kind} {len(self._addresses) + 1}]")


def own_redactor(secrets: Sequence[str] = ()) -> Redactor:
    """One that knows this user and this computer."""
    names = []
    with suppress(OSError, KeyError, ImportError):  # an account without an entry, as in containers
        names.append(getpass.getuser())
    with suppress(OSError):
        host = socket.gethostname()
        names += [host, host.split(".")[0]] if host.split(".")[0] != "localhost" else []
    home = None
    with suppress(RuntimeError):
        home = Path.home()
    return Redactor(home=home, names=names, secrets=secrets)


def _any_of(words: Sequence[str], *, within_words: bool = False) -> re.Pattern[str] | None:
    if not words:
        return None
    either = "|".join(re.escape(word) for word in words)
    return re.compile(either if within_words else rf"(?<!\w)(?:{either})(?!\w)")


# Records.


@dataclass(frozen=True)
class LogRecord:
    """What clients get to see of a record."""

    number: int
    """Counts from 1 in this process; a gap is what was forgotten meanwhile."""
    time_s: float
    level: str
    topic: str
    text: str
    """May have several lines; free of secrets and control characters."""


def _level_name(level: int) -> str:
    """By itself: hivemind renames the levels for the whole process."""
    names = {logging.DEBUG: "DEBUG", logging.INFO: "INFO", logging.WARNING: "WARNING", logging.ERROR: "ERROR"}
    return names.get(level, logging.getLevelName(level))


def topic_of(name: str) -> str:
    """`swarm` for `volunteer.swarm.node`; other programmers' loggers go by their first name."""
    first, _, rest = name.partition(".")
    return (rest.partition(".")[0] or first) if first == _ROOT else first


def set_levels(levels: Mapping[str, str]) -> None:
    """How much each topic tells; `all` is for the topics that are not named, INFO if it is not named itself.

    Raises:
        ConfigurationError: there is no such level.
    """
    for topic, level in levels.items():
        if level.upper() not in LEVELS:
            raise ConfigurationError(f"{level!r} is not a level of logging; there are {', '.join(LEVELS)}.")
        if not re.fullmatch(r"[A-Za-z_]\w*", topic):
            raise ConfigurationError(f"{topic!r} is not a topic of the log.")
    # Those that were set before, and are not named any more, follow `all` again.
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith(f"{_ROOT}.") and name.count(".") == 1:
            logging.getLogger(name).setLevel(logging.NOTSET)
    for topic, level in ({"all": "INFO"} | dict(levels)).items():
        logging.getLogger(_ROOT if topic == "all" else f"{_ROOT}.{topic}").setLevel(level.upper())


_KEPT = "_volunteer_text"


class _Formatter(logging.Formatter):
    """Makes every record safe to keep: no secrets, no control characters, of limited length."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def text(self, record: logging.LogRecord) -> str:
        # A file asks twice, for the room that a record takes and to write it, and the memory once more.
        by, text = getattr(record, _KEPT, (None, ""))
        if by is not self._redactor:
            text = self._made(record)
            setattr(record, _KEPT, (self._redactor, text))
        return text

    def _made(self, record: logging.LogRecord) -> str:
        # The traceback is cached in the record by the base class; here it is made for each handler, without secrets.
        parts = [record.getMessage()]
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        return "\n".join(_presentable(part, self._redactor) for part in parts)

    def format(self, record: logging.LogRecord) -> str:
        head = f"{_utc(record.created)} {_level_name(record.levelno)} {record.name.removeprefix(f'{_ROOT}.')}: "
        return head + self.text(record).replace("\n", f"\n{_INDENT}")


def _presentable(text: str, redactor: Redactor) -> str:
    text = _shortened(text, _READ_CHARACTERS)
    return _shortened(_escaped(redactor.without_secrets(text)), RECORD_CHARACTERS)


def _shortened(text: str, limit: int) -> str:
    """Beginning and end of a long text: the last line of a traceback says what it was."""
    left_out = len(text) - limit
    if left_out <= 0:
        return text
    return f"{text[: limit // 2]} [{left_out} characters left out] {text[len(text) - limit // 2 :]}"


def _escaped(text: str) -> str:
    """Without what would move a cursor, colour a terminal, turn the direction of a text or look like a new record."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in "\n\t" else character.encode("unicode_escape").decode()
        for character in text
    )


def _utc(time_s: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_s))
    return f"{whole}.{int(time_s * 1000) % 1000:03d}Z"


# Handlers.


class LogFile(logging.handlers.RotatingFileHandler):
    """`name.log` and its older siblings `.1`, `.2`, readable by their owner alone.

    A full disk loses records, says how many when it takes some again, and never fails the one who logs.
    """

    def __init__(self, path: Path, redactor: Redactor, *, file_bytes: int = FILE_BYTES, num_files: int = NUM_FILES):
        super().__init__(path, maxBytes=file_bytes, backupCount=num_files - 1, encoding="utf-8", delay=True)
        self.setFormatter(_Formatter(redactor))
        self._lost = 0

    def _open(self) -> Any:
        # What cannot be encoded is a stranger's half surrogate pair; it was escaped already.
        return open(
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            errors="backslashreplace",
            opener=lambda path, flags: os.open(path, flags, 0o600),
        )

    def emit(self, record: logging.LogRecord) -> None:
        lost = self._lost
        super().emit(record)
        if lost and self._lost == lost:
            self._lost = 0
            text = f"{lost} records before this one could not be written"
            super().emit(logging.LogRecord(f"{_ROOT}.logs", logging.WARNING, "", 0, text, None, None))

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(sys.exception(), OSError):
            self._lost += 1
            return
        super().handleError(record)


class LogMemory(logging.Handler):
    """The last records, for clients: also for one that comes late.

    Listeners are called on the thread that logs, so they only pass the record on.
    """

    def __init__(self, redactor: Redactor, *, num_records: int = REMEMBERED_RECORDS):
        super().__init__()
        self._formatter = _Formatter(redactor)
        self._records: deque[LogRecord] = deque(maxlen=num_records)
        self._listeners: tuple[Callable[[LogRecord], None], ...] = ()
        self._last = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._last += 1
            kept = LogRecord(
                self._last,
                record.created,
                _level_name(record.levelno),
                topic_of(record.name),
                self._formatter.text(record),
            )
        except Exception:  # arguments that do not fit the message: as every handler of the standard library
            self.handleError(record)
            return
        self._records.append(kept)
        for listener in self._listeners:
            try:
                listener(kept)
            except Exception:  # one client's trouble is no other's
                self.handleError(record)

    def records(self, after: int = 0) -> tuple[LogRecord, ...]:
        """Those that are remembered, from number `after` + 1 on."""
        with self._locked():
            return tuple(record for record in self._records if record.number > after)

    @contextmanager
    def listening(self, listener: Callable[[LogRecord], None]) -> Iterator[tuple[LogRecord, ...]]:
        """Gives what is remembered, and from then on calls `listener` with each record: none twice, none missed."""
        with self._locked():
            remembered = tuple(self._records)
            self._listeners = (*self._listeners, listener)
        try:
            yield remembered
        finally:
            with self._locked():
                self._listeners = tuple(other for other in self._listeners if other is not listener)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()  # the lock that `emit` is called under
        try:
            yield
        finally:
            self.release()


def logs_folder(data_dir: Path) -> Path:
    return data_dir / "logs"


def log_path(data_dir: Path, role: str = "worker") -> Path:
    """Each role that runs at the same time has a file of its own: two processes cannot rotate one."""
    return logs_folder(data_dir) / f"{role}.log"


@contextmanager
def logging_to_files(
    data_dir: Path,
    role: str = "worker",
    *,
    redactor: Redactor | None = None,
    levels: Mapping[str, str] | None = None,
    file_bytes: int = FILE_BYTES,
    num_files: int = NUM_FILES,
    remembered: int = REMEMBERED_RECORDS,
) -> Iterator[LogMemory]:
    """Keeps all records of this process in files and in the memory that it gives, until the `with` ends.

    A folder that cannot be written to is said once, and costs only the files.
    """
    redactor = redactor or own_redactor()
    memory = LogMemory(redactor, num_records=remembered)
    handlers: list[logging.Handler] = [memory]
    try:
        logs_folder(data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        handlers.append(LogFile(log_path(data_dir, role), redactor, file_bytes=file_bytes, num_files=num_files))
    except OSError as error:
        logger.warning("No log files: %s", error)
    set_levels(levels or {})
    root = logging.getLogger()
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield memory
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


# Reading.


def last_records(path: Path, count: int) -> list[str]:
    """The last records of a log, older files included, the oldest first; a record keeps its lines together."""
    lines, _ = _since(path, None)
    return _records(lines, count)


def follow(path: Path, lines: int, wait: Callable[[], bool] | None = None) -> Iterator[str]:
    """The last `lines` records, then every line as it is written, through rotations and before there is a file.

    Args:
        lines: how many records to begin with.
        wait: called when there is nothing new; False ends it.
    """
    wait = wait or _pause
    found, place = _since(path, None)
    for record in _records(found, lines):
        yield from record.split("\n")
    while wait():
        found, place = _since(path, place)
        yield from found


@dataclass(frozen=True)
class _Place:
    """How far a reader has come. Files are known by their inode: their names move on when the log rotates.

    No file is kept open meanwhile: Windows could not rotate it then.
    """

    inode: int
    position: int


def _since(path: Path, place: _Place | None) -> tuple[list[str], _Place | None]:
    """Whole lines since `place`, from the file that it is in and from all newer ones, and the place after them."""
    lines: list[str] = []
    with ExitStack() as stack:
        files: dict[int, IO[bytes]] = {}
        # The newest first, as the log rotates towards older ones: a file may be met twice, but none is missed.
        for file in _newest_first(path):
            with suppress(FileNotFoundError):
                opened = stack.enter_context(file.open("rb"))
                inode = os.fstat(opened.fileno()).st_ino
                files.setdefault(inode, opened)
                if place is not None and inode == place.inode:
                    break
        for inode, stream in reversed(files.items()):
            position = place.position if place is not None and inode == place.inode else 0
            if position > os.fstat(stream.fileno()).st_size:  # somebody has emptied it
                position = 0
            stream.seek(position)
            whole, newline, _ = stream.read().rpartition(b"\n")
            if newline:
                lines += whole.decode("utf-8", errors="replace").split("\n")
            place = _Place(inode, position + len(whole) + len(newline))
    return lines, place


def _records(lines: Sequence[str], count: int) -> list[str]:
    records: list[str] = []
    for line in lines:
        if line.startswith(_INDENT) and records:
            records[-1] += f"\n{line}"
        else:
            records.append(line)
    return records[-count:] if count > 0 else []


def _newest_first(path: Path) -> list[Path]:
    older = []
    for file in path.parent.glob(f"{path.name}.*"):
        number = file.name.removeprefix(f"{path.name}.")
        if number.isdecimal():
            older.append((int(number), file))
    return [path, *(file for _, file in sorted(older))]


def _pause() -> bool:
    time.sleep(_POLL_S)
    return True
