"""Routes in words."""

from __future__ import annotations

from gui.viewmodels.chat_values import Figures, Hop
from gui.viewmodels.route_words import figures_in_words, in_one_line, stops

ROUTE = (Hop("QmA", 0, 15), Hop("QmOwn", 15, 23), Hop("QmC", 23, 24))


def test_servers_are_letters_and_we_are_here() -> None:
    way = stops(ROUTE, "QmOwn", {})
    assert [(stop.name, stop.blocks, stop.is_own) for stop in way] == [
        ("A", "0–14", False),
        ("you're here", "15–22", True),
        ("C", "23", False),
    ]
    figures = Figures(214, 9.4, 0.8, ROUTE, 1240.0)
    line = in_one_line(way, figures)
    assert line.startswith("You → A 0–14 → you're here 15–22 → C 23 · 9.4 tokens/s · first token 0.8")
    assert line.endswith("214 tokens · 1,240 points spent")


def test_public_names_are_used_and_cut() -> None:
    first, _, last = stops(ROUTE, None, {"QmA": "Anna", "QmC": "A machine with a very long name"})
    assert first.name == "Anna" and "QmA" in first.detail
    assert len(last.name) == 18 and last.name.endswith("…")


def test_the_twenty_seventh_hop_has_a_name_too() -> None:
    way = stops(tuple(Hop(f"Qm{number}", number, number + 1) for number in range(28)), None, {})
    assert [stop.name for stop in way[25:]] == ["Z", "AA", "AB"]


def test_what_is_not_known_is_not_said() -> None:
    assert figures_in_words(Figures()) == ()
    assert in_one_line((), Figures()) == ""
