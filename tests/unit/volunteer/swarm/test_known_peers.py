import json
from pathlib import Path

import pytest

from volunteer.swarm.known_peers import MAX_PEERS, KnownPeers


def address(peer_id: str, port: int = 1) -> str:
    return f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer_id}"


def save(peers: KnownPeers) -> None:
    unsaved = peers.unsaved()
    assert unsaved is not None
    peers.save(unsaved)


def test_peers_come_back_from_the_file_the_last_seen_first(tmp_path: Path) -> None:
    file = tmp_path / "peers" / "swarm.json"
    peers = KnownPeers(file)
    for name in ("a", "b", "a"):
        peers.note(name, [address(name)])
    peers.note("b", [])  # seen again, without an address
    save(peers)
    assert peers.unsaved() is None
    assert KnownPeers(file).addresses() == (address("b"), address("a"))
    assert list(file.parent.iterdir()) == [file]


def test_addresses_of_somebody_else_are_not_kept() -> None:
    peers = KnownPeers()
    peers.note("a", [address("b"), "nonsense", "/ip4/1.2.3.4/tcp/1\n/p2p/a", "/" + "x" * 1000 + "/p2p/a", address("a")])
    assert peers.addresses() == (address("a"),)


def test_there_is_an_end_to_remembering() -> None:
    peers = KnownPeers()
    for number in range(3 * MAX_PEERS):
        peers.note(f"p{number}", [address(f"p{number}", port) for port in range(100)])
    assert peers.addresses()[0].endswith(f"p{3 * MAX_PEERS - 1}")
    assert len({each.rsplit("/", 1)[1] for each in peers.addresses()}) == MAX_PEERS


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"peers": []}', '{"peers": {"a": 7}}', '{"peers": {"a": [7, null]}}', "\x00"]
)
def test_a_broken_file_is_no_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "peers.json"
    file.write_text(text)
    peers = KnownPeers(file)
    assert peers.addresses() == ()
    peers.note("a", [address("a")])
    save(peers)
    assert json.loads(file.read_text())["peers"] == {"a": [address("a")]}


def test_a_full_disk_loses_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    peers = KnownPeers(blocked / "peers.json")
    peers.note("a", [address("a")])
    save(peers)
    assert peers.addresses() == (address("a"),)
