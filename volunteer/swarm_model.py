"""Which model a swarm serves: its checkpoint, its family, and the DHT prefix under which its blocks are found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from volunteer.models.embedded import EMBEDDED_MODEL, embedded_checkpoint_folder
from volunteer.models.families import Family, read_family
from volunteer.models.store import Checkpoint, open_checkpoint
from volunteer.swarm.records import default_dht_prefix


@dataclass(frozen=True)
class SwarmModel:
    checkpoint: Checkpoint
    family: Family
    dht_prefix: str


def open_swarm_model(
    name: str, *, models_dir: Path, revision: str | None = None, dht_prefix: str | None = None
) -> SwarmModel:
    """Opens a model by Hub name, local folder, or the embedded model's name; fetches its config, not its tensors.

    Args:
        models_dir: where downloads are kept.
        dht_prefix: by default Petals' rule for the Hub name, or for the last part of a folder's path.

    Raises:
        ConfigurationError: there is no such model, or it cannot be used.
        Unavailable: the Hub cannot be reached.
    """
    if name == EMBEDDED_MODEL:
        name = str(embedded_checkpoint_folder(models_dir))
    checkpoint = open_checkpoint(name, models_dir=models_dir, revision=revision)
    family = read_family(checkpoint.folder)
    if dht_prefix is None:
        is_folder = checkpoint.revision is None
        public_name = checkpoint.folder.resolve().name if is_folder else checkpoint.model
        dht_prefix = default_dht_prefix(public_name, family.config.model_type)
    return SwarmModel(checkpoint, family, dht_prefix)
