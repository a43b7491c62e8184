"""Who publishes this program: where its releases are announced, whose signature counts, and who answers for it.

All are empty in the sources: whoever publishes builds fills them in (installer/RELEASE.md says how). A build without
them asks nobody and believes nobody.
"""

MANIFEST_ADDRESS = ""
"""The https:// address of the newest release's manifest; it may redirect."""

RELEASE_KEYS: tuple[str, ...] = ()
"""Ed25519 public keys, as `installer/release.py new-key` prints them: two while one takes over from another."""

HOMEPAGE = ""
"""The https:// address where people read about it; software centres take its pictures from `screenshots` below it."""

MAINTAINER = ""
"""Of the packages, as in `A Name <name@host.org>`."""
