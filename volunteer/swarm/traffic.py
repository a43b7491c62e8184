"""How much this peer sends to and gets from others in calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Traffic:
    """Bytes of messages, as far as calls and their streams go: what the daemon and the DHT say besides is little.

    Changed by the loop of one node after another; anybody may look.
    """

    sent_bytes: int = 0
    received_bytes: int = 0
