"""The loaded blocks of this server and their forward and backward passes. Torch only: no network, no waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from volunteer.models.families import Family
from volunteer.models.lean import Attend, Block
from volunteer.models.onednn import padded_rows
from volunteer.server.gpu import PinnedTransfer, begin_compiled_tick
from volunteer.server.kv_cache import KVPool, Move


@dataclass(frozen=True)
class RowPlace:
    """Where the keys and values of one row lie, and how far its new tokens see."""

    start: int
    """Of the row in the pool, in tokens."""
    past: int
    """Tokens of the row before the new ones, padding included."""
    padding: int
    """How many of the first positions are padding: no real token sees them."""


@dataclass(frozen=True)
class Part:
    """What one session has to compute in a tick.

    Args:
        hidden_states: [rows, new, hidden] on the CPU, any float dtype; `new` may be 0.
        rows: one for each row.
        prompts: [blocks, rows or 1, prefix, hidden], added to the first new positions before each block.
        reorder: row i continues from what row `reorder[i]` was, before the new tokens are computed.
    """

    hidden_states: torch.Tensor
    rows: tuple[RowPlace, ...]
    prompts: torch.Tensor | None = None
    reorder: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Tick:
    """One call of the blocks `start:end` for all sessions that have something to compute.

    Args:
        moves: of rows in the pool, to be made first.
    """

    start: int
    end: int
    parts: tuple[Part, ...]
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True)
class Span:
    """Blocks `start:start + len(blocks)` of a model, on one device, in one dtype of activations."""

    family: Family
    start: int
    blocks: tuple[Block, ...]
    dtype: torch.dtype
    device: torch.device
    transfer: PinnedTransfer | None = None
    """How hidden states come to a GPU; None where the blocks are in ordinary memory."""
    is_compiled: bool = False
    """The blocks are compiled anew for each number of rows: those of a tick are padded to few of them."""

    @property
    def end(self) -> int:
        return self.start + len(self.blocks)

    def new_pool(self, num_pages: int) -> KVPool:
        """KV room of that many pages for sessions on these blocks."""
        return KVPool(
            num_blocks=len(self.blocks),
            num_pages=num_pages,
            num_kv_heads=self.family.num_kv_heads,
            head_dim=self.family.head_dim,
            dtype=self.dtype,
            device=self.device,
        )

    @torch.inference_mode()
    def tick(self, pool: KVPool, tick: Tick) -> list[torch.Tensor]:
        """New tokens of several sessions through the blocks in one call, whatever the lengths of the sessions.

        Linear layers see the tokens of all sessions as rows of one matrix; attention reads each row's own keys and
        values (continuous batching with selective batching: Orca, Yu et al., OSDI 2022, section 3).

        Returns:
            Of each part, [rows, new, hidden] on the CPU in this span's dtype.
        """
        pool.move(tick.moves)
        for part in tick.parts:
            if part.reorder is not None:
                pool.reorder([row.start for row in part.rows], part.reorder, part.rows[0].past)
        parts = [part for part in tick.parts if part.hidden_states.shape[1]]
        hidden_size = self.family.hidden_size
        if parts:
            flat = [part.hidden_states.reshape(-1, hidden_size) for part in parts]
            num_tokens = sum(len(each) for each in flat)
            num_rows = padded_rows(num_tokens) if self.is_compiled else num_tokens
            hidden_states = self._to_rows(flat, num_rows)
            attention = _PooledAttention(self, pool, parts, num_rows)
            shared = self.family.shared(attention.positions, self.dtype, self.device)
            attend: Attend = begin_compiled_tick(attention) if self.is_compiled else attention
            for block in self._blocks(tick.start, tick.end):
                hidden_states = self._with_prompts(hidden_states, parts, block.index - tick.start)
                hidden_states = block(hidden_states, shared, attend)
            outputs = hidden_states[:num_tokens]
            on_cpu = outputs.cpu() if self.transfer is None else self.transfer.to_cpu(outputs)
            computed = iter(torch.split(on_cpu, [len(each) for each in flat]))
        return [
            next(computed).reshape(part.hidden_states.shape)
            if part.hidden_states.shape[1]
            else part.hidden_states.to(self.dtype)
            for part in tick.parts
        ]

    def _to_rows(self, parts: Sequence[torch.Tensor], num_rows: int) -> torch.Tensor:
        """[num_rows, hidden] on this span's device in its dtype; rows that are nobody's are zero."""
        if self.transfer is not None:
            return self.transfer.to_device(parts, num_rows)
        rows = (torch.cat(tuple(parts)) if len(parts) > 1 else parts[0]).to(self.device, self.dtype)
        return rows if len(rows) == num_rows else pad(rows, (0, 0, 0, num_rows - len(rows)))

    def _with_prompts(self, hidden_states: torch.Tensor, parts: Sequence[Part], number: int) -> torch.Tensor:
        """Adds the deep prompts of block `number` of the tick to the first positions of the parts that have some."""
        if all(part.prompts is None for part in parts):
            return hidden_states
        hidden_states, at = hidden_states.clone(), 0
        for part in parts:
            rows, new, hidden_size = part.hidden_states.shape
            if part.prompts is not None:
                mine = hidden_states[at : at + rows * new].view(rows, new, hidden_size)
                mine[:, : part.prompts.shape[2]] += part.prompts[number].to(self.device, self.dtype)
            at += rows * new
        return hidden_states

    @torch.no_grad()
    def forward(
        self, hidden_states: torch.Tensor, start: int, end: int, *, prompts: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Whole sequences through blocks `start:end` without a cache: [batch, tokens, hidden] both ways.

        Args:
            prompts: [blocks, batch or 1, prefix, hidden], added to the first positions before each block.
        """
        return self._run(hidden_states.to(self.device, self.dtype), start, end, self._to_device(prompts)).cpu()

    def backward(
        self,
        hidden_states: torch.Tensor,
        grad_outputs: torch.Tensor,
        start: int,
        end: int,
        *,
        prompts: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """Gradients with respect to the inputs of `forward`, which is computed again; weights stay frozen.

        Args:
            hidden_states: [batch, tokens, hidden], the inputs of the forward pass.
            grad_outputs: [batch, tokens, hidden].
            prompts: as in `forward`.

        Returns:
            The gradient of `hidden_states`, and that of `prompts` if there are any, in their shapes.
        """
        inputs = hidden_states.to(self.device, self.dtype).detach().requires_grad_(True)
        moved = self._to_device(prompts)
        wanted = [inputs]
        if moved is not None:
            moved = moved.detach().requires_grad_(True)
            wanted.append(moved)
        with torch.enable_grad():
            outputs = self._run(inputs, start, end, moved)
            gradients = torch.autograd.grad(outputs, wanted, grad_outputs.to(self.device, self.dtype))
        return [gradient.cpu() for gradient in gradients]

    def _run(self, hidden_states: torch.Tensor, start: int, end: int, prompts: torch.Tensor | None) -> torch.Tensor:
        batch_size, num_tokens, hidden_size = hidden_states.shape
        blocks = self._blocks(start, end)
        if num_tokens == 0:
            return hidden_states
        positions = torch.arange(num_tokens, device=self.device).repeat(batch_size)
        shared = self.family.shared(positions, self.dtype, self.device)
        attention = _WholeAttention(self, batch_size, num_tokens)
        for number, block in enumerate(blocks):
            if prompts is not None:
                hidden_states = _add_prompt(hidden_states, prompts[number])
            flat = hidden_states.reshape(-1, hidden_size)
            hidden_states = block(flat, shared, attention).view(batch_size, num_tokens, hidden_size)
        return hidden_states

    def _blocks(self, start: int, end: int) -> Sequence[Block]:
        if not self.start <= start < end <= self.end:
            raise ValueError(f"blocks {start}:{end} are not all within {self.start}:{self.end}")
        return self.blocks[start - self.start : end - self.start]

    def _to_device(self, tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else tensor.to(self.device, self.dtype)


def _add_prompt(hidden_states: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
    """Adds `prompt` [batch or 1, prefix, hidden] to the first `prefix` positions, without touching its argument."""
    prefix = prompt.shape[1]
    return torch.cat([hidden_states[:, :prefix] + prompt, hidden_states[:, prefix:]], dim=1)


@dataclass(frozen=True)
class _Seen:
    """One row's new real tokens in the flat list of a tick, and the keys that they see."""

    queries: slice
    start: int
    """In the pool, of everything of the row that is not padding."""
    past: int
    """Real tokens before the new ones."""

    @property
    def new(self) -> int:
        return self.queries.stop - self.queries.start


class _PooledAttention:
    """Attention of the flat list of tokens of a tick, each row over its own keys and values in the pool.

    Where tokens stand and what they see is worked out once a tick. Padding needs no mask: a row without its padding is
    a shorter row.
    """

    def __init__(self, span: Span, pool: KVPool, parts: Sequence[Part], num_rows: int):
        self._pool = pool
        self._first_block = span.start
        self._scale = span.family.attention_scale
        self._family = span.family
        self._is_grouped = span.family.num_kv_heads != span.family.num_heads
        self._head_dim = span.family.head_dim
        self._token_size = span.family.num_kv_heads * span.family.head_dim
        self._bias = _Bias(span)
        self._rows: list[_Seen] = []
        self._leaves_rows = False  # padding, which attends to nothing
        slots: list[torch.Tensor] = []
        positions: list[torch.Tensor] = []
        at = 0
        for part in parts:
            new = part.hidden_states.shape[1]
            for row in part.rows:
                slots.append(torch.arange(row.start + row.past, row.start + row.past + new))
                positions.append(torch.arange(row.past - row.padding, row.past - row.padding + new))
                skipped = min(new, max(0, row.padding - row.past))  # padding among the new tokens
                self._leaves_rows |= skipped > 0
                if skipped < new:
                    queries = slice(at + skipped, at + new)
                    self._rows.append(_Seen(queries, row.start + row.padding, max(0, row.past - row.padding)))
                at += new
        self._leaves_rows |= at < num_rows
        self._num_tokens = at
        self._slots = torch.cat(slots).to(span.device)
        positions.append(torch.zeros(num_rows - at, dtype=torch.int64))
        self.positions = torch.cat(positions).clamp_min(0).to(span.device)
        """Of each token, counted from the first real one of its row, [rows] int64; padding stands at 0."""
        self._views: dict[int | None, list[_View]] = {}

    def __call__(self, block: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Stores keys and values; see `Attend`."""
        all_keys, all_values = self._pool.keys[block - self._first_block], self._pool.values[block - self._first_block]
        all_keys.index_copy_(0, self._slots, keys[: self._num_tokens])
        all_values.index_copy_(0, self._slots, values[: self._num_tokens])
        window = self._family.window(block)
        if window not in self._views:
            self._views[window] = [self._view(row, window) for row in self._rows]
        views = self._views[window]
        if len(views) == 1 and not self._leaves_rows:  # a single chat, where every call counts
            return views[0].attend(queries, all_keys, all_values)
        outputs = (queries.new_zeros if self._leaves_rows else queries.new_empty)(queries.shape)
        for row, view in zip(self._rows, views, strict=True):
            outputs[row.queries] = view.attend(queries[row.queries], all_keys, all_values)
        return outputs

    def _view(self, row: _Seen, window: int | None) -> _View:
        num_keys, start = row.past + row.new, row.start
        if window is not None and row.new == 1:  # a mask would hide the older ones from a single token
            start += max(0, num_keys - window)
            num_keys = min(num_keys, window)
        mask = self._bias(row.past, row.new, window, num_keys)
        return _View(
            size=(1, self._family.num_kv_heads, num_keys, self._head_dim),
            stride=(0, self._head_dim, self._token_size, 1),
            offset=start * self._token_size,
            mask=mask,
            is_causal=mask is None and row.new > 1,
            scale=self._scale,
            is_grouped=self._is_grouped,
        )


@dataclass(frozen=True)
class _View:
    """The keys, or values, of one row in those of a block, [1, kv_heads, keys, head_dim], and how they are attended to.

    In numbers, because one call for a view takes a third of the time of slicing, transposing and unsqueezing.
    """

    size: tuple[int, int, int, int]
    stride: tuple[int, int, int, int]
    offset: int
    mask: torch.Tensor | None
    is_causal: bool
    scale: float
    is_grouped: bool

    def attend(self, queries: torch.Tensor, all_keys: torch.Tensor, all_values: torch.Tensor) -> torch.Tensor:
        """[tokens, heads, head_dim] of one row, both ways."""
        offset = self.offset + all_keys.storage_offset()
        return scaled_dot_product_attention(
            queries.transpose(0, 1)[None],
            all_keys.as_strided(self.size, self.stride, offset),
            all_values.as_strided(self.size, self.stride, offset),
            attn_mask=self.mask,
            is_causal=self.is_causal,
            scale=self.scale,
            enable_gqa=self.is_grouped,
        )[0].transpose(0, 1)


class _WholeAttention:
    """Causal attention of whole sequences of one length, without a cache; differentiable."""

    def __init__(self, span: Span, batch_size: int, num_tokens: int):
        self._family = span.family
        self._scale = span.family.attention_scale
        self._is_grouped = span.family.num_kv_heads != span.family.num_heads
        self._shape = batch_size, num_tokens
        self._bias = _Bias(span)
        self._masks: dict[int | None, torch.Tensor | None] = {}

    def __call__(self, block: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        window = self._family.window(block)
        if window not in self._masks:
            self._masks[window] = self._bias(0, self._shape[1], window, self._shape[1])
        mask = self._masks[window]
        found = scaled_dot_product_attention(
            self._by_head(queries),
            self._by_head(keys),
            self._by_head(values),
            attn_mask=mask,
            is_causal=mask is None and self._shape[1] > 1,
            scale=self._scale,
            enable_gqa=self._is_grouped,
        )
        return found.transpose(1, 2).reshape(queries.shape)

    def _by_head(self, tensor: torch.Tensor) -> torch.Tensor:
        """[batch x tokens, heads, head_dim] as [batch, heads, tokens, head_dim]."""
        return tensor.view(*self._shape, *tensor.shape[1:]).transpose(1, 2)


class _Bias:
    """What is added to attention scores: ALiBi by key position, and minus infinity where a token may not look."""

    def __init__(self, span: Span):
        self._slopes = None if span.family.alibi_slopes is None else span.family.alibi_slopes.to(span.device)
        self._dtype = span.dtype
        self._device = span.device

    def __call__(self, past: int, new: int, window: int | None, num_keys: int) -> torch.Tensor | None:
        """For `new` tokens after `past` ones and the last `num_keys` keys: [1, heads or 1, new, keys] or None.

        None says that the plain causal rule, or for one token no rule at all, is enough.
        """
        total = past + new
        if window is not None and (total <= window or new == 1):  # for one token the keys are cut instead
            window = None
        if self._slopes is None and window is None and (new == 1 or past == 0):
            return None
        keys = torch.arange(total - num_keys, total, device=self._device)
        bias = torch.zeros(1, 1, 1, num_keys, dtype=self._dtype, device=self._device)
        if self._slopes is not None:
            # Added up in float32 as transformers does, where bfloat16 would blur far positions.
            bias = (self._slopes[:, None, None] * keys).to(self._dtype)[None]
        if new > 1:
            queries = torch.arange(past, total, device=self._device)[:, None]
            hidden = keys > queries
            if window is not None:
                hidden |= keys <= queries - window
            bias = bias.expand(-1, -1, new, -1).masked_fill(hidden, float("-inf"))
        return bias
