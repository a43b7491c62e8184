"""Parts on the disk, and which of them go."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from volunteer.models.download import NotEnoughDisk
from volunteer.models.stored_parts import StoredPart, make_room, note_use, parts_to_evict, stored_parts

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FOLDER = Path("/models/a--b") / COMMIT


def part(name: str, num_bytes: int, used_s: float) -> StoredPart:
    return StoredPart(FOLDER, name, num_bytes, used_s, is_whole=True)


def write(models_dir: Path, model: str, name: str, num_bytes: int, used_s: float) -> Path:
    folder = models_dir / model / COMMIT
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    path.write_bytes(b"x" * num_bytes)
    path.with_name(f"{path.name}.sha256").write_text(hashlib.sha256(b"x" * num_bytes).hexdigest())
    os.utime(path, (used_s, used_s))
    return path


def test_the_longest_unused_go_first_and_no_more_than_needed() -> None:
    stored = [part("block-0", 10, 3.0), part("block-1", 10, 1.0), part("block-2", 10, 2.0)]
    kept = {(FOLDER, "block-1")}
    assert parts_to_evict(stored, kept=kept, quota_bytes=40, needed_bytes=10) == []
    assert parts_to_evict(stored, kept=kept, quota_bytes=35, needed_bytes=10) == [stored[2]]
    assert parts_to_evict(stored, kept=kept, quota_bytes=20, needed_bytes=10) == [stored[2], stored[0]]
    with pytest.raises(NotEnoughDisk, match="you allow"):
        parts_to_evict(stored, kept=kept, quota_bytes=19, needed_bytes=10)


def test_files_are_found_in_order_and_evicted_whole(tmp_path: Path) -> None:
    old = write(tmp_path, "big--model", "block-10", 50, 100.0)
    write(tmp_path, "big--model", "block-2", 50, 200.0)
    (old.parent / "block-3.safetensors.partial").write_bytes(b"x" * 7)
    (old.parent / "config.json").write_text("{}")
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / "model.safetensors").write_bytes(b"not ours to throw away")
    found = stored_parts(tmp_path)
    assert [(each.model, each.part, each.num_bytes, each.is_whole) for each in found] == [
        ("big/model", "block-2", 50, True),
        ("big/model", "block-3", 7, False),
        ("big/model", "block-10", 50, True),
    ]
    assert found[0].file.is_unchanged()
    note_use(old)
    evicted = make_room(tmp_path, old.parent, {"block-4": ()}, quota_bytes=100, needed_bytes=30)
    assert [each.part for each in evicted] == ["block-2"]
    assert [each.part for each in stored_parts(tmp_path)] == ["block-3", "block-10"]
    assert not list(old.parent.glob("block-2*"))
