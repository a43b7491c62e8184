"""What a node believes of an answer from elsewhere; `tests/swarm/test_signed_records.py` has real nodes."""

from __future__ import annotations

from typing import Any

from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.utils.timed_storage import get_dht_time

from volunteer.points.identity import Identity, new_identity
from volunteer.swarm.record_guard import MAX_ENTRIES, RecordGuard
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
