"""How much others may store in the DHT at this node: hivemind would take all that the memory holds, for an hour.

Knows names and sizes; neither hivemind nor the network.
"""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterator

from volunteer.swarm.levels import Levels

BYTES_PER_S = 64 * 1024
"""Of one network, day in, day out. A server of 70 blocks stores 6 KiB/s, at each of the nodes that hold all of its
records."""
BURST_BYTES = 8 * 1024**2
"""At once, as when this node has just come and is given what lies near to it."""
ENTRY_BYTES = 1024
"""Of memory beside the value, however short that is."""

# hivemind asks its validator about each entry, and does not say whose it is.
_storing = contextvars.ContextVar[str | None]("storing", default=None)


class StoreLimits:
    """Counts by network what is stored here. Unknown networks share one name: the identities behind them are free."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic):
        self._levels = Levels[str](lambda network: BYTES_PER_S, clock=clock)

    @contextlib.contextmanager
    def storing(self, network: str) -> Iterator[None]:
        """While a request of this network is carried out."""
        token = _storing.set(network)
        try:
            yield
        finally:
            _storing.reset(token)

    def allow(self, num_bytes: int) -> bool:
        """Counts an entry whose value has so many bytes, good or bad; always true for what nobody asks to store."""
        network = _storing.get()
        if network is None:
            return True
        if self._levels.of(network) + num_bytes + ENTRY_BYTES > BURST_BYTES:
            return False
        self._levels.add(network, num_bytes + ENTRY_BYTES)
        return True
