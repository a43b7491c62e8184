"""The choices by which an answer is sampled: what each may be, and what it is unless chosen.

They are the worker's own (`volunteer.client.sampling`, `volunteer.chat_service`), which cannot be read without torch;
a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QCoreApplication

from volunteer.model_cards import model_cards
from volunteer.settings import model_name

translate = QCoreApplication.translate


@dataclass(frozen=True)
class SamplingField:
    """A number.

    Attributes:
        name: as the worker calls it.
        default: None where the worker chooses.
        decimals: 0 for whole numbers.
    """

    name: str
    default: float | None
    least: float
    most: float
    step: float
    decimals: int

    def read(self, sampling: Mapping[str, Any]) -> float | None:
        value = sampling.get(self.name)
        return self.default if not isinstance(value, int | float) else value

    def written(self, sampling: Mapping[str, Any], value: float | None) -> dict[str, Any]:
        """`sampling` with this value; what is as it would be anyway is left out."""
        rest = {name: each for name, each in sampling.items() if name != self.name}
        if value is None or value == self.default:
            return rest
        return rest | {self.name: value if self.decimals else int(value)}


MOST_NEW_TOKENS = 8192
MOST_SEED = 2**63 - 1

# The ranges of a form are narrower where the worker takes more than anybody would choose.
TEMPERATURE = SamplingField("temperature", 0.7, 0, 2, 0.1, 2)
TOP_P = SamplingField("top_p", 0.95, 0.05, 1, 0.05, 2)
TOP_K = SamplingField("top_k", 0, 0, 1000, 10, 0)
REPETITION_PENALTY = SamplingField("repetition_penalty", 1.0, 0.5, 2, 0.05, 2)
MAX_NEW_TOKENS = SamplingField("max_new_tokens", 256, 1, MOST_NEW_TOKENS, 64, 0)
SEED = SamplingField("seed", None, 0, MOST_SEED, 1, 0)
POINTS = SamplingField("points", None, 1, 10, 0.5, 1)

FIELDS = (TEMPERATURE, TOP_P, TOP_K, REPETITION_PENALTY, MAX_NEW_TOKENS, SEED, POINTS)


def label(field: SamplingField) -> str:
    """What it is called in the window."""
    match field.name:
        case "temperature":
            return translate("SamplingFields", "Temperature")
        case "top_p":
            return translate("SamplingFields", "Top-p")
        case "top_k":
            return translate("SamplingFields", "Top-k")
        case "repetition_penalty":
            return translate("SamplingFields", "Repetition penalty")
        case "max_new_tokens":
            return translate("SamplingFields", "Longest answer")
        case "seed":
            return translate("SamplingFields", "Seed")
        case _:
            return translate("SamplingFields", "Points offered")


def explanation(field: SamplingField) -> str:
    """What it does, in a sentence."""
    match field.name:
        case "temperature":
            return translate("SamplingFields", "Higher is more surprising; 0 always takes the likeliest word.")
        case "top_p":
            return translate("SamplingFields", "Only the likeliest words that together have this share are drawn from.")
        case "top_k":
            return translate("SamplingFields", "Only so many of the likeliest words are drawn from; 0 for all.")
        case "repetition_penalty":
            return translate("SamplingFields", "Above 1, words that were used already become less likely.")
        case "max_new_tokens":
            return translate("SamplingFields", "In tokens: a token is about three quarters of a word.")
        case "seed":
            return translate("SamplingFields", "The same seed gives the same answer again.")
        case _:
            return translate("SamplingFields", "For each point of other servers' work, to go before others.")


def usual_sampling(model: str) -> dict[str, Any]:
    """With what a chat with a model begins, where that is not as for others."""
    for card in model_cards():
        if card.hub_name.lower() == model_name(model).lower() and card.temperature is not None:
            return TEMPERATURE.written({}, card.temperature)
    return {}


def chosen_peers(sampling: Mapping[str, Any]) -> tuple[str, ...]:
    """The only servers to be asked; none for all."""
    peers = sampling.get("peers")
    return tuple(str(each) for each in peers) if isinstance(peers, list | tuple) else ()


def with_peers(sampling: Mapping[str, Any], peers: tuple[str, ...]) -> dict[str, Any]:
    rest = {name: each for name, each in sampling.items() if name != "peers"}
    return rest | {"peers": list(peers)} if peers else rest
