"""The ledgers of a server and of its client, with real keys and files; hostile receipts are in `test_forgeries`."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from volunteer.errors import ConfigurationError
from volunteer.points.audit import find_problems
from volunteer.points.balances import Balance
from volunteer.points.identity import Identity, new_identity
from volunteer.points.ledger import AlreadySettled, ForkedChain, Ledger
from volunteer.points.ledger_file import LedgerDamaged, read_ledger_file
from volunteer.points.receipts import BadReceipt, Receipt, SignedHalf, Work, open_claim, open_receipt

DAY_S = 86400.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Pair:
    """A server and a client, each with its ledger."""

    def __init__(self, folder: Path, clock: Clock):
        self.server_id, self.client_id = new_identity(), new_identity()
        self.server = Ledger(folder / "server.sqlite", self.server_id, clock=clock)
        self.client = Ledger(folder / "client.sqlite", self.client_id, clock=clock)

    def work(self, counter: int, **changes: Any) -> Work:
        fields: dict[str, Any] = {
            "server": self.server_id.peer_id,
            "client": self.client_id.peer_id,
            "model": "bloom-hf",
            "revision": "a" * 40,
            "start": 0,
            "end": 8,
            "number_format": "int8/float32",
            "nonce": bytes(16),
            "counter": counter,
            "tokens": 256 * counter,
            "units": 1000 * counter,
            "charged": 1500 * counter,
            "price_milli": 1500,
            "digest": bytes([counter % 256]) * 32,
        }
        return Work(**{**fields, **changes})

    def exchange(self, work: Work) -> tuple[SignedHalf, SignedHalf, Receipt]:
        claim = self.server.claim(work)
        half = self.client.countersign(claim, work)
        return claim, half, self.server.settle(half)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pair(tmp_path: Path, clock: Clock) -> Iterator[Pair]:
    pair = Pair(tmp_path, clock)
    with pair.server, pair.client:
        yield pair


def change(path: Path, statement: str, *values: object) -> None:
    """Behind the ledger's back."""
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER IF EXISTS half_is_not_changed")
    connection.execute("DROP TRIGGER IF EXISTS half_is_not_deleted")
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_both_ledgers_count_the_last_receipt_of_each_session(pair: Pair, clock: Clock) -> None:
    for counter in (1, 2, 3):
        pair.exchange(pair.work(counter))
    clock.now_s += DAY_S
    pair.exchange(pair.work(1, nonce=b"b" * 16))
    assert pair.server.balance(pair.client_id.peer_id) == Balance(given=6000)
    assert pair.client.balances() == {pair.server_id.peer_id: Balance(received=6000)}
    earned, spent = pair.server.points(), pair.client.points()
    assert (earned.earned_today, earned.earned_total, earned.pending, earned.spent_total) == (1000, 4000, 0, 0)
    assert (spent.spent_today, spent.spent_total, spent.earned_total) == (1500, 6000, 0)
    days = pair.server.days()
    first = datetime.date.fromtimestamp(clock.now_s - DAY_S).isoformat()
    assert [total.earned for total in days.values()] == [3000, 1000] and next(iter(days)) == first
    assert pair.server.models()["bloom-hf"].served_tokens == 1024
    assert pair.client.peers()[pair.server_id.peer_id].used == 4000
    assert pair.server.verify() == pair.client.verify() == []


def test_what_is_not_signed_is_pending_until_a_later_claim_of_the_session_is(pair: Pair) -> None:
    pair.exchange(pair.work(1))
    pair.server.claim(pair.work(2))
    claim = pair.server.claim(pair.work(3))
    assert pair.server.points().pending == 2000
    pair.client.countersign(pair.server.claim(pair.work(1, nonce=b"c" * 16)), pair.work(1, nonce=b"c" * 16))
    assert pair.server.points().pending == 3000
    with pytest.raises(BadReceipt):
        pair.client.countersign(claim, pair.work(3))
    assert pair.server.verify() == pair.client.verify() == []


def test_the_same_claim_gets_the_same_half_again(pair: Pair) -> None:
    claim, half, _ = pair.exchange(pair.work(1))
    assert pair.client.countersign(claim, pair.work(1)) == half
    assert pair.client.points().spent_total == 1500
    with pytest.raises(AlreadySettled):
        pair.server.settle(half)
    assert pair.server.points().earned_total == 1000


def test_a_claim_of_other_work_than_was_done_is_not_signed(pair: Pair) -> None:
    for changes in ({"tokens": 255}, {"units": 999, "charged": 1498}, {"digest": bytes(32)}, {"end": 9}):
        with pytest.raises(BadReceipt):
            pair.client.countersign(pair.server.claim(pair.work(1, nonce=b"%16d" % len(str(changes)))), pair.work(1))
    assert pair.client.balances() == {}


def test_counters_follow_and_nothing_shrinks(pair: Pair) -> None:
    pair.exchange(pair.work(1))
    for work in (
        pair.work(1),
        pair.work(3),
        pair.work(2, tokens=255),
        pair.work(2, units=999, charged=1498),
        pair.work(2, price_milli=1000, charged=2000),
        pair.work(2, end=9),
        pair.work(2, model="other"),
    ):
        with pytest.raises(BadReceipt):
            pair.server.claim(work)
    assert pair.server.has_session(pair.client_id.peer_id, bytes(16))
    assert not pair.server.has_session(pair.client_id.peer_id, b"d" * 16)


def test_a_late_half_of_a_claim_that_a_later_one_stands_for_is_refused(pair: Pair) -> None:
    first = pair.client.countersign(pair.server.claim(pair.work(1)), pair.work(1))
    second = pair.client.countersign(pair.server.claim(pair.work(2)), pair.work(2))
    pair.server.settle(second)
    with pytest.raises(BadReceipt):
        pair.server.settle(first)
    assert pair.server.points().earned_total == 2000
    assert pair.server.verify() == []


def test_a_server_with_an_old_copy_of_its_ledger_is_found_out(pair: Pair, tmp_path: Path) -> None:
    pair.exchange(pair.work(1))
    with Ledger(tmp_path / "copy.sqlite", pair.server_id) as copy, pytest.raises(ForkedChain):
        work = pair.work(1, nonce=b"e" * 16)
        pair.client.countersign(copy.claim(work), work)


def test_halves_of_sessions_at_once_come_in_any_order(pair: Pair) -> None:
    works = [pair.work(1, nonce=bytes([number]) * 16) for number in range(5)]
    claims = [pair.server.claim(work) for work in works]
    halves = [pair.client.countersign(claims[number], works[number]) for number in (3, 0, 4, 1, 2)]
    for number in (1, 4, 2, 0, 3):
        pair.server.settle(halves[number])
    assert pair.server.points().earned_total == 5000
    assert pair.server.verify() == pair.client.verify() == []


def test_nobody_is_paid_by_himself(pair: Pair) -> None:
    with pytest.raises(BadReceipt):
        pair.server.claim(pair.work(1, client=pair.server_id.peer_id))


def test_the_work_of_guests_is_counted_apart(pair: Pair) -> None:
    pair.server.add_unreceipted("bloom-hf", 10, 500)
    pair.server.add_unreceipted("bloom-hf", 10, 500)
    points = pair.server.points()
    assert (points.unreceipted_today, points.unreceipted_total, points.earned_total) == (1000, 1000, 0)
    assert next(iter(pair.server.days().values())).unreceipted_tokens == 20


def test_vouchers_are_of_the_largest_sessions_of_the_most_clients(pair: Pair, tmp_path: Path) -> None:
    for number, counters in enumerate((1, 3, 2)):
        for counter in range(1, counters + 1):
            pair.exchange(pair.work(counter, nonce=bytes([number]) * 16))
    other = new_identity()
    with Ledger(tmp_path / "other.sqlite", other) as client:
        work = pair.work(1, client=other.peer_id)
        pair.server.settle(client.countersign(pair.server.claim(work), work))
    shown = [open_receipt(each)[0].work for each in pair.server.vouchers(3)]
    assert [(each.client, each.counter) for each in shown] == [
        (pair.client_id.peer_id, 3),
        (other.peer_id, 1),
        (pair.client_id.peer_id, 2),
    ]


def test_what_was_given_on_the_word_of_another_is_kept(pair: Pair) -> None:
    account, friend, other = pair.client_id.peer_id, new_identity().peer_id, new_identity().peer_id
    pair.server.add_vouched(friend, {account: 5})
    pair.server.add_vouched(friend, {account: 6, other: 3})
    pair.server.add_vouched(other, {account: 2})
    assert pair.server.balance(account) == Balance(vouched=13)
    assert pair.server.vouched_for(friend) == {account: 11, other: 3}
    assert pair.server.balances()[friend] == Balance()


def test_work_that_is_not_signed_for_is_taken_off_what_is_owed(pair: Pair) -> None:
    account = pair.client_id.peer_id
    pair.exchange(pair.work(1))
    pair.server.claim(pair.work(2))
    claim = pair.server.claim(pair.work(1, nonce=b"c" * 16))
    assert pair.server.balance(account) == Balance(given=1500, pending=3000)
    pair.server.settle(pair.client.countersign(claim, pair.work(1, nonce=b"c" * 16)))
    assert pair.server.balance(account) == Balance(given=3000, pending=1500)
    assert pair.client.balance(pair.server_id.peer_id) == Balance(received=3000)


def test_a_ledger_of_the_first_version_is_taken_over(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite"
    pair.exchange(pair.work(1))
    pair.server.claim(pair.work(2))
    pair.server.close()
    change(path, "DROP TABLE vouched")
    change(path, "CREATE TABLE vouched (voucher INTEGER PRIMARY KEY REFERENCES peer(id), units INTEGER NOT NULL)")
    change(path, "INSERT INTO vouched VALUES (2, 7)")
    change(path, "ALTER TABLE session DROP COLUMN claimed_charged")
    change(path, "PRAGMA user_version = 1")
    with read_ledger_file(path) as connection:
        assert find_problems(connection) == []
    for _ in range(2):
        with Ledger(path, pair.server_id) as ledger:
            assert ledger.balance(pair.client_id.peer_id) == Balance(given=1500, pending=1500, vouched=7)
            assert ledger.verify() == []


def test_threads_and_processes_share_one_file(pair: Pair, tmp_path: Path) -> None:
    with Ledger(tmp_path / "server.sqlite", pair.server_id) as again:
        links = [
            open_claim((again if number % 2 else pair.server).claim(pair.work(1, nonce=bytes([number]) * 16))).link
            for number in range(6)
        ]
    assert [each.sequence for each in links] == [1, 2, 3, 4, 5, 6]
    assert pair.server.verify() == []


def test_the_file_is_secret_and_belongs_to_one_key(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "server.sqlite"
    assert all(each.stat().st_mode & 0o077 == 0 for each in tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match="belong together"):
        Ledger(path, new_identity())
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Ledger(path, pair.server_id)


def test_a_damaged_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"no database" * 1000)
    path.chmod(0o600)
    with pytest.raises(LedgerDamaged):
        Ledger(path, new_identity())
    assert path.read_bytes().startswith(b"no database")


def test_receipts_are_neither_changed_nor_deleted(pair: Pair) -> None:
    pair.exchange(pair.work(1))
    for statement in ("UPDATE half SET counter = 2", "DELETE FROM half"):
        with pytest.raises(sqlite3.IntegrityError):
            pair.server._connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE half SET signature = zeroblob(64) WHERE id = 1",
        "UPDATE half SET body = zeroblob(200) WHERE id = 2",
        "UPDATE half SET sequence = 9 WHERE id = 3",
        "UPDATE half SET counter = 7 WHERE id = 1",
        "DELETE FROM half WHERE id = 1",
        "DELETE FROM half WHERE id = 3",
        "DELETE FROM half WHERE id = (SELECT max(id) FROM half)",
        "UPDATE total SET earned = earned + 1",
        "UPDATE total SET given = 0",
        "DELETE FROM total",
        "UPDATE session SET settled_units = 5",
        "UPDATE session SET claimed_counter = 5",
        "UPDATE session SET claimed_charged = 5",
        "UPDATE session SET nonce = zeroblob(15)",
        "UPDATE half SET maker = 1 WHERE id = 2",
        "UPDATE half SET day = day + 1 WHERE NOT is_claim",
    ],
)
def test_whatever_is_changed_behind_its_back_is_found(pair: Pair, tmp_path: Path, statement: str) -> None:
    for counter in (1, 2):
        pair.exchange(pair.work(counter))
    assert pair.server.verify() == []
    change(tmp_path / "server.sqlite", statement.replace("maker = 1", "maker = 1, sequence = 50"))
    assert pair.server.verify()


def test_an_export_has_all_that_is_needed_to_check_it_again(pair: Pair) -> None:
    import base64

    pair.exchange(pair.work(1))
    pair.server.claim(pair.work(2))
    file = io.StringIO()
    assert pair.server.export(file) == 2
    first, second = map(json.loads, file.getvalue().splitlines())
    halves = [
        SignedHalf(*(base64.b64decode(first[name][part]) for part in ("body", "public_key", "signature")))
        for name in ("claim", "countersignature")
    ]
    assert open_receipt(Receipt(*halves))[0].work == pair.work(1)
    assert first["units"] == 1000 and second["countersignature"] is None


def test_an_export_of_a_damaged_ledger_says_so(pair: Pair, tmp_path: Path) -> None:
    pair.exchange(pair.work(1))
    change(tmp_path / "server.sqlite", "UPDATE half SET body = zeroblob(200) WHERE id = 1")
    with pytest.raises(LedgerDamaged, match="points verify"):
        pair.server.export(io.StringIO())


def test_the_balance_of_one_account_costs_the_same_beside_many_others(pair: Pair) -> None:
    pair.exchange(pair.work(1))

    def instructions() -> int:
        """Of SQLite's machine, in tens."""
        tens = 0

        def count() -> None:
            nonlocal tens
            tens += 1

        pair.server._connection.set_progress_handler(count, 10)
        assert pair.server.balance(pair.client_id.peer_id) == Balance(given=1500)
        pair.server._connection.set_progress_handler(None, 0)
        return tens

    before = instructions()
    pair.server._connection.execute(
        "INSERT INTO peer (peer_id) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "SELECT 'stranger ' || i FROM n"
    )
    assert instructions() <= before + 1


def test_a_key_of_hivemind_signs_receipts_too(tmp_path: Path, pair: Pair) -> None:
    from hivemind.p2p import P2P

    from volunteer.points.identity import load_identity

    path = tmp_path / "rsa.key"
    P2P.generate_identity(str(path))
    path.chmod(0o600)
    identity: Identity = load_identity(path)
    work = dataclasses.replace(pair.work(1), client=identity.peer_id)
    with Ledger(tmp_path / "rsa.sqlite", identity) as client:
        receipt = pair.server.settle(client.countersign(pair.server.claim(work), work))
        assert client.verify() == pair.server.verify() == []
    assert open_receipt(receipt)[0].work == work
