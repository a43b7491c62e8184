"""What of the owner's services needs no worker; `tests/swarm/test_owner_services.py` asks a real one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from volunteer import owner_services
from volunteer.errors import ConfigurationError
from volunteer.owner_services import OwnerServices, Swarm
from volunteer.points.wallet import Wallet


class Joined:
    """A model that counts as opened until it is closed."""

    def __init__(self) -> None:
        self.is_open = True
        self.connection = SimpleNamespace(servers=SimpleNamespace(node=SimpleNamespace(peer_id="me")))

    def close(self) -> None:
        self.is_open = False


def test_a_model_without_a_tokenizer_does_not_stay_in_the_swarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = Joined()

    def refuse(folder: Path) -> Any:
        raise ConfigurationError(f"The tokenizer in {folder} cannot be used.")

    opened = SimpleNamespace(dht_prefix="any", checkpoint=SimpleNamespace(folder=tmp_path))
    monkeypatch.setattr(owner_services, "open_swarm_model", lambda *_, **__: opened)
    monkeypatch.setattr(owner_services.SwarmForCausalLM, "join", lambda *_, **__: joined)
    monkeypatch.setattr(owner_services, "load_tokenizer", refuse)
    with Wallet(tmp_path) as wallet:
        services = OwnerServices(
            tmp_path, lambda: Swarm("any", None, None, ()), lambda peer_id: None, wallet, lambda: 1.0
        )
        with pytest.raises(ConfigurationError, match="tokenizer"):
            services._open_chat()
    assert not joined.is_open
