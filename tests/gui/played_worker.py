"""Plays a worker in a process of its own: answers on the control channel as one that serves, until it is told to quit.

Started as `python played_worker.py DATA_DIR [SECONDS]`; lingers so many seconds after its goodbye.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from volunteer.control.channel import ControlServer, Peer
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import (
    ChatCommand,
    Done,
    Finish,
    GetHistory,
    Pause,
    Quit,
    Resume,
    SetSetting,
    Status,
    StatusChanged,
    Subscribe,
)
from volunteer.errors import Unavailable


def command(data_dir: Path, lingers_s: float = 0.0) -> list[str]:
    """Starts one."""
    return [sys.executable, __file__, str(data_dir), str(lingers_s)]


class Play:
    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.status = Status(state=State.SERVING, model="bigscience/bloom", blocks=(12, 16), num_blocks=70)

    async def answer(self, peer: Peer, command: Any) -> Done:
        match command:
            case Pause():
                self.status = Status(state=State.PAUSED, reason="Paused by you", mode=Mode.NEVER)
            case Resume():
                self.status = Status(state=State.SERVING, model="bigscience/bloom", blocks=(12, 16), num_blocks=70)
            case Finish():
                self.status = Status(state=State.PAUSED, reason="Finished, as you asked", mode=Mode.NEVER)
            case Quit():
                self.status = Status(state=State.STOPPED, reason="Stopped")
                self.over.set()
            case Subscribe():
                peer.topics = command.topics
            case GetHistory() | ChatCommand() | SetSetting():
                raise Unavailable("This is only played.")
        peer.post(StatusChanged(status=self.status))
        return Done(id=command.id, result=self.status.model_dump(mode="json"))


async def main(data_dir: Path, lingers_s: float) -> None:
    play = Play()
    async with ControlServer(data_dir, play.answer):
        await play.over.wait()
    await asyncio.sleep(lingers_s)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
