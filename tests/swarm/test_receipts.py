"""Receipts between real servers and clients: who is claimed from, who signs, who goes first."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from volunteer.client.account import Account, Offer, Payment
from volunteer.client.model import SwarmForCausalLM
from volunteer.client.session import SessionFailed
from volunteer.points.identity import new_identity
from volunteer.points.ledger import Ledger
from volunteer.points.ledger_file import LedgerFailed
from volunteer.points.orders import Order, sign_order
from volunteer.points.receipts import SignedHalf, Work
from volunteer.points.wallet import Wallet
from volunteer.server.accounting import CHUNK_TOKENS
from volunteer.server.fair_queue import Rank
from volunteer.swarm.rpc import ExpertRequest, ExpertResponse, Method, RemoteError, pack_metadata, pack_tensor

HIDDEN = 64
BLOCK_FLOPS = 2 * 12 * HIDDEN**2
"""BLOOM: query, key and value; the attention's output; up and down."""


@pytest.fixture(scope="module")
def swarm(random_bloom: Path, start_swarm: Callable[..., Any]) -> Any:
    return start_swarm(random_bloom, "0:2", "2:6", kv_tokens=4096)


@pytest.fixture
def wallet(tmp_path: Path) -> Iterator[Wallet]:
    with Wallet(tmp_path / "client") as wallet:
        yield wallet


def account_of(wallet: Wallet, offer: Callable[[], Offer] = Offer) -> Account:
    return Account(wallet.open().identity, wallet.open().ledger, offer)


def hidden(num_tokens: int, *, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, num_tokens, HIDDEN, generator=torch.Generator().manual_seed(num_tokens))


def ledger_of(server: Any) -> Ledger:
    return server.wallet.open().ledger


def talk(model: SwarmForCausalLM, prompt: int, tokens: int, **options: Any) -> int:
    """Steps of a session; what it was charged."""
    with model.session(max_length=prompt + tokens, **options) as session:
        session.step(hidden(prompt))
        for _ in range(tokens):
            session.step(hidden(1))
    return session.charged_units


def test_both_ledgers_say_the_same_of_a_session(swarm: Any, wallet: Wallet) -> None:
    account = account_of(wallet)
    with swarm.client(account=account) as model:
        charged = talk(model, 300, 100)
    own = account.ledger
    assert charged == sum(400 * blocks * BLOCK_FLOPS // 10**6 for blocks in (2, 4))
    for server, blocks in zip(swarm.servers, (2, 4), strict=True):
        units = 400 * blocks * BLOCK_FLOPS // 10**6
        assert own.balance(server.peer_id).received == units
        assert ledger_of(server).balance(account.identity.peer_id).given == units
        assert ledger_of(server).points().pending == 0
        assert ledger_of(server).verify() == []
    assert own.verify() == []
    assert own.points().spent_total == charged


def test_what_is_offered_is_charged_and_what_is_earned_is_the_work(swarm: Any, wallet: Wallet) -> None:
    account = account_of(wallet, lambda: Offer.of(1.5))
    before = ledger_of(swarm.servers[0]).points().earned_total
    with swarm.client(account=account) as model:
        talk(model, 10, 2)
        talk(model, 10, 2, offer=Offer.of(3))
    units = 12 * 2 * BLOCK_FLOPS // 10**6
    server = swarm.servers[0]
    assert ledger_of(server).points().earned_total - before == 2 * units
    assert ledger_of(server).balance(account.identity.peer_id).given == units * 1500 // 1000 + 3 * units


def test_a_client_that_does_not_sign_gets_one_chunk(
    swarm: Any, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volunteer.server.accounting._SIGNING_TIMEOUT_S", 0.5)
    monkeypatch.setattr(Payment, "sign_beside", lambda self, metadata: None)
    account = account_of(wallet)
    server = swarm.servers[0]
    before = server.served.tokens
    with swarm.client(account=account) as model:
        session = model.session(max_length=1024, start=0, end=2)
        taken = 0

        async def take() -> None:
            nonlocal taken
            opened = session._session
            hops = await opened._find_hops(0, 2)
            call = hops[0].sessions[0]
            while taken < 1024:
                await (await call.send(taken, hidden(1)))
                taken += 1

        with pytest.raises(RemoteError, match="not signed"):
            model.connection.run(take())
    assert taken == CHUNK_TOKENS
    assert server.served.tokens - before == CHUNK_TOKENS
    summary = ledger_of(server).points()
    assert summary.pending > 0


class FullDisk(Ledger):
    def countersign(self, claim: SignedHalf, expected: Work) -> SignedHalf:
        raise LedgerFailed("The disk is full")


def test_a_client_that_cannot_write_goes_on_as_a_guest(
    swarm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volunteer.server.accounting._SIGNING_TIMEOUT_S", 0.5)
    identity = new_identity()
    with (
        FullDisk(tmp_path / "full.sqlite", identity) as ledger,
        swarm.client(account=Account(identity, ledger)) as model,
    ):
        assert talk(model, 600, 300) == 0
    pending = [ledger_of(server).balance(identity.peer_id).pending for server in swarm.servers]
    assert pending[0] > 0 and ledger_of(swarm.servers[0]).verify() == []


def test_a_server_that_claims_too_much_is_left(swarm: Any, wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    units = "volunteer.server.accounting.work_units"
    monkeypatch.setattr(units, lambda tokens, blocks, flops: 2 * tokens * blocks * flops // 10**6)
    monkeypatch.setattr("volunteer.client.session._LEAST_ATTEMPTS", 2)
    account = account_of(wallet)
    with swarm.client(account=account) as model:
        model.connection.servers.patience_s = 0.0
        with pytest.raises(SessionFailed, match="units, charged are not as they were"):
            talk(model, 300, 0)
    assert account.ledger.points().spent_total == 0


def test_guests_are_served_and_counted_apart(random_bloom: Path, start_swarm: Callable[..., Any]) -> None:
    swarm = start_swarm(random_bloom, "0:6")
    server = swarm.servers[0]
    with swarm.client() as model:
        talk(model, 20, 5)
        assert model.blocks(hidden(10), start=2, end=6).shape == (1, 10, HIDDEN)
    swarm.stop(server)
    summary = server.wallet.open().ledger.points()
    server.wallet.close()
    assert summary.unreceipted_total == (25 * 6 + 10 * 4) * BLOCK_FLOPS // 10**6
    assert (summary.earned_total, summary.pending) == (0, 0)


def open_with(model: SwarmForCausalLM, server: Any, metadata: dict[str, Any]) -> Any:
    """One step of a session whose first request says this of itself."""

    async def run() -> Any:
        node = model.connection.servers.node
        stream = await node.open_stream(server.peer_id, Method.INFERENCE)
        tensors = [pack_tensor(hidden(1)), pack_tensor(torch.empty(0)), pack_tensor(torch.empty(0, dtype=torch.int64))]
        uid = " ".join(f"{model.connection.servers.prefix}.{index}" for index in range(2))
        request = ExpertRequest(uid=uid, tensors=tensors, metadata=pack_metadata({"max_length": 8} | metadata))
        try:
            await stream.send(request)
            return await stream.receive(ExpertResponse)
        finally:
            stream.close()

    return model.connection.run(run())


def test_orders_that_are_not_the_callers_are_refused(swarm: Any) -> None:
    identity, server = new_identity(), swarm.servers[0]
    with swarm.client() as model:
        client = model.connection.servers.node.peer_id
        good = Order(identity.peer_id, client, server.peer_id, bytes(range(16)), 1000)
        stolen = Order(identity.peer_id, swarm.servers[1].peer_id, server.peer_id, bytes(16), 1000)
        elsewhere = Order(identity.peer_id, client, swarm.servers[1].peer_id, bytes(16), 1000)
        assert open_with(model, server, {"order": sign_order(identity, good)}).tensors
        for order in (stolen, elsewhere):
            with pytest.raises(RemoteError, match="other peers"):
                open_with(model, server, {"order": sign_order(identity, order)})
        forged = sign_order(new_identity(), good)
        for value in (forged, b"x", (1, 2, 3), (b"", b"", b"")):
            with pytest.raises(RemoteError, match=r"order|signature|key"):
                open_with(model, server, {"order": value})
        with pytest.raises(RemoteError, match="voucher"):
            open_with(model, server, {"order": sign_order(identity, good), "vouchers": (1,)})


def test_a_signature_that_nobody_waits_for_is_refused(swarm: Any) -> None:
    with swarm.client() as model:
        node = model.connection.servers.node
        for value in (None, b"x", (b"body", b"key", b"signature")):
            request = ExpertRequest(metadata=pack_metadata({"countersignature": value}))
            with pytest.raises(RemoteError):
                model.connection.run(
                    node.call(swarm.servers[0].peer_id, Method.SETTLE, request, ExpertResponse, timeout_s=10.0)
                )


def test_whoever_is_owed_work_is_a_contributor_until_it_is_paid_back(
    random_bloom: Path, start_swarm: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = start_swarm(random_bloom, "0:6", kv_tokens=4096), start_swarm(random_bloom, "0:6", kv_tokens=4096)
    us, they = ours.servers[0], theirs.servers[0]
    ranks: list[Rank] = []

    def note(standing: Any) -> Any:
        ranks.append(standing.rank)
        return standing

    # They work for us: 200 tokens.
    with theirs.client(account=account_of(us.wallet)) as model:
        talk(model, 200, 0)
    owed = ledger_of(us).balance(they.peer_id).received
    assert owed == 200 * 6 * BLOCK_FLOPS // 10**6
    from volunteer.server.standing import Credit

    standing = Credit.standing
    monkeypatch.setattr(Credit, "standing", property(lambda self: note(standing.fget(self))))  # type: ignore[attr-defined]
    with ours.client(account=account_of(they.wallet)) as model:
        talk(model, 150, 0)
        assert Rank.CONTRIBUTOR in ranks and Rank.GUEST not in ranks
        talk(model, 150, 0)
        ranks.clear()
        talk(model, 1, 0)
        assert set(ranks) == {Rank.GUEST}
    # A stranger has given nothing, whatever receipts of others it shows.
    ranks.clear()
    stranger = Account(new_identity(), ledger_of(they))
    with ours.client(account=stranger) as model:
        talk(model, 1, 0)
    assert set(ranks) == {Rank.GUEST}


def test_the_digest_is_that_of_the_outputs(swarm: Any, wallet: Wallet) -> None:
    account = account_of(wallet)
    digest = hashlib.sha256()
    with swarm.client(account=account) as model, model.session(max_length=8, start=0, end=2) as session:
        for _ in range(3):
            digest.update(session.step(hidden(1)).numpy().tobytes())
        session.close()
    work = account.ledger.vouchers(1)
    assert work == []  # we have worked for nobody
    deadline = time.monotonic() + 5
    payments = session._session.purse._payments
    while not payments[0].is_settled and time.monotonic() < deadline:
        time.sleep(0.01)
    assert payments[0]._checked is not None and payments[0]._checked.digest == digest.digest()
