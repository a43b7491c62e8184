"""Room for the keys and values of sessions: pages of one pool, which session holds which, and the tensors behind them.

A row of a session holds consecutive pages, so that attention reads its keys and values as one view, without gathering
them first; a row that cannot grow where it lies is moved. (vLLM's PagedAttention, Kwon et al., arXiv 2309.06180, lets
pages lie anywhere, which takes a kernel of its own.) `PageTable` and `SessionCache` are arithmetic and belong to the
event loop; `KVPool` holds the tensors and is touched by the compute thread alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

PAGE_TOKENS = 32
"""Tokens of one row in a page, in all blocks of the span. Half a page is lost per row on average; smaller pages would
make rows move more often."""


class KVRoomFull(Exception):
    """There are not as many free pages as were asked for."""


@dataclass(eq=False)
class Row:
    """The pages `first_page:first_page + num_pages`, which hold the tokens of one sequence."""

    first_page: int = 0
    num_pages: int = 0

    @property
    def start(self) -> int:
        """Where its first token lies in the pool, in tokens."""
        return self.first_page * PAGE_TOKENS

    @property
    def end_page(self) -> int:
        return self.first_page + self.num_pages


@dataclass(frozen=True)
class Move:
    """Tokens `source:source + tokens` of the pool are to be at `target`."""

    source: int
    target: int
    tokens: int


class PageTable:
    """Which pages are whose.

    Args:
        num_pages: of the pool.
    """

    def __init__(self, num_pages: int):
        self.num_pages = num_pages
        self.free_pages = num_pages
        self._rows: list[Row] = []  # those with pages, in the order in which they lie

    def grow(self, row: Row, num_tokens: int) -> list[Move]:
        """Gives `row` the pages that `num_tokens` tokens need, if it has fewer.

        Returns:
            What has to be moved, in this order, before the row is written to.

        Raises:
            KVRoomFull: there are too few free pages; nothing has changed.
        """
        needed = pages_of(num_tokens)
        extra = needed - row.num_pages
        if extra <= 0:
            return []
        if extra > self.free_pages:
            raise KVRoomFull(f"{extra} pages of KV room needed, {self.free_pages} are free")
        self.free_pages -= extra
        if row.num_pages and self._gap_after(row) >= extra:
            row.num_pages = needed
            return []
        gap_start, gap_pages = self._largest_gap()
        if gap_pages < needed:
            return self._pack(row, needed)
        # In the middle of the gap: both neighbours keep room to grow where they lie.
        target = gap_start + ((gap_pages - needed) // 2 if gap_start else 0)
        moves = [_move(row, target)] if row.num_pages else []
        if row.num_pages:
            self._rows.remove(row)
        row.first_page, row.num_pages = target, needed
        self._insert(row)
        return moves

    def release(self, row: Row) -> None:
        """Takes all pages of `row` back."""
        if row.num_pages:
            self._rows.remove(row)
            self.free_pages += row.num_pages
            row.num_pages = 0

    def _insert(self, row: Row) -> None:
        at = next((at for at, other in enumerate(self._rows) if other.first_page > row.first_page), len(self._rows))
        self._rows.insert(at, row)

    def _gap_after(self, row: Row) -> int:
        at = self._rows.index(row)
        end = self._rows[at + 1].first_page if at + 1 < len(self._rows) else self.num_pages
        return end - row.end_page

    def _largest_gap(self) -> tuple[int, int]:
        """Where the largest run of free pages begins, and how long it is."""
        best, position = (0, 0), 0
        for first_page, end_page in [*((row.first_page, row.end_page) for row in self._rows), (self.num_pages, 0)]:
            if first_page - position > best[1]:
                best = position, first_page - position
            position = end_page
        return best

    def _pack(self, grown: Row, needed: int) -> list[Move]:
        """Lays all rows anew in their order, `grown` with its new size, and shares the free pages out between them."""
        if not grown.num_pages:
            self._rows.append(grown)
        sizes = [needed if row is grown else row.num_pages for row in self._rows]
        slack = self.free_pages // len(self._rows)
        left: list[Move] = []
        right: list[Move] = []
        position = 0
        for row, size in zip(self._rows, sizes, strict=True):
            if row.num_pages and position != row.first_page:
                (left if position < row.first_page else right).append(_move(row, position))
            row.first_page, row.num_pages = position, size
            position += size + slack
        # As the rows keep their order, none is overwritten before it is moved: those that go to the left from left to
        # right, and after them those that go to the right from right to left.
        return left + right[::-1]


def _move(row: Row, first_page: int) -> Move:
    return Move(row.start, first_page * PAGE_TOKENS, row.num_pages * PAGE_TOKENS)


def pages_of(num_tokens: int) -> int:
    """How many pages so many tokens of one row need."""
    return -(-num_tokens // PAGE_TOKENS)


class KVPool:
    """Keys and values of all pages in all blocks of a span.

    The whole of it is allocated at once: on a GPU that claims the memory; on a processor the system gives it page by
    page as it is written, so that room which nobody uses costs nothing.

    Args:
        num_blocks: of the span.
        num_pages: of `PAGE_TOKENS` tokens each.
    """

    def __init__(
        self,
        *,
        num_blocks: int,
        num_pages: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ):
        self.num_blocks = num_blocks
        self.num_pages = num_pages
        shape = (num_blocks, num_pages * PAGE_TOKENS, num_kv_heads, head_dim)
        keys, values = (torch.empty(shape, dtype=dtype, device=device) for _ in range(2))
        self.keys = tuple(keys)
        """Of each block, [tokens, kv_heads, head_dim]."""
        self.values = tuple(values)

    def move(self, moves: Sequence[Move]) -> None:
        """Carries out what `PageTable.grow` returned, one after another."""
        for buffer in (*self.keys, *self.values):
            for move in moves:
                source = buffer[move.source : move.source + move.tokens]
                if abs(move.source - move.target) < move.tokens:
                    source = source.clone()
                buffer[move.target : move.target + move.tokens] = source

    def reorder(self, starts: Sequence[int], sources: Sequence[int], num_tokens: int) -> None:
        """The row at `starts[i]` becomes what the row at `starts[sources[i]]` is, for its first `num_tokens` tokens."""
        changed = [target for target, source in enumerate(sources) if source != target]
        for buffer in (*self.keys, *self.values):
            copies = [buffer[starts[sources[target]] :][:num_tokens].clone() for target in changed]
            for target, copy in zip(changed, copies, strict=True):
                buffer[starts[target] :][:num_tokens] = copy


class SessionCache:
    """What the server keeps of one session: its rows, how long they are, and what the client said of them.

    Args:
        start: of the blocks that the session uses; `end` excluded.
        max_length: in tokens, padding included.
        left_padding: how many of the first positions of each row are padding; None when none are.
    """

    def __init__(
        self,
        *,
        start: int,
        end: int,
        batch_size: int,
        max_length: int,
        left_padding: tuple[int, ...] | None = None,
    ):
        self.start = start
        self.end = end
        self.max_length = max_length
        self.length = 0
        self.left_padding = left_padding
        self.rows = tuple(Row() for _ in range(batch_size))

    @property
    def num_pages(self) -> int:
        return sum(row.num_pages for row in self.rows)

    def pages_missing(self, length: int) -> int:
        """How many pages more the session needs to hold `length` tokens in each row."""
        return sum(max(0, pages_of(length) - row.num_pages) for row in self.rows)

    def check(self, start_from_position: int | None, num_new_tokens: int) -> None:
        """Raises ValueError when a step would go back beyond the session's end, or grow beyond its maximum."""
        length = self.length
        if start_from_position is not None:
            if not 0 <= start_from_position <= length:
                raise ValueError(f"cannot go back to position {start_from_position}: the session holds {length} tokens")
            length = start_from_position
        if length + num_new_tokens > self.max_length:
            raise ValueError(
                f"Maximum length exceeded: {length} tokens in the cache and {num_new_tokens} new ones, "
                f"the session asked for {self.max_length}"
            )

    def reorder(self, rows: Sequence[int]) -> None:
        """Row i has the padding of row `rows[i]` from now on; `KVPool.reorder` does the same to keys and values."""
        if self.left_padding is not None:
            self.left_padding = tuple(self.left_padding[row] for row in rows)
