"""What the owner chooses in the first run, and how it is saved: in one go, the consent last."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from volunteer.private_swarms import join_swarm
from volunteer.settings import Settings
from volunteer.swarm.swarm_key import INVITATION_SCHEME, BadInvitation, Invitation, read_invitation
from volunteer.verbs import change_setting

LEAST_SHARE, SHARE_STEP = 0.1, 0.05
_GIB = 2**30

translate = QCoreApplication.translate


class Way(StrEnum):
    """Into which swarm."""

    JOIN = "join"
    NEW = "new"
    STAY = "stay"
    """In the private one that is served already."""


@dataclass(frozen=True)
class Chosen:
    """What the owner chose so far.

    Attributes:
        share: of the memory of what computes, 1 for all that is free.
        address: of a member of the swarm to join, or an invitation.
    """

    model: str = ""
    share: float = 1.0
    way: Way = Way.JOIN
    address: str = ""
    starts_at_login: bool = False


def chosen_before(settings: Settings) -> Chosen:
    """By whoever used the program without its window."""
    serving = settings.serving
    way = Way.STAY if serving.private_swarm else Way.NEW if serving.new_swarm else Way.JOIN
    return Chosen(serving.model or "", way=way, address=", ".join(serving.initial_peers))


def changes_of(chosen: Chosen, memory_bytes: int | None, *, has_gpu: bool) -> dict[str, str | None]:
    """The settings that the choice means, but for those of a private swarm."""
    part = None if chosen.share >= 1 or memory_bytes is None else f"{memory_bytes / _GIB * chosen.share:.1f}"
    changes: dict[str, str | None] = {
        "serving.model": chosen.model or None,
        "limits.vram_gb": part if has_gpu else None,
        "limits.ram_gb": None if has_gpu else part,
    }
    if chosen.way is not Way.STAY:
        joins = chosen.way is Way.JOIN and not is_invitation(chosen.address)
        changes["serving.new_swarm"] = "true" if chosen.way is Way.NEW else None
        changes["serving.initial_peers"] = chosen.address if joins else None
        changes["serving.private_swarm"] = None
    return changes


def save(data_dir: Path, chosen: Chosen, memory_bytes: int | None, *, has_gpu: bool) -> None:
    """Through a worker where one runs already. The consent comes last: before it, nothing may begin.

    Raises:
        UserError: something is not taken, or cannot be written.
    """
    changes = changes_of(chosen, memory_bytes, has_gpu=has_gpu)
    if chosen.way is Way.JOIN and is_invitation(chosen.address):
        swarm = join_swarm(data_dir, chosen.address)
        changes["serving.private_swarm"] = swarm.name
        changes["serving.model"] = swarm.model or changes["serving.model"]
    changes["app.consented"] = "true"
    for name, text in changes.items():
        change_setting(data_dir, name, text, out=lambda line: None)


def is_invitation(address: str) -> bool:
    """Into a private swarm."""
    return address.startswith(INVITATION_SCHEME)


def invitation_of(address: str) -> Invitation | None:
    """None where it is none, or not all of it."""
    try:
        return read_invitation(address) if is_invitation(address) else None
    except BadInvitation:
        return None


def address_problem(address: str) -> str:
    """Why nobody can be reached by this; empty where it looks right."""
    if not address or INVITATION_SCHEME.startswith(address):
        return translate("FirstRun", "Paste what a member of the swarm gave you.")
    if is_invitation(address):
        try:
            read_invitation(address)
        except BadInvitation as error:
            return str(error)
        return ""
    for each in address.split(","):
        if not each.strip().startswith("/") or "/p2p/" not in each:
            return translate(
                "FirstRun", "This is neither an invitation nor an address such as /ip4/203.0.113.7/tcp/31337/p2p/Qm…"
            )
    return ""
