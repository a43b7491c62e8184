"""Who goes first when more is asked of a server than it can do: ranks, and fairness within them.

Knows no sessions, tensors or clocks. Within a rank every account (a guest's: every network prefix, and every account in
it) has a counter of the work that was done for it, and the lowest goes first: virtual token counters (Sheng et al.,
"Fairness in Serving Large Language Models", OSDI 2024), with the virtual time of start-time fair queueing (Goyal et
al., SIGCOMM 1996) in the place of the least active counter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Rank(IntEnum):
    """Who goes first on a busy server."""

    OWNER = 0
    CONTRIBUTOR = 1
    GUEST = 2


@dataclass(frozen=True)
class Standing:
    """As whom a session is served.

    Args:
        account: whose service it is counted as: the peer id of the account, or that of the caller.
        prefix: of a guest's network: /24 of IPv4, /48 of IPv6; all unknown ones ("") share one.
        weight: points offered for each point of work.
    """

    rank: Rank = Rank.GUEST
    account: str = ""
    prefix: str = ""
    weight: float = 1.0


GUEST = Standing()
