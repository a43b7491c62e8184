"""The files beside the code are found where it runs from source, and where it was built."""

import sys
from pathlib import Path

import pytest

from volunteer.resource_files import resource


def test_from_source_they_are_in_the_repository() -> None:
    assert resource("changelog.md").is_file()
    assert resource().is_dir()


def test_a_built_program_has_them_where_it_was_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    assert resource("icons", "home.svg") == tmp_path / "resources" / "icons" / "home.svg"
