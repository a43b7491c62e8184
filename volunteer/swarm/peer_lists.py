"""Whom this peer has to do with: lists of its owner's, of peer ids and of accounts, which are named like peers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class PeerLists:
    """Denied peers are out; where some are allowed, all others are out too."""

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def admits(self, *names: str) -> bool:
        """Whether a peer is in that goes by these names: its peer id, and its account where that is known."""
        return self.deny.isdisjoint(names) and (not self.allow or not self.allow.isdisjoint(names))

    def may_knock(self, peer_id: str) -> bool:
        """Whether a caller may say more of itself, its account for one. Clients call under new peer ids each time."""
        return peer_id not in self.deny

    def with_allowed(self, peer_id: str | None) -> PeerLists:
        """With one more that is allowed, where not all are."""
        return replace(self, allow=self.allow | {peer_id}) if self.allow and peer_id else self

    def denied_of(self, peer_ids: Iterable[str]) -> frozenset[str]:
        """Those of these peers that are out."""
        return frozenset(peer_id for peer_id in peer_ids if not self.admits(peer_id))
