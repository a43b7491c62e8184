"""Asks the Hugging Face Hub for a model's commit, its list of files, and the bytes of files.

The token, the endpoint and offline mode are huggingface_hub's. Knows neither safetensors nor where bytes are kept.
"""

from __future__ import annotations

import logging
import queue
import random
import re
import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import HfApi, constants, get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, validate_repo_id  # type: ignore[attr-defined]  # public, lazily bound

from volunteer.errors import ConfigurationError, ExitCode, Unavailable, UserError

logger = logging.getLogger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_LONGEST_RETRY_AFTER_S = 120.0
_REAL_PROGRESS_BYTES = 1 << 20  # a connection that brought this much starts the count of failures anew
_QUEUED_CHUNKS = 32  # of up to 64 KiB
_POLL_S = 0.1

Result = TypeVar("Result")


class AccessDenied(UserError):
    """The Hub knows the model and does not let this person read it."""

    exit_code = ExitCode.NO_PERMISSION


class NotOnHub(ConfigurationError):
    """There is no such model, revision or file on the Hub."""


class DownloadCancelled(Exception):
    """The caller set `cancelled`; what was fetched so far stays on disk."""


class _Transient(Exception):
    """One try failed in a way that may pass; its text is the reason in words."""

    def __init__(self, reason: str, retry_after_s: float | None = None):
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class RetryPolicy:
    """How often a failed request is tried again, and how long to wait before."""

    attempts: int = 6
    first_delay_s: float = 1.0
    longest_delay_s: float = 30.0
    jitter: Callable[[], float] = random.random
    wait: Callable[[float, threading.Event], object] = lambda delay_s, cancelled: cancelled.wait(delay_s)

    def delay_s(self, failures: int) -> float:
        """Doubles with each failure in a row; a random half of it keeps many volunteers from coming back at once."""
        full_s = min(self.longest_delay_s, self.first_delay_s * 2.0 ** (failures - 1))
        return full_s * (0.5 + self.jitter() / 2)


@dataclass(frozen=True)
class RemoteFile:
    name: str
    num_bytes: int | None
    """None where the Hub did not say."""
    sha256: str | None


@dataclass(frozen=True)
class Snapshot:
    """The files of a model at one commit."""

    commit: str
    files: Mapping[str, RemoteFile]


def check_model_name(model: str) -> None:
    """Refuses what cannot be a model's name on the Hub; a good name is safe as a folder name once `/` is replaced."""
    try:
        validate_repo_id(model)
    except HFValidationError as error:
        raise ConfigurationError(
            f"{model!r} is neither a folder nor a name on the Hub such as bigscience/bloom."
        ) from error


def is_commit(revision: str) -> bool:
    return _COMMIT.fullmatch(revision) is not None


class HubRepository:
    """One model on the Hub.

    Every method tries again after failures that may pass, and raises `Unavailable` when they do not.
    """

    def __init__(self, model: str, *, endpoint: str | None, retry: RetryPolicy):
        self.model = model
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self._retry = retry
        if urlsplit(self._endpoint).scheme not in ("http", "https"):
            raise ConfigurationError(f"The Hub's address must begin with https:// or http://, not {self._endpoint!r}.")

    def snapshot(self, revision: str, *, likely_files: Collection[str], attempts: int | None = None) -> Snapshot:
        """The commit that `revision` (a branch, a tag or a commit) stands for now, and its files.

        Args:
            likely_files: names to try, one by one, on a mirror that gives files but no lists of them.
            attempts: fewer than usual, when there is something to fall back to.
        """

        def ask() -> Snapshot:
            try:
                info = HfApi(endpoint=self._endpoint).model_info(
                    self.model, revision=revision, files_metadata=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
                )
            except HfHubHTTPError as error:
                if error.response.status_code != 404 or "X-Error-Code" in error.response.headers:
                    raise
                return self._probe(revision, likely_files)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise _Transient("it answered something that is not a list of files") from error
            listed = [
                RemoteFile(sibling.rfilename, sibling.size, sibling.lfs.sha256 if sibling.lfs else None)
                for sibling in info.siblings or ()
            ]
            return Snapshot(info.sha or "", {file.name: file for file in listed})

        snapshot = self._retried(ask, "the list of files", attempts)
        if not is_commit(snapshot.commit) or (is_commit(revision) and snapshot.commit != revision):
            raise Unavailable(f"{self._hub()} does not say which commit revision {revision} of {self.model} is.")
        return snapshot

    def describe(self, commit: str, file: str) -> RemoteFile:
        """Size and, for large files, SHA-256 of a file, for when the list of files did not have them."""
        return self._retried(lambda: self._head(commit, file)[1], file)

    def read_file(self, commit: str, file: str, *, max_bytes: int) -> bytes:
        """A whole small file."""

        def ask() -> bytes:
            content = bytearray()
            with self._get(commit, file, {}) as response:
                for chunk in response.iter_bytes():  # some mirrors compress text unasked
                    content += chunk
                    if len(content) > max_bytes:
                        raise Unavailable(f"{file} of {self.model} is larger than the {max_bytes} bytes it may have.")
            return bytes(content)

        return self._retried(ask, file)

    def read_range(self, commit: str, file: str, start: int, end: int, *, file_bytes: int) -> bytes:
        return b"".join(self.stream_range(commit, file, start, end, file_bytes=file_bytes))

    def stream_range(
        self,
        commit: str,
        file: str,
        start: int,
        end: int,
        *,
        file_bytes: int,
        cancelled: threading.Event | None = None,
    ) -> Iterator[bytes]:
        """Bytes `start:end` of a file of `file_bytes`, in order, each once, however often the connection breaks."""
        cancelled = cancelled or threading.Event()
        position = counted_from = start
        failures = 0
        while position < end:
            try:
                attempt = self._stream_once(commit, file, position, end, file_bytes)
                for chunk in _interruptible(attempt, cancelled):
                    position += len(chunk)
                    yield chunk
            except _Transient as error:
                if position - counted_from >= _REAL_PROGRESS_BYTES:
                    failures, counted_from = 0, position
                failures += 1
                self._wait_or_give_up(error, failures, self._retry.attempts, file, cancelled)

    def _stream_once(
        self, commit: str, file: str, start: int, end: int, file_bytes: int
    ) -> Generator[bytes, None, None]:
        with (
            self._failures_in_words(file),
            self._get(commit, file, {"Range": f"bytes={start}-{end - 1}"}) as response,
        ):
            self._check_range(response, file, start, end, file_bytes)
            received = 0
            for chunk in response.iter_raw():
                received += len(chunk)
                if received > end - start:
                    raise _Transient("it sent more bytes than were asked for")
                yield chunk
            if received < end - start:
                raise _Transient("the connection ended early")

    def _check_range(self, response: httpx2.Response, file: str, start: int, end: int, file_bytes: int) -> None:
        if response.status_code == 200 and (start, end) == (0, file_bytes):
            return
        if response.status_code != 206:
            # Leaving the `with` closes the connection, so the rest of the file is never read.
            raise Unavailable(
                f"{self._hub()} ignores which bytes of {file} are asked for and sends the whole file, "
                "so single blocks cannot be downloaded from there. Use another endpoint (HF_ENDPOINT)."
            )
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or (int(match[1]), int(match[2])) != (start, end - 1):
            raise _Transient("it sent other bytes than were asked for")
        if match[3] not in ("*", str(file_bytes)):
            raise Unavailable(
                f"{file} of {self.model} has {match[3]} bytes, and {self._hub()} had said {file_bytes}: "
                "the file or the list is wrong."
            )
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _Transient("it sent compressed bytes, which were not asked for")

    @contextmanager
    def _get(self, commit: str, file: str, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        """An open answer of status 2xx. Redirects keep the range, and lose the token when they lead to another host."""
        url = hf_hub_url(self.model, file, revision=commit, endpoint=self._endpoint)
        headers = build_hf_headers(headers={"Accept-Encoding": "identity", **headers})
        timeout = httpx2.Timeout(constants.HF_HUB_DOWNLOAD_TIMEOUT)
        with get_session().stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
            if response.status_code >= 300:
                raise self._refusal(response, file)
            yield response

    def _head(self, revision: str, file: str) -> tuple[str, RemoteFile]:
        url = hf_hub_url(self.model, file, revision=revision, endpoint=self._endpoint)
        metadata = get_hf_file_metadata(url, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, endpoint=self._endpoint)
        # The ETag of a file in LFS is its SHA-256; that of a small file is something else.
        sha256 = metadata.etag if metadata.etag and _SHA256.fullmatch(metadata.etag) else None
        return metadata.commit_hash or "", RemoteFile(file, metadata.size, sha256)

    def _probe(self, revision: str, likely_files: Collection[str]) -> Snapshot:
        commit = ""
        files = {}
        for name in likely_files:
            try:
                commit, files[name] = self._head(commit or revision, name)
            except HfHubHTTPError as error:
                if error.response.status_code != 404:
                    raise
        if not files:
            raise NotOnHub(f"There is no model {self.model} on {self._hub(in_sentence=True)}.")
        return Snapshot(commit, files)

    def _retried(self, call: Callable[[], Result], what: str, attempts: int | None = None) -> Result:
        failures = 0
        while True:
            try:
                with self._failures_in_words(what):
                    return call()
            except _Transient as error:
                failures += 1
                self._wait_or_give_up(error, failures, attempts or self._retry.attempts, what, threading.Event())

    def _wait_or_give_up(
        self, error: _Transient, failures: int, attempts: int, what: str, cancelled: threading.Event
    ) -> None:
        if failures >= attempts:
            times = "once" if failures == 1 else f"{failures} times"
            raise Unavailable(
                f"{self._hub()} does not give {what} of {self.model}: {error} (tried {times})."
            ) from error
        delay_s = max(self._retry.delay_s(failures), error.retry_after_s or 0.0)
        logger.info("Asking again for %s of %s in %.1f s: %s", what, self.model, delay_s, error)
        self._retry.wait(delay_s, cancelled)
        if cancelled.is_set():
            raise DownloadCancelled(f"the download of {what} was cancelled")

    @contextmanager
    def _failures_in_words(self, what: str) -> Iterator[None]:
        try:
            yield
        except OfflineModeIsEnabled as error:
            raise Unavailable(
                f"HF_HUB_OFFLINE forbids to ask the Hub for {what} of {self.model}, and it is not on this disk."
            ) from error
        except HfHubHTTPError as error:
            raise self._refusal(error.response, what, is_gated=isinstance(error, GatedRepoError)) from error
        except httpx2.TimeoutException as error:
            raise _Transient("it did not answer in time") from error
        except httpx2.ConnectError as error:
            raise _Transient(f"no connection ({error})") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _Transient(f"the connection broke ({error})") from error

    def _refusal(self, response: httpx2.Response, what: str, *, is_gated: bool = False) -> Exception:
        """What an answer that is an error means, by its status and the Hub's own header."""
        status, code = response.status_code, response.headers.get("X-Error-Code")
        hub = self._hub(in_sentence=True)
        if status in _RETRIED_STATUSES:
            return _Transient(f"it answered {status}", _retry_after_s(response))
        if status == 401 and code == "RepoNotFound":
            # So says the Hub to people who are not logged in, whether the model is private or does not exist.
            return NotOnHub(f"There is no model {self.model} on {hub}, or it is private: check the name, or log in.")
        if is_gated or code == "GatedRepo" or status in (401, 403):
            return AccessDenied(f"{self._hub()} does not let you read {self.model}: log in or accept its licence.")
        if code == "RevisionNotFound":
            return NotOnHub(f"The model {self.model} on {hub} does not have this revision.")
        if status in (404, 410):
            if code == "RepoNotFound":
                return NotOnHub(f"There is no model {self.model} on {hub}.")
            return NotOnHub(f"There is no {what} of {self.model} on {hub}.")
        return Unavailable(f"{self._hub()} does not give {what} of {self.model}: it answered {status}.")

    def _hub(self, *, in_sentence: bool = False) -> str:
        the = "the" if in_sentence else "The"
        return f"{the} Hub" if self._endpoint == "https://huggingface.co" else f"{the} Hub at {self._endpoint}"


def _retry_after_s(response: httpx2.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return min(float(value), _LONGEST_RETRY_AFTER_S) if re.fullmatch(r"[0-9]{1,9}", value) else None


def _interruptible(chunks: Generator[bytes, None, None], cancelled: threading.Event) -> Iterator[bytes]:
    """`chunks`, read by a thread of its own, so that waiting for a silent server ends as soon as `cancelled` is set.

    The thread touches no files: left alone, it closes its connection at the next byte or time-out and ends.
    """
    read: queue.Queue[bytes | Exception | None] = queue.Queue(maxsize=_QUEUED_CHUNKS)
    abandoned = threading.Event()

    def put(item: bytes | Exception | None) -> None:
        while not abandoned.is_set():
            try:
                read.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue

    def run() -> None:
        try:
            for chunk in chunks:
                put(chunk)
                if abandoned.is_set():
                    break
            chunks.close()
            put(None)
        except Exception as error:
            put(error)

    threading.Thread(target=run, name="hub-reader", daemon=True).start()
    try:
        while True:
            if cancelled.is_set():
                raise DownloadCancelled("the download was cancelled")
            try:
                item = read.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        abandoned.set()
