"""The relay: everything arrives, in order, as much later as it should."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from volunteer.bench.relay import Relays, free_ports

DELAY_S = 0.05
# A timer may be late on a busy machine, never early.
LATE_S = 2.0


@pytest.fixture
def relays() -> Iterator[Relays]:
    relays = Relays()
    yield relays
    relays.close()


@pytest.fixture
def connect(relays: Relays) -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
    """Both ends of a connection through a relay."""
    sockets = [socket.create_server(("127.0.0.1", 0))]
    port = relays.open(target_port=sockets[0].getsockname()[1])

    def connect() -> tuple[socket.socket, socket.socket]:
        near = socket.create_connection(("127.0.0.1", port), timeout=10)
        far, _ = sockets[0].accept()
        far.settimeout(10)
        sockets.extend((near, far))
        return near, far

    yield connect
    for each in sockets:
        each.close()


def receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        piece = connection.recv(65_536)
        assert piece
        received += piece
    return received


def test_both_ways_take_the_delay(relays, connect):
    near, far = connect()
    relays.delay(delay_s=DELAY_S)
    for sender, receiver in ((near, far), (far, near)):
        sent_at = time.perf_counter()
        sender.sendall(b"hello")
        assert receive(receiver, 5) == b"hello"
        assert DELAY_S <= time.perf_counter() - sent_at < DELAY_S + LATE_S
    mean_s, longest_s = relays.measured_s()
    assert DELAY_S <= mean_s <= longest_s < DELAY_S + LATE_S


def test_pieces_travel_side_by_side(relays, connect):
    near, far = connect()
    relays.delay(delay_s=0.2)
    sent_at = time.perf_counter()
    for number in range(20):
        near.sendall(bytes([number]))
        time.sleep(0.01)
    assert receive(far, 20) == bytes(range(20))
    # One after another they would take 4 s.
    assert time.perf_counter() - sent_at < 2.0


def test_megabytes_arrive_whole_and_in_order(relays, connect):
    near, far = connect()
    relays.delay(delay_s=0.01)
    data = bytes(range(256)) * 40_000
    sending = threading.Thread(target=near.sendall, args=(data,))
    sending.start()
    assert receive(far, len(data)) == data
    sending.join()


def test_a_changed_delay_overtakes_nothing(relays, connect):
    near, far = connect()
    relays.delay(delay_s=0.1)
    near.sendall(b"slow")
    time.sleep(0.02)  # so that the relay has read it
    relays.delay(delay_s=0.0)
    near.sendall(b"fast")
    assert receive(far, 8) == b"slowfast"


def test_the_end_of_a_connection_goes_through(relays, connect):
    near, far = connect()
    near.sendall(b"last")
    near.shutdown(socket.SHUT_WR)
    assert receive(far, 4) == b"last"
    assert far.recv(1) == b""
    far.sendall(b"answer")
    assert receive(near, 6) == b"answer"


def test_a_target_that_is_not_there_ends_the_connection(relays):
    (port,) = free_ports(1)
    with socket.create_connection(("127.0.0.1", relays.open(target_port=port)), timeout=10) as near:
        assert near.recv(1) == b""


def test_free_ports_are_different_ones():
    assert len(set(free_ports(5))) == 5
