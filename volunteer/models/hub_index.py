"""Which revision of a model on the Hub this disk knows: its commit, its small files, the headers of its weights.

All of it is kept, so that a revision seen once opens without a network. Knows no parts and fetches no tensors.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from volunteer.errors import ConfigurationError, Unavailable
from volunteer.models.hub import HubRepository, RemoteFile, Snapshot, is_commit
from volunteer.models.safetensors_index import (
    INDEX_FILE,
    MAX_HEADER_BYTES,
    PREFIX_BYTES,
    SINGLE_FILE,
    BadCheckpoint,
    TensorEntry,
    choose_layout,
    header_length,
    merge_shards,
    parse_header,
    parse_index,
)
from volunteer.whole_file import write_file

logger = logging.getLogger(__name__)

# What a model needs beside its weights: configuration, tokenizer, chat template. Nothing that is code.
_SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "chat_template.jinja",
    "chat_template.json",
)
_MAX_SMALL_FILE_BYTES = 128 << 20  # the largest tokenizer.json on the Hub have some 35 MB
_HEADERS_FILE = "shard-headers.json"
_HEADERS_FORMAT = 1
_MAX_SHARDS = 10_000
_CONNECTIONS = 8
_ATTEMPTS_WHEN_REMEMBERED = 2


@dataclass(frozen=True)
class Shard:
    """One weights file on the Hub."""

    file: str
    num_bytes: int
    sha256: str | None
    """None where the Hub does not say it."""
    header: bytes

    @cached_property
    def entries(self) -> dict[str, TensorEntry]:
        """Its tensors, in the order of their bytes."""
        return parse_header(self.header, self.file, self.num_bytes)


@dataclass(frozen=True)
class Revision:
    """One commit of a model, and the folder that holds its small files."""

    commit: str
    folder: Path
    shards: Mapping[str, Shard]
    tensors: Mapping[str, TensorEntry]


def open_revision(hub: HubRepository, model_dir: Path, revision: str) -> Revision:
    """Finds the commit that `revision` stands for, and reads what is needed of it unless it is on this disk.

    Raises:
        Unavailable: the Hub cannot be reached, and this disk does not know the revision.
    """
    ref = _ref_path(model_dir, revision)
    remembered = _remembered(hub.model, model_dir, revision, ref)
    if remembered is not None and is_commit(revision):
        return remembered
    try:
        attempts = None if remembered is None else _ATTEMPTS_WHEN_REMEMBERED
        snapshot = hub.snapshot(revision, likely_files=(*_SMALL_FILES, SINGLE_FILE, INDEX_FILE), attempts=attempts)
    except Unavailable as error:
        if remembered is None:
            raise
        logger.warning("Opening the last known commit %s of %s: %s", remembered.commit, hub.model, error)
        return remembered
    folder = model_dir / snapshot.commit
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        opened = _read_cached(hub.model, folder) or _fetch_index(hub, snapshot, folder)
    ref.parent.mkdir(exist_ok=True)
    write_file(ref, snapshot.commit.encode())
    return opened


def shard_names(weight_map: Mapping[str, str] | None) -> list[str]:
    """The weights files that an index names, or the single one."""
    return [SINGLE_FILE] if weight_map is None else sorted(set(weight_map.values()))


def _ref_path(model_dir: Path, revision: str) -> Path:
    name = quote(revision, safe="")
    if not name or name.startswith(".") or len(name) > 200:
        raise ConfigurationError(f"{revision!r} is not the name of a revision.")
    return model_dir / "refs" / name


def _remembered(model: str, model_dir: Path, revision: str, ref: Path) -> Revision | None:
    try:
        commit = revision if is_commit(revision) else ref.read_text().strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return _read_cached(model, model_dir / commit) if is_commit(commit) else None


def _read_cached(model: str, folder: Path) -> Revision | None:
    """What `_fetch_index` left; None when it is not there or cannot be used (then it is fetched again)."""
    try:
        saved = json.loads((folder / _HEADERS_FILE).read_bytes())
        if saved["format"] != _HEADERS_FORMAT:
            return None
        shards = {
            shard["file"]: Shard(shard["file"], shard["num_bytes"], shard["sha256"], shard["header"].encode())
            for shard in saved["shards"]
        }
        weight_map = parse_index((folder / INDEX_FILE).read_bytes()) if saved["is_sharded"] else None
        return _revision(folder, shards, weight_map)
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError, AttributeError, BadCheckpoint) as error:
        logger.warning("Reading the headers of %s again, because the copy in %s is damaged: %s", model, folder, error)
        return None


def _fetch_index(hub: HubRepository, snapshot: Snapshot, folder: Path) -> Revision:
    layout = choose_layout(snapshot.files.keys(), hub.model)
    weight_map = None
    wanted = [name for name in _SMALL_FILES if name in snapshot.files]
    if layout == INDEX_FILE:
        weight_map = parse_index(_fetch_small_file(hub, snapshot, INDEX_FILE, folder))
    with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="hub-index") as threads:
        list(threads.map(lambda name: _fetch_small_file(hub, snapshot, name, folder), wanted))
        shards = _fetch_headers(hub, snapshot, shard_names(weight_map), threads)
    opened = _revision(folder, shards, weight_map)
    saved = {
        "format": _HEADERS_FORMAT,
        "is_sharded": weight_map is not None,
        "shards": [
            {"file": shard.file, "num_bytes": shard.num_bytes, "sha256": shard.sha256, "header": shard.header.decode()}
            for shard in shards.values()
        ],
    }
    # Last: where this file is, all others are.
    write_file(folder / _HEADERS_FILE, json.dumps(saved, ensure_ascii=False).encode())
    return opened


def _fetch_small_file(hub: HubRepository, snapshot: Snapshot, name: str, folder: Path) -> bytes:
    content = hub.read_file(snapshot.commit, name, max_bytes=_MAX_SMALL_FILE_BYTES)
    expected = snapshot.files[name].num_bytes
    if expected is not None and expected != len(content):
        raise BadCheckpoint(f"{name} of {hub.model} came with {len(content)} bytes, and the Hub lists {expected}.")
    write_file(folder / name, content)
    return content


def _fetch_headers(
    hub: HubRepository, snapshot: Snapshot, names: Iterable[str], threads: ThreadPoolExecutor
) -> dict[str, Shard]:
    names = list(names)
    if len(names) > _MAX_SHARDS:
        raise BadCheckpoint(f"{hub.model} claims to have {len(names)} weights files.")
    files = [
        (file.name, file.num_bytes or 0, file.sha256)
        for file in threads.map(lambda name: _listed_or_described(hub, snapshot, name), names)
    ]

    def length(file: tuple[str, int, str | None]) -> int:
        name, num_bytes, _ = file
        prefix = hub.read_range(snapshot.commit, name, 0, min(PREFIX_BYTES, num_bytes), file_bytes=num_bytes)
        return header_length(prefix, name, num_bytes)

    def fetch(file: tuple[str, int, str | None], length: int) -> Shard:
        name, num_bytes, sha256 = file
        end = PREFIX_BYTES + length
        header = hub.read_range(snapshot.commit, name, PREFIX_BYTES, end, file_bytes=num_bytes)
        return Shard(name, num_bytes, sha256, header)

    # All lengths before the first header: each may claim 100 MB, and memory has to hold them together.
    lengths = list(threads.map(length, files))
    if sum(lengths) > MAX_HEADER_BYTES:
        raise BadCheckpoint(f"The headers of {hub.model} claim {sum(lengths)} bytes together.")
    return {shard.file: shard for shard in threads.map(fetch, files, lengths)}


def _listed_or_described(hub: HubRepository, snapshot: Snapshot, name: str) -> RemoteFile:
    listed = snapshot.files.get(name)
    if listed is not None and listed.num_bytes is not None and listed.sha256 is not None:
        return listed
    described = hub.describe(snapshot.commit, name)
    if listed is not None and listed.num_bytes is not None and described.num_bytes not in (None, listed.num_bytes):
        raise BadCheckpoint(
            f"{name} of {hub.model} has {described.num_bytes} bytes, and the Hub's list says {listed.num_bytes}."
        )
    num_bytes = described.num_bytes if listed is None or listed.num_bytes is None else listed.num_bytes
    if num_bytes is None:
        raise Unavailable(f"The Hub does not say how large {name} of {hub.model} is.")
    return RemoteFile(name, num_bytes, described.sha256)


def _revision(folder: Path, shards: Mapping[str, Shard], weight_map: Mapping[str, str] | None) -> Revision:
    tensors = merge_shards({file: shard.entries for file, shard in shards.items()}, weight_map)
    return Revision(folder.name, folder, shards, tensors)
