"""One window for a data folder: the first start holds a lock and listens, a second one asks it to come to the front."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from PySide6.QtCore import QLockFile, QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

from volunteer.errors import ConfigurationError

_LOCK_FILE = "window.lock"
_ANSWER_MS = 5000
_MAX_TOKEN_BYTES = 4096
_MAX_SOCKET_PATH = 100
"""Bytes; the kernels' bounds are 104 and 108."""


class SingleInstance(QObject):
    """
    Signals:
        raise_wanted: another start asks for the window, with the desktop's leave to come to the front, if it gave one.

    Raises (here and in `is_first`):
        ConfigurationError: the folder cannot be written to.
    """

    raise_wanted = Signal(str)

    def __init__(self, data_dir: Path, parent: QObject | None):
        super().__init__(parent)
        self._data_dir = data_dir
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._name = _server_name(data_dir)
        except OSError as error:
            raise self._unusable() from error
        self._lock = QLockFile(str(data_dir / _LOCK_FILE))
        self._lock.setStaleLockTime(0)  # by its process alone: a window may be open for months
        self._server: QLocalServer | None = None

    def is_first(self) -> bool:
        """Whether this is the one; it listens then."""
        if not self._lock.tryLock(0):
            if self._lock.error() is not QLockFile.LockError.LockFailedError:  # as on a full disk
                raise self._unusable()
            return False
        QLocalServer.removeServer(self._name)  # of a window that was killed: the lock is ours
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._take)
        self._server.listen(self._name)
        return True

    def ask_first(self, activation_token: str) -> bool:
        """Asks the first to come to the front; whether it answered."""
        socket = QLocalSocket(self)
        socket.connectToServer(self._name)
        if not socket.waitForConnected(_ANSWER_MS):
            return False
        socket.write(activation_token.encode()[:_MAX_TOKEN_BYTES] + b"\n")
        return socket.waitForReadyRead(_ANSWER_MS)

    def close(self) -> None:
        """Lets the next start be the first."""
        if self._server is not None:
            self._server.close()
        self._lock.unlock()

    def _unusable(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self._data_dir} cannot be written to: it has to be a folder of yours with some room."
        )

    def _take(self) -> None:
        if self._server is None:
            return
        socket = self._server.nextPendingConnection()
        socket.readyRead.connect(lambda: self._hear(socket))
        socket.disconnected.connect(socket.deleteLater)

    def _hear(self, socket: QLocalSocket) -> None:
        if not socket.canReadLine():
            if socket.bytesAvailable() > _MAX_TOKEN_BYTES:
                socket.abort()
            return
        token = bytes(socket.readLine().data()).decode(errors="replace").strip()
        socket.write(b"\n")
        socket.flush()
        self.raise_wanted.emit(token)


def activation_token() -> str:
    """What the desktop gave this start, so that its window may come to the front."""
    return os.environ.get("XDG_ACTIVATION_TOKEN") or os.environ.get("DESKTOP_STARTUP_ID", "")


def _server_name(data_dir: Path) -> str:
    """A socket in the folder, which its user alone may enter; where its path is too long, a name in the system's."""
    folder = data_dir.resolve()
    path = folder / "run" / "window.sock"
    if os.name == "posix" and len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return str(path)
    return f"petals-volunteer-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}"
