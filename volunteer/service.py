"""Starting with the computer: units for systemd and launchd, and an entry for desktops, shown before they are written.

Plans are made by pure functions: which files with what text, which commands. `carry_out` does what a plan says. Knows
how each of these systems quotes, stops and restarts a program; does not know what the program does.
"""

from __future__ import annotations

import os
import platform
import plistlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TextIO

from volunteer.errors import ENDED_AS_ASKED, NO_USE_TO_RESTART, ConfigurationError, ExitCode, UsageError, UserError
from volunteer.whole_file import write_file

NAME = "petals-volunteer"
MARK = "Made by Petals Volunteer; `volunteer service remove` deletes it."
"""In every file of ours. A file without it belongs to somebody else, whatever its name."""

STATE_DIR = PurePosixPath("/var/lib") / NAME
"""Where the system unit keeps its files."""

STOP_TIMEOUT_S = 45
"""A worker lets sessions end for 20 s, hands over what is left, says goodbye and stops p2pd."""
_RESTART_S = 30
_COMMAND_TIMEOUT_S = STOP_TIMEOUT_S + 30.0

_FINAL = (*NO_USE_TO_RESTART, ExitCode.ALREADY_RUNNING)

# launchd restarts on any code but 0; this tells it which ones are final. It is the shell that gets launchd's SIGTERM,
# and a `wait` that a signal interrupts comes back before the program has ended.
_LAUNCHD_SCRIPT = f"""\
"$@" &
program=$!
trap 'kill -TERM "$program"' TERM
wait "$program"; code=$?
while kill -0 "$program" 2>/dev/null; do wait "$program"; code=$?; done
case $code in {"|".join(str(int(code)) for code in sorted((*ENDED_AS_ASKED, *_FINAL)))}) exit 0 ;; esac
exit "$code"
"""


class NoPermission(UserError):
    """The files of this kind of service belong to the system's administrator."""

    exit_code = ExitCode.NO_PERMISSION


class Kind(StrEnum):
    USER = "user"
    """systemd, from the login of this user on."""
    SYSTEM = "system"
    """systemd, from the start of the computer on, as a user of its own."""
    LAUNCHD = "launchd"
    """macOS, from the login of this user on."""
    AUTOSTART = "autostart"
    """Any desktop that knows XDG autostart, from the login of this user on; nobody restarts it."""


@dataclass(frozen=True)
class Program:
    """How this program is started, from whatever folder."""

    command: tuple[str, ...]
    folders: tuple[Path, ...]
    """All that it is made of: whoever runs it has to be able to read these."""


@dataclass(frozen=True)
class Places:
    """Where this user's and the system's files go."""

    home: Path
    config: Path
    uid: int
    system_units: Path = Path("/etc/systemd/system")


@dataclass(frozen=True)
class PlannedFile:
    path: Path
    text: str
    is_there: bool = False
    """It is on the disk with this very text."""


@dataclass(frozen=True)
class Step:
    """A command to run."""

    command: tuple[str, ...]
    may_fail: bool = False
    """It only makes sure; where there is nothing to do for it, it may say so."""


@dataclass(frozen=True)
class Plan:
    """What is going to be done, in this order."""

    title: str
    before: tuple[Step, ...] = ()
    write: tuple[PlannedFile, ...] = ()
    delete: tuple[Path, ...] = ()
    after: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.before or self.write or self.delete or self.after)


Found = Mapping[Path, str]
"""The files that are there already, and what they hold; a link or what is no text counts as an empty file."""


# What there is to plan with.


def this_program() -> Program:
    """This very installation. Python gets `-P`: a service starts in a folder where anything may be called volunteer."""
    if not getattr(sys, "frozen", False):
        folders = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent)
        return Program((sys.executable, "-P", "-m", "volunteer"), folders)
    # An AppImage is mounted anew, and elsewhere, each time it is started.
    executable = os.environ.get("APPIMAGE") or sys.executable
    return Program((executable,), (Path(executable).parent,))


def these_places() -> Places:
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    # The standard says that a relative path is to be ignored.
    config = config if config.is_absolute() else home / ".config"
    return Places(home, config, uid=os.getuid() if hasattr(os, "getuid") else 0)


def default_kind(system: str | None = None, *, has_systemd: bool | None = None) -> Kind:
    """What suits this computer.

    Raises:
        ConfigurationError: nothing here does.
    """
    system = system or platform.system()
    if system == "Darwin":
        return Kind.LAUNCHD
    if system == "Windows":
        raise ConfigurationError("This version cannot start itself on Windows.")
    if has_systemd is None:
        has_systemd = Path("/run/systemd/system").is_dir()  # how sd_booted(3) finds out
    return Kind.USER if has_systemd else Kind.AUTOSTART


def file_of(kind: Kind, places: Places) -> Path:
    """The file that makes the service: each kind has one."""
    match kind:
        case Kind.USER:
            return places.config / "systemd" / "user" / f"{NAME}.service"
        case Kind.SYSTEM:
            return places.system_units / f"{NAME}.service"
        case Kind.LAUNCHD:
            return places.home / "Library" / "LaunchAgents" / f"{NAME}.plist"
        case Kind.AUTOSTART:
            return places.config / "autostart" / f"{NAME}.desktop"


def find(kind: Kind, places: Places) -> Found:
    """What stands on the disk where this kind of service has its file."""
    path = file_of(kind, places)
    try:
        # A link may be how its owner masked the unit, or point at a file of somebody's.
        return {path: "" if path.is_symlink() else path.read_text(encoding="utf-8")}
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError):
        return {path: ""}


# Plans.


def plan_install(
    kind: Kind,
    program: Program,
    places: Places,
    found: Found,
    *,
    arguments: Sequence[str] = ("--no-gui",),
    data_dir: Path | None = None,
) -> Plan:
    """What makes the program start by itself.

    Args:
        arguments: for the program.
        data_dir: where it keeps its files, if that is not where it would.

    Raises:
        UsageError: the data folder of a system service is not for its owner to choose.
        ConfigurationError: it cannot be written so that it works, or a file of somebody else is in the way.
    """
    if kind is Kind.SYSTEM:
        _check_readable_by_all(program)
        if data_dir is not None:
            raise UsageError(f"The system service keeps its files in {STATE_DIR}, and nowhere else.")
        arguments = (*arguments, "--data-dir", str(STATE_DIR))
    elif data_dir is not None:
        arguments = (*arguments, "--data-dir", str(data_dir.absolute()))
    command = (*program.command, *arguments)
    for word in command:
        if not word.isprintable():
            raise ConfigurationError(f"{word!r} has characters that cannot be written into a service file.")
    if kind is Kind.LAUNCHD:
        _check_stays(program)
    if kind in (Kind.USER, Kind.SYSTEM) and set(command[0]) & set("\\\"'"):
        raise ConfigurationError(f"systemd starts no program with quotes or backslashes in its path: {command[0]}")
    path = file_of(kind, places)
    text = _text(kind, command, places)
    _check_ours(path, found)
    is_there = found.get(path) == text
    return Plan(
        title=f"Install Petals Volunteer: {_STARTS[kind]}",
        write=(PlannedFile(path, text, is_there),),
        after=_install_steps(kind, path, places, is_changed=not is_there),
        notes=_INSTALL_NOTES[kind],
    )


def plan_remove(kind: Kind, places: Places, found: Found) -> Plan:
    """What undoes an installation; empty where there is none.

    Raises:
        ConfigurationError: the file is not ours.
    """
    path = file_of(kind, places)
    title = f"Remove Petals Volunteer: {_STARTS[kind]}"
    if path not in found:
        return Plan(title)
    _check_ours(path, found)
    before, after = _remove_steps(kind, places)
    note = f"{STATE_DIR} (identity, blocks, logs) stays; delete it by hand if you want." if kind is Kind.SYSTEM else ""
    return Plan(title, before=before, delete=(path,), after=after, notes=(note,) if note else ())


def unit_text(kind: Kind, command: Sequence[str]) -> str:
    """Of a systemd unit as a package of the whole system ships it: whoever installs the package enables it or not."""
    text = _system_unit(command) if kind is Kind.SYSTEM else _user_unit(command)
    return text.removeprefix(f"# {MARK}\n")


def describe(plan: Plan) -> str:
    """For a person, all of it: the full text of every file and every command."""
    lines = [plan.title]
    lines += [f"Run: {shlex.join(step.command)}" for step in plan.before]
    for file in plan.write:
        lines.append(f"{'Already there' if file.is_there else 'Write'}: {file.path}")
        lines += [f"    {line}".rstrip() for line in file.text.splitlines()]
    lines += [f"Delete: {path}" for path in plan.delete]
    lines += [f"Run: {shlex.join(step.command)}" for step in plan.after]
    return "\n".join([*lines, *plan.notes])


_STARTS = {
    Kind.USER: "a systemd unit of this user",
    Kind.SYSTEM: "a systemd unit of the whole computer",
    Kind.LAUNCHD: "a launchd agent of this user",
    Kind.AUTOSTART: "started by this user's desktop",
}
_INSTALL_NOTES: dict[Kind, tuple[str, ...]] = {
    Kind.USER: ("It runs while you are logged in. For the time before that: loginctl enable-linger",),
    Kind.SYSTEM: (f"It runs as its own user, {NAME}, and keeps its files in {STATE_DIR}.",),
    Kind.LAUNCHD: ("Nobody has run this on a Mac yet.",),
    Kind.AUTOSTART: ("It starts with your next login, and nothing restarts it if it fails.",),
}


def _text(kind: Kind, command: Sequence[str], places: Places) -> str:
    match kind:
        case Kind.USER:
            return _user_unit(command)
        case Kind.SYSTEM:
            return _system_unit(command)
        case Kind.LAUNCHD:
            return _launchd_agent(command, places)
        case Kind.AUTOSTART:
            return _desktop_entry(command)


def _install_steps(kind: Kind, path: Path, places: Places, *, is_changed: bool) -> tuple[Step, ...]:
    match kind:
        case Kind.USER | Kind.SYSTEM:
            systemctl, unit = _systemctl(kind), f"{NAME}.service"
            # A running one goes on as it is if nothing has changed.
            start = "restart" if is_changed else "start"
            return tuple(Step((*systemctl, *words)) for words in (("daemon-reload",), ("enable", unit), (start, unit)))
        case Kind.LAUNCHD:
            domain = f"gui/{places.uid}"
            out = Step(("launchctl", "bootout", f"{domain}/{NAME}"), may_fail=True)
            # It fails for an agent that is loaded already, which the unchanged one should be.
            load = Step(("launchctl", "bootstrap", domain, str(path)), may_fail=not is_changed)
            return (out, load) if is_changed else (load,)
        case Kind.AUTOSTART:
            return ()


def _remove_steps(kind: Kind, places: Places) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """What comes before the file is deleted, and after."""
    match kind:
        case Kind.USER | Kind.SYSTEM:
            systemctl, unit = _systemctl(kind), f"{NAME}.service"
            # Where the command fails the service may still run, and without its file nobody could end it.
            before = Step((*systemctl, "disable", "--now", unit))
            after = (("daemon-reload",), ("reset-failed", unit))
            return (before,), tuple(Step((*systemctl, *words), may_fail=True) for words in after)
        case Kind.LAUNCHD:
            return (Step(("launchctl", "bootout", f"gui/{places.uid}/{NAME}"), may_fail=True),), ()
        case Kind.AUTOSTART:
            return (), ()


def _systemctl(kind: Kind) -> tuple[str, ...]:
    return ("systemctl", "--user") if kind is Kind.USER else ("systemctl",)


def _check_ours(path: Path, found: Found) -> None:
    if path in found and MARK not in found[path]:
        raise ConfigurationError(f"{path} was not made by this program, so it stays as it is. Move it away first.")


def _check_readable_by_all(program: Program) -> None:
    for folder in program.folders:
        for closed in ("/home", "/root", "/run/user"):
            if folder.is_relative_to(closed):
                raise ConfigurationError(
                    f"The system service has a user of its own, who cannot read {folder}. Install the program outside "
                    "of home folders, in /opt for example, or install the service of this user instead (user)."
                )


def _check_stays(program: Program) -> None:
    """macOS runs an app that was opened where it was downloaded from a copy at a passing place, and disk images go."""
    for folder in program.folders:
        if folder.is_relative_to("/Volumes") or "AppTranslocation" in folder.parts:
            raise ConfigurationError(
                "Move Petals Volunteer into the Applications folder and open it from there first: where it is now, it "
                "will not be found at the next login."
            )


# Texts.

_UNIT_HEAD = f"""\
# {MARK}
[Unit]
Description=Petals Volunteer, serves blocks of large language models
"""
# It is never given up: a network may come hours after the login, and systemd does not count starts by how they end.
_LIMITS = "StartLimitIntervalSec=0\n"
_UNIT_LIFE = f"""\
Restart=on-failure
RestartSec={_RESTART_S}
# Asked to end by SIGINT or SIGTERM.
SuccessExitStatus={" ".join(map(str, ENDED_AS_ASKED))}
# Wrong usage, no permission, bad configuration, already running: a restart would end the same way.
RestartPreventExitStatus={" ".join(str(int(code)) for code in _FINAL)}
# The program says goodbye to its swarm, for which it needs its network daemon: that one is not told.
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec={STOP_TIMEOUT_S}
# The guest goes first when memory runs out; the program itself then sees to holding less.
OOMScoreAdjust=500
OOMPolicy=continue
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""
# Not here, because it would keep the program from its work: MemoryDenyWriteExecute (torch and oneDNN write code at run
# time), PrivateDevices and ProtectClock (both close the GPUs' device files), ProtectProc (other programs that run may
# be a reason to pause).
_SYSTEM_HARDENING = """\
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""


def _user_unit(command: Sequence[str]) -> str:
    return (
        f"{_UNIT_HEAD}{_LIMITS}\n[Service]\nType=exec\nExecStart={_systemd_command(command)}\nWorkingDirectory=~\n"
        f"{_UNIT_LIFE}\n[Install]\nWantedBy=default.target\n"
    )


def _system_unit(command: Sequence[str]) -> str:
    return (
        f"{_UNIT_HEAD}Wants=network-online.target\nAfter=network-online.target\n{_LIMITS}\n"
        f"[Service]\nType=exec\nExecStart={_systemd_command(command)}\n"
        f"User={NAME}\nDynamicUser=yes\nStateDirectory={NAME}\nStateDirectoryMode=0700\n"
        f"WorkingDirectory={STATE_DIR}\nEnvironment=HOME={STATE_DIR}\n"
        f"{_UNIT_LIFE}{_SYSTEM_HARDENING}\n[Install]\nWantedBy=multi-user.target\n"
    )


def _launchd_agent(command: Sequence[str], places: Places) -> str:
    agent = {
        "Label": NAME,
        "ProgramArguments": ["/bin/sh", "-c", _LAUNCHD_SCRIPT, NAME, *command],
        "WorkingDirectory": str(places.home),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": _RESTART_S,
        "ExitTimeOut": STOP_TIMEOUT_S,
        "Umask": 0o077,
    }
    text = plistlib.dumps(agent, sort_keys=False).decode()
    return text.replace("<plist ", f"<!-- {MARK} -->\n<plist ", 1)


def _desktop_entry(command: Sequence[str]) -> str:
    return (
        f"# {MARK}\n[Desktop Entry]\nType=Application\nName=Petals Volunteer\n"
        "Comment=Serves blocks of large language models\n"
        f"Exec={_desktop_command(command)}\nTryExec={_desktop_string(command[0])}\n"
        "Terminal=false\nX-GNOME-Autostart-enabled=true\n"
    )


# Quoting.


def _systemd_command(command: Sequence[str]) -> str:
    """For ExecStart. The colon before the path switches `$` off in all words (`$$` would not do: it stays double in the
    path that is executed); what is left are specifiers (`%`), quotes and backslashes."""
    return ":" + " ".join(_systemd_word(word) for word in command)


def _systemd_word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    # Quoted also where a lone character would mean something (`;`) or the word would vanish (the empty one).
    return escaped if word and all(c.isalnum() or c in "/._-+=,:@%" for c in word) else f'"{escaped}"'


def _desktop_command(command: Sequence[str]) -> str:
    """For Exec: quoted by its own rules first, then, like any value of a desktop entry, with backslashes doubled."""
    if set(command[0]) & set("%="):
        # The standard forbids `=` in the program's path, and GLib looks for the program before it expands `%%`.
        command = ("/bin/sh", "-c", 'exec "$0" "$@"', *command)
    return _desktop_string(" ".join(_desktop_word(word) for word in command))


def _desktop_word(word: str) -> str:
    word = word.replace("%", "%%")
    if word and all(c.isalnum() or c in "/._-+,:@%" for c in word):
        return word
    for special in '\\"`$':  # the backslash first
        word = word.replace(special, f"\\{special}")
    return f'"{word}"'


def _desktop_string(text: str) -> str:
    return text.replace("\\", "\\\\")


# Acting.

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def run_command(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, stdin=subprocess.DEVNULL)


def carry_out(plan: Plan, run: Run = run_command) -> None:
    """Does what the plan says; done twice, the second time changes nothing.

    Raises:
        NoPermission: the files are the administrator's.
        UserError: a command failed; the text says what is left and what helps.
    """
    try:
        for step in plan.before:
            _run(step, run)
        for file in plan.write:
            if not file.is_there:
                _write(file)
        for path in plan.delete:
            path.unlink(missing_ok=True)
    except PermissionError as error:
        raise NoPermission(f"{error.filename} cannot be changed by this user: try again with sudo.") from error
    for step in plan.after:
        _run(step, run)


def _run(step: Step, run: Run) -> None:
    shown = shlex.join(step.command)
    try:
        done = run(step.command)
        problem = (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else None
    except FileNotFoundError:
        problem = f"there is no {step.command[0]} here"
    except subprocess.TimeoutExpired as error:
        problem = f"no end after {error.timeout:.0f} s"
    if problem is not None and not step.may_fail:
        raise UserError(f"{shown} failed: {problem}. When that is mended, the same command of volunteer does the rest.")


def _write(file: PlannedFile) -> None:
    file.path.parent.mkdir(parents=True, exist_ok=True)
    write_file(file.path, file.text.encode())
    file.path.chmod(0o644)


# The verbs.


def install(
    kind: Kind,
    *,
    arguments: Sequence[str] = ("--no-gui",),
    data_dir: Path | None = None,
    consent: bool,
    out: TextIO,
    ask: Callable[[str], str] | None = None,
) -> int:
    """`volunteer service install`: shows what it would do, and does it with consent; returns the exit code.

    Args:
        consent: given already (`--yes`).
        ask: shows a question and returns the answer; None where nobody is there to answer.
    """
    places = these_places()
    _check_own_account(kind)
    plan = plan_install(kind, this_program(), places, find(kind, places), arguments=arguments, data_dir=data_dir)
    return _show_and_do(plan, consent=consent, out=out, ask=ask)


def remove(kind: Kind, *, consent: bool, out: TextIO, ask: Callable[[str], str] | None = None) -> int:
    """`volunteer service remove`: undoes `install`, with consent; returns the exit code."""
    places = these_places()
    _check_own_account(kind)
    plan = plan_remove(kind, places, find(kind, places))
    if plan.is_empty:
        print("Nothing is installed.", file=out)
        return ExitCode.OK
    return _show_and_do(plan, consent=consent, out=out, ask=ask)


def _show_and_do(plan: Plan, *, consent: bool, out: TextIO, ask: Callable[[str], str] | None) -> int:
    print(describe(plan), file=out, flush=True)
    if not consent:
        if ask is None:
            print("Nothing was done. --yes does it.", file=out)
            return ExitCode.USAGE
        if ask("Do this? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was done.", file=out)
            return ExitCode.FAILURE
    carry_out(plan)
    print("Done.", file=out)
    return ExitCode.OK


def _check_own_account(kind: Kind) -> None:
    """With sudo, the home folder is the administrator's, and so would be the service."""
    if kind is not Kind.SYSTEM and os.environ.get("SUDO_USER", "root") != "root":
        raise ConfigurationError(f"Run this without sudo: a service of the kind {kind} is the user's own.")
