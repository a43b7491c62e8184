"""The few questions that an X server is asked, in its own protocol over its own socket.

Xlib would end this process when the server does (its I/O error handler calls `exit`), and wait without end for a server
that hangs. Here both are an `OSError`. Knows X; does not know what the answers are used for.

Sources: "X Window System Protocol" (X11R7.7), chapters 8 and 9 and appendix B; "X11 Screen Saver Extension" 1.1.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_TIMEOUT_S = 2.0
_MOST_REPLY_BYTES = 2**22
_MOST_AUTHORITY_BYTES = 2**20

_GET_PROPERTY, _INTERN_ATOM, _QUERY_EXTENSION = 20, 16, 98
_SCREEN_SAVER_QUERY_INFO = 1
_ERROR, _REPLY, _GENERIC_EVENT = 0, 1, 35
_ANY_TYPE = 0
_FAMILY_LOCAL, _FAMILY_WILD = 256, 65535
_COOKIE = b"MIT-MAGIC-COOKIE-1"


class X11Error(OSError):
    """The server refuses, or does not speak as the protocol has it."""


@dataclass(frozen=True)
class Display:
    """A display on this machine, as `DISPLAY` names it."""

    number: int
    screen: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None: a display of another machine, or no display at all."""
        found = re.fullmatch(r"(?:unix)?:([0-9]{1,5})(?:\.([0-9]{1,3}))?", text)
        return None if found is None else cls(int(found[1]), int(found[2] or 0))


class X11Connection:
    """Leaving the block closes it. Every method may raise OSError, of which timeouts are a kind."""

    def __init__(self, display: Display, *, timeout_s: float = _TIMEOUT_S, environ: Mapping[str, str] = os.environ):
        self._display = display
        self._cookie = _cookie(display, environ)
        self._deadline = time.monotonic() + timeout_s
        self._socket = _unix_socket()
        self._sequence = 0
        self.root = 0

    def __enter__(self) -> Self:
        try:
            self._connect()
            self.root = self._set_up()
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def idle_ms(self) -> int:
        """Since the last input of the person at this display."""
        reply = self._request(_QUERY_EXTENSION, 0, _text(b"MIT-SCREEN-SAVER"))
        is_present, opcode = reply[8], reply[9]
        if not is_present:
            raise X11Error("this X server has no screen saver extension")
        reply = self._request(opcode, _SCREEN_SAVER_QUERY_INFO, struct.pack("=I", self.root))
        (idle_ms,) = struct.unpack_from("=I", reply, 16)
        return int(idle_ms)

    def atom(self, name: str) -> int:
        """0 if nobody has used this name here."""
        (atom,) = struct.unpack_from("=I", self._request(_INTERN_ATOM, 1, _text(name.encode())), 8)
        return int(atom)

    def numbers(self, window: int, property_atom: int) -> tuple[int, ...] | None:
        """The 32-bit numbers of a window's property; None if it has none of them."""
        body = struct.pack("=5I", window, property_atom, _ANY_TYPE, 0, _MOST_REPLY_BYTES // 8)
        reply = self._request(_GET_PROPERTY, 0, body)
        number_format = reply[1]
        (count,) = struct.unpack_from("=I", reply, 16)
        if number_format != 32 or 32 + 4 * count > len(reply):
            return None
        return struct.unpack_from(f"={count}I", reply, 32)

    def _connect(self) -> None:
        path = f"/tmp/.X11-unix/X{self._display.number}"  # noqa: S108, where X servers listen
        addresses = [f"\0{path}", path] if sys.platform == "linux" else [path]
        for address in addresses:
            self._socket.settimeout(self._left_s())
            with suppress(ConnectionRefusedError, FileNotFoundError):
                self._socket.connect(address)
                return
        raise X11Error(f"no X server listens at {path}")

    def _set_up(self) -> int:
        """Greets the server; returns the root window of the screen."""
        name = _COOKIE if self._cookie else b""
        order = b"l" if sys.byteorder == "little" else b"B"
        lengths = struct.pack("=cxHHHHxx", order, 11, 0, len(name), len(self._cookie))
        self._send(lengths + _padded(name) + _padded(self._cookie))
        status, words = struct.unpack("=BxxxxxH", self._receive(8))
        body = self._receive(4 * words)
        if status != 1:
            raise X11Error("the X server does not let this user in")
        try:
            return _root_of(body, self._display.screen)
        except (struct.error, IndexError) as error:
            raise X11Error("the X server's greeting cannot be read") from error

    def _request(self, opcode: int, data: int, body: bytes) -> bytes:
        """Returns the whole reply."""
        self._send(struct.pack("=BBH", opcode, data, 1 + len(body) // 4) + body)
        self._sequence = (self._sequence + 1) % 2**16
        while True:
            packet = self._receive(32)
            kind = packet[0] & 0x7F
            sequence, words = struct.unpack_from("=HI", packet, 2)
            if kind in (_REPLY, _GENERIC_EVENT):
                if words > _MOST_REPLY_BYTES // 4:
                    raise X11Error("the X server's reply is too long")
                packet += self._receive(4 * words)
            if sequence != self._sequence or kind not in (_ERROR, _REPLY):
                continue  # events, which nobody asked for
            if kind == _ERROR:
                raise X11Error(f"the X server refuses request {opcode}: error {packet[1]}")
            return packet

    def _send(self, content: bytes) -> None:
        self._socket.settimeout(self._left_s())
        self._socket.sendall(content)

    def _receive(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            self._socket.settimeout(self._left_s())
            piece = self._socket.recv(size - len(received))
            if not piece:
                raise X11Error("the X server has hung up")
            received += piece
        return bytes(received)

    def _left_s(self) -> float:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the X server takes too long")
        return left_s


def _unix_socket() -> socket.socket:
    if sys.platform == "win32":
        raise X11Error("there is no X server on Windows")
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def _text(content: bytes) -> bytes:
    return struct.pack("=Hxx", len(content)) + _padded(content)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)


def _root_of(greeting: bytes, screen: int) -> int:
    (vendor_bytes,) = struct.unpack_from("=H", greeting, 16)
    num_screens, num_formats = greeting[20], greeting[21]
    if screen >= num_screens:
        raise X11Error(f"the X server has no screen {screen}")
    at = 32 + vendor_bytes + -vendor_bytes % 4 + 8 * num_formats
    for _ in range(screen):
        num_depths = greeting[at + 39]
        at += 40
        for _ in range(num_depths):
            (num_visuals,) = struct.unpack_from("=H", greeting, at + 2)
            at += 8 + 24 * num_visuals
    (root,) = struct.unpack_from("=I", greeting, at)
    return int(root)


# Who may connect: the cookies in the file that `xauth` keeps.


class _Entry(NamedTuple):
    family: int
    address: bytes
    number: bytes
    name: bytes
    data: bytes


def _cookie(display: Display, environ: Mapping[str, str]) -> bytes:
    """b"" where there is none: some servers ask for the user alone."""
    file = environ.get("XAUTHORITY") or str(Path(environ.get("HOME", "/")) / ".Xauthority")
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_MOST_AUTHORITY_BYTES)
    except OSError:
        return b""
    host = socket.gethostname().encode()
    number = str(display.number).encode()
    for entry in _entries(content):
        is_here = entry.family == _FAMILY_WILD or (entry.family == _FAMILY_LOCAL and entry.address == host)
        if is_here and entry.name == _COOKIE and entry.number in (b"", number):
            return entry.data
    return b""


def _entries(content: bytes) -> Iterator[_Entry]:
    at = 0
    with suppress(struct.error):  # the end, or a damaged file
        while at < len(content):
            (family,) = struct.unpack_from(">H", content, at)
            at += 2
            texts = []
            for _ in range(4):
                (size,) = struct.unpack_from(">H", content, at)
                texts.append(content[at + 2 : at + 2 + size])
                at += 2 + size
            yield _Entry(family, *texts)
