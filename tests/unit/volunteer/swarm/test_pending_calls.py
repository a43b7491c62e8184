"""An answer to a call that was given up is dropped, and the connection to the daemon goes on."""

import asyncio
from uuid import uuid4

from volunteer.swarm.node import NodeOptions, SwarmNode
from volunteer.swarm.pending_calls import PendingCalls


def test_what_nobody_waits_for_is_not_found() -> None:
    async def run() -> None:
        waiting, given_up, answered = (asyncio.get_running_loop().create_future() for _ in range(3))
        given_up.cancel()
        answered.set_result(None)
        ids = [uuid4() for _ in range(3)]
        calls = PendingCalls(zip(ids, (waiting, given_up, answered), strict=True))
        assert [call_id in calls for call_id in ids] == [True, False, False]
        assert uuid4() not in calls

    asyncio.run(run())


def test_a_node_that_is_interrupted_while_it_registers_an_rpc_still_answers_and_stops() -> None:
    async def handle(request: bytes, caller: object) -> bytes:
        return request

    async def run() -> None:
        async with SwarmNode(NodeOptions()) as node:
            registering = asyncio.create_task(node._p2p._client.add_unary_handler("test.rpc", handle))
            await asyncio.sleep(0)
            registering.cancel()
            async with asyncio.timeout(10):
                await node._p2p._client.add_unary_handler("test.other", handle)

    async def all_of_it() -> None:
        async with asyncio.timeout(60):
            await run()

    asyncio.run(all_of_it())
