"""Looks for a newer version, against a publisher on loopback who may be anything but one."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from volunteer import cli, update_notice
from volunteer.errors import ConfigurationError, ExitCode, Unavailable
from volunteer.release_manifest import Archive, BadManifest, Release, public_key_text, write_manifest
from volunteer.update_notice import (
    WEEK_S,
    Looked,
    Publisher,
    is_due,
    known_newer,
    look,
    look_if_due,
    running_version,
)

KEY, OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
NOW = 1_000_000_000.0

Answer = Callable[[BaseHTTPRequestHandler], None]


def manifest(version: str = "9.0.0", key: Ed25519PrivateKey = KEY) -> bytes:
    archive = Archive(name=f"petals-volunteer_{version}_amd64.deb", system="linux", bytes=5, sha256="a" * 64)
    page = f"https://example.org/releases/{version}"
    return write_manifest(Release(version=version, released=date(2026, 11, 27), page=page, archives=(archive,)), [key])


def sends(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Answer = sends(manifest())
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.ends = threading.Event()

    @property
    def publisher(self) -> Publisher:
        return Publisher(f"http://127.0.0.1:{self.server_port}/release-manifest", (public_key_text(KEY),))


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        with suppress(OSError):
            self.server.answer(self)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.ends.set()
        server.shutdown()
        thread.join()


def test_a_newer_version_is_told_with_its_page(server: Server, tmp_path: Path) -> None:
    release = look(tmp_path, server.publisher)
    assert release.is_newer_than(running_version())
    assert "Version 9.0.0 of 2026-11-27 is out" in update_notice.notice(release)
    assert "https://example.org/releases/9.0.0" in update_notice.notice(release)


def test_what_is_asked_says_nothing_about_this_computer(server: Server, tmp_path: Path) -> None:
    look(tmp_path, server.publisher)
    [(path, headers)] = server.requests
    assert path == "/release-manifest"
    assert headers.pop("Host") == f"127.0.0.1:{server.server_port}"
    assert headers == {
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "keep-alive",
        "User-Agent": "petals-volunteer",
    }


def test_nothing_but_the_manifest_is_fetched(server: Server, tmp_path: Path) -> None:
    look(tmp_path, server.publisher)
    assert len(server.requests) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["update-check.json"]


def test_this_very_version_is_no_news(server: Server, tmp_path: Path) -> None:
    server.answer = sends(manifest(running_version()))
    look(tmp_path, server.publisher)
    assert known_newer(tmp_path, server.publisher) is None


def test_an_older_manifest_does_not_make_a_newer_one_forgotten(server: Server, tmp_path: Path) -> None:
    look(tmp_path, server.publisher)
    server.answer = sends(manifest("0.0.1"))
    assert look(tmp_path, server.publisher).version == "9.0.0"
    found = known_newer(tmp_path, server.publisher)
    assert found is not None and found.version == "9.0.0"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (manifest().replace(b"9.0.0", b"9.9.9"), "changed after it was signed"),
        (manifest(key=OTHER_KEY), "signed by nobody whom this program knows"),
        (b"<html>Log in to the hotel's network</html>", "no release manifest"),
        (b"", "no release manifest"),
    ],
    ids=["tampered", "wrong key", "another page", "empty"],
)
def test_an_answer_of_somebody_else_is_refused_and_forgotten(
    server: Server, tmp_path: Path, body: bytes, sentence: str
) -> None:
    server.answer = sends(body)
    with pytest.raises(BadManifest, match=sentence):
        look(tmp_path, server.publisher)
    assert known_newer(tmp_path, server.publisher) is None


def test_a_huge_answer_is_cut_off(server: Server, tmp_path: Path) -> None:
    sent = 0

    def answer(request: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        request.send_response(200)
        request.end_headers()
        while sent < 64 * 2**20:
            request.wfile.write(b" " * 2**16)
            sent += 2**16

    server.answer = answer
    with pytest.raises(Unavailable, match="more than a release manifest can be"):
        look(tmp_path, server.publisher)
    assert sent < 32 * 2**20  # what fits into the buffers of two sockets, not the whole


def test_a_small_answer_that_would_unfold_is_refused(server: Server, tmp_path: Path) -> None:
    server.answer = sends(b"\x1f\x8b", Content_Encoding="gzip")
    with pytest.raises(Unavailable, match="not asked for"):
        look(tmp_path, server.publisher)


@pytest.mark.parametrize("begins", ["", "HTTP/1.1 200 OK\r\nX-Head: "], ids=["silent", "drips headers"])
def test_a_slow_answer_ends_at_the_deadline(server: Server, tmp_path: Path, begins: str) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(begins.encode())
        while not server.ends.wait(0.02):
            if begins:
                request.wfile.write(b"x")

    server.answer = answer
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 did not answer within"):
        look(tmp_path, server.publisher, deadline_s=0.3)
    assert time.monotonic() - began < 5  # one byte at a time would go on for ever


def test_a_body_that_drips_ends_at_the_deadline(server: Server, tmp_path: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not server.ends.wait(0.02):
            request.wfile.write(b"p")

    server.answer = answer
    with pytest.raises(Unavailable, match="did not answer within"):
        look(tmp_path, server.publisher, deadline_s=0.3)


def test_a_redirect_is_followed(server: Server, tmp_path: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/release-manifest":
            sends(b"", 302, Location="/downloads/release-manifest")(request)
        else:
            sends(manifest())(request)

    server.answer = answer
    assert look(tmp_path, server.publisher).version == "9.0.0"
    assert [path for path, _ in server.requests] == ["/release-manifest", "/downloads/release-manifest"]


def test_redirects_in_circles_end(server: Server, tmp_path: Path) -> None:
    server.answer = sends(b"", 302, Location="/release-manifest")
    with pytest.raises(Unavailable, match="from one address to the next"):
        look(tmp_path, server.publisher)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "target",
    [
        "http://192.0.2.1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "https://me@example.org/",
        "http://[",
        "https:///x",
    ],
)
def test_a_redirect_to_another_kind_of_address_is_not_followed(server: Server, tmp_path: Path, target: str) -> None:
    server.answer = sends(b"", 302, Location=target)
    with pytest.raises(Unavailable, match="to an address not taken"):
        look(tmp_path, server.publisher)
    assert len(server.requests) == 1


@pytest.mark.parametrize("address", ["http://example.org/", "example.org", "https://", "https://a@example.org/"])
def test_a_publisher_is_asked_over_https_alone(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigurationError, match="come from an https:// address"):
        look(tmp_path, Publisher(address, (public_key_text(KEY),)))


@pytest.mark.parametrize("status", [404, 500, 204, 304])
def test_an_answer_without_news_is_told(server: Server, tmp_path: Path, status: int) -> None:
    server.answer = sends(b"", status)
    with pytest.raises(Unavailable):
        look(tmp_path, server.publisher)


def test_a_publisher_who_is_away_is_told(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1 cannot be asked"):
            look(tmp_path, Publisher(address, (public_key_text(KEY),)))


def test_a_build_without_a_publisher_asks_nobody(tmp_path: Path) -> None:
    for publisher in (Publisher("", ("00" * 32,)), Publisher("https://example.org/", ())):
        with pytest.raises(ConfigurationError, match="does not say who publishes it"):
            look(tmp_path, publisher)
        assert look_if_due(tmp_path, is_allowed=True, publisher=publisher) is None
    assert not list(tmp_path.iterdir())


# Once a week


@pytest.mark.parametrize(
    ("tried_s", "answered_s", "due"),
    [
        (0, 0, True),
        (NOW - 60, NOW - 60, False),
        (NOW - WEEK_S + 60, NOW - WEEK_S + 60, False),
        (NOW - WEEK_S, NOW - WEEK_S, True),
        (NOW - 3600, 0, False),  # nobody answered an hour ago
        (NOW - 90_000, 0, True),
        (NOW + 3600, NOW + 3600, True),  # the clock was set back
        (float("nan"), float("nan"), True),
    ],
)
def test_a_look_is_due_a_week_after_the_last_answer(tried_s: float, answered_s: float, due: bool) -> None:
    assert is_due(Looked(tried_s, answered_s), NOW) is due


def test_nobody_is_asked_without_leave(server: Server, tmp_path: Path) -> None:
    assert look_if_due(tmp_path, is_allowed=False, publisher=server.publisher) is None
    assert not server.requests
    assert not list(tmp_path.iterdir())


def test_one_answer_lasts_a_week_and_stays_known(server: Server, tmp_path: Path) -> None:
    for _ in range(3):
        found = look_if_due(tmp_path, is_allowed=True, publisher=server.publisher)
        assert found is not None and found.version == "9.0.0"
    assert len(server.requests) == 1
    look_if_due(tmp_path, is_allowed=True, now_s=time.time() + WEEK_S + 1, publisher=server.publisher)
    assert len(server.requests) == 2


def test_a_failed_look_is_quiet_and_not_repeated_at_once(server: Server, tmp_path: Path) -> None:
    server.answer = sends(b"", 503)
    for _ in range(3):
        assert look_if_due(tmp_path, is_allowed=True, publisher=server.publisher) is None
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"tried_s": "x"}', b"[" * 10_000, b'{"tried_s": 1' + b"0" * 400 + b"}", b"\xff"],
)
def test_a_damaged_memory_counts_as_none(server: Server, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "update-check.json").write_bytes(content)
    assert known_newer(tmp_path, server.publisher) is None
    assert look_if_due(tmp_path, is_allowed=True, publisher=server.publisher) is not None


def test_whoever_writes_the_memory_does_not_choose_the_link(server: Server, tmp_path: Path) -> None:
    look(tmp_path, server.publisher)
    file = tmp_path / "update-check.json"
    kept = json.loads(file.read_text())
    kept["manifest"] = kept["manifest"].replace("example.org", "example.net")
    file.write_text(json.dumps(kept))
    assert known_newer(tmp_path, server.publisher) is None


# The verb


def verb(server: Server, tmp_path: Path) -> list[str]:
    address, key = server.publisher.address, server.publisher.keys[0]
    return ["update-check", "--data-dir", str(tmp_path), "--address", address, "--key", key]


def test_the_verb_tells_and_downloads_nothing(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLUNTEER_DATA_DIR", str(tmp_path))
    assert cli.main(verb(server, tmp_path)) == ExitCode.OK
    said = capsys.readouterr().out
    assert cli.main([*verb(server, tmp_path), "--json"]) == ExitCode.OK
    assert "Version 9.0.0" in said and "Nothing was downloaded." in said
    assert json.loads(capsys.readouterr().out) == {
        "running": running_version(),
        "newest": "9.0.0",
        "is_newer": True,
        "released": "2026-11-27",
        "page": "https://example.org/releases/9.0.0",
    }


def test_a_trial_is_not_remembered(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was tried before it is published may never be, and would be news on that computer for ever."""
    monkeypatch.setenv("VOLUNTEER_DATA_DIR", str(tmp_path))
    assert cli.main(verb(server, tmp_path)) == ExitCode.OK
    assert not list(tmp_path.iterdir())


def test_the_verb_says_when_this_is_the_newest(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLUNTEER_DATA_DIR", str(tmp_path))
    server.answer = sends(manifest(running_version()))
    assert cli.main(verb(server, tmp_path)) == ExitCode.OK
    assert capsys.readouterr().out == f"This is the newest version, {running_version()}.\n"


@pytest.mark.parametrize(
    ("body", "status", "exit_code"),
    [(manifest(key=OTHER_KEY), 200, ExitCode.FAILURE), (b"", 404, ExitCode.UNAVAILABLE)],
)
def test_the_verb_fails_in_a_sentence(
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    status: int,
    exit_code: int,
) -> None:
    monkeypatch.setenv("VOLUNTEER_DATA_DIR", str(tmp_path))
    server.answer = sends(body, status)
    assert cli.main(verb(server, tmp_path)) == exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(".\n") and "Traceback" not in captured.err
