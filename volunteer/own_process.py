"""The process that the worker is: alone on its data folder, behind other programs, with no more memory than it needs.

Knows nothing of what it works on.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import filelock
import psutil

from volunteer.errors import ConfigurationError, ExitCode, UserError


class AlreadyRunning(UserError):
    """One data folder has one worker."""

    exit_code = ExitCode.ALREADY_RUNNING


class NoPermission(UserError):
    """The data folder is not this user's to write to."""

    exit_code = ExitCode.NO_PERMISSION


@contextlib.contextmanager
def only_worker(data_dir: Path) -> Iterator[None]:
    """
    Raises:
        AlreadyRunning, NoPermission.
        ConfigurationError: there can be no such folder.
    """
    lock = filelock.FileLock(data_dir / "worker.lock", timeout=0)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise AlreadyRunning(f"A worker is already running on {data_dir}.") from None
    except PermissionError as error:
        raise NoPermission(f"This user may not write to {data_dir}.") from error
    except OSError as error:
        raise ConfigurationError(f"{data_dir} cannot be used: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()


def allow_open_files(wanted: int) -> None:
    """Every stream of a peer is an open file, and many systems allow 1,024: fewer than peers may open streams."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def stand_back(nice: int) -> None:
    """Lets other programs of this machine go first; children that start later do so too. Further, but not less far."""
    process = psutil.Process()
    with contextlib.suppress(psutil.Error, OSError):
        if os.name == "posix":
            if process.nice() < nice:
                process.nice(nice)
        elif nice > 0:
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)


def end_with_input() -> None:
    """Ends this process as SIGTERM does once its standard input has ended: whoever holds the other end is gone."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):  # not through sys.stdin, whose lock would be in the way of Python's end
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="input ends", daemon=True).start()


def free_memory() -> None:
    """Gives back to the system what is free: glibc keeps small pieces for the next time."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
