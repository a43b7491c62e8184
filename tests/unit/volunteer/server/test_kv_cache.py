import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from volunteer.server.kv_cache import PAGE_TOKENS, KVPool, KVRoomFull, Move, PageTable, Row, SessionCache, pages_of


def layout(*rows: Row) -> list[tuple[int, int]]:
    return [(row.first_page, row.num_pages) for row in rows]


@pytest.mark.parametrize(("tokens", "pages"), [(0, 0), (1, 1), (PAGE_TOKENS, 1), (PAGE_TOKENS + 1, 2)])
def test_a_page_begun_is_a_page_taken(tokens: int, pages: int) -> None:
    assert pages_of(tokens) == pages


def test_a_row_pays_for_the_tokens_that_it_has() -> None:
    table, row = PageTable(100), Row()
    assert table.grow(row, 300) == []
    assert table.free_pages == 90
    assert table.grow(row, 320) == [] and table.free_pages == 90
    table.grow(row, 321)
    assert table.free_pages == 89
    table.release(row)
    assert table.free_pages == 100 and row.num_pages == 0


def test_rows_that_grow_side_by_side_stay_where_they_are_while_there_is_room() -> None:
    table, rows = PageTable(64), [Row() for _ in range(4)]
    for length in range(1, 8 * PAGE_TOKENS, PAGE_TOKENS):
        for row in rows:
            assert table.grow(row, length) == []


def test_a_row_without_room_behind_it_moves_to_where_there_is_some() -> None:
    table, first, second = PageTable(10), Row(), Row()
    table.grow(first, 4 * PAGE_TOKENS)
    table.grow(second, PAGE_TOKENS)
    assert layout(first, second) == [(0, 4), (6, 1)]
    table.release(first)
    # Six pages are free before it and three behind it.
    (move,) = table.grow(second, 6 * PAGE_TOKENS)
    assert move == Move(6 * PAGE_TOKENS, 0, PAGE_TOKENS)
    assert layout(second) == [(0, 6)]


def test_scattered_free_pages_are_brought_together() -> None:
    table, rows = PageTable(6), [Row() for _ in range(6)]
    for row in rows:
        table.grow(row, 1)
    by_place = sorted(rows, key=lambda row: row.first_page)
    for row in by_place[::2]:
        table.release(row)
    assert table.free_pages == 3
    new = Row()
    moves = table.grow(new, 3 * PAGE_TOKENS)
    assert moves and table.free_pages == 0
    assert sorted(page for row in (*by_place[1::2], new) for page in range(row.first_page, row.end_page)) == [*range(6)]


def test_too_much_is_refused_and_changes_nothing() -> None:
    table, first, second = PageTable(4), Row(), Row()
    table.grow(first, 2 * PAGE_TOKENS)
    before = layout(first)
    with pytest.raises(KVRoomFull, match="3 pages of KV room needed, 2 are free"):
        table.grow(second, 3 * PAGE_TOKENS)
    with pytest.raises(KVRoomFull):
        table.grow(first, 5 * PAGE_TOKENS)
    assert layout(first) == before and second.num_pages == 0 and table.free_pages == 2


@given(
    st.lists(st.tuples(st.integers(0, 4), st.one_of(st.none(), st.integers(1, 5 * PAGE_TOKENS))), max_size=40),
)
def test_whatever_grows_and_goes_each_row_finds_its_tokens_again(changes: list[tuple[int, int | None]]) -> None:
    """A row's content follows it through every move, and nobody else's pages are touched."""
    table, rows = PageTable(12), [Row() for _ in range(5)]
    pool = KVPool(
        num_blocks=2, num_pages=12, num_kv_heads=1, head_dim=2, dtype=torch.float32, device=torch.device("cpu")
    )
    written: dict[Row, torch.Tensor] = {}
    for stamp, (number, tokens) in enumerate(changes):
        row = rows[number]
        if tokens is None:
            table.release(row)
            written.pop(row, None)
            continue
        before = table.free_pages + row.num_pages
        try:
            moves = table.grow(row, tokens)
        except KVRoomFull:
            assert pages_of(tokens) > before
            continue
        pool.move(moves)
        length = max(tokens, len(written.get(row, ())))
        content = torch.full((length, 1, 2), float(stamp))
        content[: len(written.get(row, ()))] = written.get(row, torch.empty(0, 1, 2))
        for buffer in (*pool.keys, *pool.values):
            buffer[row.start : row.start + length] = content
        written[row] = content
        for other, expected in written.items():
            for buffer in (*pool.keys, *pool.values):
                assert torch.equal(buffer[other.start : other.start + len(expected)], expected)
    held = [page for row in rows for page in range(row.first_page, row.end_page)]
    assert len(held) == len(set(held)) == 12 - table.free_pages
    assert all(0 <= page < 12 for page in held)


def test_rows_are_reordered_at_once() -> None:
    pool = KVPool(
        num_blocks=1, num_pages=3, num_kv_heads=1, head_dim=1, dtype=torch.float32, device=torch.device("cpu")
    )
    starts = [0, PAGE_TOKENS, 2 * PAGE_TOKENS]
    for buffer in (*pool.keys, *pool.values):
        buffer.zero_()
        for row, start in enumerate(starts):
            buffer[start : start + 4] = row + 1
    pool.reorder(starts, [2, 0, 0], 3)
    for buffer in (*pool.keys, *pool.values):
        assert [buffer[start : start + 4].flatten().tolist() for start in starts] == [
            [3, 3, 3, 1],
            [1, 1, 1, 2],
            [1, 1, 1, 3],
        ]


def session(**options: object) -> SessionCache:
    fields: dict[str, object] = {"start": 0, "end": 2, "batch_size": 2, "max_length": 100}
    return SessionCache(**(fields | options))  # type: ignore[arg-type]


def test_a_session_says_how_many_pages_it_lacks() -> None:
    cache, table = session(), PageTable(10)
    assert cache.pages_missing(0) == 0
    assert cache.pages_missing(PAGE_TOKENS + 1) == 4
    table.grow(cache.rows[0], PAGE_TOKENS)
    assert cache.pages_missing(PAGE_TOKENS + 1) == 3 and cache.num_pages == 1


def test_a_step_may_go_back_but_not_forth_and_not_beyond_the_maximum() -> None:
    cache = session()
    cache.length = 60
    cache.check(None, 40)
    cache.check(0, 100)
    cache.check(60, 0)
    with pytest.raises(ValueError, match="Maximum length exceeded: 60 tokens in the cache and 41 new ones"):
        cache.check(None, 41)
    with pytest.raises(ValueError, match="Maximum length exceeded"):
        cache.check(10, 91)
    for position in (61, -1):
        with pytest.raises(ValueError, match=f"cannot go back to position {position}"):
            cache.check(position, 1)


def test_padding_goes_with_its_row() -> None:
    cache = session(left_padding=(3, 0))
    cache.reorder([1, 1])
    assert cache.left_padding == (0, 0)
    plain = session()
    plain.reorder([1, 0])
    assert plain.left_padding is None
