"""What our DHT node stores and believes: hivemind's hooks around `SignedRecords`.

hivemind asks its validator about everything that others want stored here, and about everything that is found at
others; an entry that is not sound must cost itself alone.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Collection, Iterator
from typing import Any

from hivemind.dht.crypto import DHTRecord, RecordValidatorBase
from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.utils.timed_storage import ValueWithExpiration, get_dht_time

from volunteer.swarm.levels import Levels
from volunteer.swarm.records import BadRecord
from volunteer.swarm.sealed_records import SealedRecords
from volunteer.swarm.signed_records import SignedRecords, is_signed, read_value
from volunteer.swarm.store_limits import StoreLimits

logger = logging.getLogger(__name__)

MAX_LIFETIME_S = 3600.0
"""Petals announces for 4 minutes. What lives for ever could never be replaced: later expirations win."""
MAX_ENTRIES = 512
"""Of one key in one answer that are looked at. A server takes 0.3 ms, if it has signed and is not known; the 16,000
that fit into an answer held up everything else for 5 s."""
HANDOVERS, HANDOVERS_PER_S = 20, 1.0
"""To nodes that are new here, at once and all the time. For each hivemind goes through all that is stored, to give it
what lies nearer to it; node ids are free to make up. Whoever gets nothing has it with the next announcements."""


class RecordGuard(RecordValidatorBase):
    """Judges entries of the DHT, and remembers who signs.

    Use: hand it to `DHTNode.create`, then `watch` the node's protocol.

    Args:
        seals: of a private swarm, whose entries are sealed wherever they are stored.
        limits: how much of what others want to store here is looked at.
    """

    def __init__(self, seals: SealedRecords | None = None, limits: StoreLimits | None = None) -> None:
        self._seals = seals
        self._limits = limits or StoreLimits()
        self._handovers = Levels[None](lambda name: HANDOVERS_PER_S)
        self.signed = SignedRecords()
        self._protocol: Any = None

    def watch(self, protocol: Any) -> None:
        """Takes the place of what hivemind's protocol does with dictionaries, and with nodes that it has not met."""

        async def call_find(peer: Any, keys: Collection[Any]) -> Any:
            found = await DHTProtocol.call_find(protocol, peer, keys)
            return found and {key: (_with_own_expiration(value), nearest) for key, (value, nearest) in found.items()}

        update = protocol.update_routing_table

        async def update_routing_table(node_id: Any, peer_id: Any, responded: bool = True) -> None:
            is_new = responded and node_id is not None and node_id not in protocol.routing_table
            if is_new and not self._may_hand_over():
                protocol.routing_table.add_or_update_node(node_id, peer_id)
            else:
                await update(node_id, peer_id, responded)

        self._protocol = protocol
        protocol.call_find = call_find
        protocol.update_routing_table = update_routing_table
        # hivemind's own drops a whole dictionary for one entry: a forger could make every server of a block vanish.
        protocol._validate_dictionary = self._keep_the_sound

    def validate(self, record: DHTRecord) -> bool:
        """Whether an entry may be stored here, or believed."""
        if not self._limits.allow(len(record.value)):
            return False
        if self._seals is not None and not self._seals.validate(record):
            return False
        record = dataclasses.replace(record, value=self.strip_value(record))
        if record.subkey == DHTProtocol.IS_REGULAR_VALUE:
            return False  # records stand in dictionaries: a plain value would take the place of all under its key
        now_s = get_dht_time()
        if not now_s <= record.expiration_time <= now_s + MAX_LIFETIME_S:
            return False
        try:
            peer_id = read_value(record.subkey)
            if not isinstance(peer_id, str):
                read_value(record.value)
                return True
            signed = self.signed.judge(record.key, peer_id, record.value, record.expiration_time, now_s)
            return self._beats_the_stored(record, peer_id, signs=signed is not None)
        except BadRecord as error:
            logger.debug("Dropping an entry of the DHT: %s", error)
            return False

    def sign_value(self, record: DHTRecord) -> Any:
        return record.value if self._seals is None else self._seals.sign_value(record)

    def strip_value(self, record: DHTRecord) -> Any:
        return record.value if self._seals is None else self._seals.strip_value(record)

    def _may_hand_over(self) -> bool:
        may = self._handovers.of(None) < HANDOVERS
        if may:
            self._handovers.add(None, 1)
        return may

    def _beats_the_stored(self, record: DHTRecord, subkey: str, *, signs: bool) -> bool:
        """Whether nothing better is stored here; what is unsigned makes room for what is signed.

        hivemind keeps whatever expires later, so a forger who comes first would shut the owner out; and to offer it
        something older makes it forget the newer one when the older expires.
        """
        for dictionary, entry in self._stored(record.key, subkey):
            stored = dataclasses.replace(record, value=entry.value, expiration_time=entry.expiration_time)
            value = self.strip_value(stored)
            if value == record.value and entry.expiration_time == record.expiration_time:
                continue
            was_signed = is_signed(read_value(value))  # a good one: it came in here
            if signs and not was_signed:
                del dictionary[subkey]
            elif (was_signed and not signs) or entry.expiration_time > record.expiration_time:
                return False
        return True

    def _stored(self, key: bytes, subkey: str) -> Iterator[tuple[Any, Any]]:
        if self._protocol is None:
            return
        for storage in (self._protocol.storage, self._protocol.cache):
            found = storage.get(DHTID.from_bytes(key))
            if found is not None and isinstance(found.value, DictionaryDHTValue):
                entry = found.value.get(subkey)
                if entry is not None:
                    yield found.value, entry

    def _keep_the_sound(self, key: bytes, dictionary: Any) -> bool:
        """Takes the other entries out of a dictionary that came from elsewhere; whether any is left.

        Of a crowd those who are known are looked at first, and the others by chance.
        """
        if not isinstance(dictionary, DictionaryDHTValue):
            return False
        now_s = get_dht_time()
        entries = list(dictionary.items())
        if len(entries) > MAX_ENTRIES:
            random.shuffle(entries)
            entries.sort(key=lambda each: not isinstance(each[0], str) or self.signed.of(each[0], now_s) is None)
        with dictionary.freeze():
            for number, (subkey, entry) in enumerate(entries):
                record = DHTRecord(key, DHTProtocol.serializer.dumps(subkey), entry.value, entry.expiration_time)
                if not (number < MAX_ENTRIES and isinstance(entry.value, bytes) and self.validate(record)):
                    del dictionary[subkey]
        dictionary.maxsize = float("inf")
        return bool(dictionary)


def _with_own_expiration(found: Any) -> Any:
    """A dictionary that was found, with the latest expiration of its entries.

    The one that was sent with it is a stranger's word: "never" would end a search before others are asked.
    """
    if found is None or not isinstance(found.value, DictionaryDHTValue):
        return found
    latest = max((entry.expiration_time for _, entry in found.value.items()), default=None)
    if latest is None:
        return None
    found.value.latest_expiration_time = latest
    return ValueWithExpiration(found.value, latest)
