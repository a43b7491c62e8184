"""Text can be read on every ground that the chat page paints by itself."""

from __future__ import annotations

import pytest

from gui.colors import DARK, LIGHT, Theme, contrast, mixed
from gui.widgets.chat import conversation_lines, text_rows


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(theme: Theme) -> None:
    bubble = mixed(theme.sunken, theme.accent, text_rows._BUBBLE_TINT)
    marked = mixed(theme.sunken, theme.accent, conversation_lines._MARKED_TINT)
    pairs = [
        (theme.text, bubble),
        (theme.text, marked),
        (theme.secondary, marked),
        (theme.secondary, theme.sunken),
        (theme.on_accent, theme.accent),
        *((color, theme.surface) for color in (theme.text, theme.secondary, theme.good, theme.warn, theme.info)),
        *((color, theme.window) for color in (theme.text, theme.secondary, theme.accent, theme.warn, theme.bad)),
    ]
    assert [pair for pair in pairs if contrast(*pair) < 4.5] == []
