"""The private swarms that this computer is a member of: a file each, which its owner alone may read.

A file holds what an invitation does. The settings name the swarm that is served; its key stands in its file alone.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import stat
from pathlib import Path

from volunteer.errors import ConfigurationError
from volunteer.swarm.swarm_key import (
    MAX_ADDRESSES,
    MAX_INVITATION_LENGTH,
    SWARM_ID_BYTES,
    BadInvitation,
    Invitation,
    SwarmKey,
    check_name,
    read_invitation,
    write_invitation,
)
from volunteer.whole_file import write_file


def swarms_folder(data_dir: Path) -> Path:
    return data_dir / "swarms"


def swarm_file(data_dir: Path, name: str) -> Path:
    """Raises ConfigurationError: no swarm can be called this."""
    return swarms_folder(data_dir) / f"{check_name(name)}.invitation"


def swarm_names(data_dir: Path) -> list[str]:
    return sorted(file.stem for file in swarms_folder(data_dir).glob("*.invitation"))


def load_swarm(data_dir: Path, name: str) -> Invitation:
    """Raises ConfigurationError: there is no such swarm, others can read its key, or the file is damaged."""
    file = swarm_file(data_dir, name)
    try:
        with file.open(encoding="ascii", errors="replace") as opened:
            if os.name == "posix" and stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077:
                raise ConfigurationError(f"{file} can be read by other users; run chmod 600 on it.")
            text = opened.read(MAX_INVITATION_LENGTH + 1)
    except FileNotFoundError:
        known = ", ".join(swarm_names(data_dir)) or "none"
        raise ConfigurationError(f"This computer is in no private swarm called {name}; it is in: {known}.") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from error
    try:
        return dataclasses.replace(read_invitation(text), name=name)
    except BadInvitation as error:
        raise ConfigurationError(f"{file} cannot be used. {error}") from error


def save_swarm(data_dir: Path, swarm: Invitation) -> None:
    """Raises ConfigurationError: the file cannot be written."""
    file = swarm_file(data_dir, swarm.name)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(file, f"{write_invitation(swarm)}\n".encode(), is_private=True)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}.") from error


def create_swarm(
    data_dir: Path, name: str, *, model: str | None, revision: str | None, dht_prefix: str | None
) -> Invitation:
    """A new swarm with a new key. Raises ConfigurationError: there is one of this name."""
    if swarm_file(data_dir, name).exists():
        raise ConfigurationError(
            f"This computer is in a swarm called {name} already; leave that, or take another name."
        )
    swarm = Invitation(name, secrets.token_bytes(SWARM_ID_BYTES), SwarmKey.new(), model, revision, dht_prefix)
    save_swarm(data_dir, swarm)
    return swarm


def join_swarm(data_dir: Path, invitation: str) -> Invitation:
    """Keeps what the invitation says; one for a swarm that was joined before brings its new key.

    Raises:
        BadInvitation: it is none.
        ConfigurationError: another swarm of the same name was joined before.
    """
    swarm = read_invitation(invitation)
    if swarm_file(data_dir, swarm.name).exists() and load_swarm(data_dir, swarm.name).swarm_id != swarm.swarm_id:
        raise ConfigurationError(f"This computer is in another swarm called {swarm.name}; leave that one first.")
    save_swarm(data_dir, swarm)
    return swarm


def leave_swarm(data_dir: Path, name: str) -> None:
    """Forgets the key, whether it could be used or not. Raises ConfigurationError: there is no such swarm."""
    file = swarm_file(data_dir, name)
    if not file.exists():
        load_swarm(data_dir, name)  # says which ones there are
    file.unlink(missing_ok=True)


def rekey_swarm(data_dir: Path, name: str) -> Invitation:
    """Gives the swarm a new key: whoever does not get the new invitation is out, once the members have taken it over.

    This computer is the first with the new key, so it has nobody to go to, and begins alone.

    Raises:
        ConfigurationError: as `load_swarm`.
    """
    swarm = dataclasses.replace(load_swarm(data_dir, name), key=SwarmKey.new(), addresses=())
    save_swarm(data_dir, swarm)
    return swarm


def with_addresses(swarm: Invitation, newer: tuple[str, ...]) -> Invitation:
    """The invitation with these ways in before those that it has."""
    return dataclasses.replace(swarm, addresses=tuple(dict.fromkeys((*newer, *swarm.addresses)))[:MAX_ADDRESSES])
