"""Whole sequences through the swarm without KV caches, forwards and backwards. Runs in the event loop of the node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from volunteer.client.routing import Hop
from volunteer.client.servers import ServerTable
from volunteer.client.session import SessionFailed
from volunteer.swarm.records import block_uid
from volunteer.swarm.rpc import (
    MAX_UNARY_BYTES,
    UNARY_PAYLOAD_BYTES,
    BadMessage,
    ExpertRequest,
    ExpertResponse,
    Method,
    PeerLost,
    RemoteError,
    StreamEnded,
    TensorAssembler,
    pack_metadata,
    pack_tensor,
    split_tensor,
    unpack_tensor,
)

logger = logging.getLogger(__name__)

MAX_CALL_TOKENS = 1024
"""Rows x tokens in one call, as Petals' clients cut their batches; a single longer row goes whole."""
_CALLS_AT_ONCE = 16
"""To one server: enough that it never waits for the next, and far from what it refuses as a flood."""
_CALL_TIMEOUT_S = 180.0
_MAX_ATTEMPTS = 5
_FIRST_RETRY_S = 0.25
_METADATA = pack_metadata({"points": 0.0, "active_adapter": None})
_NO_PROMPTS = torch.empty(0)


@dataclass(frozen=True)
class Passed:
    """One hop of a forward pass, kept for the backward pass."""

    start: int
    end: int
    inputs: torch.Tensor  # [batch, tokens, hidden]


async def forward(
    servers: ServerTable, hidden_states: torch.Tensor, start: int, end: int, prompts: torch.Tensor | None = None
) -> tuple[torch.Tensor, tuple[Passed, ...]]:
    """Blocks `start:end` over whole sequences.

    Args:
        hidden_states: [batch, tokens, hidden] on the CPU, float.
        prompts: [blocks, batch or 1, prefix, hidden], added to the first positions before each block.

    Returns:
        The outputs, in the shape and dtype of `hidden_states`, and what `backward` needs.

    Raises:
        NoRoute, SessionFailed
    """
    passed: list[Passed] = []
    done, inputs = start, hidden_states

    async def run(hop: Hop) -> None:
        nonlocal done, inputs
        part = None if prompts is None else prompts[hop.start - start : hop.end - start]
        (outputs,) = await _call_rows(servers, hop, Method.FORWARD, [inputs], part)
        passed.append(Passed(hop.start, hop.end, inputs))
        done, inputs = hop.end, outputs

    while done < end:
        await _with_retries(servers, lambda: (done, end), run)
    return inputs, tuple(passed)


async def backward(
    servers: ServerTable,
    passed: Sequence[Passed],
    grad_outputs: torch.Tensor,
    prompts: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Gradients of a forward pass with respect to its hidden states and its prompts (None without prompts)."""
    start = passed[0].start
    gradient = grad_outputs
    grad_prompts: list[torch.Tensor] = []
    for each in reversed(passed):
        part = None if prompts is None else prompts[each.start - start : each.end - start]
        gradient, prompt_gradient = await _backward_hop(servers, each, gradient, part)
        if prompt_gradient is not None:
            grad_prompts.insert(0, prompt_gradient)
    return gradient, torch.cat(grad_prompts) if grad_prompts else None


async def _backward_hop(
    servers: ServerTable, passed: Passed, gradient: torch.Tensor, prompts: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """One hop backwards; where its server is gone and no other has all its blocks, forward again over the new route."""
    results: list[torch.Tensor] = []

    async def run(hop: Hop) -> None:
        if (hop.start, hop.end) == (passed.start, passed.end):
            results.extend(await _call_rows(servers, hop, Method.BACKWARD, [passed.inputs, gradient], prompts))
            return
        _, again = await forward(servers, passed.inputs, passed.start, passed.end, prompts)
        inputs_gradient, prompt_gradient = await backward(servers, again, gradient, prompts)
        results.extend([inputs_gradient] if prompt_gradient is None else [inputs_gradient, prompt_gradient])

    while not results:
        await _with_retries(servers, lambda: (passed.start, passed.end), run)
    return results[0], results[1] if len(results) > 1 else None


async def _with_retries(
    servers: ServerTable, blocks: Callable[[], tuple[int, int]], run: Callable[[Hop], Awaitable[None]]
) -> None:
    """Runs the first hop of a route through `blocks()`, and another if it fails."""
    for attempt in range(_MAX_ATTEMPTS):
        start, end = blocks()
        route = await servers.route(start, end, kv_tokens_needed=0)
        hop = route.hops[0]
        try:
            await run(hop)
        except (PeerLost, RemoteError, BadMessage) as error:
            servers.record_failure(hop.peer_id)
            logger.warning("%s failed in blocks %s:%s: %s", hop.peer_id, hop.start, hop.end, error)
            if attempt + 1 == _MAX_ATTEMPTS:
                raise SessionFailed(f"Blocks {hop.start}-{hop.end - 1} keep failing: {error}") from error
            await asyncio.sleep(_FIRST_RETRY_S * 2**attempt)
        else:
            servers.record_success(hop.peer_id)
            return


async def _call_rows(
    servers: ServerTable, hop: Hop, method: Method, tensors: list[torch.Tensor], prompts: torch.Tensor | None
) -> list[torch.Tensor]:
    """One call, or several at once with some rows each, so that none has more than `MAX_CALL_TOKENS`."""
    batch_size, num_tokens, _ = tensors[0].shape
    rows = max(1, MAX_CALL_TOKENS // max(1, num_tokens))
    places = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def call(at: int) -> list[torch.Tensor]:
        part = prompts if prompts is None or prompts.shape[1] == 1 else prompts[:, at : at + rows]
        async with places:
            return await _call(servers, hop, method, [tensor[at : at + rows] for tensor in tensors], part)

    answers = await asyncio.gather(*(call(at) for at in range(0, batch_size, rows)))
    joined = [torch.cat([answer[0] for answer in answers])]
    if len(answers[0]) > 1:
        gradients = [answer[1] for answer in answers]
        is_shared = prompts is not None and prompts.shape[1] == 1
        joined.append(torch.stack(gradients).sum(dim=0) if is_shared else torch.cat(gradients, dim=1))
    return joined


async def _call(
    servers: ServerTable, hop: Hop, method: Method, tensors: list[torch.Tensor], prompts: torch.Tensor | None
) -> list[torch.Tensor]:
    uid = " ".join(block_uid(servers.prefix, index) for index in range(hop.start, hop.end))
    packed = [pack_tensor(tensor) for tensor in tensors]
    packed.append(pack_tensor(_NO_PROMPTS if prompts is None else prompts))
    if sum(len(tensor.buffer) for tensor in packed) <= UNARY_PAYLOAD_BYTES:
        request = ExpertRequest(uid=uid, tensors=packed, metadata=_METADATA)
        response = await servers.node.call(hop.peer_id, method, request, ExpertResponse, timeout_s=_CALL_TIMEOUT_S)
        answers = [unpack_tensor(tensor) for tensor in response.tensors]
    else:
        stream_method = Method.FORWARD_STREAM if method is Method.FORWARD else Method.BACKWARD_STREAM
        answers = await _stream_call(servers, hop, stream_method, uid, packed)
    expected = [tensors[0].shape]
    if method is Method.BACKWARD and prompts is not None:
        # Petals gives every row a gradient of its own, also where all rows shared the prompts.
        expected.append(torch.Size((prompts.shape[0], tensors[0].shape[0], *prompts.shape[2:])))
        if len(answers) == 2 and prompts.shape[1] == 1 and answers[1].shape == expected[1]:
            answers[1] = answers[1].sum(dim=1, keepdim=True)
        expected[1] = prompts.shape
    if [answer.shape for answer in answers] != expected or not all(answer.is_floating_point() for answer in answers):
        raise BadMessage(f"answers of shapes {[tuple(answer.shape) for answer in answers]}")
    return [answer.to(tensors[0].dtype) for answer in answers]


async def _stream_call(
    servers: ServerTable, hop: Hop, method: Method, uid: str, packed: list[Any]
) -> list[torch.Tensor]:
    assembler = TensorAssembler(max_bytes=4 * sum(len(tensor.buffer) for tensor in packed) + MAX_UNARY_BYTES)
    stream = await servers.node.open_stream(hop.peer_id, method)
    try:
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            for tensor in packed:
                for part in split_tensor(tensor):
                    await stream.send(ExpertRequest(uid=uid, tensors=[part], metadata=_METADATA))
            await stream.send_end()
            async for response in _responses(stream):
                assembler.add(response.tensors)
    except TimeoutError:
        raise PeerLost(f"no answer within {_CALL_TIMEOUT_S:.0f} s") from None
    finally:
        stream.close()
    return assembler.tensors()


async def _responses(stream: Any) -> AsyncIterator[Any]:
    while True:
        try:
            response = await stream.receive(ExpertResponse)
        except StreamEnded:
            return
        if response is None:
            return
        yield response
