"""Mends how hivemind 1.1.12 takes the answer to a call that was given up."""

from __future__ import annotations

import asyncio
from typing import Any

from hivemind.p2p import P2P


class AwaitedCalls(dict[Any, "asyncio.Future[Any]"]):
    """Calls to the daemon by their ids, of which only those count whose caller still waits.

    A caller that gives up cancels its future, tells the daemon, and only then takes the call out. hivemind sets the
    result of an answer that comes in between all the same: the error ends the one task that reads what the daemon says,
    and with it every unary call from and to this peer.
    """

    def __contains__(self, call_id: object) -> bool:
        future = self.get(call_id)
        return future is not None and not future.done()


def ignore_late_answers(p2p: P2P) -> None:
    """To be called before the first call."""
    p2p._client.control._pending_calls = AwaitedCalls()
