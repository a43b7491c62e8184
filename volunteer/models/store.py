"""The model store: tensors by name, from a local folder or from the Hugging Face Hub, on this disk.

Knows files, byte ranges and safetensors headers; neither model families nor torch modules: callers say which tensor
names make up a part. A part (a block, or the ends of a model) is the unit in which tensors are kept and thrown away.
Never opens a pickle file. Torch is imported where tensors are loaded; a process that only downloads does without it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from volunteer.errors import ConfigurationError
from volunteer.models.download import (
    DEFAULT_TRANSFER,
    ByteRange,
    DownloadProgress,
    NotEnoughDisk,
    PartFile,
    PartPlan,
    ProgressMeter,
    Transfer,
    check_disk,
    disk_failures_in_words,
    feed,
    plan_part,
)
from volunteer.models.hub import AccessDenied, DownloadCancelled, HubRepository, NotOnHub, check_model_name
from volunteer.models.hub_index import Revision, Shard, open_revision, shard_names
from volunteer.models.safetensors_index import (
    INDEX_FILE,
    PREFIX_BYTES,
    BadCheckpoint,
    PickleRefused,
    TensorEntry,
    choose_layout,
    header_length,
    merge_shards,
    parse_header,
    parse_index,
)
from volunteer.models.stored_parts import note_use
from volunteer.whole_file import write_file

if TYPE_CHECKING:
    import torch

__all__ = [
    "AccessDenied",
    "BadCheckpoint",
    "Checkpoint",
    "DownloadCancelled",
    "DownloadProgress",
    "HubCheckpoint",
    "LocalCheckpoint",
    "NotEnoughDisk",
    "NotOnHub",
    "PickleRefused",
    "TensorEntry",
    "Transfer",
    "open_checkpoint",
]

logger = logging.getLogger(__name__)


class Checkpoint(ABC):
    """The tensors of one model at one revision."""

    model: str
    """Hub name or folder, as given."""
    revision: str | None
    """Full commit hash on the Hub; None for a folder."""
    folder: Path
    """Holds config.json, tokenizer files and so on."""
    tensors: Mapping[str, TensorEntry]
    """Every tensor of the checkpoint, from the headers of its files."""

    @abstractmethod
    def missing_bytes(self, parts: Mapping[str, Sequence[str]]) -> int:
        """How many bytes of these parts' tensors are still to be downloaded.

        Args:
            parts: name of each part, and the names of its tensors.
        """

    @abstractmethod
    def prepare(
        self,
        parts: Mapping[str, Sequence[str]],
        *,
        on_progress: Callable[[DownloadProgress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        """Downloads what is missing of these parts and checks it.

        Args:
            on_progress: called at most four times a second, and at the end.
            cancelled: set it to end the download soon, with `DownloadCancelled`; what has come stays on disk.

        Raises:
            Unavailable: the network or the Hub fails for longer than the retries last.
            NotEnoughDisk: the parts do not fit.
            BadCheckpoint: what came is not what the Hub's checksums say, twice.
        """

    @abstractmethod
    def load(self, part: str, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Tensors of a prepared part, on the CPU, mapped from the file: copy what must outlive it."""

    @abstractmethod
    def verify_part(self, part: str) -> bool:
        """Whether the part on disk still is what was downloaded, by reading all of it."""

    def entries(self, names: Iterable[str]) -> list[TensorEntry]:
        """Where these tensors are, each once."""
        try:
            return [self.tensors[name] for name in dict.fromkeys(names)]
        except KeyError as error:
            raise ConfigurationError(f"{self.model} does not hold the tensor {error.args[0]}.") from error


def open_checkpoint(
    model: str,
    *,
    models_dir: Path,
    revision: str | None = None,
    endpoint: str | None = None,
    transfer: Transfer = DEFAULT_TRANSFER,
) -> Checkpoint:
    """Opens a folder or, by its name, a model on the Hub: its small files are downloaded, its tensors are listed.

    Args:
        models_dir: where models from the Hub are kept.
        revision: branch, tag or commit, resolved to a commit now; the commit that was found last time serves when
            the Hub cannot be reached.
        endpoint: the Hub's address; by default HF_ENDPOINT, or the Hub itself.
    """
    if _is_folder(model):
        with disk_failures_in_words(Path(model)):
            return LocalCheckpoint(model)
    check_model_name(model)
    hub = HubRepository(model, endpoint=endpoint, retry=transfer.retry)
    with disk_failures_in_words(models_dir):
        opened = open_revision(hub, models_dir / model.replace("/", "--"), revision or "main")
    return HubCheckpoint(hub, opened, transfer)


class LocalCheckpoint(Checkpoint):
    """Safetensors files in a folder, read where they are."""

    def __init__(self, model: str):
        self.model = model
        self.revision = None
        self.folder = Path(model).expanduser()
        if not self.folder.is_dir():
            raise ConfigurationError(f"There is no folder {model}.")
        layout = choose_layout({path.name for path in self.folder.iterdir()}, model)
        weight_map = parse_index((self.folder / layout).read_bytes()) if layout == INDEX_FILE else None
        shards = {file: self._read_shard(file) for file in shard_names(weight_map)}
        self.tensors = merge_shards(shards, weight_map)

    def missing_bytes(self, parts: Mapping[str, Sequence[str]]) -> int:
        return 0

    def prepare(
        self,
        parts: Mapping[str, Sequence[str]],
        *,
        on_progress: Callable[[DownloadProgress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        entries = self.entries(name for names in parts.values() for name in names)
        for file in {entry.file for entry in entries}:
            self._read_shard(file)
        if on_progress is not None:
            total_bytes = sum(entry.num_bytes for entry in entries)
            on_progress(DownloadProgress(total_bytes, total_bytes, 0.0, 0.0))

    def load(self, part: str, names: Sequence[str]) -> dict[str, torch.Tensor]:
        by_file: dict[str, list[str]] = {}
        for entry in self.entries(names):
            by_file.setdefault(entry.file, []).append(entry.name)
        found: dict[str, torch.Tensor] = {}
        for file, names_there in by_file.items():
            found |= _load_tensors(self.folder / file, names_there)
        return {name: found[name] for name in names}

    def verify_part(self, part: str) -> bool:
        """True while the files are whole: there is no record of a folder's content to compare with."""
        try:
            for file in {entry.file for entry in self.tensors.values()}:
                self._read_shard(file)
        except BadCheckpoint:
            return False
        return True

    def _read_shard(self, file: str) -> dict[str, TensorEntry]:
        path = self.folder / file
        try:
            with path.open("rb") as stream:
                file_bytes = path.stat().st_size
                length = header_length(stream.read(PREFIX_BYTES), file, file_bytes)
                return parse_header(stream.read(length), file, file_bytes)
        except FileNotFoundError as error:
            raise BadCheckpoint(f"The weights file {path} is missing.") from error


class HubCheckpoint(Checkpoint):
    """A model on the Hub at one commit; its prepared parts lie in `folder`."""

    def __init__(self, hub: HubRepository, opened: Revision, transfer: Transfer):
        self.model = hub.model
        self.revision = opened.commit
        self.folder = opened.folder
        self.tensors = opened.tensors
        self._commit = opened.commit
        self._shards = opened.shards
        self._hub = hub
        self._transfer = transfer

    def missing_bytes(self, parts: Mapping[str, Sequence[str]]) -> int:
        plans = self._plans(parts)
        return sum(plan.data_bytes - PartFile(self.folder, part).stored_bytes(plan) for part, plan in plans.items())

    def prepare(
        self,
        parts: Mapping[str, Sequence[str]],
        *,
        on_progress: Callable[[DownloadProgress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        cancelled = cancelled or threading.Event()
        plans = self._plans(parts)
        for _ in range(2):
            stored = {part: PartFile(self.folder, part).stored_bytes(plan) for part, plan in plans.items()}
            total_bytes = sum(plan.data_bytes for plan in plans.values())
            meter = ProgressMeter(total_bytes, stored, on_progress, self._transfer.monotonic_s)
            if missing_bytes := total_bytes - sum(stored.values()):
                check_disk(self.folder, missing_bytes, self._transfer)
                meter.tell()  # what is here already was not brought now
            for part, plan in plans.items():
                self._fetch(PartFile(self.folder, part), plan, meter, cancelled)
            differing = self._differing_shards(plans, cancelled)
            if not differing:
                meter.tell()
                return
            logger.warning("%s of %s differs from the Hub's checksum; its parts are deleted", differing, self.model)
        raise BadCheckpoint(
            f"What {self.model} sends for {', '.join(differing)} does not have the checksum that the Hub gives, twice. "
            "It was deleted. Try another network or endpoint."
        )

    def load(self, part: str, names: Sequence[str]) -> dict[str, torch.Tensor]:
        path = PartFile(self.folder, part).path
        note_use(path)
        return _load_tensors(path, names)

    def verify_part(self, part: str) -> bool:
        return PartFile(self.folder, part).is_unchanged()

    def _plans(self, parts: Mapping[str, Sequence[str]]) -> dict[str, PartPlan]:
        return {part: plan_part(self.entries(names)) for part, names in parts.items()}

    def _fetch(self, file: PartFile, plan: PartPlan, meter: ProgressMeter, cancelled: threading.Event) -> None:
        if not file.is_whole(plan):
            with file.locked(cancelled, on_wait=lambda: meter.update(file.part, file.stored_bytes(plan))):
                if not file.is_whole(plan):  # another process may have fetched it meanwhile
                    fetch = partial(self._stream, cancelled)
                    on_stored = partial(meter.update, file.part)
                    file.fill(plan, fetch, self._transfer, on_stored=on_stored, cancelled=cancelled)
        meter.update(file.part, plan.data_bytes)

    def _stream(self, cancelled: threading.Event, wanted: ByteRange) -> Iterator[bytes]:
        file_bytes = self._shards[wanted.file].num_bytes
        return self._hub.stream_range(
            self._commit, wanted.file, wanted.start, wanted.end, file_bytes=file_bytes, cancelled=cancelled
        )

    def _differing_shards(self, plans: Mapping[str, PartPlan], cancelled: threading.Event) -> list[str]:
        """Checks the files on the Hub whose every byte is on this disk now, and deletes the parts of bad ones.

        The Hub has checksums of whole files only, so a file of which some tensors are not here cannot be checked.
        """
        touched = dict.fromkeys(entry.file for plan in plans.values() for entry in plan.entries)
        candidates = [shard for file in touched if (shard := self._shards[file]).sha256]
        stored = self._stored_tensors() if candidates else {}
        differing = []
        for shard in candidates:
            if not all(name in stored and self.tensors[name].file == shard.file for name in shard.entries):
                continue
            sources = {name: stored[name] for name in shard.entries}
            parts = {path.stem: PartFile(self.folder, path.stem) for path, _ in sources.values()}
            # The checksums of the parts that were checked once: as long as they are the same, so is the outcome.
            evidence = {part: file.recorded_sha256() for part, file in sorted(parts.items())}
            record = self.folder / f"{shard.file}.verified.json"
            if record.exists() and record.read_bytes() == json.dumps(evidence).encode():
                continue
            if self._sha256_of(shard, sources, cancelled) == shard.sha256:
                write_file(record, json.dumps(evidence).encode())
                continue
            differing.append(shard.file)
            for file in parts.values():
                file.delete()
        return differing

    def _stored_tensors(self) -> dict[str, tuple[Path, TensorEntry]]:
        """Where on this disk each tensor of a whole part is."""
        stored = {}
        for checksum in sorted(self.folder.glob("*.safetensors.sha256")):
            path = checksum.with_suffix("")
            try:
                with path.open("rb") as file:
                    file_bytes = path.stat().st_size
                    header = file.read(header_length(file.read(PREFIX_BYTES), path.name, file_bytes))
                    entries = parse_header(header, path.name, file_bytes)
            except (BadCheckpoint, FileNotFoundError):
                continue  # damaged, or deleted by another process: no use to anyone, and no harm to other parts
            for name, entry in entries.items():
                wanted = self.tensors.get(name)
                if wanted and (wanted.dtype, wanted.shape) == (entry.dtype, entry.shape):
                    stored[name] = path, entry
        return stored

    def _sha256_of(
        self, shard: Shard, sources: Mapping[str, tuple[Path, TensorEntry]], cancelled: threading.Event
    ) -> str:
        digest = hashlib.sha256(len(shard.header).to_bytes(PREFIX_BYTES, "little") + shard.header)
        for name in shard.entries:  # in the order of the file
            path, entry = sources[name]
            with path.open("rb") as file:
                file.seek(entry.offset)
                feed(digest, file, entry.num_bytes, cancelled)
        return digest.hexdigest()


def _is_folder(model: str) -> bool:
    looks_like_a_path = re.match(r"[./~\\]|[A-Za-z]:", model) is not None
    return looks_like_a_path or (model != "" and Path(model).is_dir())


def _load_tensors(path: Path, names: Iterable[str]) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise BadCheckpoint(f"{path} is missing: prepare the model again.") from error
    except SafetensorError as error:
        raise BadCheckpoint(f"{path} cannot be read: {error}.") from error
