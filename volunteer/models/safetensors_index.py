"""Reads and writes safetensors headers: which tensor lies where in a file.

Knows the format alone: no disk, no network, no torch. Headers come from strangers, so everything in them is checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from volunteer.errors import ConfigurationError, UserError

PREFIX_BYTES = 8
"""A file begins with the length of its header, little-endian."""
MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

# Codes that `safetensors.torch` can turn into tensors.
_ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E4M3FNUZ": 1,
    "F8_E5M2": 1,
    "F8_E5M2FNUZ": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
    "C64": 8,
}
_MAX_DIMENSIONS = 64
_DATA_ALIGNMENT_BYTES = 64  # a cache line: mapped tensors then start where vector loads are fastest
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class BadCheckpoint(UserError):
    """A file of the model is damaged, or is not what it says it is."""


class PickleRefused(ConfigurationError):
    """The model comes as pickle files alone."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a checkpoint, and where its bytes are."""

    name: str
    dtype: str
    """safetensors code such as "F32" or "BF16"."""
    shape: tuple[int, ...]
    num_bytes: int
    file: str
    offset: int
    """Bytes from the start of the file."""

    @property
    def end(self) -> int:
        return self.offset + self.num_bytes

    @property
    def item_bytes(self) -> int:
        return _ITEM_BYTES[self.dtype]


def header_length(prefix: bytes, file: str, file_bytes: int) -> int:
    """Length of the header in bytes, as the first eight bytes of the file say it."""
    if len(prefix) < PREFIX_BYTES:
        raise _bad(file, f"it has only {len(prefix)} bytes")
    length = int.from_bytes(prefix[:PREFIX_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise _bad(file, f"its header claims {length} bytes, and {MAX_HEADER_BYTES} is the limit")
    if PREFIX_BYTES + length > file_bytes:
        raise _bad(file, f"its header claims {length} bytes, and the whole file has {file_bytes}")
    return length


def parse_header(header: bytes, file: str, file_bytes: int) -> dict[str, TensorEntry]:
    """The tensors of a file of `file_bytes` bytes with this header, by name and in the order of their bytes.

    Raises:
        BadCheckpoint: the header does not describe every byte of the file exactly once.
    """
    data_start = PREFIX_BYTES + len(header)
    fields = _parse_json(header, file)
    metadata = fields.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _bad(file, "its metadata is not a table of texts")
    entries = [_parse_tensor(name, field, file, data_start) for name, field in fields.items()]
    entries.sort(key=lambda entry: (entry.offset, entry.end))
    position = data_start
    for entry in entries:
        if entry.offset < position:
            raise _bad(file, f"the tensor {_quoted(entry.name)} overlaps another")
        if entry.offset > position:
            raise _bad(file, f"{entry.offset - position} bytes before the tensor {_quoted(entry.name)} are no tensor's")
        position = entry.end
    if position != file_bytes:
        raise _bad(file, f"its header describes {position} bytes, and it has {file_bytes}")
    return {entry.name: entry for entry in entries}


def build_header(entries: Sequence[TensorEntry]) -> bytes:
    """The start of a file that holds the data of these tensors one after another: length prefix and header."""
    fields: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for entry in entries:
        end = position + entry.num_bytes
        fields[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [position, end]}
        position = end
    header = json.dumps(fields, separators=(",", ":")).encode()
    header += b" " * (-(PREFIX_BYTES + len(header)) % _DATA_ALIGNMENT_BYTES)
    return len(header).to_bytes(PREFIX_BYTES, "little") + header


def choose_layout(names: Collection[str], model: str) -> str:
    """The file to read first among a model's files: the only weights file, or the index of several."""
    for name in (SINGLE_FILE, INDEX_FILE):
        if name in names:
            return name
    pickles = sorted(name for name in names if name.endswith(_PICKLE_SUFFIXES))
    if pickles:
        raise PickleRefused(
            f"{model} comes only as pickle files ({pickles[0]}), and these can run any code when they are opened. "
            "Ask its publisher for a safetensors version, or choose another model or revision."
        )
    raise ConfigurationError(f"{model} has no {SINGLE_FILE} and no {INDEX_FILE}, so there are no weights to load.")


def parse_index(text: bytes) -> dict[str, str]:
    """Tensor name -> file name, from `model.safetensors.index.json`.

    File names are plain: nothing here may point out of the folder.
    """
    weight_map = _parse_json(text, INDEX_FILE).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise _bad(INDEX_FILE, "it has no weight_map")
    for file in weight_map.values():
        if not isinstance(file, str) or not file.endswith(".safetensors") or set(file) & set("/\\:\0"):
            raise _bad(INDEX_FILE, f"it names {_quoted(str(file))}, which is not a safetensors file beside it")
    return weight_map


def merge_shards(
    shards: Mapping[str, Mapping[str, TensorEntry]], weight_map: Mapping[str, str] | None
) -> dict[str, TensorEntry]:
    """All tensors of a checkpoint; one that several files hold is taken from the file that the index names."""
    tensors = {name: entry for entries in shards.values() for name, entry in entries.items()}
    for name, file in (weight_map or {}).items():
        if name not in shards[file]:
            raise _bad(file, f"the index says that it holds {_quoted(name)}, and it does not")
        tensors[name] = shards[file][name]
    return tensors


def _parse_tensor(name: str, field: Any, file: str, data_start: int) -> TensorEntry:
    if not isinstance(field, dict):
        raise _bad(file, f"the tensor {_quoted(name)} is not described by a table")
    dtype, shape, offsets = field.get("dtype"), field.get("shape"), field.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        raise _bad(file, f"the tensor {_quoted(name)} has the number format {_quoted(str(dtype))}, which is not known")
    if not _are_counts(shape) or len(shape) > _MAX_DIMENSIONS:
        raise _bad(file, f"the tensor {_quoted(name)} has a bad shape")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _bad(file, f"the tensor {_quoted(name)} has bad offsets")
    start, end = offsets
    if math.prod(shape) * _ITEM_BYTES[dtype] != end - start:
        raise _bad(file, f"the tensor {_quoted(name)} takes {end - start} bytes, which is not what its shape needs")
    return TensorEntry(name, dtype, tuple(shape), end - start, file, data_start + start)


def _parse_json(text: bytes, file: str) -> dict[str, Any]:
    try:
        fields = json.loads(text.decode(), object_pairs_hook=_without_duplicates)
        json.dumps(fields, ensure_ascii=False).encode()  # half surrogate pairs would fail only when written
    except (ValueError, RecursionError) as error:
        raise _bad(file, f"its JSON is not valid ({str(error)[:100]})") from error
    if not isinstance(fields, dict):
        raise _bad(file, "its JSON is not a table")
    return fields


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name appears twice")
    return fields


def _are_counts(numbers: Any) -> TypeGuard[list[int]]:
    # `type` and not `isinstance`: True is an int to Python.
    return isinstance(numbers, list) and all(type(number) is int and 0 <= number < 2**63 for number in numbers)


def _bad(file: str, problem: str) -> BadCheckpoint:
    return BadCheckpoint(f"{file} is not a valid file of a safetensors checkpoint: {problem}.")


def _quoted(name: str) -> str:
    return repr(name[:80])
