"""What the chat page remembers from one start of the window to the next: which chat was open, and what was typed in it.

What was said is with the worker; this is what only the window knows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, QTimer

from gui.worker_link import WorkerLink
from volunteer.whole_file import write_file

FILE = "chat_page.json"
_SAVE_MS = 500
"""What a window that is killed may have forgotten."""
_MOST_BYTES = 4 * 2**20
_MOST_DRAFTS = 50


class ChatMemory(QObject):
    """
    Attributes:
        drafts: by conversation; those for a new one by None.
    """

    def __init__(self, link: WorkerLink, parent: QObject):
        super().__init__(parent)
        self._link = link
        self._path = link.data_dir / FILE
        self._save = QTimer(self, interval=_SAVE_MS, singleShot=True)
        self._save.timeout.connect(self._write)
        self.conversation_id: int | None = None
        self.drafts: dict[int | None, str] = {}

    def read(self, done: Callable[[], None]) -> None:
        """Calls `done` if something is remembered, and nothing was done meanwhile."""

        def take(content: bytes) -> None:
            if not self._save.isActive() and not self.drafts and self._take(content):
                done()

        self._link.run_aside(self._read, take)

    def set_conversation(self, conversation_id: int | None) -> None:
        if conversation_id != self.conversation_id:
            self.conversation_id = conversation_id
            self._save.start()

    def set_draft(self, conversation_id: int | None, text: str) -> None:
        """An empty one is forgotten."""
        self.drafts.pop(conversation_id, None)
        if text:
            self.drafts[conversation_id] = text
        self._save.start()

    def _take(self, content: bytes) -> bool:
        """Whether there is something in it; what is damaged is as if it were not there."""
        try:
            raw = json.loads(content)
            conversation_id, drafts = raw["conversation"], dict(raw["drafts"])
        except (ValueError, KeyError, TypeError):
            return False
        self.conversation_id = conversation_id if isinstance(conversation_id, int) else None
        self.drafts = {int(key) if key else None: str(text) for key, text in drafts.items() if _is_key(key)}
        return True

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(_MOST_BYTES)
        except OSError:
            return b""

    def _write(self) -> None:
        latest = list(self.drafts.items())[-_MOST_DRAFTS:]
        drafts = {"" if key is None else str(key): text for key, text in latest}
        content = json.dumps({"conversation": self.conversation_id, "drafts": drafts}).encode()

        def write() -> None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(self._path, content, is_private=True)  # drafts are as private as what becomes of them

        self._link.run_aside(write)


def _is_key(key: Any) -> bool:
    return isinstance(key, str) and (not key or key.isdecimal())
