"""Receipts as an attacker makes them, of real ones and with real keys: none is taken, and all good ones are.

`VOLUNTEER_TEST_FORGERIES=100000` makes as many.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volunteer.points.identity import Identity, new_identity
from volunteer.points.ledger import Ledger
from volunteer.points.receipts import (
    BadReceipt,
    SignedHalf,
    Work,
    from_wire,
    open_claim,
    open_countersignature,
    to_wire,
)

FORGERIES = int(os.environ.get("VOLUNTEER_TEST_FORGERIES", "10000"))
SESSIONS, COUNTERS = 6, 6


def work_of(server: Identity, client: Identity, session: int, counter: int) -> Work:
    return Work(
        server=server.peer_id,
        client=client.peer_id,
        model=f"model-{session % 2}",
        revision="c" * 40,
        start=session,
        end=session + 4,
        number_format="float32",
        nonce=bytes([session]) * 16,
        counter=counter,
        tokens=256 * counter,
        units=5000 * counter,
        charged=5000 * counter,
        price_milli=1000,
        digest=bytes([session, counter]) * 16,
    )


class Market:
    """A server and two clients with half of each session settled, and one more claim signed but not delivered."""

    def __init__(self, folder: Path):
        self.chance = random.Random(7)
        self.server_id, self.thief_id = new_identity(), new_identity()
        self.client_ids = [new_identity(), new_identity()]
        self.server = Ledger(folder / "server.sqlite", self.server_id)
        self.clients = [Ledger(folder / f"client{n}.sqlite", each) for n, each in enumerate(self.client_ids)]
        self.claims: dict[tuple[int, int], SignedHalf] = {}
        self.halves: dict[tuple[int, int], SignedHalf] = {}
        for counter in range(1, COUNTERS + 1):
            for session in range(SESSIONS):
                self.claims[session, counter] = claim = self.server.claim(self.work(session, counter))
                self.halves[session, counter] = half = self.client(session).countersign(
                    claim, self.work(session, counter)
                )
                if counter < COUNTERS:
                    self.server.settle(half)
        # Signed for sessions that only the server has: whatever is taken by a client below would be new to it.
        self.open = {session: self.server.claim(self.work(session + SESSIONS, 1)) for session in range(SESSIONS)}

    def work(self, session: int, counter: int) -> Work:
        return work_of(self.server_id, self.client_ids[session % 2], session, counter)

    def client(self, session: int) -> Ledger:
        return self.clients[session % 2]

    def close(self) -> None:
        for each in (self.server, *self.clients):
            each.close()


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    market = Market(tmp_path_factory.mktemp("market"))
    yield market
    market.close()


def flip(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def field_changed(body: bytes, chance: random.Random) -> bytes:
    """One value is another one, in the form there is."""
    values = msgpack.unpackb(body)
    place = chance.randrange(len(values))
    match values[place]:
        case int() as number:
            values[place] = max(0, number + chance.choice((-1, 1, 256, -256, 10**6)))
            if values[place] == number:
                values[place] += 7
        case bytes() as data:
            values[place] = flip(data, chance)
        case str() as text:
            values[place] = text + "1"
    return bytes(msgpack.packb(values))


def fields_exchanged(body: bytes, chance: random.Random) -> bytes:
    values = msgpack.unpackb(body)
    while True:
        one, other = chance.sample(range(len(values)), 2)
        if values[one] != values[other]:
            values[one], values[other] = values[other], values[one]
            return bytes(msgpack.packb(values))


def mutate(half: SignedHalf, other: SignedHalf, thief: Identity, purpose: str, chance: random.Random) -> SignedHalf:
    """Without the key of its maker."""
    body, key, signature = to_wire(half)
    match chance.randrange(11):
        case 0:
            body = flip(body, chance)
        case 1:
            signature = flip(signature, chance)
        case 2:
            key = flip(key, chance)
        case 3:
            body = cut(body, chance)
        case 4:
            signature = cut(signature, chance)
        case 5:
            body = field_changed(body, chance)
        case 6:
            body = fields_exchanged(body, chance)
        case 7:  # signed again, by another key
            key, signature = thief.public_key, thief.sign(purpose, body)
        case 8:
            body = field_changed(body, chance)
            key, signature = thief.public_key, thief.sign(purpose, body)
        case 9:
            body = field_changed(body, chance)
            signature = thief.sign(purpose, body)
        case 10:
            signature = other.signature
    return SignedHalf(body, key, signature)


def signed(identity: Identity, purpose: str, body: bytes) -> SignedHalf:
    return SignedHalf(body, identity.public_key, identity.sign(purpose, body))


def forged_countersignatures(market: Market) -> Iterator[tuple[str, Callable[[], object]]]:
    """Given to the server."""
    chance = market.chance
    while True:
        session, counter = chance.randrange(SESSIONS), chance.randrange(1, COUNTERS + 1)
        half = market.halves[session, counter]
        other = market.halves[(session + 1) % SESSIONS, counter]
        client = market.client_ids[session % 2]
        match chance.randrange(8):
            case 0 | 1 | 2:
                half, kind = mutate(half, other, market.thief_id, "countersignature", chance), "mutated"
            case 3:  # of a claim that is settled
                half, kind = market.halves[session, chance.randrange(1, COUNTERS)], "replayed"
            case 4:  # by the client of another session
                body = market.halves[session, COUNTERS].body
                half, kind = signed(market.client_ids[(session + 1) % 2], "countersignature", body), "cross-session"
            case 5:  # by the client itself, in another place of its chain
                values = msgpack.unpackb(market.halves[session, COUNTERS].body)
                # One that the server knows, or next to it: of others it cannot tell before it sees what stands there.
                values[2] = chance.randrange(2, min(values[2], 2 + SESSIONS // 2 * (COUNTERS - 1)))
                half, kind = signed(client, "countersignature", msgpack.packb(values)), "reordered"
            case 6:  # by the client itself, for another purpose, or of no claim
                body = market.halves[session, COUNTERS].body
                if chance.random() < 0.5:
                    half = signed(client, "claim", body)
                else:
                    values = msgpack.unpackb(body)
                    values[4] = chance.randbytes(32)
                    half = signed(client, "countersignature", msgpack.packb(values))
                kind = "re-signed"
            case _:  # the other half, or both in one
                half, kind = (
                    chance.choice((market.claims[session, counter], SignedHalf(*other_parts(half, other)))),
                    "mixed",
                )
        yield f"countersignature {kind}", lambda half=half: market.server.settle(from_wire(to_wire(half)))


def other_parts(half: SignedHalf, other: SignedHalf) -> tuple[bytes, bytes, bytes]:
    return half.body, other.public_key, other.signature


def forged_claims(market: Market) -> Iterator[tuple[str, Callable[[], object]]]:
    """Given to a client that expects just what each says, unless that cannot be read."""
    chance = market.chance
    while True:
        session = chance.randrange(SESSIONS)
        claim, true = market.open[session], market.work(session + SESSIONS, 1)
        expected = true
        match chance.randrange(8):
            case 0 | 1 | 2:
                other = market.open[(session + 1) % SESSIONS]
                claim, kind = mutate(claim, other, market.thief_id, "claim", chance), "mutated"
            case 3:  # more than was done, by the server itself
                values = msgpack.unpackb(claim.body)
                values[12] += chance.randrange(1, 10**6)
                claim, kind = signed(market.server_id, "claim", msgpack.packb(values)), "re-signed"
            case 4:  # of another session of the client
                claim, kind = market.open[(session + 2) % SESSIONS], "cross-session"
            case 5:  # by the server itself: out of order in the session, as the client expects it
                counter = chance.choice((2, 3, COUNTERS, 1000))
                expected = dataclasses.replace(true, counter=counter)
                values = msgpack.unpackb(claim.body)
                values[11] = counter
                claim, kind = signed(market.server_id, "claim", msgpack.packb(values)), "reordered"
            case 6:  # by the server itself: a counter that was signed for, with other work
                counter = chance.randrange(1, COUNTERS + 1)
                values = msgpack.unpackb(market.claims[session, counter].body)
                values[12] += 1
                expected = dataclasses.replace(market.work(session, counter), tokens=values[12])
                claim, kind = signed(market.server_id, "claim", msgpack.packb(values)), "replayed"
            case _:  # by the server itself: good work, in a place of the chain that the client knows otherwise
                known = msgpack.unpackb(market.claims[session, chance.randrange(1, COUNTERS + 1)].body)
                values = msgpack.unpackb(claim.body)
                values[2:4] = known[2:4]
                claim, kind = signed(market.server_id, "claim", msgpack.packb(values)), "forked"
        yield (
            f"claim {kind}",
            lambda claim=claim, expected=expected, session=session: market.client(session).countersign(
                from_wire(to_wire(claim)), expected
            ),
        )


@pytest.mark.timeout(1200)
def test_no_forged_receipt_is_taken_and_every_good_one_is(market: Market) -> None:
    before = [market.server.points(), *(each.points() for each in market.clients)]
    counts: collections.Counter[str] = collections.Counter()
    accepted = []
    sources = forged_countersignatures(market), forged_claims(market)
    for number in range(FORGERIES):
        kind, attempt = next(sources[number % 2])
        counts[kind] += 1
        try:
            attempt()
        except BadReceipt:
            continue
        accepted.append(kind)
    print(dict(sorted(counts.items())), "accepted:", accepted)
    assert accepted == []
    assert len(counts) == 12 and min(counts.values()) > FORGERIES / 50
    assert before == [market.server.points(), *(each.points() for each in market.clients)]

    for session in range(SESSIONS):
        market.server.settle(market.halves[session, COUNTERS])
        work = market.work(session + SESSIONS, 1)
        market.server.settle(market.client(session).countersign(market.open[session], work))
    assert market.server.points().earned_total == SESSIONS * (5000 * COUNTERS + 5000)
    assert market.server.points().pending == 0
    for ledger in (market.server, *market.clients):
        assert ledger.verify() == []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_bytes_come_only_bad_receipt_is_raised(market: Market, data: st.DataObject) -> None:
    values = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary() | st.text(),
        lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=30,
    )
    body = data.draw(st.binary(max_size=1100) | st.lists(values, max_size=18).map(packed))
    for purpose, read in (("claim", open_claim), ("countersignature", open_countersignature)):
        with pytest.raises(BadReceipt):
            read(SignedHalf(body, market.thief_id.public_key, market.thief_id.sign(purpose, body)))


def packed(values: list[object]) -> bytes:
    return bytes(msgpack.packb(values))
