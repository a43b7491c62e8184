"""This machine's place in the swarm: libp2p daemon, DHT, announcements, look-ups, calls.

Everything runs in the caller's asyncio loop: no forked process but p2pd. Knows bytes and records; torch stays with the
callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hivemind.dht.node import DHTNode
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.p2p import P2P, PeerID
from hivemind.p2p.p2p_daemon_bindings.utils import P2PHandlerError, raise_if_failed, read_pbmsg_safe, write_pbmsg
from hivemind.proto import dht_pb2, p2pd_pb2
from hivemind.utils.multiaddr import Multiaddr
from hivemind.utils.timed_storage import get_dht_time

from volunteer.errors import ConfigurationError, Unavailable
from volunteer.points.identity import Identity, load_identity
from volunteer.swarm.dial_back import (
    CHECK_METHOD,
    DIAL_METHOD,
    DialBack,
    Dialled,
    ip_of,
    is_relayed,
    network_of,
    read_answer,
)
from volunteer.swarm.gate import GatedDaemon, GatedStream, SwarmGate
from volunteer.swarm.known_peers import KnownPeers
from volunteer.swarm.pacer import Pacer
from volunteer.swarm.peer_lists import PeerLists
from volunteer.swarm.pending_calls import PendingCalls
from volunteer.swarm.record_guard import RecordGuard
from volunteer.swarm.records import ServerInfo, ServerRecord, block_uid, servers_from_blocks, to_wire
from volunteer.swarm.rpc import (
    BadMessage,
    ExpertInfo,
    ExpertRequest,
    ExpertResponse,
    ExpertUID,
    Inbox,
    MessageStream,
    Method,
    PeerLost,
    Refused,
    RemoteError,
    in_one_line,
    pack_metadata,
    parse_message,
    peer_errors,
)
from volunteer.swarm.sealed_records import SealedRecords
from volunteer.swarm.signed_records import is_signed, sign_record
from volunteer.swarm.store_limits import StoreLimits
from volunteer.swarm.swarm_key import SwarmKey
from volunteer.swarm.traffic import Traffic

logger = logging.getLogger(__name__)

REGISTRY_KEY = "_petals.models"
LOOPBACK_MADDRS = ("/ip4/127.0.0.1/tcp/0",)
# go-libp2p may take a while to find its addresses on a busy machine; hivemind's default is 15 s.
_DAEMON_START_TIMEOUT_S = 60.0
_UNCLAIMED_S = 10.0
"""A daemon to which nobody opens a connection for so long ends: its program was killed while it started."""
_CONNECT_TIMEOUT_S = 10.0
_GOODBYE_S = 5.0
_SHUTDOWN_S = 3.0
"""For hivemind to end by itself; then its daemon is killed."""
_STORE_METHOD, _FIND_METHOD = "DHTProtocol.rpc_store", "DHTProtocol.rpc_find"
_MOST_KEYS = 1024
"""In one look-up: of every block of the deepest models. The 190,000 keys that 4 MiB hold take seconds, 4 to 23 us each
to find the nodes near them, in which nobody else is answered."""
_NETWORK_S = 10.0
"""So long it is remembered from where a peer calls: the daemon tells of all its connections at once."""
_MOST_NETWORKS = 1024
_ASKED_FOR_RECORD = 5
"""Of the peers nearest to a key, as many as hivemind stores a record at."""
_DIAL_BACK_TIMEOUT_S = 45.0
_REJOIN_S = 5.0
_MOST_RELAYS = 8
_MOST_REMEMBERED = 16
"""Addresses that are tried beside those that were named."""
_MOST_CALLS = 256
"""Unary calls, given up ones among them, after which those are looked for."""
_LOGGED_FAILURES_PER_MINUTE = 20
_CLIENT_MESSAGE_BYTES = 1024**3
"""A client reads answers as long as what it asked for; servers set their own, much lower bound for requests."""


@dataclass(frozen=True)
class NodeOptions:
    """How to join: multiaddresses as text, as on the command line."""

    initial_peers: tuple[str, ...] = ()
    host_maddrs: tuple[str, ...] = LOOPBACK_MADDRS
    announce_maddrs: tuple[str, ...] = ()
    identity_file: Path | None = None
    peers_file: Path | None = None
    """Where the addresses of servers that were seen are kept, to come back through any of them."""
    may_begin_alone: bool = True
    """Without initial peers, where nobody that was seen before answers either."""
    upload_bytes_per_s: float | None = None
    """The most to send in calls, ours and others'; what the daemon sends by itself is little and not counted."""
    is_client: bool = False
    """A client stores no records for others and is not asked by them."""
    peers: PeerLists = PeerLists()  # noqa: RUF009
    """Whose calls of a server's RPCs are answered. The DHT is everybody's."""
    swarm_key: SwarmKey | None = None
    """Of a private swarm: nothing is said to, or heard from, a peer that does not prove that it knows the key."""


UnaryHandler = Callable[[Any, str], Awaitable[Any]]
StreamHandler = Callable[[MessageStream, str], Awaitable[None]]


@dataclass(frozen=True)
class Service:
    """The RPCs that a server answers; the second argument of each handler is the caller's peer id.

    A handler's exception goes to the caller as an error with its text, and to nobody else.
    """

    unary: Mapping[Method, tuple[type, UnaryHandler]]
    """Method -> (request type, handler)."""
    streams: Mapping[Method, StreamHandler]
    max_message_bytes: int
    inbox_bytes: int
    """Of long messages on all streams together, see `Inbox`."""


class SwarmNode:
    """One peer. Use as `async with`: entering joins the swarm, leaving it stops the daemon.

    Raises (on entering):
        Unavailable: none of the initial peers answered, or the daemon did not start.
        ConfigurationError: an address or the identity file is unusable.
    """

    def __init__(self, options: NodeOptions):
        self._options = options
        self._p2p: Any = None
        self._dht: Any = None
        self._streams: set[asyncio.Task[None]] = set()
        self._failures = FailureLog()
        self._store_limits = StoreLimits()
        self._most_calls = _MOST_CALLS
        self._is_stopping = False
        self._known = KnownPeers(options.peers_file)
        self._rejoined_at = -math.inf
        self._relays: tuple[str, ...] = ()
        self._pacer = Pacer(options.upload_bytes_per_s)
        self._gate: SwarmGate | None = None
        self.admits: Callable[[str], bool] = options.peers.may_knock
        """Whether a caller is listened to, by its peer id. Its account is known only from what it says."""
        self.traffic = Traffic()
        """Counts calls; may be exchanged for one that counts several nodes."""
        self._guard = RecordGuard(
            None if options.swarm_key is None else SealedRecords(options.swarm_key), self._store_limits
        )
        self._networks: dict[str, tuple[str, float]] = {}
        """Of peers, and when they were looked up."""
        self._identity: Identity | None = None
        self.is_serving = False

    async def __aenter__(self) -> Self:
        options = self._options
        for address in (*options.initial_peers, *options.host_maddrs, *options.announce_maddrs):
            _check_multiaddress(address, needs_peer=address in options.initial_peers)
        if options.identity_file is not None:
            self._identity = load_identity(options.identity_file)
        await self._join_by_any_way()
        return self

    async def use_relays(self, relays: Sequence[str]) -> None:
        """Joins again, as a peer that others reach over these ones: multiaddresses. Before it serves.

        libp2p comes to this by itself where it finds that it cannot be reached, minutes later.

        Raises:
            Unavailable: as on entering.
        """
        self._relays = tuple(address for address in relays if _is_multiaddress(address))[:_MOST_RELAYS]
        await self._stop()
        self._p2p = self._dht = None
        await self._join_by_any_way()

    async def _join_by_any_way(self) -> None:
        options = self._options
        remembered = tuple(address for address in self._known.addresses() if _is_multiaddress(address))
        ways = _ways_in(options, remembered[:_MOST_REMEMBERED])
        if not ways:
            raise Unavailable("No peer of this swarm is known yet. Name one with --initial-peers.")
        for peers in ways:
            try:
                await self._join(peers)
            except Exception as error:
                await self._stop()
                self._p2p = self._dht = None
                failure = error
            except BaseException:
                await self._stop()
                raise
            else:
                return
        if not options.initial_peers and not remembered:
            raise Unavailable(f"The libp2p daemon did not start ({failure}).") from failure
        if self._gate is not None and self._gate.met_another_key:
            raise Unavailable(
                "The peers of this private swarm have another key; it was changed. Ask them for a new invitation."
            ) from failure
        also = ", nor any that was seen before," if remembered else ""
        raise Unavailable(f"No initial peer of the swarm{also} answers ({failure}).") from failure

    async def _join(self, initial_peers: Sequence[str]) -> None:
        options = self._options
        self._is_stopping = False
        self._p2p = await P2P.create(
            initial_peers=list(initial_peers) or None,
            host_maddrs=list(options.host_maddrs),
            announce_maddrs=list(options.announce_maddrs) or None,
            identity_path=str(options.identity_file) if options.identity_file else None,
            dht_mode="client" if options.is_client else "server",
            no_listen=options.is_client,
            use_auto_relay=not options.is_client,
            force_reachability="private" if self._relays else None,
            trusted_relays=list(self._relays) or None,
            # One data folder has one worker, which is the only user of its identity; the check starts a second
            # daemon and waits for it.
            check_if_identity_free=False,
            startup_timeout=_DAEMON_START_TIMEOUT_S,
            idle_timeout=_UNCLAIMED_S,
        )
        control = self._p2p._client.control
        control._pending_calls = PendingCalls(control._pending_calls)
        if options.swarm_key is not None:
            await self._close_off(options.swarm_key)
        elif not options.is_client:
            self._limit_strangers()
        self._dht = await DHTNode.create(
            p2p=self._p2p,
            initial_peers=list(initial_peers) or None,
            # Whoever is reached by a detour is no good place for the records of others.
            client_mode=options.is_client or bool(self._relays),
            num_workers=32,
            ensure_bootstrap_success=bool(initial_peers),
            record_validator=self._guard,
        )
        self._guard.watch(self._dht.protocol)
        if not options.is_client:
            dial_back = DialBack(self._announced_by, self._seen_from, self.maddrs)
            await self._p2p.add_protobuf_handler(
                CHECK_METHOD, self._unary(dial_back.check), _RequestType(dht_pb2.PingRequest)
            )
            await self._p2p.add_protobuf_handler(DIAL_METHOD, self._unary(dial_back.dial), _RequestType(ExpertRequest))

    async def _close_off(self, key: SwarmKey) -> None:
        """Puts the gate of a private swarm between this program and its daemon, before there is any RPC to call."""
        daemon = self._p2p._client
        self._gate = SwarmGate(key, self._p2p.peer_id, daemon.call_unary_handler)
        self._p2p._client = gated = GatedDaemon(daemon, self._gate, self._failures.add)
        if not self._options.is_client:
            await gated.open_gate()

    def _limit_strangers(self) -> None:
        """Puts limits between hivemind's DHT and those who use it here, before it has its handlers."""
        add_handler = self._p2p.add_protobuf_handler
        limited = {_STORE_METHOD: self._limited_store, _FIND_METHOD: self._limited_find}

        async def add(name: str, handler: Any, *arguments: Any, **options: Any) -> None:
            if name in limited:
                handler = limited[name](handler)
            await add_handler(name, handler, *arguments, **options)

        self._p2p.add_protobuf_handler = add

    def _limited_store(self, store: UnaryHandler) -> UnaryHandler:
        async def run(request: Any, context: Any) -> Any:
            with self._store_limits.storing(await self.network_of(context.remote_id.to_base58())):
                return await store(request, context)

        return run

    def _limited_find(self, find: UnaryHandler) -> UnaryHandler:
        async def run(request: Any, context: Any) -> Any:
            if len(request.keys) > _MOST_KEYS:
                error = Refused(f"{len(request.keys)} keys in one look-up, at most {_MOST_KEYS}")
                self._failures.add(_FIND_METHOD, context.remote_id.to_base58(), error)
                raise error
            return await find(request, context)

        return run

    def _announced_as(self, prefix: str) -> str:
        """The DHT prefix of a model as others find it in this swarm."""
        key = self._options.swarm_key
        return prefix if key is None else key.dht_prefix(prefix)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    @property
    def peer_id(self) -> str:
        return self._p2p.peer_id.to_base58()

    async def maddrs(self) -> list[str]:
        """Addresses under which others may reach this peer, as they need them for `--initial-peers`."""
        return [str(address) for address in await self._p2p.get_visible_maddrs(latest=True)]

    async def daemon_died(self) -> None:
        """Returns when the libp2p daemon has ended by itself."""
        await self._p2p._child.wait()  # hivemind keeps the process to itself, and says nothing when it dies

    # Records

    async def announce(
        self, prefix: str, record: ServerRecord, *, lifetime_s: float, registry: Mapping[str, object] | None = None
    ) -> bool:
        """Stores `record` under every block of its span, and the model in Petals' registry.

        It is signed if this peer has an identity file. Returns whether every block's record was stored somewhere.
        """
        if record.start_block is None or record.end_block is None:
            raise ValueError("a record without a span cannot be announced")
        await self._rejoin_if_alone()
        is_public = self._options.swarm_key is None and not prefix.startswith("_")
        prefix = self._announced_as(prefix)
        keys = [block_uid(prefix, index) for index in range(record.start_block, record.end_block)]
        expiration = get_dht_time() + lifetime_s
        value = to_wire(record)
        if self._identity is not None:
            value = sign_record(value, prefix=prefix, expires_at_s=expiration, identity=self._identity)
        stored = await self._dht.store_many(
            keys=keys,
            values=[value] * len(keys),
            expiration_time=expiration,
            subkeys=[self.peer_id] * len(keys),
        )
        if registry is not None and is_public:
            await self._dht.store(REGISTRY_KEY, dict(registry), expiration_time=expiration, subkey=prefix)
        return all(stored.values())

    async def servers(self, prefix: str, num_blocks: int) -> dict[str, ServerInfo]:
        """All servers that announce blocks of this model now, by peer id."""
        await self._rejoin_if_alone()
        prefix = self._announced_as(prefix)
        uids = {block_uid(prefix, index): index for index in range(num_blocks)}
        found = await self._dht.get_many(list(uids), sufficient_expiration_time=math.inf)
        values: dict[int, dict[str, object]] = {}
        expirations: dict[int, dict[str, float]] = {}
        for uid, entry in found.items():
            if entry is None or not isinstance(entry.value, dict):
                continue
            sound = {peer_id: value for peer_id, value in entry.value.items() if _is_peer_id(peer_id)}
            values[uids[uid]] = {peer_id: value.value for peer_id, value in sound.items()}
            expirations[uids[uid]] = {peer_id: value.expiration_time for peer_id, value in sound.items()}
        signed: dict[int, set[str]] = {
            index: {peer_id for peer_id, value in entries.items() if is_signed(value)}
            for index, entries in values.items()
        }
        # What was found is sound, but what lives longer comes first: perhaps a forgery from a node that checks nothing.
        for peer_id, known in self._guard.signed.under(prefix, get_dht_time()).items():
            for index in range(known.start, min(known.end, num_blocks)):
                if peer_id not in signed.setdefault(index, set()):
                    values.setdefault(index, {})[peer_id] = known.value
                    expirations.setdefault(index, {})[peer_id] = known.expires_at_s
                    signed[index].add(peer_id)
        servers = servers_from_blocks(values, expires_at_s=expirations, signed=signed)
        for server in servers.values():
            if server.is_online and server.peer_id != self.peer_id:
                self._known.note(server.peer_id, server.record.maddrs)
        if (unsaved := self._known.unsaved()) is not None:
            await asyncio.to_thread(self._known.save, unsaved)
        return servers

    async def _rejoin_if_alone(self) -> None:
        """Knocks at the doors that are known, if nobody of the DHT answers any more: the network may be back."""
        if self._dht.protocol.routing_table.uid_to_peer_id or time.monotonic() - self._rejoined_at < _REJOIN_S:
            return
        addresses = (*self._options.initial_peers, *self._known.addresses())
        sound = [address for address in dict.fromkeys(addresses) if _is_multiaddress(address)][:_MOST_REMEMBERED]
        if not sound:
            return
        self._rejoined_at = time.monotonic()
        answers = await asyncio.gather(*(self._knock(Multiaddr(address)) for address in sound))
        logger.info("Nobody in the swarm answered; %d of %d known addresses do now", sum(answers), len(sound))
        if any(answers):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    await self._dht.find_nearest_nodes([self._dht.node_id])

    async def _knock(self, address: Any) -> bool:
        try:
            peer_id = PeerID.from_base58(address["p2p"])
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._p2p._client.connect(peer_id, [address.decapsulate(Multiaddr(f"/p2p/{peer_id}"))])
                return await self._dht.protocol.call_ping(peer_id) is not None
        except Exception:
            logger.debug("Nobody answers at %s", address, exc_info=True)
            return False

    async def is_seen_by_others(self, prefix: str, block: int) -> bool | None:
        """Whether another peer has a record of ours for a block; None where there is no other peer to ask."""
        key = DHTID.generate(source=block_uid(self._announced_as(prefix), block))
        found = await self._dht.find_nearest_nodes([key], k_nearest=_ASKED_FOR_RECORD, exclude_self=True)
        peers = [peer_id for peer_id in found[key].values() if peer_id != self._p2p.peer_id]
        if not peers:
            return None
        answers = await asyncio.gather(*(self._dht.protocol.call_find(peer_id, [key]) for peer_id in peers))
        values = [answer[key][0] for answer in answers if answer is not None and key in answer]
        if not values:
            return None
        return any(value is not None and _has_subkey(value.value, self.peer_id) for value in values)

    # Calls to others

    async def open_stream(
        self, peer_id: str, method: Method, *, timeout_s: float = _CONNECT_TIMEOUT_S
    ) -> MessageStream:
        """Raises PeerLost when the peer cannot be reached, or does not know the method."""
        with peer_errors():
            async with asyncio.timeout(timeout_s):
                reader, writer = await self._stream_to(PeerID.from_base58(peer_id), method)
        if self._gate is None:
            return MessageStream(
                reader, writer, max_message_bytes=_CLIENT_MESSAGE_BYTES, pacer=self._pacer, traffic=self.traffic
            )
        return GatedStream(
            reader,
            writer,
            max_message_bytes=_CLIENT_MESSAGE_BYTES,
            peer_id=peer_id,
            pacer=self._pacer,
            traffic=self.traffic,
            gate=self._gate,
        )

    async def _stream_to(self, peer_id: Any, method: Method) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """hivemind's `call_binary_stream_handler`, which leaves the connection to the daemon open when it fails."""
        if self._gate is not None:
            await self._gate.prove(peer_id.to_base58())
        reader, writer = await self._p2p._client.control.daemon_connector.open_connection()
        try:
            request = p2pd_pb2.StreamOpenRequest(peer=peer_id.to_bytes(), proto=[method])
            await write_pbmsg(writer, p2pd_pb2.Request(type=p2pd_pb2.Request.STREAM_OPEN, streamOpen=request))
            response = p2pd_pb2.Response()
            await read_pbmsg_safe(reader, response)
            raise_if_failed(response)
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def call(self, peer_id: str, method: str, request: Any, response_type: Any, *, timeout_s: float) -> Any:
        """One unary RPC. Raises RemoteError with the peer's text, or PeerLost."""
        with peer_errors():
            self.traffic.sent_bytes += request.ByteSize()
            async with asyncio.timeout(timeout_s):
                response = await self._p2p.call_protobuf_handler(
                    PeerID.from_base58(peer_id), method, request, response_type
                )
            self.traffic.received_bytes += response.ByteSize()
            return response

    async def is_alive(self, peer_id: str, *, timeout_s: float) -> bool:
        """Whether the program at the other end answers a server's simplest RPC, with whatever it may be.

        A ping would not tell: the daemon answers it for a program that stands still.
        """
        try:
            await self.call(peer_id, Method.INFO, ExpertUID(), ExpertInfo, timeout_s=timeout_s)
        except RemoteError:
            return True
        except PeerLost:
            return False
        return True

    async def ping(self, peer_id: str, *, timeout_s: float = 5.0) -> float:
        """Round-trip time in seconds; infinite when nothing comes back."""
        request = dht_pb2.PingRequest(peer=self._dht.protocol.node_info)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_s):
                await self._dht.protocol.get_stub(PeerID.from_base58(peer_id)).rpc_ping(request, timeout=timeout_s)
        except P2PHandlerError as error:
            # A peer behind a relay keeps its DHT in client mode: it answers that it does not answer.
            if "protocol not supported" not in str(error) and "protocols not supported" not in str(error):
                return math.inf
        except Exception:
            logger.debug("No answer to a ping from %s", peer_id, exc_info=True)
            return math.inf
        return time.perf_counter() - started

    async def dialled_by(self, peer_ids: Sequence[str]) -> list[Dialled | None]:
        """What each of these peers found who was asked to dial this one; None where one did not try."""
        maddrs = await self.maddrs()
        return list(await asyncio.gather(*(self._ask_to_dial(peer_id, maddrs) for peer_id in peer_ids)))

    async def _ask_to_dial(self, peer_id: str, maddrs: list[str]) -> Dialled | None:
        request = ExpertRequest(metadata=pack_metadata({"maddrs": maddrs}))
        try:
            answer = await self.call(peer_id, DIAL_METHOD, request, ExpertResponse, timeout_s=_DIAL_BACK_TIMEOUT_S)
            return read_answer(answer.metadata)
        except (RemoteError, PeerLost, BadMessage) as error:
            logger.debug("%s did not try to dial us: %s", peer_id, error)
        # Petals' servers know the question without addresses.
        own = dht_pb2.PingRequest(peer=dht_pb2.NodeInfo(node_id=self._p2p.peer_id.to_bytes()))
        try:
            answer = await self.call(peer_id, CHECK_METHOD, own, dht_pb2.PingResponse, timeout_s=_DIAL_BACK_TIMEOUT_S)
        except (RemoteError, PeerLost) as error:
            logger.debug("%s did not try to dial us: %s", peer_id, error)
            return None
        return Dialled(direct=bool(answer.available))

    async def _announced_by(self, peer_id: str) -> tuple[str, ...]:
        return self._known.of(peer_id)

    async def _seen_from(self, peer_id: str) -> frozenset[str]:
        connected = await self._p2p.list_peers()
        found = [str(address) for each in connected if str(each.peer_id) == peer_id for address in each.addrs]
        return frozenset(ip for address in found if not is_relayed(address) and (ip := ip_of(address)) is not None)

    async def network_of(self, peer_id: str) -> str:
        """From which network a peer calls: /24 of IPv4, /48 of IPv6. Empty for relays and this machine's own peers."""
        now = time.monotonic()
        network, looked_at = self._networks.get(peer_id, ("", -math.inf))
        if now - looked_at < _NETWORK_S:
            return network
        network = network_of(await self._seen_from(peer_id))
        if len(self._networks) >= _MOST_NETWORKS:
            self._networks.clear()
        self._networks[peer_id] = network, now
        return network

    # Calls from others

    async def serve(self, service: Service) -> None:
        """Answers the service's RPCs from now on, until the node stops. Once."""
        self.is_serving = True
        for method, (request_type, handler) in service.unary.items():
            await self._p2p.add_protobuf_handler(
                method, self._unary(self._for_admitted(handler)), _RequestType(request_type)
            )
        inbox = Inbox(service.inbox_bytes)
        for method, stream_handler in service.streams.items():
            await self._p2p.add_binary_stream_handler(
                method, self._stream(method, self._for_admitted(stream_handler), service.max_message_bytes, inbox)
            )

    def _for_admitted(self, handler: Callable[[Any, str], Awaitable[Any]]) -> Callable[[Any, str], Awaitable[Any]]:
        async def run(request: Any, caller: str) -> Any:
            if not self.admits(caller):
                raise Refused("This server is not for everybody")
            return await handler(request, caller)

        return run

    def _unary(self, handler: UnaryHandler) -> Callable[[Any, Any], Awaitable[Any]]:
        async def run(request: Any, context: Any) -> Any:
            caller = context.remote_id.to_base58()
            self.traffic.received_bytes += request.ByteSize()
            self._forget_given_up_calls()
            try:
                response = await handler(request, caller)
                self.traffic.sent_bytes += response.ByteSize()
                await self._pacer.spend(response.ByteSize())
                return response
            except asyncio.CancelledError:
                # hivemind 1.1.12 keeps the task of a call that was cancelled, and with it the request, but not of one
                # that failed.
                raise PeerLost("the caller gave up") from None
            except Exception as error:
                self._failures.add(context.handle_name, caller, error)
                raise

        return run

    def _forget_given_up_calls(self) -> None:
        """Drops the tasks that hivemind keeps of calls that their callers gave up before they began."""
        tasks: dict[Any, asyncio.Task[None]] = self._p2p._client.control._handler_tasks
        if len(tasks) < self._most_calls:
            return
        for call_id in [call_id for call_id, task in tasks.items() if task.done()]:
            del tasks[call_id]
        self._most_calls = max(_MOST_CALLS, 2 * len(tasks))

    def _stream(
        self, method: Method, handler: StreamHandler, max_message_bytes: int, inbox: Inbox
    ) -> Callable[..., Awaitable[None]]:
        async def run(info: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._streams.add(task)
                task.add_done_callback(self._streams.discard)
            caller = info.peer_id.to_base58()
            stream = MessageStream(
                reader,
                writer,
                max_message_bytes=max_message_bytes,
                inbox=inbox,
                peer_id=caller,
                pacer=self._pacer,
                traffic=self.traffic,
            )
            try:
                await handler(stream, caller)
            except asyncio.CancelledError:
                if not self._is_stopping:
                    raise
                # asyncio logs it as an error if the task of a connection ends cancelled.
            except PeerLost as error:
                logger.debug("%s: %s left: %s", method, caller, error)
            except Exception as error:
                self._failures.add(method, caller, error)
                with contextlib.suppress(PeerLost, TimeoutError):
                    async with asyncio.timeout(_GOODBYE_S):
                        await stream.send_error(_error_text(error))
            finally:
                await stream.close_within(_GOODBYE_S)

        return run

    async def _stop(self) -> None:
        self._is_stopping = True
        for task in tuple(self._streams):
            task.cancel()
        if self._streams:
            await asyncio.wait(tuple(self._streams), timeout=1.0)
        if self._gate is not None:
            self._gate.close()
        if self._dht is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_S):
                    await self._dht.shutdown()
        if self._p2p is not None:
            child = self._p2p._child
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_S):
                    await self._p2p.shutdown()
            if child is not None and child.returncode is None:
                child.kill()
                await child.wait()


class _RequestType:
    """A protobuf type as hivemind's unary calls use it, which parses carefully."""

    def __init__(self, message_type: type):
        self._message_type = message_type

    def FromString(self, data: bytes) -> Any:
        return parse_message(self._message_type, data)


class FailureLog:
    """Logs calls that failed, and no more of them than somebody would read: callers must not be able to fill a disk.

    A caller's mistake is one line; anything else is a bug of ours and gets its traceback.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._minutes: dict[int, tuple[float, int]] = {}
        """Level -> when its minute began, and how many failures there were since."""

    def add(self, method: str, caller: str, error: Exception) -> None:
        expected = isinstance(error, ValueError | TimeoutError | Refused | RemoteError)
        level = logging.INFO if expected else logging.WARNING
        now = self._clock()
        since, count = self._minutes.get(level, (now, 0))
        if now - since >= 60.0:
            if count > _LOGGED_FAILURES_PER_MINUTE:
                logger.log(level, "%d more calls failed", count - _LOGGED_FAILURES_PER_MINUTE)
            since, count = now, 0
        self._minutes[level] = since, count + 1
        if count >= _LOGGED_FAILURES_PER_MINUTE:
            return
        if expected:
            logger.info("%s from %s refused: %s", method, caller, in_one_line(str(error)))
        else:
            logger.warning("%s from %s failed", method, caller, exc_info=error)


def _error_text(error: Exception) -> str:
    return in_one_line(str(error)) or type(error).__name__


def _is_peer_id(value: object) -> bool:
    if not isinstance(value, str) or len(value) > 100:
        return False
    try:
        PeerID.from_base58(value)
    except Exception:  # base58 and multihash raise many kinds of errors over bad text
        return False
    return True


def _has_subkey(value: object, subkey: str) -> bool:
    """Whether what a peer holds under a key is a dictionary with that subkey."""
    return isinstance(value, DictionaryDHTValue) and value.get(subkey) is not None


def _ways_in(options: NodeOptions, remembered: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Whom to ask, one list after another; an empty one is to begin alone.

    Remembered peers are no more than a second choice: to ask them beside those that were named could join two swarms.
    """
    ways = [peers for peers in (options.initial_peers, remembered) if peers]
    return [*ways, ()] if options.may_begin_alone and not options.initial_peers else ways


def _is_multiaddress(address: str) -> bool:
    try:
        _check_multiaddress(address, needs_peer=True)
    except ConfigurationError:
        return False
    return True


def _check_multiaddress(address: str, *, needs_peer: bool) -> None:
    try:
        parsed = Multiaddr(address)
        if needs_peer:
            PeerID.from_base58(parsed["p2p"])
    except Exception as error:  # as many kinds as there are codecs
        what = "a multiaddress that ends in /p2p/ and a peer id" if needs_peer else "a multiaddress"
        raise ConfigurationError(f"{address} is not {what}.") from error
