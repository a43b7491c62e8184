import asyncio
from types import SimpleNamespace
from uuid import uuid4

from hivemind.p2p.p2p_daemon_bindings.control import ControlClient, DaemonConnector
from hivemind.p2p.p2p_daemon_bindings.utils import write_pbmsg
from hivemind.proto import p2pd_pb2
from hivemind.utils.multiaddr import Multiaddr

from volunteer.swarm.awaited_calls import ignore_late_answers


class Pipe:
    """A daemon's end: what is written is fed to a reader."""

    def __init__(self, reader: asyncio.StreamReader):
        self._reader = reader

    def write(self, data: bytes) -> None:
        self._reader.feed_data(data)

    async def drain(self) -> None:
        pass


async def _answers_both() -> None:
    control = ControlClient(
        DaemonConnector(Multiaddr("/unix/unused")), Multiaddr("/unix/unused"), _initialized_with_create=True
    )
    ignore_late_answers(SimpleNamespace(_client=SimpleNamespace(control=control)))  # type: ignore[arg-type]
    reader = asyncio.StreamReader()
    reading = asyncio.create_task(control._read_from_persistent_conn(reader))
    calls = {uuid4(): asyncio.get_running_loop().create_future() for _ in range(2)}
    control._pending_calls.update(calls)
    given_up, awaited = calls.values()
    given_up.cancel()
    for call_id in calls:
        answer = p2pd_pb2.PersistentConnectionResponse(
            callId=call_id.bytes, callUnaryResponse=p2pd_pb2.CallUnaryResponse(response=b"late")
        )
        await write_pbmsg(Pipe(reader), answer)
    assert await asyncio.wait_for(awaited, 5) == b"late"
    assert not reading.done()
    reader.feed_eof()
    await reading


def test_an_answer_to_a_call_that_was_given_up_ends_no_other_call() -> None:
    asyncio.run(_answers_both())
