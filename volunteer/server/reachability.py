"""Whether others can reach this server: from what peers say who tried, in words that help. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from volunteer.swarm.dial_back import Dialled


class Reach(StrEnum):
    """How others get here."""

    DIRECT = "direct"
    RELAYED = "relayed"
    """Over another peer, which is slower."""
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    """Nobody was there to try."""


def reach_of(answers: Sequence[Dialled | None]) -> Reach:
    """Petals' rule: direct where at least half of those who tried came through.

    Args:
        answers: of the peers that were asked; None where one did not try.
    """
    tried = [answer for answer in answers if answer is not None]
    if not tried:
        return Reach.UNKNOWN
    if 2 * sum(answer.direct for answer in tried) >= len(tried):
        return Reach.DIRECT
    if 2 * sum(answer.direct or answer.over_relay for answer in tried) >= len(tried):
        return Reach.RELAYED
    return Reach.UNREACHABLE


def advice(reach: Reach, ports: Sequence[int]) -> str:
    """A sentence for the volunteer."""
    named = ", ".join(map(str, ports)) or "it listens on"
    match reach:
        case Reach.DIRECT:
            return "Others reach this computer directly."
        case Reach.RELAYED:
            return (
                "Others reach this computer only over another one, which is slower. To change that, let your router "
                f"forward TCP port {named} to this computer."
            )
        case Reach.UNREACHABLE:
            return (
                "Others cannot reach this computer. Let your router forward TCP port "
                f"{named} to this computer, and let its firewall accept it."
            )
        case Reach.UNKNOWN:
            return "No other computer was there to try whether this one can be reached."
