"""Can this peer be reached from outside? Others are asked to dial it, and dial for others in their turn.

Petals' `ReachabilityProtocol.rpc_check`, by which its servers ask one another, too. A connection that exists already
says nothing, so each check is made by a daemon of its own, which knows nobody and takes no detour over a relay.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from hivemind.p2p import P2P, PeerID
from hivemind.proto import dht_pb2
from hivemind.utils.multiaddr import Multiaddr

from volunteer.swarm.rpc import BadMessage, Refused

logger = logging.getLogger(__name__)

CHECK_METHOD = "ReachabilityProtocol.rpc_check"
_DIAL_TIMEOUT_S = 5.0
_DAEMON_TIMEOUT_S = 15.0
_PAUSE_S = 2.0
"""Between two checks: whoever asks without end starts no daemons without end."""

Addresses = Callable[[str], Awaitable[tuple[str, ...]]]
"""Of a peer id: the multiaddresses that it announces."""
SeenFrom = Callable[[str], Awaitable[frozenset[str]]]
"""Of a peer id: the IP addresses from which it is connected to us."""


class DialBack:
    """Answers the checks of others, one at a time.

    A peer is dialled for nobody but itself, and only where it is connected from: nobody can make us knock at strangers'
    doors (as libp2p's AutoNAT has it).
    """

    def __init__(self, announced: Addresses, seen_from: SeenFrom):
        self._announced = announced
        self._seen_from = seen_from
        self._busy = asyncio.Lock()
        self._dialled_at = -_PAUSE_S

    async def check(self, request: Any, caller: str) -> Any:
        """PingRequest, whose node id is the peer id to dial -> PingResponse, whether it could be reached."""
        try:
            wanted = PeerID(request.peer.node_id).to_base58()
        except Exception as error:  # what the library raises over bad bytes has no class of its own
            raise BadMessage("the peer to check is no peer id") from error
        if wanted != caller:
            raise BadMessage("a peer is dialled for nobody but itself")
        if self._busy.locked() or time.monotonic() - self._dialled_at < _PAUSE_S:
            raise Refused("This peer is dialling for others")
        async with self._busy:
            addresses = allowed_addresses(await self._announced(caller), await self._seen_from(caller))
            if not addresses:
                raise Refused("There is no address to dial")
            self._dialled_at = time.monotonic()
            return dht_pb2.PingResponse(available=await can_dial(caller, addresses))


def allowed_addresses(announced: Iterable[str], seen_from: frozenset[str]) -> tuple[str, ...]:
    """Those of the announced multiaddresses that lie at an IP address from which the peer is connected to us."""
    return tuple(address for address in announced if ip_of(address) in seen_from and "/p2p-circuit" not in address)


def ip_of(address: str) -> str | None:
    """The IP address of a multiaddress, in its usual form; None if it has none."""
    parts = address.split("/")
    if len(parts) < 3 or parts[1] not in ("ip4", "ip6"):
        return None
    try:
        return str(ipaddress.ip_address(parts[2]))
    except ValueError:
        return None


async def can_dial(peer_id: str, addresses: Iterable[str]) -> bool:
    """Whether a daemon that knows nobody comes through to this peer, and to no other, at one of the addresses."""
    probe = await P2P.create(
        no_listen=True,
        dht_mode="client",
        use_relay=False,
        use_auto_relay=False,
        startup_timeout=_DAEMON_TIMEOUT_S,
    )
    try:
        async with asyncio.timeout(_DIAL_TIMEOUT_S):
            bare = [Multiaddr(address.removesuffix(f"/p2p/{peer_id}")) for address in addresses]
            await probe._client.connect(PeerID.from_base58(peer_id), bare)
    except Exception as error:
        logger.debug("%s cannot be dialled: %s", peer_id, error)
        return False
    finally:
        await probe.shutdown()
    return True
