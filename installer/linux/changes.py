"""What is new in a version, read from `resources/changelog.md`, in the form that Debian has for it."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import textwrap
from email.utils import format_datetime
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent
_CHANGELOG = _ROOT / "resources" / "changelog.md"
# Debian's form; options such as --no-gui stay whole.
_FORM = textwrap.TextWrapper(
    78, initial_indent="  * ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
)


def changes_of(version: str, changelog: str | None = None) -> list[str]:
    """The points under the heading of that version, each as one line; none where it has no heading."""
    text = _CHANGELOG.read_text(encoding="utf-8") if changelog is None else changelog
    section = re.search(rf"^## {re.escape(version)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None:
        return []
    points = re.findall(r"^- (.*?)(?=^- |^$|\Z)", section[1], re.MULTILINE | re.DOTALL)
    return [" ".join(point.split()) for point in points]


def release_date() -> datetime.date:
    return _release_time().date()


def debian_changelog(version: str, maintainer: str) -> str:
    points = changes_of(version) or ["New version."]
    lines = [f"petals-volunteer ({version}) stable; urgency=medium", ""]
    for point in points:
        lines += _FORM.wrap(point)
    return "\n".join([*lines, "", f" -- {maintainer}  {format_datetime(_release_time())}", ""])


def _release_time() -> datetime.datetime:
    """Of the commit that is built, so that it is the same each time."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        asked = ["git", "-C", str(_ROOT), "log", "-1", "--format=%ct"]
        done = subprocess.run(asked, capture_output=True, text=True)
        epoch = done.stdout.strip() if done.returncode == 0 else None
    if not epoch:  # a tree without its history
        return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
