"""The models that this program recommends, a card for each in `resources/models`: their sizes without the models."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from volunteer.block_memory import DTYPE_BYTES, BlockShape
from volunteer.errors import ConfigurationError
from volunteer.resource_files import resource


@dataclass(frozen=True)
class ModelCard:
    """One model.

    Args:
        place: among the recommended ones, the first is 1.
        name: for people.
        hub_name: as `--model` takes it.
        about: what it is, in a sentence or two.
        dtype: in which its tensors are on the Hub.
        hidden: width of the hidden states.
        ends_parameters: in embeddings, final norm and head.
        is_embedded: it comes with this program.
    """

    place: int
    name: str
    hub_name: str
    about: str
    licence: str
    languages: tuple[str, ...]
    dtype: Literal["float32", "bfloat16", "float16"]
    blocks: int
    hidden: int
    ends_parameters: int
    shape: BlockShape
    is_embedded: bool = False

    @property
    def parameters(self) -> int:
        return self.blocks * self.shape.parameters + self.ends_parameters

    @property
    def block_file_bytes(self) -> int:
        """Of one block on the Hub, and on the disk."""
        return self.shape.parameters * DTYPE_BYTES[self.dtype]

    @property
    def file_bytes(self) -> int:
        """Of all of it."""
        return self.parameters * DTYPE_BYTES[self.dtype]

    @property
    def ends_file_bytes(self) -> int:
        """What whoever chats needs besides."""
        return self.ends_parameters * DTYPE_BYTES[self.dtype]


_CARD = TypeAdapter(ModelCard)


@functools.cache
def model_cards() -> tuple[ModelCard, ...]:
    """In the order in which they are recommended."""
    files = sorted(resource("models").glob("*.toml"))
    cards = (_CARD.validate_python(tomllib.loads(file.read_text(encoding="utf-8"))) for file in files)
    return tuple(sorted(cards, key=lambda card: card.place))


def model_card(hub_name: str) -> ModelCard:
    """Raises ConfigurationError: there is no card of this model."""
    for card in model_cards():
        if card.hub_name.lower() == hub_name.lower():
            return card
    known = ", ".join(card.hub_name for card in model_cards())
    raise ConfigurationError(f"How large {hub_name[:80]} is, is not known here. Known are {known}.")
