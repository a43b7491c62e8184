"""What a worker tells about its life: one class per sentence, one JSON object a line with `--json-events`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Event:
    name: ClassVar[str]

    def to_json(self) -> str:
        """One line, the kind of event under `event`."""
        return json.dumps({"event": self.name} | dataclasses.asdict(self))


@dataclass(frozen=True)
class Listening(Event):
    """The node is part of the swarm; others can join through these addresses."""

    name = "listening"
    peer_id: str
    maddrs: tuple[str, ...]


@dataclass(frozen=True)
class Entered(Event):
    """How far this stay in the swarm has come."""

    name = "phase"
    phase: str
    """starting, downloading, loading, joining or serving."""


@dataclass(frozen=True)
class Planned(Event):
    """The blocks are chosen; they are brought and loaded next."""

    name = "planned"
    model: str
    blocks: tuple[int, int]
    """[start, end): the end is not part of it."""
    num_blocks: int
    """Of the whole model."""
    reason: str


@dataclass(frozen=True)
class SteppedDown(Event):
    """The blocks did not fit into memory: fewer are tried."""

    name = "stepped_down"
    blocks: tuple[int, int]
    reason: str


@dataclass(frozen=True)
class Download(Event):
    """Bytes of the chosen blocks that are on this disk, and how many there will be."""

    name = "download"
    done_bytes: int
    total_bytes: int
    bytes_per_s: float
    eta_s: float | None


@dataclass(frozen=True)
class Ready(Event):
    """The blocks are loaded and announced."""

    name = "ready"
    model: str
    blocks: tuple[int, int]
    """[start, end): the end is not part of it."""
    reason: str


@dataclass(frozen=True)
class Reachable(Event):
    """How others get to this server, as they found out; told when it changes."""

    name = "reachable"
    reach: str
    """direct, relayed, unreachable or unknown."""
    advice: str


@dataclass(frozen=True)
class Paused(Event):
    """The node has left the swarm and given its memory back."""

    name = "paused"
    reason: str


@dataclass(frozen=True)
class Resumed(Event):
    """The node goes on after a pause."""

    name = "resumed"
    reason: str


@dataclass(frozen=True)
class Failed(Event):
    name = "failed"
    message: str


@dataclass(frozen=True)
class Stopped(Event):
    """The node has said goodbye; what it did since it started."""

    name = "stopped"
    served_tokens: int
    served_sessions: int


def log_text(event: Event) -> str | None:
    """The line of the log for it; None where it is not worth one.

    Why a pause began is left out: which programs its owner runs is nobody else's business, and logs are passed on.
    """
    match event:
        case Listening(peer_id=peer_id, maddrs=maddrs):
            return f"Listening as {peer_id} at {', '.join(maddrs)}"
        case Entered(phase=phase):
            return f"Now {phase}"
        case Planned(model=model, blocks=(start, end), num_blocks=num_blocks, reason=reason):
            return f"Chose blocks {start}-{end - 1} of the {num_blocks} of {model}, {reason}"
        case SteppedDown(blocks=(start, end), reason=reason):
            return f"Trying blocks {start}-{end - 1} instead. {reason}"
        case Download(done_bytes=done, total_bytes=total) if done == total:
            return f"All {total / 1e6:.0f} MB of these blocks are on the disk"
        case Ready(model=model, blocks=(start, end)):
            return f"Serving blocks {start}-{end - 1} of {model}"
        case Reachable(reach=reach, advice=advice):
            return f"Others reach this server: {reach}. {advice}".rstrip()
        case Paused():
            return "Paused: out of the swarm, and its memory given back"
        case Resumed():
            return "The pause is over"
        case Stopped(served_tokens=tokens, served_sessions=sessions):
            return f"Said goodbye, after {tokens} tokens in {sessions} sessions"
    return None
