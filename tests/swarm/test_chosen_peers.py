"""Whom a server serves by account, and chats that are bound to chosen servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from volunteer.client.account import Account
from volunteer.client.routing import NoRoute
from volunteer.client.session import SessionFailed
from volunteer.points.ledger import Ledger
from volunteer.points.wallet import Wallet
from volunteer.swarm.peer_lists import PeerLists


def step(model: Any, **options: Any) -> set[str]:
    """The servers that answered."""
    with model.session(max_length=8, **options) as session:
        session.step(torch.zeros(1, 3, 64))
        return {hop.peer_id for hop in session.route}


def test_a_list_names_accounts_whatever_the_peer_ids_of_their_clients(
    random_bloom: Path, start_swarm: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volunteer.client.session._LEAST_ATTEMPTS", 1)
    with Wallet(tmp_path / "friend") as friend, Wallet(tmp_path / "other") as other:
        friend_id = friend.open().identity.peer_id
        only_friend = start_swarm(random_bloom, "0:6", peers=PeerLists(allow=frozenset({friend_id})))
        all_but_friend = start_swarm(random_bloom, "0:6", peers=PeerLists(deny=frozenset({friend_id})))
        for wallet, welcome, unwelcome in (
            (friend, only_friend, all_but_friend),
            (other, all_but_friend, only_friend),
        ):
            account = Account(wallet.open().identity, wallet.open().ledger)
            assert isinstance(account.ledger, Ledger)
            with welcome.client(account=account) as model:
                assert step(model) == {welcome.servers[0].peer_id}
            with unwelcome.client(account=account) as model:
                model.connection.servers.patience_s = 0.0
                with pytest.raises(SessionFailed, match="not for everybody"):
                    step(model)


def test_a_session_goes_through_the_servers_that_it_is_bound_to(
    random_bloom: Path, start_swarm: Callable[..., Any]
) -> None:
    swarm = start_swarm(random_bloom, "0:6", "0:6", "0:6")
    ids = [server.peer_id for server in swarm.servers]
    with swarm.client() as model:
        for chosen in ids:
            assert step(model, peers=(chosen,)) == {chosen}
        bound = model.session(max_length=8, peers=ids[:2])
        with bound as session:
            session.step(torch.zeros(1, 3, 64))
            (first,) = (hop.peer_id for hop in session.route)
            swarm.stop(next(server for server in swarm.servers if server.peer_id == first))
            session.step(torch.zeros(1, 1, 64))
            assert {hop.peer_id for hop in session.route} == set(ids[:2]) - {first}
        model.connection.servers.patience_s = 0.0
        with pytest.raises(NoRoute):
            step(model, peers=("nobody",))
