"""Distance between peers of one machine: TCP relays that hold every byte for a set time, in a process of their own.

Each worker listens on one port and announces the port of its relay, so whoever connects to it goes through the relay,
other workers as well as clients. What one peer sends arrives in order, each piece as long after it was sent as every
other, and nothing waits for more to come.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Coroutine
from typing import Any

from volunteer.bench.child import ChildProcess, answer_all, answers_only

RELAY_OPTION = "--relay"
_HOST = "127.0.0.1"
_PIECE_BYTES = 65_536
_PIECES_UNDER_WAY = 4096


class RelayProcess(ChildProcess):
    """The asking end."""

    def __init__(self) -> None:
        super().__init__([RELAY_OPTION], "The relay")

    def open(self, target_port: int) -> int:
        """The port of a new relay to that port of this machine."""
        return self.ask("open", target_port=target_port)

    def delay(self, delay_s: float) -> None:
        """Everything that is read from now on is held so long, each way; measured delays start anew."""
        self.ask("delay", delay_s=delay_s)

    def cut(self, port: int) -> None:
        """Breaks all connections through the relay at `port`, and lets none through until `mend`."""
        self.ask("cut", port=port)

    def mend(self, port: int) -> None:
        """Connections through the relay at `port` are possible again."""
        self.ask("mend", port=port)

    def measured_s(self) -> tuple[float, float]:
        """Mean and longest time that anything was held since the delay was set; zeros if nothing was."""
        mean_s, longest_s = self.ask("measured_s")
        return mean_s, longest_s


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on at the moment."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind((_HOST, 0))
            ports.append(listener.getsockname()[1])
        return ports


class Relays:
    """The answering end: an event loop on a thread of its own."""

    def __init__(self) -> None:
        self._delay_s = 0.0
        self._held_s = 0.0
        self._longest_s = 0.0
        self._pieces = 0
        self._tasks: dict[asyncio.Task[None], int] = {}
        """Connections, and the port of the relay that each goes through."""
        self._cut: set[int] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()

    def open(self, *, target_port: int) -> int:
        async def start() -> int:
            port = 0

            async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._connect(reader, writer, port, target_port)

            server = await asyncio.start_server(connect, _HOST, 0)
            port = server.sockets[0].getsockname()[1]
            return port

        return self._run(start())

    def delay(self, *, delay_s: float) -> None:
        async def change() -> None:
            self._delay_s = delay_s
            self._held_s = self._longest_s = 0.0
            self._pieces = 0

        self._run(change())

    def cut(self, *, port: int) -> None:
        async def cancel() -> None:
            self._cut.add(port)
            tasks = [task for task, its_port in self._tasks.items() if its_port == port]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._run(cancel())

    def mend(self, *, port: int) -> None:
        async def change() -> None:
            self._cut.discard(port)

        self._run(change())

    def measured_s(self) -> tuple[float, float]:
        return self._held_s / max(1, self._pieces), self._longest_s

    def close(self) -> None:
        """Cuts all connections."""

        async def cancel() -> None:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._run(cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, target_port: int
    ) -> None:
        if port in self._cut:
            writer.close()
            return
        task = asyncio.current_task()
        if task is not None:
            self._tasks[task] = port
            task.add_done_callback(lambda done: self._tasks.pop(done, None))
        try:
            # Asyncio sends at once what it is given (TCP_NODELAY).
            far_reader, far_writer = await asyncio.open_connection(_HOST, target_port)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        finally:
            writer.close()
            far_writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction of one connection, until its end or a break; the end arrives as late as all the rest."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES_UNDER_WAY)
        delivering = asyncio.create_task(self._deliver(under_way, writer))
        try:
            piece = b"?"
            while piece:
                try:
                    piece = await reader.read(_PIECE_BYTES)
                except OSError:
                    piece = b""
                await under_way.put((self._loop.time(), piece))
            await delivering
        finally:
            delivering.cancel()

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        is_broken = False
        while True:
            sent_at, piece = await under_way.get()
            wait_s = sent_at + self._delay_s - self._loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if not piece:
                if not is_broken:
                    with contextlib.suppress(OSError):
                        writer.write_eof()
                return
            held_s = self._loop.time() - sent_at
            self._held_s += held_s
            self._longest_s = max(self._longest_s, held_s)
            self._pieces += 1
            if not is_broken:
                try:
                    writer.write(piece)
                    await writer.drain()
                except OSError:
                    is_broken = True  # goes on reading, so that the other side can end as it likes


def serve_relays() -> None:
    """Answers requests on standard input until it ends. Runs in the child."""
    with answers_only() as answers:
        relays = Relays()
        try:
            answer_all(relays, sys.stdin, answers)
        finally:
            relays.close()
