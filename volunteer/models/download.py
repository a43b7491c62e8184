"""Fills one safetensors file per part from byte ranges: resumable at any byte, checked, shared between processes.

Knows files, byte ranges and progress; neither the Hub nor what a part is for.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import psutil
from filelock import FileLock, Timeout

from volunteer.errors import ConfigurationError, UserError
from volunteer.models.hub import DownloadCancelled, RetryPolicy
from volunteer.models.safetensors_index import TensorEntry, build_header
from volunteer.whole_file import sync_folder, write_file

MIB = 1 << 20
_PART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_RATE_WINDOW_S = 5.0
_PROGRESS_INTERVAL_S = 0.25
_LOCK_POLL_S = 0.2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EIO)


class NotEnoughDisk(UserError):
    """The parts do not fit on the disk."""


@dataclass(frozen=True)
class Transfer:
    """How downloads go about it."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    request_bytes: int = 64 * MIB
    """Most that one request asks for."""
    sync_bytes: int = 32 * MIB
    """How much may be lost when the power goes: after each such step the file is flushed to the disk."""
    disk_margin_bytes: int = 512 * MIB
    """What a download leaves free."""
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    monotonic_s: Callable[[], float] = time.monotonic
    boot_time_s: Callable[[], float] = psutil.boot_time


DEFAULT_TRANSFER = Transfer()


@dataclass(frozen=True)
class DownloadProgress:
    done_bytes: int
    total_bytes: int
    bytes_per_s: float
    eta_s: float | None
    """None until there is a rate to reckon with."""


@dataclass(frozen=True)
class ByteRange:
    file: str
    start: int
    end: int


@dataclass(frozen=True)
class PartPlan:
    """What the file of a part will be, byte for byte, known before anything is fetched."""

    entries: tuple[TensorEntry, ...]
    """Where each tensor comes from, in the order of the data here."""

    @cached_property
    def header(self) -> bytes:
        return build_header(self.entries)

    @cached_property
    def data_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self.entries)

    @property
    def file_bytes(self) -> int:
        return len(self.header) + self.data_bytes


def plan_part(entries: Iterable[TensorEntry]) -> PartPlan:
    """Larger items first, so that each tensor is aligned to its own items (the format has no room for padding);
    else as in the checkpoint, where the tensors of a block are neighbours and one request brings many."""
    return PartPlan(tuple(sorted(entries, key=lambda entry: (-entry.item_bytes, entry.file, entry.offset, entry.end))))


def remaining_ranges(entries: Sequence[TensorEntry], done_bytes: int, request_bytes: int) -> list[ByteRange]:
    """What to ask for, in order, once the first `done_bytes` of these tensors' data are there."""
    ranges: list[ByteRange] = []
    for entry in entries:
        start = entry.offset + min(done_bytes, entry.num_bytes)
        done_bytes -= start - entry.offset
        while start < entry.end:
            last = ranges[-1] if ranges else None
            if last and (last.file, last.end) == (entry.file, start) and last.end - last.start < request_bytes:
                ranges.pop()
                begin = last.start
            else:
                begin = start
            start = min(entry.end, begin + request_bytes)
            ranges.append(ByteRange(entry.file, begin, start))
    return ranges


class ProgressMeter:
    """Adds up the bytes of all parts, and tells `on_progress` a few times a second."""

    def __init__(
        self,
        total_bytes: int,
        done_bytes: Mapping[str, int],
        on_progress: Callable[[DownloadProgress], None] | None,
        monotonic_s: Callable[[], float],
    ):
        self._total_bytes = total_bytes
        self._done_bytes = dict(done_bytes)
        self._on_progress = on_progress
        self._monotonic_s = monotonic_s
        now_s = monotonic_s()
        self._samples = deque([(now_s, sum(self._done_bytes.values()))])
        self._last_told_s = now_s

    def update(self, part: str, done_bytes: int) -> None:
        self._done_bytes[part] = done_bytes
        if self._monotonic_s() - self._last_told_s >= _PROGRESS_INTERVAL_S:
            self.tell()

    def tell(self) -> None:
        if self._on_progress is None:
            return
        now_s, done_bytes = self._monotonic_s(), sum(self._done_bytes.values())
        self._last_told_s = now_s
        self._samples.append((now_s, done_bytes))
        while len(self._samples) > 2 and now_s - self._samples[1][0] >= _RATE_WINDOW_S:
            self._samples.popleft()
        first_s, first_bytes = self._samples[0]
        rate = max(0, done_bytes - first_bytes) / (now_s - first_s) if now_s > first_s else 0.0
        left_bytes = self._total_bytes - done_bytes
        eta_s = 0.0 if left_bytes <= 0 else left_bytes / rate if rate > 0 else None
        self._on_progress(DownloadProgress(done_bytes, self._total_bytes, rate, eta_s))


def check_disk(folder: Path, needed_bytes: int, transfer: Transfer) -> None:
    free_bytes = transfer.free_bytes(folder)
    if needed_bytes + transfer.disk_margin_bytes > free_bytes:
        raise NotEnoughDisk(
            f"The download needs {_in_words(needed_bytes)} on the disk of {folder} and leaves "
            f"{_in_words(transfer.disk_margin_bytes)} free, but only {_in_words(free_bytes)} is free."
        )


@contextmanager
def disk_failures_in_words(folder: Path) -> Iterator[None]:
    """Says what a person can do about files below `folder` that cannot be written or read."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NotEnoughDisk(
                f"The disk of {folder} takes no more ({error.strerror}); what is there is kept."
            ) from error
        if error.errno in _UNUSABLE:
            raise ConfigurationError(f"{error.filename or folder} cannot be used: {error.strerror}.") from error
        raise


class PartFile:
    """One part on disk: `<part>.safetensors` once it is whole, `<part>.safetensors.partial` while it grows.

    The partial file begins with its final header and is only ever appended to, so its length says all about how far
    it has come, whatever killed the process that wrote it.
    """

    def __init__(self, folder: Path, part: str):
        if not _PART_NAME.fullmatch(part):
            raise ValueError(f"not a name for a part: {part!r}")
        self.part = part
        self.path = folder / f"{part}.safetensors"
        self._partial = folder / f"{part}.safetensors.partial"
        self._lock = folder / ".locks" / f"{part}.lock"
        self._checksum = folder / f"{part}.safetensors.sha256"

    def stored_bytes(self, plan: PartPlan) -> int:
        """How many bytes of the part's tensors are on disk."""
        if self.is_whole(plan):
            return plan.data_bytes
        file_bytes = _size_if_begins_with(self._partial, plan.header)
        return 0 if file_bytes is None else min(plan.data_bytes, file_bytes - len(plan.header))

    def is_whole(self, plan: PartPlan) -> bool:
        return self._checksum.exists() and _size_if_begins_with(self.path, plan.header) == plan.file_bytes

    def recorded_sha256(self) -> str | None:
        """SHA-256 of the file as it was downloaded; None where there is no whole part."""
        try:
            return self._checksum.read_text().strip() if self.path.exists() else None
        except FileNotFoundError:
            return None

    def is_unchanged(self) -> bool:
        """Whether the file still is what was downloaded, by reading all of it."""
        recorded = self.recorded_sha256()
        if recorded is None:
            return False
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == recorded

    def delete(self) -> None:
        for path in (self.path, self._checksum, self._partial):
            path.unlink(missing_ok=True)

    @contextmanager
    def locked(self, cancelled: threading.Event, on_wait: Callable[[], None]) -> Iterator[None]:
        """Keeps other processes from this part's files; calls `on_wait` now and then while another has it."""
        self._lock.parent.mkdir(exist_ok=True)
        lock = FileLock(self._lock)
        while True:
            try:
                lock.acquire(timeout=_LOCK_POLL_S)
                break
            except Timeout:
                if cancelled.is_set():
                    raise DownloadCancelled(f"the download of {self.part} was cancelled") from None
                on_wait()
        try:
            yield
        finally:
            lock.release()

    def fill(
        self,
        plan: PartPlan,
        fetch: Callable[[ByteRange], Iterator[bytes]],
        transfer: Transfer,
        *,
        on_stored: Callable[[int], None],
        cancelled: threading.Event,
    ) -> None:
        """Fetches what is missing and puts the whole file in place. The lock must be held.

        Args:
            on_stored: told how many bytes of the tensors are on disk, as they come.
        """
        with disk_failures_in_words(self.path.parent):
            with self._open_partial(plan, transfer) as file:
                digest = hashlib.sha256()
                stored = feed(digest, file, plan.file_bytes, cancelled) - len(plan.header)
                on_stored(stored)
                for byte_range in remaining_ranges(plan.entries, stored, transfer.request_bytes):
                    for chunk in fetch(byte_range):
                        if cancelled.is_set():
                            raise DownloadCancelled(f"the download of {self.part} was cancelled")
                        _write(file, chunk)
                        digest.update(chunk)
                        if (stored + len(chunk)) // transfer.sync_bytes > stored // transfer.sync_bytes:
                            os.fsync(file.fileno())
                        stored += len(chunk)
                        on_stored(stored)
                os.fsync(file.fileno())
            # Before the file gets its name: what has a name also has a checksum.
            write_file(self._checksum, digest.hexdigest().encode())
            self._partial.replace(self.path)
            sync_folder(self.path.parent)

    @contextmanager
    def _open_partial(self, plan: PartPlan, transfer: Transfer) -> Iterator[BinaryIO]:
        """The partial file at its start, cut to what can be trusted. Unbuffered: what is written survives kill -9."""
        file_bytes = _size_if_begins_with(self._partial, plan.header)
        if file_bytes is None or file_bytes > plan.file_bytes:
            with self._partial.open("w+b", buffering=0) as file:
                _write(file, plan.header)
                file.seek(0)
                yield file
            return
        with self._partial.open("r+b", buffering=0) as file:
            if os.fstat(file.fileno()).st_mtime < transfer.boot_time_s():
                # The machine went down since. A length may reach the disk before its bytes do; the last step that
                # was flushed for certain ends one step before the one that this length is in.
                steps = (file_bytes - len(plan.header)) // transfer.sync_bytes - 1
                file.truncate(len(plan.header) + max(0, steps) * transfer.sync_bytes)
            yield file


def feed(digest: hashlib._Hash, file: BinaryIO, num_bytes: int, cancelled: threading.Event) -> int:
    """Adds up to `num_bytes` from here on to the digest; says how many there were."""
    done = 0
    while done < num_bytes and (piece := file.read(min(MIB, num_bytes - done))):
        if cancelled.is_set():
            raise DownloadCancelled("the check of the downloaded files was cancelled")
        digest.update(piece)
        done += len(piece)
    return done


def _write(file: BinaryIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _size_if_begins_with(path: Path, header: bytes) -> int | None:
    """The size of the file, or None when there is none or it begins otherwise."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size if file.read(len(header)) == header else None
    except FileNotFoundError:
        return None


def _in_words(num_bytes: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes} bytes"
