"""Who publishes this program: where its releases are announced, and whose signature counts.

Both are empty in the sources: whoever publishes builds fills them in (installer/RELEASE.md says how). A build without
them asks nobody and believes nobody.
"""

MANIFEST_ADDRESS = ""
"""The https:// address of the newest release's manifest; it may redirect."""

RELEASE_KEYS: tuple[str, ...] = ()
"""Ed25519 public keys, as `installer/release.py new-key` prints them: two while one takes over from another."""
