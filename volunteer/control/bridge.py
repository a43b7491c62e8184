"""`volunteer bridge`: joins standard input and output to the worker of this computer, for somebody who came by ssh.

The other end speaks the control channel as if the worker were its own. It does not know the token, and needs none:
whoever can start this program as this user can read the file that it stands in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import IO

from volunteer.control.channel import MAX_COMMAND_BYTES, Place, open_channel
from volunteer.control.messages import Message, Refused, decode_hello, encode
from volunteer.errors import ConfigurationError, ExitCode, UserError

_PIECE_BYTES = 64 * 1024
_LAST_WORDS_S = 2.0


def run_bridge(data_dir: Path) -> int:
    """Returns the exit code when one of the two ends.

    Raises:
        ConfigurationError: there is nobody to talk to.
    """
    for stream in (sys.stdin, sys.stdout):
        _check_leads_to_somebody(stream.fileno())
    return asyncio.run(_bridge(data_dir, sys.stdin.buffer, sys.stdout.buffer))


def _check_leads_to_somebody(descriptor: int) -> None:
    """Raises ConfigurationError: files and /dev/null cannot be waited for."""
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)):
        raise ConfigurationError("This is for a `volunteer connect` at the other end of a pipe, and there is none.")


async def _bridge(data_dir: Path, from_client: IO[bytes], to_client: IO[bytes]) -> int:
    loop = asyncio.get_running_loop()
    asking = asyncio.StreamReader(limit=MAX_COMMAND_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asking), from_client)
    unread = (
        asyncio.StreamReader()
    )  # of a pipe that is only written to; its protocol knows when the other end is behind
    transport, protocol = await loop.connect_write_pipe(lambda: asyncio.StreamReaderProtocol(unread), to_client)
    answering = asyncio.StreamWriter(transport, protocol, None, loop)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_flush_and_close, answering)
        try:
            hello = decode_hello(await asking.readline())
            place = Place.read_here(data_dir)
            reader, writer = await open_channel(place.address, stack)
        except UserError as error:
            await _say(answering, Refused(message=str(error), exit_code=error.exit_code))
            return error.exit_code
        except (ValueError, OSError) as error:
            await _say(answering, Refused(message=f"The worker cannot be reached: {error}"))
            return ExitCode.FAILURE
        stack.callback(writer.close)
        await _say(writer, hello.model_copy(update={"token": place.token}))
        copying = [asyncio.create_task(_copy(asking, writer)), asyncio.create_task(_copy(reader, answering))]
        await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
        for task in copying:
            task.cancel()
        await asyncio.wait(copying)
    return ExitCode.OK


async def _flush_and_close(writer: asyncio.StreamWriter) -> None:
    """The worker's last words are still to be sent, to somebody who may not read them."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_LAST_WORDS_S):
            await writer.wait_closed()


async def _say(writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(encode(message))
    with contextlib.suppress(ConnectionError):
        await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
