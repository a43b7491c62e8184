"""Which rows there are and how high each is: the message list without its widgets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter

from gui.viewmodels.open_conversation import OpenConversation
from gui.widgets.chat.row_heights import Place, RowHeights
from gui.widgets.chat.rows import MessageRows, Row, changed_span, height_guess

_message_id = attrgetter("message_id")
_LATEST = 2
"""A question and its answer: what is said of the last ones is shown without being asked for."""


class MessageTable:
    """
    Attributes:
        characters_per_line, line_px: for guesses of heights that were not measured.
    """

    def __init__(self, talk: OpenConversation):
        self._talk = talk
        self._maker = MessageRows()
        self._counts: list[int] = []
        """Rows of each message."""
        self.rows: list[Row] = []
        self.heights = RowHeights()
        self.characters_per_line = 90
        self.line_px = 20.0

    def first_row(self, index: int) -> int:
        """Of the message with this index."""
        return sum(self._counts[:index])

    def find(self, row: Row) -> int | None:
        """Where a row is that was there before; another of its message if it is not."""
        # A message is younger than what it replies to: the ids ascend, also where an earlier version is shown.
        first = bisect_left(self.rows, row.message_id, key=_message_id)
        end = bisect_right(self.rows, row.message_id, first, key=_message_id)
        if first == end:
            return None
        return next((i for i in range(first, end) if self.rows[i].key == row.key), first)

    def reset(self) -> None:
        self._maker.clear()
        self.rows, self._counts, self.heights = [], [], RowHeights()
        self._read(0, len(self._talk.messages), 0)

    def put_earlier(self, number: int) -> int:
        """So many messages are new at the beginning; returns how many rows that are."""
        self._read(0, number, 0)
        return sum(self._counts[:number])

    def change_end(self, index: int) -> None:
        """The messages from `index` on are other ones, and those before them are not the latest any more."""
        first = max(0, index - _LATEST)
        self._read(first, len(self._talk.messages), len(self._counts) - first)

    def change(self, index: int) -> None:
        self._read(index, index + 1, 1)

    def place_of(self, place: Place, row: Row) -> Place:
        """The same place after a change, where `row` was at it before."""
        found = self.find(row)
        if found is None:
            return Place(max(0, len(self.rows) - 1), 0.0)
        return Place(found, place.offset)

    def _read(self, start: int, end: int, replaced: int) -> None:
        """Makes the rows of messages start:end anew, in the place of so many messages that begin at `start`."""
        counts: list[int] = []
        new: list[Row] = []
        for index in range(start, end):
            rows = self._rows_of(index)
            counts.append(len(rows))
            new += rows
        first = self.first_row(start)
        last = first + sum(self._counts[start : start + replaced])
        same_before, same_after = changed_span(self.rows[first:last], new)
        changed = new[same_before : len(new) - same_after]
        known = {row.key: self.heights[first + i] for i, row in enumerate(self.rows[first:last])}
        heights = [known.get(row.key) or self._guess(row) for row in changed]
        self.heights.splice(first + same_before, last - same_after, heights)
        self.rows[first:last] = new
        self._counts[start : start + replaced] = counts

    def _rows_of(self, index: int) -> tuple[Row, ...]:
        messages = self._talk.messages
        message = messages[index]
        notices = self._talk.notices(message.id) if message.is_growing else ()
        return self._maker.rows(message, notices, is_last=index >= len(messages) - _LATEST)

    def _guess(self, row: Row) -> float:
        return height_guess(row, characters_per_line=self.characters_per_line, line_px=self.line_px)
