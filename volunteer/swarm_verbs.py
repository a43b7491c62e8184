"""`volunteer swarm create`, `join`, `invite`, `rekey`, `leave` and `list`, and the same for the window.

They work on files, and tell a worker that runs. Looking at who serves what needs the swarm, and is elsewhere.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

from volunteer.errors import ExitCode, UsageError
from volunteer.private_swarms import (
    create_swarm,
    join_swarm,
    leave_swarm,
    load_swarm,
    rekey_swarm,
    swarm_names,
    with_addresses,
)
from volunteer.settings import load_settings
from volunteer.swarm.swarm_key import MAX_INVITATION_LENGTH, Invitation, write_invitation
from volunteer.verbs import change_setting, find_worker

_SERVED = "serving.private_swarm"
_PORTS = range(20_000, 32_000)
"""Below those that systems hand out by themselves."""

Out = Callable[[str], None]


def run_swarm_verb(
    action: str,
    name: str | None,
    data_dir: Path,
    *,
    model: str | None = None,
    revision: str | None = None,
    dht_prefix: str | None = None,
    out: Out,
) -> int:
    """Does what `volunteer swarm ACTION NAME` says.

    For join the name is the invitation, read from the terminal if it is not given: what stands on a command line can be
    seen by others of this computer, and stays in the shell's history.

    Raises:
        ConfigurationError, CommandRefused.
    """
    if action == "list":
        served = served_swarm(data_dir)
        for each in swarm_names(data_dir):
            out(f"{each} (served)" if each == served else each)
        return ExitCode.OK
    if action == "join":
        swarm = join(data_dir, _typed_in() if name in (None, "-") else str(name))
        out(f"This computer is a member of {swarm.name}, and the worker serves it. The invitation is as good as a key.")
        return ExitCode.OK
    name = name or served_swarm(data_dir)
    if name is None:
        raise UsageError(f"Say which swarm: volunteer swarm {action} NAME.")
    match action:
        case "create":
            swarm = create(data_dir, name, model=model, revision=revision, dht_prefix=dht_prefix)
            out(f"{name} is there, and the worker serves it. Whoever has this invitation can join:")
        case "invite":
            swarm = invite(data_dir, name)
        case "rekey":
            swarm = rekey(data_dir, name)
            out(f"{name} has a new key. Whoever does not get this invitation, and join with it, is no member any more:")
        case "leave":
            leave(data_dir, name)
            out(f"This computer has left {name} and forgotten its key.")
            return ExitCode.OK
        case _:
            raise ValueError(f"no action {action!r}")
    _show(swarm, out)
    return ExitCode.OK


def served_swarm(data_dir: Path) -> str | None:
    """The private swarm that the worker serves; None where it serves the public one."""
    return load_settings(data_dir).settings.serving.private_swarm


def serve(data_dir: Path, name: str | None) -> None:
    """A worker that runs begins anew with the key as it is in the file now; None is for the public swarm.

    Raises:
        ConfigurationError, CommandRefused.
    """
    change_setting(data_dir, _SERVED, name, out=_silent)


def create(
    data_dir: Path, name: str, *, model: str | None = None, revision: str | None = None, dht_prefix: str | None = None
) -> Invitation:
    """A new swarm, served from now on. Raises ConfigurationError, CommandRefused."""
    # Before anything changes: a worker that begins anew has no addresses for a while.
    ways_in = _ways_in(data_dir, name)
    create_swarm(data_dir, name, model=model, revision=revision, dht_prefix=dht_prefix)
    _stay_at_one_port(data_dir)
    serve(data_dir, name)
    return with_addresses(load_swarm(data_dir, name), ways_in)


def join(data_dir: Path, invitation: str) -> Invitation:
    """Its swarm is served from now on. Raises ConfigurationError, CommandRefused."""
    swarm = join_swarm(data_dir, invitation)
    serve(data_dir, swarm.name)
    return swarm


def invite(data_dir: Path, name: str) -> Invitation:
    """With the addresses that a worker has in it now. Raises ConfigurationError."""
    return with_addresses(load_swarm(data_dir, name), _ways_in(data_dir, name))


def rekey(data_dir: Path, name: str) -> Invitation:
    """The invitation with the new key; whoever does not get it is out. Raises ConfigurationError, CommandRefused."""
    ways_in = _ways_in(data_dir, name)
    rekey_swarm(data_dir, name)
    settings = load_settings(data_dir).settings.serving
    if settings.private_swarm == name:
        serve(data_dir, name)
    # At any free port, the worker that begins anew is not where it was.
    return with_addresses(load_swarm(data_dir, name), ways_in if settings.host_maddrs else ())


def leave(data_dir: Path, name: str) -> None:
    """Forgets its key; where it was served, the public swarm is from now on.

    Raises:
        ConfigurationError, CommandRefused: it is still known.
    """
    # First: a worker that is to serve a swarm whose key is gone would not start any more.
    if served_swarm(data_dir) == name:
        serve(data_dir, None)
    leave_swarm(data_dir, name)


def _show(swarm: Invitation, out: Out) -> None:
    out(write_invitation(swarm))
    if not swarm.addresses:
        out(f"It has no address in it yet: start the worker, then `volunteer swarm invite {swarm.name}` gives another.")


def _stay_at_one_port(data_dir: Path) -> None:
    """An invitation is for longer than a start of the worker, which listens at any free port otherwise."""
    if not load_settings(data_dir).settings.serving.host_maddrs:
        change_setting(data_dir, "serving.host_maddrs", f"/ip4/0.0.0.0/tcp/{random.choice(_PORTS)}", out=_silent)


def _ways_in(data_dir: Path, name: str) -> tuple[str, ...]:
    """Where the worker listens, if it serves this swarm; loopback only where there is nothing else."""
    worker = find_worker(data_dir) if served_swarm(data_dir) == name else None
    maddrs = () if worker is None else worker.maddrs
    return tuple(address for address in maddrs if "/127.0.0.1/" not in address and "/::1/" not in address) or maddrs


def _typed_in() -> str:
    if sys.stdin.isatty():
        print("Paste the invitation, then press Enter: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline(MAX_INVITATION_LENGTH + 2)


def _silent(text: str) -> None:
    pass
