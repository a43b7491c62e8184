"""Whether a newer version is out: asked for, or once a week where the owner allowed it. Never fetches a version.

One GET of one small signed text, with nothing about this computer in it. Whoever answers is a stranger until the
signature of the publisher is found good: the answer is bounded in time, in bytes and in redirects.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from volunteer.errors import ConfigurationError, ExitCode, Unavailable, UserError
from volunteer.publisher import MANIFEST_ADDRESS, RELEASE_KEYS
from volunteer.release_manifest import MAX_BYTES, Release, read_manifest
from volunteer.whole_file import write_file

if TYPE_CHECKING:
    import httpx2

WEEK_S = 7 * 86_400.0
_RETRY_S = 86_400.0
"""After a look that failed, the next one by itself comes so much later."""
_DEADLINE_S = 20.0
"""For all of it, redirects and a slow answer included."""
_MAX_REDIRECTS = 3
_MAX_FILE_BYTES = 4 * MAX_BYTES
_FILE_NAME = "update-check.json"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

logger = logging.getLogger(__name__)

Out = Callable[[str], None]


@dataclass(frozen=True)
class Publisher:
    """Where to ask, and whose signature counts."""

    address: str = MANIFEST_ADDRESS
    keys: tuple[str, ...] = RELEASE_KEYS


@dataclass(frozen=True)
class Looked:
    """What earlier looks have left on the disk.

    Args:
        tried_s: when the last one began, 0 for never.
        answered_s: when the last good answer came, 0 for never.
        manifest: of the newest release seen, as it was signed.
    """

    tried_s: float = 0.0
    answered_s: float = 0.0
    manifest: str = ""


def is_due(looked: Looked, now_s: float) -> bool:
    """Whether a week has gone by since the last answer, and a day since the last try, or the clock was set back."""
    since_answer, since_try = now_s - looked.answered_s, now_s - looked.tried_s
    return not (0 <= since_answer < WEEK_S or 0 <= since_try < _RETRY_S)


def look(data_dir: Path, publisher: Publisher | None = None, *, deadline_s: float = _DEADLINE_S) -> Release:
    """Asks now; returns the newest release that this computer has ever been told of, and remembers it.

    Raises:
        Unavailable, BadManifest, ConfigurationError: as `ask`.
    """
    publisher = publisher or Publisher()
    _check_can_be_asked(publisher)
    before = _load(data_dir)
    _save(data_dir, Looked(time.time(), before.answered_s, before.manifest))
    release, manifest = _asked(publisher, deadline_s)
    known = _read(before, publisher)
    if known is not None and known.is_newer_than(release.version):
        # An old text with its good signature can be handed out by anybody. It does not make us forget.
        logger.warning("The answer speaks of version %s, after %s was seen", release.version, known.version)
        release, manifest = known, before.manifest.encode()
    _save(data_dir, Looked(time.time(), time.time(), manifest.decode()))
    return release


def ask(publisher: Publisher, *, deadline_s: float = _DEADLINE_S) -> Release:
    """What the publisher says now; remembers nothing, as is right for a trial before the world sees a release.

    Raises:
        Unavailable: nobody answers.
        BadManifest: what was answered is not the publisher's.
        ConfigurationError: there is nobody to be asked.
    """
    _check_can_be_asked(publisher)
    return _asked(publisher, deadline_s)[0]


def _check_can_be_asked(publisher: Publisher) -> None:
    """Raises ConfigurationError."""
    if not publisher.address or not publisher.keys:
        raise ConfigurationError(
            "This build does not say who publishes it, so there is nobody to ask for a newer version."
        )
    if not _is_taken(publisher.address, publisher.address):
        raise ConfigurationError(f"News of versions come from an https:// address, not {publisher.address[:200]!r}.")


def _asked(publisher: Publisher, deadline_s: float) -> tuple[Release, bytes]:
    """The release, and the manifest that tells of it. Raises Unavailable, BadManifest."""
    manifest = asyncio.run(_fetch(publisher.address, deadline_s))
    return read_manifest(manifest, publisher.keys), manifest


def look_if_due(
    data_dir: Path, *, is_allowed: bool, now_s: float | None = None, publisher: Publisher | None = None
) -> Release | None:
    """The weekly look: a release newer than this program, or None. Quiet where nobody answers.

    Args:
        is_allowed: the owner has consented to the program, and has not switched this off.
    """
    publisher = publisher or Publisher()
    if not is_allowed or not publisher.address or not publisher.keys:
        return None
    if is_due(_load(data_dir), time.time() if now_s is None else now_s):
        try:
            look(data_dir, publisher)
        except UserError as error:
            logger.info("No look for a newer version: %s", error)
    return known_newer(data_dir, publisher)


def known_newer(data_dir: Path, publisher: Publisher | None = None) -> Release | None:
    """A release newer than this program, of which an earlier look has told. Asks nobody."""
    release = _read(_load(data_dir), publisher or Publisher())
    return release if release is not None and release.is_newer_than(running_version()) else None


def running_version() -> str:
    return importlib.metadata.version("petals-volunteer")


def notice(release: Release) -> str:
    """For the owner: that it is out, and where."""
    return (
        f"Version {release.version} of {release.released:%Y-%m-%d} is out; this is {running_version()}. "
        f"Read about it and get it at {release.page}"
    )


def run_update_check(
    data_dir: Path, *, address: str | None, keys: Sequence[str] | None, as_json: bool, out: Out
) -> int:
    """`volunteer update-check`; returns the exit code.

    Args:
        address, keys: of a publisher's trial, which is not remembered; None for this build's own.

    Raises:
        Unavailable, BadManifest, ConfigurationError.
    """
    is_trial = address is not None or keys is not None
    publisher = Publisher(address or MANIFEST_ADDRESS, tuple(keys or RELEASE_KEYS))
    release = ask(publisher) if is_trial else look(data_dir, publisher)
    is_newer = release.is_newer_than(running_version())
    if as_json:
        out(
            json.dumps(
                {
                    "running": running_version(),
                    "newest": release.version,
                    "is_newer": is_newer,
                    "released": release.released.isoformat(),
                    "page": release.page,
                }
            )
        )
    elif is_newer:
        out(f"{notice(release)}\nNothing was downloaded.")
    else:
        out(f"This is the newest version, {running_version()}.")
    return ExitCode.OK


# The answer of a stranger


async def _fetch(address: str, deadline_s: float) -> bytes:
    """Raises Unavailable."""
    import httpx2

    host = urlsplit(address).hostname or ""
    try:
        async with asyncio.timeout(deadline_s):
            async with httpx2.AsyncClient(timeout=deadline_s, headers=_HEADERS) as client:
                for _ in range(_MAX_REDIRECTS + 1):
                    async with client.stream("GET", address) as response:
                        if not response.is_redirect:
                            return await _body(response, host)
                        address = _redirected(address, response.headers.get("Location", ""))
    except TimeoutError:
        raise Unavailable(f"{host} did not answer within {deadline_s:.0f} s.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unavailable(f"{host} cannot be asked for a newer version: {error or type(error).__name__}.") from error
    raise Unavailable(f"{host} sends from one address to the next, so there is no answer about a newer version.")


# Compressed, a small answer could grow without bound in memory.
_HEADERS = {"User-Agent": "petals-volunteer", "Accept": "*/*", "Accept-Encoding": "identity"}


async def _body(response: httpx2.Response, host: str) -> bytes:
    if response.status_code != 200:
        raise Unavailable(f"{host} has no news of versions: it answers with {response.status_code}.")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Unavailable(f"{host} answers in a form that was not asked for.")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_BYTES:
            raise Unavailable(f"{host} answers with more than a release manifest can be; the rest was not read.")
    return bytes(body)


def _redirected(address: str, location: str) -> str:
    """Raises Unavailable: it leads to an address that is not taken."""
    with contextlib.suppress(ValueError):
        target = urljoin(address, location)
        if _is_taken(target, address):
            return target
    raise Unavailable(f"{urlsplit(address).hostname} sends elsewhere for news of versions, to an address not taken.")


def _is_taken(address: str, came_from: str) -> bool:
    """HTTPS alone, so that nobody on the way learns or delays; on this computer itself, for trials, HTTP too."""
    try:
        parts, first = urlsplit(address), urlsplit(came_from)
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or not re.fullmatch(r"[!-~]{1,2000}", address):
        return False
    is_local = parts.hostname in _LOOPBACK and first.hostname in _LOOPBACK
    return parts.scheme == "https" or (parts.scheme == "http" and is_local)


# What is remembered


def _load(data_dir: Path) -> Looked:
    try:
        with (data_dir / _FILE_NAME).open("rb") as file:
            raw: Any = json.loads(file.read(_MAX_FILE_BYTES))
        return Looked(float(raw["tried_s"]), float(raw["answered_s"]), str(raw["manifest"]))
    except FileNotFoundError:
        return Looked()
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        logger.info("Earlier looks for a newer version are forgotten: %r", error)
        return Looked()


def _save(data_dir: Path, looked: Looked) -> None:
    content = json.dumps({"tried_s": looked.tried_s, "answered_s": looked.answered_s, "manifest": looked.manifest})
    with contextlib.suppress(OSError):  # the owner is told all the same; the next look comes sooner
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(data_dir / _FILE_NAME, content.encode(), is_private=True)


def _read(looked: Looked, publisher: Publisher) -> Release | None:
    """The signature is checked again: whoever can write the file must not choose the link that is shown."""
    try:
        return read_manifest(looked.manifest.encode(), publisher.keys)
    except UserError:
        return None
