"""Conversations for an event loop: the file on one thread of its own. Loads no torch."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from volunteer.client.conversation_database import is_index_damage, storage_errors
from volunteer.client.conversation_store import ConversationStore
from volunteer.client.conversation_values import NotFound

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class Conversations:
    """The file, and the one thread that reads and writes it.

    Who else has the file open at the same time must only read: what is growing when the file is opened is taken to be
    what an earlier process left behind.

    Args:
        path: made if missing, with its folder, for the owner's eyes alone.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time):
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="conversations")
        self._store: ConversationStore | None = None

    async def __aenter__(self) -> Self:
        """
        Raises:
            ConfigurationError: the file cannot be used, or a newer version of this program wrote it.
            StorageFull: the disk is full.
        """
        loop = asyncio.get_running_loop()
        try:
            self._store = await loop.run_in_executor(self._thread, ConversationStore.of, self._path, self._clock)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._store is not None:
            await self.run(ConversationStore.close)
        self._thread.shutdown(wait=False)

    async def run(self, act: Callable[[ConversationStore], _T]) -> _T:
        """What `act` returns, called on the file's own thread; calls are done in the order in which they come.

        Raises:
            StorageFull, StorageFailed: the disk does not take it; the file is as it was before.
        """
        store = self._store
        if store is None:
            raise RuntimeError("The conversations are not open.")

        def call() -> _T:
            with storage_errors():
                try:
                    return act(store)
                except sqlite3.DatabaseError as error:
                    if not is_index_damage(error):
                        raise
                    logger.warning("The index of conversations is damaged (%s); it is made anew", error)
                    store.make_search_index()
                    return act(store)
                except OverflowError:  # a number beyond SQLite's
                    raise NotFound("There is no such conversation or message.") from None

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
