"""A fresh Debian in a folder: made by debootstrap, entered by chroot, with processes and a network of its own.

Needs root. The mirror is the one that this machine's apt uses; it is written into the new root alone, which is gone
afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 0x1
_NOT_FILES = ("proc", "sys", "dev", "run", "tmp")


class CommandFailed(Exception):
    """A command in the root did not end as it should; the text is what it said."""


def in_own_namespaces(arguments: Sequence[str]) -> None:
    """Starts this program again where it sees only its own processes and mounts; both vanish with it."""
    if os.environ.get("VOLUNTEER_CHECK_INSIDE"):
        return
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, *arguments]
    os.execvpe(command[0], command, {**os.environ, "VOLUNTEER_CHECK_INSIDE": "1"})  # noqa: S606


def leave_network() -> None:
    """From here on this process and all it starts have the loopback interface and nothing else."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "No network namespace can be made here.")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from("H", fcntl.ioctl(any_socket, _GET_FLAGS, request), 16)[0]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _IS_UP))


class DebianRoot:
    """Use as `with`: entering makes it, or unpacks the one that was kept.

    Args:
        folder: must not exist yet.
        kept: an archive of a fresh root, made where it is missing.
    """

    def __init__(self, folder: Path, suite: str, kept: Path | None = None) -> None:
        self.folder = folder
        self._suite = suite
        self._kept = kept

    def __enter__(self) -> DebianRoot:
        self.folder.mkdir(parents=True)
        if self._kept is not None and self._kept.is_file():
            _run("tar", "-xf", self._kept, "-C", self.folder)
        else:
            _run("debootstrap", "--variant=minbase", self._suite, self.folder, mirror(self._suite))
            if self._kept is not None:
                _run("tar", "-cf", self._kept, "-C", self.folder, ".")
        (self.folder / "etc/apt/apt.conf.d/90this-machine").write_text(apt_settings())
        for source, target in (("proc", "proc"), ("/sys", "sys"), ("/dev", "dev")):
            kind = ["-t", "proc"] if source == "proc" else ["--rbind"]
            _run("mount", *kind, source, self.folder / target)
        (self.folder / "tmp/.X11-unix").mkdir(mode=0o1777)
        Path("/tmp/.X11-unix").mkdir(mode=0o1777, exist_ok=True)  # noqa: S108 (where X puts it)
        _run("mount", "--bind", "/tmp/.X11-unix", self.folder / "tmp/.X11-unix")  # noqa: S108
        # As in containers: nothing that a package brings may start in here.
        policy = self.folder / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for target in ("tmp/.X11-unix", "dev", "sys", "proc"):
            subprocess.run(["umount", "--recursive", "--lazy", self.folder / target], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *words: str | Path, user: str | None = None, **environment: str) -> list[str]:
        """To be started from outside."""
        home = f"/home/{user}" if user else "/root"
        variables = {"PATH": _PATH, "HOME": home, "USER": user or "root", "LANG": "C.UTF-8", **environment}
        listed = [f"{name}={value}" for name, value in variables.items()]
        who = [f"--userspec={user}:{user}"] if user else []
        inside = ["/bin/sh", "-c", 'cd "$HOME" && exec "$@"', "sh", *map(str, words)]
        return ["chroot", *who, str(self.folder), "/usr/bin/env", "-i", *listed, *inside]

    def run(
        self,
        *words: str | Path,
        user: str | None = None,
        code: int | None = 0,
        timeout_s: float = 900,
        **environment: str,
    ) -> str:
        """What it says. A `code` of None takes any.

        Raises:
            CommandFailed.
        """
        done = subprocess.run(
            self.command(*words, user=user, **environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
        if code is not None and done.returncode != code:
            said = done.stdout[-3000:]
            raise CommandFailed(f"{' '.join(map(str, words))} ended with {done.returncode}, not {code}:\n{said}")
        return done.stdout

    def apt(self, *words: str | Path) -> str:
        return self.run("apt-get", "--yes", "--quiet", *words, DEBIAN_FRONTEND="noninteractive")

    def processes(self, below: str = "") -> list[int]:
        """Those that run a program in this root, below a folder of it; the dead that nobody has buried are none."""
        start = f"{self.folder}{below}"
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str((process / "exe").readlink()).startswith(start):
                    found.append(int(process.name))
        return found

    def files(self) -> set[str]:
        """All paths in it but for those that are in memory or of the moment."""
        found: set[str] = set()
        for folder, folders, files in os.walk(self.folder):
            if Path(folder) == self.folder:
                folders[:] = [name for name in folders if name not in _NOT_FILES]
            at = "/" + os.path.relpath(folder, self.folder) if Path(folder) != self.folder else ""
            found.update(f"{at}/{name}" for name in (*folders, *files))
        return found


def mirror(suite: str) -> str:
    """Of this machine's own apt, for that suite where it has it."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)"], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in listed.splitlines()]
    for uri, release in rows:
        if release == suite:
            return uri
    raise CommandFailed(f"This machine's apt knows no {suite}.")


def apt_settings() -> str:
    """How this machine's apt reaches its mirror: proxies and the like."""
    done = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True)
    wanted = ("acquire::http", "acquire::https", "acquire::retries")
    kept = [line for line in done.stdout.splitlines() if line.lower().startswith(wanted) and '""' not in line]
    return "\n".join(kept) + "\n"


def _run(*words: str | Path) -> None:
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise CommandFailed(f"{words[0]} failed:\n{done.stdout[-2000:]}")
