"""Drafting tokens that the swarm then checks in one step: where they come from, and when that pays.

The swarm's model decides every token, so drafts change the speed of an answer and not its words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

from volunteer.errors import ConfigurationError
from volunteer.models.loading import ends_parts, span_parts
from volunteer.swarm.records import ServerRecord
from volunteer.swarm_model import SwarmModel


@dataclass(frozen=True)
class PromptLookup:
    """What followed the last one or two tokens when they came before, in the prompt or the answer (Saxena, 2023).

    Costs nothing to draft. It helps where text is copied (quotations, corrections, code); elsewhere most drafts are
    wrong, and the rows computed for them cost more than the lucky ones save.
    """

    num_tokens: int = 10
    """Drafted at once; transformers' own default."""

    @property
    def max_length(self) -> int | None:
        return None

    def arguments(self) -> dict[str, Any]:
        """For `generate`."""
        return {"prompt_lookup_num_tokens": self.num_tokens}


@dataclass(frozen=True)
class DraftModel:
    """A small model in this process, of the same vocabulary (Leviathan et al., arXiv 2211.17192)."""

    model: Any
    """A `transformers` model; see `load_draft`."""

    @property
    def max_length(self) -> int | None:
        """Longest sequence in tokens that it can follow; None where positions have no end."""
        return getattr(self.model.config, "max_position_embeddings", None)

    def arguments(self) -> dict[str, Any]:
        """For `generate`."""
        return {"assistant_model": self.model}


Speculation = PromptLookup | DraftModel


def speculation_pays(records_of_route: Iterable[ServerRecord]) -> bool:
    """False when the batch of any server of the route is full: drafted rows would slow other people's chats down there.

    Servers that do not say are taken to have room.
    """
    return all(record.free_rows != 0 for record in records_of_route)


def load_draft(draft: SwarmModel, target: SwarmModel) -> DraftModel:
    """All of `draft`, in float32 on the CPU, to draft for `target`; downloads what is missing.

    Raises:
        ConfigurationError: their vocabularies differ, or the model cannot be used.
        Unavailable: the Hub cannot be reached.
    """
    _check_vocabularies(draft, target)
    family, checkpoint = draft.family, draft.checkpoint
    parts = span_parts(family, checkpoint, 0, family.num_blocks) | ends_parts(family, checkpoint)
    checkpoint.prepare(parts)
    # Copies: what is loaded may be a view of a file, which must not go away or change then.
    tensors = {
        name: tensor.to(torch.float32, copy=True)
        for part, names in parts.items()
        for name, tensor in checkpoint.load(part, names).items()
    }
    config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False, local_files_only=True)
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    model = model_class.from_pretrained(None, config=config, state_dict=tensors, dtype=torch.float32)
    return DraftModel(model.eval().requires_grad_(False))


def _check_vocabularies(draft: SwarmModel, target: SwarmModel) -> None:
    sizes = [model.family.config.vocab_size for model in (draft, target)]
    vocabularies = [_vocabulary(model.checkpoint.folder) for model in (draft, target)]
    if sizes[0] != sizes[1]:
        reason = f"{sizes[0]:,} tokens and {sizes[1]:,}"
    elif None not in vocabularies and vocabularies[0] != vocabularies[1]:
        reason = "as many tokens, but not the same"
    else:
        return
    raise ConfigurationError(
        f"{draft.checkpoint.model} cannot draft for {target.checkpoint.model}: their vocabularies differ ({reason})."
    )


def _vocabulary(folder: Path) -> dict[str, int] | None:
    """Token -> id; None where the folder does not tell: the wrong one would make useless drafts, not wrong answers."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    try:
        return Tokenizer.from_file(str(file)).get_vocab()
    except Exception as error:  # what tokenizers raises has no class of its own
        raise ConfigurationError(f"The tokenizer in {folder} cannot be used: {error}") from error
