"""The route of an answer as stops in words, and what the answer took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from gui import words
from gui.viewmodels.chat_values import Figures, Hop

_MOST_NAME = 18

translate = QCoreApplication.translate


@dataclass(frozen=True)
class Stop:
    """One server on the way.

    Attributes:
        blocks: "0–14", the last one named.
        detail: which server it is.
    """

    name: str
    blocks: str
    is_own: bool
    detail: str


def stops(route: Sequence[Hop], own_peer_id: str | None, names: Mapping[str, str]) -> tuple[Stop, ...]:
    """The servers in the order in which a token comes to them; those without a public name are called by letters."""
    return tuple(_stop(number, hop, own_peer_id, names) for number, hop in enumerate(route))


def _stop(number: int, hop: Hop, own_peer_id: str | None, names: Mapping[str, str]) -> Stop:
    blocks = str(hop.start) if hop.end - hop.start == 1 else f"{hop.start}–{hop.end - 1}"
    spoken = words.blocks(hop.start, hop.end)
    if hop.peer_id == own_peer_id:
        here = translate("RouteStrip", "you're here")
        return Stop(here, blocks, True, translate("RouteStrip", "This computer: {blocks}").format(blocks=spoken))
    name = names.get(hop.peer_id, "")
    shown = f"{name[: _MOST_NAME - 1]}…" if len(name) > _MOST_NAME else name
    detail = translate("RouteStrip", "{name}: {blocks}").format(name=name or hop.peer_id, blocks=spoken)
    if name:
        detail += f"\n{hop.peer_id}"
    return Stop(shown or _letters(number), blocks, False, detail)


def _letters(number: int) -> str:
    """A, B, … Z, AA, AB, …: routes through a large model can have more hops than there are letters."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def figures_in_words(figures: Figures) -> tuple[str, ...]:
    """What is known of an answer's speed and cost, each in two or three words."""
    found = []
    if figures.tokens_per_s:
        found.append(words.tokens_per_s(figures.tokens_per_s))
    if figures.first_token_s is not None:
        first = words.duration(round(figures.first_token_s, 1))
        found.append(translate("RouteStrip", "first token {duration}").format(duration=first))
    if figures.tokens:
        found.append(_tokens(figures.tokens))
    if figures.spent_points:
        points = words.short_number(figures.spent_points)
        found.append(translate("RouteStrip", "{number} points spent").format(number=points))
    return tuple(found)


def _tokens(number: int) -> str:
    if number == 1:
        return translate("RouteStrip", "1 token")
    return translate("RouteStrip", "{number} tokens").format(number=words.count(number))


def in_one_line(route: Sequence[Stop], figures: Figures) -> str:
    """All of it as one sentence, for those who hear it and for a tooltip."""
    you = translate("RouteStrip", "You")
    way = " → ".join([you, *(f"{stop.name} {stop.blocks}" for stop in route)]) if route else ""
    return " · ".join(filter(None, (way, *figures_in_words(figures))))
