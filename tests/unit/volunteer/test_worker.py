"""What the owner's settings mean to a stay in the swarm."""

from __future__ import annotations

from pathlib import Path

import pytest

from volunteer.settings import Settings, describe_settings, set_setting
from volunteer.worker import serve_options

APP_CHOICES = {
    "app.theme": "dark",
    "app.text_scale": "1.5",
    "app.language": "de",
    "app.close_button": "tray",
    "app.notifications": "false",
}


@pytest.mark.parametrize("name", [each.name for each in describe_settings() if each.name.startswith("app.")])
def test_choices_of_the_window_do_not_begin_a_new_stay(name: str, tmp_path: Path) -> None:
    settings = Settings()
    changed = set_setting(settings, name, APP_CHOICES.get(name, "true"))
    assert changed != settings
    assert serve_options(changed, {}, tmp_path) == serve_options(settings, {}, tmp_path)


def test_choices_of_serving_do(tmp_path: Path) -> None:
    changed = set_setting(Settings(), "serving.num_blocks", "3")
    assert serve_options(changed, {}, tmp_path) != serve_options(Settings(), {}, tmp_path)
