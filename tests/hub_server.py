"""A small Hugging Face Hub on loopback, for tests: the JSON API, `resolve` with byte ranges, and failures on demand.

Speaks real HTTP through the standard library. With `use_cdn` large files are redirected to a second port, as the real
Hub does. Get one from the `hub` fixture, which is empty, quick and healthy until told otherwise.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_PIECE_BYTES = 16 * 1024
_LARGE_SUFFIXES = (".safetensors", ".bin", ".pt")


@dataclass
class Request:
    """One line of the server's log."""

    method: str
    path: str
    range: str | None
    authorization: str | None
    is_cdn: bool
    status: int = 0
    sent_bytes: int = 0

    @property
    def file(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def span(self) -> tuple[int, int] | None:
        """The range as start and excluded end."""
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.range or "")
        return (int(match[1]), int(match[2]) + 1) if match else None


@dataclass
class Faults:
    """What goes wrong; the defaults are a healthy Hub. Counters run down as they are used."""

    errors: int = 0
    """How many requests are answered with `error_status`."""
    error_status: int = 503
    error_code: str | None = None
    """The Hub's X-Error-Code header on such an answer."""
    retry_after_s: int | None = None
    broken_answers: int = 0
    """How many file bodies are cut off after `broken_after_bytes`."""
    broken_after_bytes: int = 0
    hides_length: bool = False
    """File bodies come without Content-Length and end with the connection."""
    ignores_ranges: bool = False
    shifts_ranges: bool = False
    """Answers each range with the one a byte later."""
    has_api: bool = True
    lists_sizes: bool = True
    """Whether the list of files has sizes and checksums (otherwise only HEAD has)."""
    size_lies: dict[str, int] = field(default_factory=dict)
    """File name -> the size that the list of files and HEAD give."""
    commit_lie: str | None = None
    wrong_bytes: dict[str, int] = field(default_factory=dict)
    """File name -> how many answers of more than 1,000 bytes have one bit flipped."""
    bytes_per_s: float | None = None
    """Speed of each answer; None for as fast as it goes."""
    silent_after_bytes: int | None = None
    """File bodies stop after this many bytes, with the connection left open."""


@dataclass(frozen=True)
class _File:
    content: bytes
    sha256: str
    git_hash: str
    is_large: bool

    @classmethod
    def read(cls, path: Path) -> _File:
        content = path.read_bytes()
        git_hash = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        return cls(content, hashlib.sha256(content).hexdigest(), git_hash, path.suffix in _LARGE_SUFFIXES)

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.git_hash


@dataclass
class _Model:
    commits: dict[str, dict[str, _File]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)


class HubServer:
    """Start and stop it with `with`."""

    def __init__(self, *, use_cdn: bool = True):
        self.faults = Faults()
        self.requests: list[Request] = []
        self.use_cdn = use_cdn
        self._models: dict[str, _Model] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._hub = _Server(self, is_cdn=False)
        self._cdn = _Server(self, is_cdn=True)

    def __enter__(self) -> HubServer:
        self._hub.start()
        self._cdn.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._hub.stop()
        self._cdn.stop()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._hub.port}"

    @property
    def cdn_address(self) -> str:
        # Another name than the Hub's, too: a token must not follow to another host or port.
        return f"http://localhost:{self._cdn.port}"

    def add_model(self, name: str, folder: Path, *, branch: str = "main") -> str:
        """Publishes the files of a folder as a new commit of the model, on top of those it has; returns the hash."""
        files = {path.relative_to(folder).as_posix(): _File.read(path) for path in folder.rglob("*") if path.is_file()}
        names = sorted((name, file.sha256) for name, file in files.items())
        commit = hashlib.sha1(repr(names).encode(), usedforsecurity=False).hexdigest()
        model = self._models.setdefault(name, _Model())
        model.commits[commit] = files
        model.branches[branch] = commit
        return commit

    @property
    def sent_bytes(self) -> int:
        """Bytes of files sent so far."""
        with self._changed:
            return sum(request.sent_bytes for request in self.requests)

    def wait_for_bytes(self, sent_bytes: int, *, timeout_s: float) -> bool:
        """Waits until so many bytes of files have been sent."""
        with self._changed:
            return self._changed.wait_for(
                lambda: sum(request.sent_bytes for request in self.requests) >= sent_bytes, timeout_s
            )

    def file_requests(self, file: str = ".safetensors") -> list[Request]:
        """The answered GETs of file bytes, redirects left out, of files whose name ends so."""
        with self._changed:
            return [
                request
                for request in self.requests
                if request.method == "GET" and request.file.endswith(file) and request.status in (200, 206)
            ]

    def forget_requests(self) -> None:
        with self._changed:
            self.requests.clear()

    def take(self, counter: str, key: str | None = None) -> bool:
        """Uses up one of a counted fault; False when there are none left."""
        with self._changed:
            holder = vars(self.faults) if key is None else vars(self.faults)[counter]
            name = counter if key is None else key
            if holder.get(name, 0) <= 0:
                return False
            holder[name] -= 1
            return True

    def log(self, request: Request) -> None:
        with self._changed:
            self.requests.append(request)

    def count(self, request: Request, num_bytes: int) -> None:
        with self._changed:
            request.sent_bytes += num_bytes
            self._changed.notify_all()

    def find(self, name: str, revision: str) -> tuple[str, dict[str, _File]] | str:
        """A commit and its files, or the Hub's code for what is missing."""
        model = self._models.get(name)
        if model is None:
            return "RepoNotFound"
        commit = model.branches.get(revision, revision)
        return (commit, model.commits[commit]) if commit in model.commits else "RevisionNotFound"

    def pause(self, seconds: float | None) -> None:
        self._stopping.wait(seconds)


class _Server:
    def __init__(self, hub: HubServer, *, is_cdn: bool):
        handler = type("Handler", (_Handler,), {"hub": hub, "is_cdn": is_cdn})
        self._http = _HTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed break connections all the time here; that is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: HubServer
    is_cdn: bool

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.path = unquote(urlsplit(self.path).path)
        self._request = Request(
            self.command, self.path, self.headers.get("Range"), self.headers.get("Authorization"), self.is_cdn
        )
        self.hub.log(self._request)
        faults = self.hub.faults
        if self.hub.take("errors"):
            headers = {"X-Error-Code": faults.error_code} if faults.error_code else {}
            if faults.retry_after_s is not None:
                headers["Retry-After"] = str(faults.retry_after_s)
            return self._send(faults.error_status, b"{}", headers)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", self.path):
            return self._answer_api(*match.groups())
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            return self._answer_file(*match.groups())
        return self._send(404, b"{}")

    def _answer_api(self, name: str, kind: str | None, revision: str | None) -> None:
        if not self.hub.faults.has_api:
            return self._send(404, b"no such page")
        found = self.hub.find(name, revision or "main")
        if isinstance(found, str):
            return self._send_missing(found)
        commit, files = found
        if kind == "tree":
            fields: Any = [self._tree_entry(file, stored) for file, stored in files.items()]
        else:
            siblings = [self._sibling(file, stored) for file, stored in files.items()]
            sha = commit if self.hub.faults.commit_lie is None else self.hub.faults.commit_lie
            fields = {"id": name, "sha": sha, "siblings": siblings}
        return self._send(200, json.dumps(fields).encode(), {"Content-Type": "application/json"})

    def _size(self, name: str, file: _File) -> int:
        return self.hub.faults.size_lies.get(name, len(file.content))

    def _sibling(self, name: str, file: _File) -> dict[str, Any]:
        if not self.hub.faults.lists_sizes:
            return {"rfilename": name}
        size = self._size(name, file)
        sibling: dict[str, Any] = {"rfilename": name, "size": size, "blobId": file.git_hash}
        if file.is_large:
            sibling["lfs"] = {"sha256": file.sha256, "size": size, "pointerSize": 130}
        return sibling

    def _tree_entry(self, name: str, file: _File) -> dict[str, Any]:
        size = self._size(name, file)
        entry: dict[str, Any] = {"type": "file", "path": name, "size": size, "oid": file.git_hash}
        if file.is_large:
            entry["lfs"] = {"oid": file.sha256, "size": size, "pointerSize": 130}
        return entry

    def _answer_file(self, model: str, revision: str, name: str) -> None:
        found = self.hub.find(model, revision)
        if isinstance(found, str):
            return self._send_missing(found)
        commit, files = found
        file = files.get(name)
        if file is None:
            return self._send_missing("EntryNotFound", {"X-Repo-Commit": commit})
        size = str(self._size(name, file))
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if file.is_large:
            headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": size}
        if file.is_large and self.hub.use_cdn and not self.is_cdn:
            return self._send(302, b"", {**headers, "Location": self.hub.cdn_address + self.path})
        if self.command == "HEAD":
            return self._send(200, b"", {**headers, "Content-Length": size})
        return self._send_content(name, file.content, headers)

    def _send_content(self, file: str, content: bytes, headers: dict[str, str]) -> None:
        faults, status, start, end = self.hub.faults, 200, 0, len(content)
        if self._request.span is not None and not faults.ignores_ranges:
            status = 206
            start, end = self._request.span
            if start >= len(content):
                return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            end = min(end, len(content))
            if faults.shifts_ranges:
                start, end = start + 1, min(end + 1, len(content))
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        body = bytearray(content[start:end])
        if len(body) > 1000 and self.hub.take("wrong_bytes", file):
            body[len(body) // 2] ^= 1
        is_cut = faults.broken_answers > 0 and len(body) > faults.broken_after_bytes and self.hub.take("broken_answers")
        headers |= {"Connection": "close"} if faults.hides_length else {"Content-Length": str(len(body))}
        self._request.status = status
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        self._send_slowly(body[: faults.broken_after_bytes] if is_cut else body)
        self.close_connection = self.close_connection or is_cut
        return None

    def _send_slowly(self, body: bytes | bytearray) -> None:
        faults = self.hub.faults
        sent = 0
        for piece in _pieces(body):
            if faults.silent_after_bytes is not None and sent + len(piece) > faults.silent_after_bytes:
                self.hub.pause(None)
            self.wfile.write(piece)
            self.wfile.flush()
            sent += len(piece)
            self.hub.count(self._request, len(piece))
            if faults.bytes_per_s is not None:
                self.hub.pause(len(piece) / faults.bytes_per_s)

    def _send_missing(self, code: str, headers: dict[str, str] | None = None) -> None:
        self._send(404, b'{"error": "not found"}', {"X-Error-Code": code, **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._request.status = status
        self.send_response(status)
        for header, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):
                self.wfile.write(body)


def _pieces(body: bytes | bytearray) -> Iterator[bytes]:
    for start in range(0, len(body), _PIECE_BYTES):
        yield bytes(body[start : start + _PIECE_BYTES])


def main() -> None:
    """Serves one folder as a model until it is interrupted: `python tests/hub_server.py ORG/NAME FOLDER`."""
    with HubServer() as hub:
        hub.add_model(sys.argv[1], Path(sys.argv[2]))
        print(f"HF_ENDPOINT={hub.endpoint}", flush=True)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
