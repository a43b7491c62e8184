"""Tooltips that hold words of strangers."""

from __future__ import annotations

import html


def plain_tip(text: str) -> str:
    """The same words as a tooltip shows them: by itself Qt reads as HTML what looks like it, and the files it names."""
    return f"<div style='white-space: pre-wrap'>{html.escape(text)}</div>" if text else ""
