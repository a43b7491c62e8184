"""Addresses of servers that were seen, kept in a file: with them a swarm is found again whose first peers are gone.

Knows text and a file; whoever reads an address from here treats it as a stranger's word.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from volunteer.swarm.records import MAX_MADDR_LENGTH
from volunteer.whole_file import write_file

logger = logging.getLogger(__name__)

MAX_PEERS = 64
MAX_ADDRESSES = 4
"""Of one peer."""
_MAX_FILE_BYTES = 1024 * 1024


class KnownPeers:
    """Peers and their multiaddresses, the one that was seen last at the end.

    Args:
        file: where they are kept; None to keep them in memory alone.
    """

    def __init__(self, file: Path | None = None):
        self._file = file
        self._addresses: dict[str, tuple[str, ...]] = {} if file is None else _read(file)
        self._saved = dict(self._addresses)
        self._saving = threading.Lock()

    def note(self, peer_id: str, addresses: Iterable[str]) -> None:
        """A peer that is there now; without addresses what is known of it stays."""
        sound = sound_addresses(peer_id, addresses)
        known = sound or self._addresses.get(peer_id, ())
        if known:
            self._addresses.pop(peer_id, None)
            self._addresses[peer_id] = known
        while len(self._addresses) > MAX_PEERS:
            del self._addresses[next(iter(self._addresses))]

    def of(self, peer_id: str) -> tuple[str, ...]:
        """The addresses of one peer, none if it is not known."""
        return self._addresses.get(peer_id, ())

    def addresses(self) -> tuple[str, ...]:
        """Of all peers, those seen last first."""
        return tuple(address for known in reversed(self._addresses.values()) for address in known)

    def unsaved(self) -> dict[str, tuple[str, ...]] | None:
        """What `save` should write, None if nothing has changed: a copy, as `save` may run on another thread."""
        return None if self._file is None or self._saved == self._addresses else dict(self._addresses)

    def save(self, addresses: dict[str, tuple[str, ...]]) -> None:
        """Writes the file; a disk that is full costs the memory, not the session."""
        if self._file is None:
            return
        with self._saving:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_file(self._file, (json.dumps({"peers": addresses}, indent=1) + "\n").encode())
            except OSError as error:
                logger.warning("Could not remember the peers of the swarm: %s", error)
                return
            self._saved = addresses


def _read(file: Path) -> dict[str, tuple[str, ...]]:
    """What the file holds of use; nothing if it is not there or is something else."""
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise ValueError("it is too large")
        peers = json.loads(file.read_text(encoding="utf-8"))["peers"]
        known = {str(peer_id): sound_addresses(str(peer_id), addresses) for peer_id, addresses in peers.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("The remembered peers in %s cannot be used: %s", file, error)
        return {}
    return {peer_id: addresses for peer_id, addresses in list(known.items())[-MAX_PEERS:] if addresses}


def sound_addresses(peer_id: str, addresses: Iterable[object]) -> tuple[str, ...]:
    """Those that look like multiaddresses of this peer, as many as are kept."""
    return tuple(address for address in addresses if isinstance(address, str) and _is_sound(peer_id, address))[
        :MAX_ADDRESSES
    ]


def _is_sound(peer_id: str, address: str) -> bool:
    return (
        len(address) <= MAX_MADDR_LENGTH
        and address.startswith("/")
        and address.isprintable()
        and address.endswith(f"/p2p/{peer_id}")
    )
