"""How much this peer sends and gets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Traffic:
    """Bytes of calls and their streams, and of downloads: what the daemon and the DHT say besides is little.

    Changed by one thread at a time; anybody may look.
    """

    sent_bytes: int = 0
    received_bytes: int = 0


class Downloads:
    """Adds to the traffic what was brought, from what downloads tell: how much is here, of which some was before."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._before: int | None = None

    def note(self, done_bytes: int, *, is_over: bool) -> None:
        if self._before is not None:
            self._traffic.received_bytes += max(0, done_bytes - self._before)
        self._before = None if is_over else done_bytes
