"""What a node believes of an answer from elsewhere; `tests/swarm/test_signed_records.py` has real nodes."""

from __future__ import annotations

import asyncio
from typing import Any

from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID, RoutingTable
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.p2p import PeerID
from hivemind.utils.timed_storage import get_dht_time

from volunteer.points.identity import Identity, new_identity
from volunteer.swarm.record_guard import HANDOVERS, MAX_ENTRIES, RecordGuard
from volunteer.swarm.signed_records import block_key, sign_record

PREFIX = "model"
KEY = block_key(PREFIX, 0)


def answer(*identities: Identity, lifetime_s: float = 60.0) -> Any:
    """What a node says of a block, with a signed record of each of these servers."""
    dictionary, expires_at_s = DictionaryDHTValue(), get_dht_time() + lifetime_s
    for identity in identities:
        value = (2, 1.0, {"start_block": 0, "end_block": 1})
        signed = sign_record(value, prefix=PREFIX, expires_at_s=expires_at_s, identity=identity)
        dictionary.store(identity.peer_id, DHTProtocol.serializer.dumps(signed), expires_at_s)
    return dictionary


def test_a_bad_entry_costs_only_itself() -> None:
    good, forger = new_identity(), new_identity()
    dictionary = answer(good, forger)
    entry = dictionary.get(good.peer_id)
    dictionary.store(forger.peer_id, entry.value, entry.expiration_time + 1)
    assert RecordGuard()._keep_the_sound(KEY, dictionary)
    assert dictionary.get(good.peer_id) is not None and dictionary.get(forger.peer_id) is None


def test_a_crowd_in_one_answer_takes_no_longer_than_a_few_and_hides_nobody_who_is_known() -> None:
    guard = RecordGuard()
    known = [new_identity() for _ in range(5)]
    assert guard._keep_the_sound(KEY, answer(*known))
    crowd = answer(*(new_identity() for _ in range(MAX_ENTRIES + 300)), *known, lifetime_s=70.0)
    assert guard._keep_the_sound(KEY, crowd)
    assert len(crowd.data) == MAX_ENTRIES
    assert all(crowd.get(each.peer_id) is not None for each in known)


class Protocol:
    """hivemind's, as far as it meets nodes."""

    def __init__(self) -> None:
        self.routing_table = RoutingTable(DHTID.generate("own"), bucket_size=1000, depth_modulo=5)
        self.handed_over: list[Any] = []

    async def update_routing_table(self, node_id: Any, peer_id: Any, responded: bool = True) -> None:
        if node_id is not None and responded and node_id not in self.routing_table:
            self.handed_over.append(node_id)
            self.routing_table.add_or_update_node(node_id, peer_id)


def test_made_up_nodes_do_not_have_all_that_is_stored_looked_through_each_time() -> None:
    protocol, guard = Protocol(), RecordGuard()
    guard.watch(protocol)
    peer_id = PeerID.from_base58(new_identity().peer_id)
    node_ids = [DHTID.generate(number) for number in range(5 * HANDOVERS)]

    async def meet_all() -> None:
        for node_id in node_ids:
            await protocol.update_routing_table(node_id, peer_id)
            await protocol.update_routing_table(node_id, peer_id)
            await protocol.update_routing_table(node_id, peer_id, responded=False)

    asyncio.run(meet_all())
    assert HANDOVERS <= len(protocol.handed_over) <= HANDOVERS + 1
    assert all(node_id in protocol.routing_table for node_id in node_ids)  # they are known all the same
