"""Which parts of models lie on this disk, which are used least, and which go when their owner's room is used up."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from volunteer.models.download import NotEnoughDisk, PartFile
from volunteer.models.hub import is_commit

_SUFFIX = ".safetensors"
_PARTIAL = ".safetensors.partial"


@dataclass(frozen=True)
class StoredPart:
    """One downloaded part, or a piece of one."""

    folder: Path
    part: str
    num_bytes: int
    used_s: float
    """Since the epoch: when it was loaded last, or written."""
    is_whole: bool

    @property
    def model(self) -> str:
        """As on the Hub."""
        return self.folder.parent.name.replace("--", "/", 1)

    @property
    def file(self) -> PartFile:
        return PartFile(self.folder, self.part)


def stored_parts(models_dir: Path) -> list[StoredPart]:
    """All parts that came from the Hub, by model and name."""
    return sorted(_parts(models_dir), key=lambda each: (each.model, str(each.folder), _natural(each.part)))


def _parts(models_dir: Path) -> Iterator[StoredPart]:
    for path in models_dir.glob(f"*/*/*{_SUFFIX}*"):
        suffix = next((each for each in (_PARTIAL, _SUFFIX) if path.name.endswith(each)), None)
        if suffix is None or not is_commit(path.parent.name):
            continue
        name = path.name.removesuffix(suffix)
        with contextlib.suppress(OSError, ValueError):  # deleted meanwhile, or the name is none of ours
            PartFile(path.parent, name)
            found = path.stat()
            yield StoredPart(path.parent, name, found.st_size, found.st_mtime, suffix == _SUFFIX)


def _natural(part: str) -> tuple[str, int]:
    """block-2 before block-10."""
    name = part.rstrip("0123456789")
    return name, int(part[len(name) :] or -1)


def parts_to_evict(
    stored: Sequence[StoredPart], *, kept: Collection[tuple[Path, str]], quota_bytes: int, needed_bytes: int
) -> list[StoredPart]:
    """Those that must go, the longest unused first, so that `needed_bytes` more fit into the quota.

    Args:
        kept: folder and name of the parts that are wanted now.

    Raises:
        NotEnoughDisk: what is kept and needed is more than the quota.
    """
    held = sum(part.num_bytes for part in stored if (part.folder, part.part) in kept)
    if held + needed_bytes > quota_bytes:
        raise NotEnoughDisk(
            f"The blocks take {(held + needed_bytes) / 1e9:.1f} GB, and you allow {quota_bytes / 1e9:.1f} GB of disk. "
            "Serve fewer blocks, or raise limits.disk_gb."
        )
    evicted = []
    used = sum(part.num_bytes for part in stored) + needed_bytes
    for part in sorted(stored, key=lambda each: each.used_s):
        if used <= quota_bytes:
            break
        if (part.folder, part.part) not in kept:
            evicted.append(part)
            used -= part.num_bytes
    return evicted


def make_room(
    models_dir: Path, folder: Path, parts: Mapping[str, Sequence[str]], *, quota_bytes: int, needed_bytes: int
) -> list[StoredPart]:
    """Deletes what `parts_to_evict` names, and returns it. `folder` holds the parts that are wanted now.

    Raises:
        NotEnoughDisk: as there.
    """
    kept = {(folder, part) for part in parts}
    evicted = parts_to_evict(stored_parts(models_dir), kept=kept, quota_bytes=quota_bytes, needed_bytes=needed_bytes)
    for part in evicted:
        part.file.delete()
    return evicted


def note_use(path: Path) -> None:
    """A part was loaded: it is among the last to go."""
    with contextlib.suppress(OSError):
        os.utime(path)
