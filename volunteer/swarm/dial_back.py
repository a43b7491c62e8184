"""Can this peer be reached from outside? Others are asked to dial it, and dial for others in their turn.

Petals' `ReachabilityProtocol.rpc_check`, by which its servers ask one another, and `rpc_dial` of ours, which is told
the addresses and also tries the detour over a relay. A connection that exists already says nothing, so each try is made
by a daemon of its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hivemind.p2p import P2P, PeerID
from hivemind.proto import dht_pb2
from hivemind.utils.multiaddr import Multiaddr

from volunteer.swarm.known_peers import sound_addresses
from volunteer.swarm.rpc import BadMessage, ExpertResponse, Refused, pack_metadata, unpack_metadata

logger = logging.getLogger(__name__)

CHECK_METHOD = "ReachabilityProtocol.rpc_check"
DIAL_METHOD = "ReachabilityProtocol.rpc_dial"
_DIAL_TIMEOUT_S = 5.0
_FIND_TIMEOUT_S = 10.0
"""To look a peer up and come to it over a relay."""
_FIND_TRIES = 2
_DAEMON_TIMEOUT_S = 15.0
_PAUSE_S = 2.0
"""Between two checks: whoever asks without end starts no daemons without end."""

Addresses = Callable[[str], Awaitable[tuple[str, ...]]]
"""Of a peer id: the multiaddresses that it announces."""
SeenFrom = Callable[[str], Awaitable[frozenset[str]]]
"""Of a peer id: the IP addresses from which it is connected to us."""
OwnAddresses = Callable[[], Awaitable[list[str]]]


@dataclass(frozen=True)
class Dialled:
    """What a peer found who tried to reach another one."""

    direct: bool
    over_relay: bool = False
    """Tried where `direct` is false."""


class DialBack:
    """Answers the checks of others, one at a time.

    A peer is dialled for nobody but itself, and only where it is connected from: nobody can make us knock at strangers'
    doors (as libp2p's AutoNAT has it).
    """

    def __init__(self, announced: Addresses, seen_from: SeenFrom, own_addresses: OwnAddresses):
        self._announced = announced
        self._seen_from = seen_from
        self._own_addresses = own_addresses
        self._busy = asyncio.Lock()
        self._dialled_at = -_PAUSE_S

    async def check(self, request: Any, caller: str) -> Any:
        """Petals' question. PingRequest, whose node id is the peer id to dial -> PingResponse, `available`."""
        try:
            wanted = PeerID(request.peer.node_id).to_base58()
        except Exception as error:  # what the library raises over bad bytes has no class of its own
            raise BadMessage("the peer to check is no peer id") from error
        if wanted != caller:
            raise BadMessage("a peer is dialled for nobody but itself")
        dialled = await self._try(caller, await self._announced(caller), with_relay=False)
        return dht_pb2.PingResponse(available=dialled.direct)

    async def dial(self, request: Any, caller: str) -> Any:
        """Ours. ExpertRequest, with the caller's `maddrs` in its metadata -> ExpertResponse: `direct`, `over_relay`."""
        maddrs = unpack_metadata(request.metadata).get("maddrs")
        if not isinstance(maddrs, list):
            raise BadMessage("maddrs is not a list")
        dialled = await self._try(caller, sound_addresses(caller, maddrs), with_relay=True)
        answer = {"direct": dialled.direct, "over_relay": dialled.over_relay}
        return ExpertResponse(metadata=pack_metadata(answer))

    async def _try(self, caller: str, announced: tuple[str, ...], *, with_relay: bool) -> Dialled:
        if self._busy.locked() or time.monotonic() - self._dialled_at < _PAUSE_S:
            raise Refused("This peer is dialling for others")
        async with self._busy:
            seen_from = await self._seen_from(caller)
            addresses = allowed_addresses(announced, seen_from)
            if not addresses and not is_translated(announced, seen_from):
                raise Refused("There is no address to dial")
            self._dialled_at = time.monotonic()
            direct = bool(addresses) and await can_dial(caller, addresses)
            over_relay = with_relay and not direct and await can_find(caller, await self._own_addresses())
            return Dialled(direct, over_relay)


def read_answer(metadata: bytes) -> Dialled:
    """What `DialBack.dial` answered. Raises BadMessage."""
    answer = unpack_metadata(metadata)
    return Dialled(answer.get("direct") is True, answer.get("over_relay") is True)


def allowed_addresses(announced: Iterable[str], seen_from: frozenset[str]) -> tuple[str, ...]:
    """Those of the announced multiaddresses that lie at an IP address from which the peer is connected to us."""
    return tuple(address for address in announced if ip_of(address) in seen_from and not is_relayed(address))


def is_translated(announced: Iterable[str], seen_from: frozenset[str]) -> bool:
    """Whether a peer comes from addresses which it does not know as its own: something between us translates them.

    A peer that comes by IPv6 and announces IPv4 alone tells nothing about IPv4.
    """
    known = [ip for address in announced if (ip := ip_of(address)) is not None and not is_relayed(address)]
    seen_kinds = {ipaddress.ip_address(ip).version for ip in seen_from}
    return any(ipaddress.ip_address(ip).version in seen_kinds for ip in known) and not seen_from & set(known)


def is_relayed(address: str) -> bool:
    """Whether a multiaddress leads over another peer."""
    return "/p2p-circuit" in address


def is_loopback(address: str) -> bool:
    """Whether a multiaddress can be reached from this machine alone."""
    ip = ip_of(address)
    return ip is not None and ipaddress.ip_address(ip).is_loopback


def ip_of(address: str) -> str | None:
    """The IP address of a multiaddress, in its usual form; None if it has none."""
    parts = address.split("/")
    if len(parts) < 3 or parts[1] not in ("ip4", "ip6"):
        return None
    try:
        return str(ipaddress.ip_address(parts[2]))
    except ValueError:
        return None


def network_of(ips: Iterable[str]) -> str:
    """The network of the first of these addresses that has a meaning beyond this machine; empty if there is none."""
    for address in sorted(ips):
        ip = ipaddress.ip_address(address)
        if not ip.is_loopback:
            return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))
    return ""


async def can_dial(peer_id: str, addresses: Iterable[str]) -> bool:
    """Whether a daemon that knows nobody comes through to this peer, and to no other, at one of the addresses."""
    bare = [Multiaddr(address.removesuffix(f"/p2p/{peer_id}")) for address in addresses]
    return await _connects(peer_id, bare, timeout_s=_DIAL_TIMEOUT_S, use_relay=False)


async def can_find(peer_id: str, ways_in: Iterable[str]) -> bool:
    """Whether a daemon that knows `ways_in` alone finds this peer and comes through, as any client would."""
    initial_peers = list(ways_in)
    for _ in range(_FIND_TRIES):  # what a daemon has just heard of it may not tell others yet
        if await _connects(peer_id, [], timeout_s=_FIND_TIMEOUT_S, use_relay=True, initial_peers=initial_peers):
            return True
    return False


async def _connects(peer_id: str, addresses: list[Any], *, timeout_s: float, **options: Any) -> bool:
    probe = await P2P.create(
        no_listen=True, dht_mode="client", use_auto_relay=False, startup_timeout=_DAEMON_TIMEOUT_S, **options
    )
    try:
        async with asyncio.timeout(timeout_s):
            await probe._client.connect(PeerID.from_base58(peer_id), addresses)
    except Exception as error:
        logger.debug("%s cannot be reached: %s", peer_id, error)
        return False
    finally:
        await probe.shutdown()
    return True
