"""What peers ask for, checked: blocks that are served here, tensors of the right shapes, numbers that can be computed.

Knows the span's shape and limits; neither sessions nor the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from volunteer.server.span import Span
from volunteer.swarm.compression import Compression
from volunteer.swarm.records import parse_block_uids
from volunteer.swarm.rpc import BadMessage, arrange_arguments, unpack_metadata, unpack_tensors

MAX_BATCH_TOKENS = 8192
"""Tokens over all rows in one call; Petals' clients cut theirs to 1,024."""
MAX_ALLOC_TIMEOUT_S = 600.0
MAX_ID_LENGTH = 100
_MAX_NEXT_SERVERS = 64
_MAX_SQUARED_TOKENS = 2048**2
"""Rows x tokens x tokens in a call without a cache of a model with ALiBi, whose biases are a matrix of that size."""
MIN_PARAMETER_BYTES = 64 * 1024
"""For prompts, hypotheses and metadata beside the hidden states of the smallest models."""


@dataclass(frozen=True)
class Call:
    """A request for some blocks of this span."""

    start: int
    end: int
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Opening:
    """What the first request of a session asks for."""

    call: Call
    session_id: str | None
    batch_size: int
    max_length: int
    first_tokens: int
    """Of each row in the first step."""
    left_padding: tuple[int, ...] | None
    alloc_timeout_s: float
    can_replay: bool


@dataclass(frozen=True)
class StepRequest:
    """One step of a session."""

    hidden_states: torch.Tensor  # [batch, new, hidden]
    prompts: torch.Tensor | None  # [blocks, batch or 1, prefix, hidden]
    reorder: tuple[int, ...] | None
    start_from_position: int | None


@dataclass(frozen=True)
class NextServer:
    """Where the outputs of a step are to be pushed."""

    peer_id: str
    session_id: str
    start: int
    end: int
    later: tuple[Any, ...]
    """What follows after it, as it came."""


class RequestParser:
    """Turns messages into checked requests; whatever is wrong with one raises BadMessage.

    Args:
        span: what is served.
        prefix: DHT prefix of the model, with which block uids begin.
        max_length: longest session in tokens.
    """

    def __init__(self, span: Span, prefix: str, *, max_length: int):
        self.prefix = prefix
        self._span = span
        self._max_length = max_length
        self._hidden_size: int = span.family.hidden_size

    @property
    def max_call_bytes(self) -> int:
        """Of all tensors of one streamed call."""
        hidden_bytes = 2 * MAX_BATCH_TOKENS * self._hidden_size * 4
        return hidden_bytes + hidden_bytes // 2 + MIN_PARAMETER_BYTES

    def blocks(self, uids: str) -> range:
        """The blocks that are named, all of them served here."""
        span = self._span
        try:
            prefix, blocks = parse_block_uids(uids)
        except ValueError as error:
            raise BadMessage(str(error)) from error
        if prefix != self.prefix or blocks.start < span.start or blocks.stop > span.end:
            raise BadMessage(f"Remote peer does not serve {uids[:200]}")
        return blocks

    def call(self, request: Any) -> Call:
        metadata = unpack_metadata(request.metadata)
        blocks = self.blocks(request.uid)
        if metadata.get("active_adapter"):
            raise BadMessage("adapters are not served here")
        return Call(blocks.start, blocks.stop, metadata)

    def opening(self, request: Any) -> Opening:
        call = self.call(request)
        metadata = call.metadata
        shape = tuple(request.tensors[0].size[:8])
        if len(shape) != 3 or not 1 <= shape[0] <= MAX_BATCH_TOKENS or shape[1] > MAX_BATCH_TOKENS:
            raise BadMessage(f"hidden states of shape {shape}")
        batch_size = shape[0]
        max_length = metadata.get("max_length")
        if not isinstance(max_length, int) or isinstance(max_length, bool):
            raise BadMessage("metadata must contain the whole number max_length")
        if not 0 <= max_length <= self._max_length:
            raise BadMessage(f"Cannot allocate KV cache for {max_length} tokens, max = {self._max_length}")
        alloc_timeout_s = metadata.get("alloc_timeout") or 0.0
        if not isinstance(alloc_timeout_s, int | float) or not alloc_timeout_s >= 0:
            raise BadMessage("alloc_timeout is not a number of seconds")
        session_id = metadata.get("session_id")
        if session_id is not None and (not isinstance(session_id, str) or len(session_id) > MAX_ID_LENGTH):
            raise BadMessage("session_id is not a short string")
        return Opening(
            call,
            session_id,
            batch_size,
            max_length,
            first_tokens=max(0, shape[1]),
            left_padding=_left_padding(metadata.get("left_padding"), batch_size, max_length),
            alloc_timeout_s=min(alloc_timeout_s, MAX_ALLOC_TIMEOUT_S),
            can_replay=metadata.get("can_replay") is True,
        )

    def step(self, opening: Opening, request: Any, metadata: dict[str, Any]) -> StepRequest:
        structure = opening.call.metadata.get("args_structure")
        arguments = arrange_arguments(self.tensors(request.tensors), structure)
        if len(arguments) < 3:
            raise BadMessage(f"a step has hidden states, prompts and hypo_ids; {len(arguments)} tensors were sent")
        hidden_states, prompts, hypo_ids = arguments[:3]
        self.check_hidden_states(hidden_states, opening.batch_size)
        num_blocks = opening.call.end - opening.call.start
        position = metadata.get("start_from_position")
        if position is not None and (not isinstance(position, int) or isinstance(position, bool)):
            raise BadMessage("start_from_position is not a whole number")
        return StepRequest(
            hidden_states,
            self.check_prompts(prompts, num_blocks, hidden_states),
            _check_hypo_ids(hypo_ids, opening.batch_size),
            position,
        )

    def next_server(self, metadata: dict[str, Any]) -> NextServer | None:
        value = metadata.get("next_servers")
        if not value:
            return None
        match value:
            case [[str() as peer_id, str() as session_id, int() as start, int() as end], *later] if (
                0 <= start < end <= start + self._span.family.num_blocks
                and len(later) < _MAX_NEXT_SERVERS
                and max(len(peer_id), len(session_id)) <= MAX_ID_LENGTH
            ):
                return NextServer(peer_id, session_id, start, end, tuple(later))
        raise BadMessage("next_servers is not a list of (peer id, session id, start, end)")

    def tensors(self, messages: Sequence[Any]) -> list[torch.Tensor]:
        hidden_values = MAX_BATCH_TOKENS * self._hidden_size
        return unpack_tensors(messages, max_values=3 * hidden_values + MIN_PARAMETER_BYTES)

    def check_hidden_states(self, tensor: torch.Tensor, batch_size: int | None = None) -> None:
        """Args: batch_size: of the session; None for a call without a cache."""
        if tensor.ndim != 3 or tensor.shape[2] != self._hidden_size or not tensor.is_floating_point():
            shape = tuple(tensor.shape)
            wanted = f"floats of [batch, tokens, {self._hidden_size}]"
            raise BadMessage(f"{tensor.dtype} of shape {shape} instead of {wanted}")
        if tensor.shape[0] < 1 or (batch_size is not None and tensor.shape[0] != batch_size):
            raise BadMessage(f"a batch of {tensor.shape[0]} rows in a session of {batch_size}")
        if tensor.shape[0] * tensor.shape[1] > MAX_BATCH_TOKENS:
            raise BadMessage(f"{tensor.shape[0]} x {tensor.shape[1]} tokens at once, at most {MAX_BATCH_TOKENS}")
        if batch_size is None and self._span.family.alibi_slopes is not None:
            squared_tokens = tensor.shape[0] * tensor.shape[1] ** 2
            if squared_tokens > _MAX_SQUARED_TOKENS:
                raise BadMessage(f"{tensor.shape[0]} rows of {tensor.shape[1]} tokens are too long for a single call")
        self._check_finite(tensor)

    def check_prompts(
        self, prompts: torch.Tensor | None, num_blocks: int, hidden_states: torch.Tensor
    ) -> torch.Tensor | None:
        if prompts is None or prompts.numel() == 0:
            return None
        batch_size, num_tokens, hidden_size = hidden_states.shape
        fits = (
            prompts.ndim == 4
            and prompts.is_floating_point()
            and prompts.shape[0] == num_blocks
            and prompts.shape[1] in (1, batch_size)
            and prompts.shape[2] <= num_tokens
            and prompts.shape[3] == hidden_size
        )
        if not fits:
            raise BadMessage(f"prompts of shape {tuple(prompts.shape)} for {num_blocks} blocks")
        self._check_finite(prompts)
        return prompts

    def _check_finite(self, tensor: torch.Tensor) -> None:
        """In the dtype in which it is computed with: a float64 may be too large for it."""
        if not torch.isfinite(tensor.to(self._span.dtype)).all():
            raise BadMessage("hidden states, prompts or gradients that are not finite numbers")


def output_compressions(metadata: dict[str, Any], count: int) -> list[Compression]:
    """How the caller wants so many answers packed."""
    value = metadata.get("output_compression")
    if value is None:
        return [Compression.NONE] * count
    match value:
        case [*numbers] if len(numbers) == count and all(type(number) is int for number in numbers):
            try:
                return [Compression(number) for number in numbers]
            except ValueError:
                pass
    raise BadMessage(f"output_compression is not {count} known numbers")


def _left_padding(value: object, batch_size: int, max_length: int) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != batch_size:
        raise BadMessage("left_padding is not one whole number for each row")
    padding = tuple(value)
    if not all(type(count) is int and 0 <= count <= max_length for count in padding):
        raise BadMessage("left_padding is not one whole number for each row")
    return padding if any(padding) else None


def _check_hypo_ids(hypo_ids: torch.Tensor, batch_size: int) -> tuple[int, ...] | None:
    if hypo_ids.dtype != torch.int64:
        raise BadMessage(f"hypo ids must be int64, got {hypo_ids.dtype}")
    if hypo_ids.numel() == 0:
        return None
    if tuple(hypo_ids.shape) != (batch_size,) or not ((hypo_ids >= 0) & (hypo_ids < batch_size)).all():
        raise BadMessage(f"hypo ids are not {batch_size} row numbers")
    return tuple(hypo_ids.tolist())
