"""Stop strings are exact however the text comes, and nothing of one is ever let out."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel
from tokenizers.models import BPE

from volunteer.client.logprobs import ScoredToken
from volunteer.client.text_stream import Piece, StopStrings, TextStream


def cut(text: str, stops: list[str]) -> str:
    """The definition, character by character: before the first to be complete, and of those the longest."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))]
    return text


pieces_of_text = st.lists(st.text("abc", max_size=4), max_size=10)
some_stops = st.lists(st.text("abc", min_size=1, max_size=4), max_size=4)


@given(pieces_of_text, some_stops)
def test_text_ends_before_the_first_complete_string_whatever_its_pieces(pieces: list[str], stops: list[str]) -> None:
    stop = StopStrings(stops)
    found = "".join([stop.add(piece) for piece in pieces] + [stop.end()])
    assert found == cut("".join(pieces), stops)
    assert stop.is_complete == (found != "".join(pieces))


@given(pieces_of_text, some_stops)
def test_nothing_is_let_out_that_may_yet_belong_to_a_string(pieces: list[str], stops: list[str]) -> None:
    stop = StopStrings(stops)
    out, came = "", ""
    for piece in pieces:
        out, came = out + stop.add(piece), came + piece
        for future in (*stops, *("".join(pair) for pair in itertools.product(stops, repeat=2))):
            assert cut(came + future, stops).startswith(out)


@given(pieces_of_text, some_stops)
def test_nothing_is_held_back_without_need(pieces: list[str], stops: list[str]) -> None:
    stop = StopStrings(stops)
    out, came = "", ""
    for piece in pieces:
        out, came = out + stop.add(piece), came + piece
        if stop.is_complete:
            break
        held = came[len(out) :]
        assert held == "" or any(each.startswith(held) for each in stops)


def test_an_empty_string_is_refused() -> None:
    with pytest.raises(ValueError):
        StopStrings(["a", ""])


class _Tokenizer:
    """Of five tokens: "a", "b", "c", and the two bytes of "é"."""

    def __init__(self) -> None:
        vocabulary = {"a": 0, "b": 1, "c": 2, "Ã": 3, "©": 4}
        self.backend_tokenizer = Tokenizer(BPE(vocabulary, []))
        self.backend_tokenizer.decoder = ByteLevel()  # type: ignore[assignment]


class _Recorder:
    """Finds every token as likely as its position says."""

    def take(self, position: int, token_id: int) -> ScoredToken:
        return ScoredToken(token_id, b"", -float(position))


def stream_of(passes: list[list[int]], *stop: str) -> tuple[TextStream, list[Piece]]:
    pieces: list[Piece] = []
    recorder: Any = _Recorder()
    stream = TextStream(_Tokenizer(), prompt_tokens=10, stop=stop, recorder=recorder, on_piece=pieces.append)
    stream.put(torch.tensor([[1, 2]]))  # the prompt
    for token_ids in passes:
        stream.put(torch.tensor(token_ids))
    stream.end()
    return stream, pieces


def test_characters_come_whole_and_their_tokens_with_them() -> None:
    stream, pieces = stream_of([[0], [3], [4], [1]])
    assert [piece.text for piece in pieces if piece.text] == ["a", "é", "b"]
    assert [token.logprob for piece in pieces for token in piece.tokens] == [-10, -11, -12, -13]
    assert stream.text == "aéb"


def test_tokens_of_text_that_is_held_back_are_held_back_too() -> None:
    _, pieces = stream_of([[0], [1], [0], [2]], "bc")
    assert [(piece.text, [token.id for token in piece.tokens]) for piece in pieces] == [
        ("a", [0]),
        ("ba", [1, 0]),
        ("c", [2]),
    ]


def test_tokens_of_a_stop_string_are_counted_and_not_handed_on() -> None:
    stream, pieces = stream_of([[0], [1], [2]], "bc")
    assert stream.is_stopped and stream.text == "a"
    assert stream.token_ids == [0, 1, 2]
    assert [token.id for piece in pieces for token in piece.tokens] == [0]


def test_drafts_beyond_a_stop_string_are_dropped() -> None:
    stream, _ = stream_of([[0, 1, 2, 0, 0]], "bc")
    assert stream.text == "a" and stream.token_ids == [0, 1, 2]


def test_text_that_was_held_back_for_nothing_comes_at_the_end() -> None:
    stream, pieces = stream_of([[0], [1]], "bc")
    assert stream.text == "ab" and not stream.is_stopped
    assert [token.id for piece in pieces for token in piece.tokens] == [0, 1]
