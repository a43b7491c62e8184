"""Keeps hivemind's connection to its daemon alive when a call is given up at the moment at which its answer comes."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID


class PendingCalls(dict[UUID, "asyncio.Future[Any]"]):
    """Calls that wait for an answer, in place of hivemind's own dictionary of them.

    hivemind 1.1.12 hands an answer to whatever future is found here. If that was cancelled, the task that reads what
    the daemon says ends with an InvalidStateError, and no other call ever gets an answer: a worker that was told to
    pause while it registered its RPCs hung for good. So what nobody waits for any more is not found.
    """

    def __contains__(self, call_id: object) -> bool:
        future = self.get(call_id)  # type: ignore[call-overload]
        return future is not None and not future.done()
