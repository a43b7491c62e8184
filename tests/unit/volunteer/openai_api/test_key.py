"""The key is its owner's alone, and stays the same."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from volunteer.errors import ConfigurationError
from volunteer.openai_api.key import load_or_create_key, renew_key


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "api.key"
    key = load_or_create_key(path)
    assert len(key) > 40 and load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert load_or_create_key(tmp_path / "other.key") != key


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "api.key"
    load_or_create_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="Others can read"):
        load_or_create_key(path)


@pytest.mark.parametrize("content", ["", "short", "two words, and more of them", "schlüsselschlüssel", "x" * 5000])
def test_what_is_no_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "api.key"
    path.touch(0o600)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no API key"):
        load_or_create_key(path)


def test_programs_that_start_at_once_agree_on_a_key(tmp_path: Path) -> None:
    path = tmp_path / "api.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_or_create_key(path), range(32)))
    assert len(keys) == 1


def test_a_renewed_key_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "data" / "api.key"
    first = renew_key(path)
    path.chmod(0o644)
    second = renew_key(path)
    assert second != first and load_or_create_key(path) == second


def test_a_key_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder would be")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        renew_key(tmp_path / "data" / "api.key")
    with pytest.raises(ConfigurationError, match="cannot be had"):
        load_or_create_key(tmp_path / "data" / "api.key")
