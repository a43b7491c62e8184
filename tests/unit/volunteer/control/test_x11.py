"""The X protocol against servers that misbehave; `test_desktop.py` has a real one."""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volunteer.control.x11 import Display, X11Connection, X11Error, _cookie

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fake server listens in Linux's abstract names")

ROOT = 0x123
FakeServer = Callable[[bytes | None], Display]
"""Answers every client with these bytes and hangs up; None: it never answers."""


def greeting(status: int = 1, num_screens: int = 1) -> bytes:
    screen = struct.pack("=I35xB", ROOT, 1) + struct.pack("=BxHxxxx", 24, 1) + bytes(24)
    body = struct.pack("=16xHxxBB10x", 3, num_screens, 1) + b"me!\0" + bytes(8) + screen * num_screens
    return struct.pack("=BxxxxxH", status, len(body) // 4) + body


def reply(sequence: int, data: int = 0, numbers: tuple[int, ...] = (), extra: bytes = b"") -> bytes:
    content = struct.pack("=BBHI", 1, data, sequence, len(extra) // 4) + struct.pack(f"={len(numbers)}I", *numbers)
    return content.ljust(32, b"\0") + extra


@pytest.fixture(scope="module")
def fake_server() -> Iterator[FakeServer]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    while True:
        display = Display(random.randint(10_000, 99_999))
        with suppress(OSError):
            listener.bind(f"\0/tmp/.X11-unix/X{display.number}")
            break
    listener.listen()
    answer: list[bytes | None] = [None]
    silent: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if answer[0] is None:
                silent.append(client)
                continue
            with client, suppress(OSError):
                client.sendall(answer[0])
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def answering(content: bytes | None) -> Display:
        answer[0] = content
        return display

    yield answering
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for client in silent:
        client.close()


def connection(display: Display, timeout_s: float = 20.0) -> X11Connection:
    return X11Connection(display, timeout_s=timeout_s, environ={"XAUTHORITY": "/nonexistent"})


@pytest.mark.parametrize(
    ("text", "display"),
    [
        (":0", Display(0)),
        (":12.1", Display(12, 1)),
        ("unix:3", Display(3)),
        ("localhost:10.0", None),
        ("host/unix:0", None),
        ("wayland-0", None),
        ("", None),
        (":999999", None),
    ],
)
def test_only_displays_of_this_machine_are_asked(text: str, display: Display | None) -> None:
    assert Display.parse(text) == display


def test_the_idle_time_is_read_between_events(fake_server: FakeServer) -> None:
    event = bytes([2]) + bytes(31)
    generic = struct.pack("=BBHI", 35, 0, 1, 2) + bytes(24 + 8)
    told = struct.pack("=BBHI", 1, 0, 2, 0) + struct.pack("=IIII", 0, 0, 61_500, 0) + bytes(8)
    with connection(fake_server(greeting() + event + generic + reply(1, numbers=(0x8601,)) + told)) as server:
        assert server.root == ROOT
        assert server.idle_ms() == 61_500


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "hung up"),
        (greeting()[:-5], "hung up"),
        (greeting(status=0), "does not let this user in"),
        (greeting(num_screens=0), "no screen 0"),
        (b"\1" + bytes(7), "cannot be read"),
        (greeting(), "hung up"),
        (greeting() + reply(1), "no screen saver"),
        (greeting() + b"\0\x01\1\0" + bytes(28), "refuses request 98"),
        (greeting() + struct.pack("=BBHI", 1, 0, 1, 2**31) + bytes(24), "too long"),
    ],
)
def test_a_server_that_misbehaves_is_an_error_with_words(fake_server: FakeServer, answer: bytes, words: str) -> None:
    with pytest.raises(X11Error, match=words), connection(fake_server(answer)) as server:
        server.idle_ms()


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_answer_breaks_more_than_the_connection(fake_server: FakeServer, answer: bytes) -> None:
    for content in (answer, greeting() + answer):
        with suppress(OSError), connection(fake_server(content)) as server:
            server.idle_ms()
            server.numbers(ROOT, server.atom("_NET_CLIENT_LIST"))


def test_a_server_that_hangs_is_given_up(fake_server: FakeServer) -> None:
    start_s = time.monotonic()
    with pytest.raises(TimeoutError), connection(fake_server(None), timeout_s=0.1):
        pass
    assert time.monotonic() - start_s < 10


def test_a_server_that_sends_events_for_ever_is_given_up(fake_server: FakeServer) -> None:
    with (
        pytest.raises(OSError, match=r"too long|hung up|timed out"),
        connection(fake_server(greeting() + 20_000 * (b"\2" + bytes(31))), timeout_s=0.2) as server,
    ):
        server.idle_ms()


def test_a_display_without_a_server_is_an_error() -> None:
    with pytest.raises(X11Error, match="no X server"), connection(Display(99_998)):
        pass


def entry(family: int, address: bytes, number: bytes, data: bytes, name: bytes = b"MIT-MAGIC-COOKIE-1") -> bytes:
    texts = (address, number, name, data)
    return struct.pack(">H", family) + b"".join(struct.pack(">H", len(text)) + text for text in texts)


def test_the_cookie_of_this_display_on_this_machine_is_taken(tmp_path: Path) -> None:
    here = socket.gethostname().encode()
    file = tmp_path / "authority"
    file.write_bytes(
        entry(0, b"\x7f\0\0\1", b"3", b"by network")
        + entry(256, b"elsewhere", b"3", b"of another machine")
        + entry(256, here, b"4", b"of another display")
        + entry(256, here, b"3", b"other kind", name=b"XDM-AUTHORIZATION-1")
        + entry(256, here, b"3", b"this one")
        + entry(65535, b"", b"", b"of any display")
    )
    environ = {"XAUTHORITY": str(file)}
    assert _cookie(Display(3), environ) == b"this one"
    assert _cookie(Display(5), environ) == b"of any display"
    (tmp_path / ".Xauthority").write_bytes(file.read_bytes()[:-5])
    assert _cookie(Display(3), {"HOME": str(tmp_path)}) == b"this one"
    assert _cookie(Display(3), {"HOME": str(tmp_path / "none")}) == b""


@given(st.binary(max_size=200))
def test_a_damaged_file_of_cookies_has_none_or_some(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("authority") / "file"
    file.write_bytes(content)
    assert isinstance(_cookie(Display(0), {"XAUTHORITY": str(file)}), bytes)
