"""Whoever reads the README, person or program, finds one command to run the project and one to test it."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN_COMMAND = "python3 installer/from_source.py run"
TEST_COMMAND = "python3 installer/from_source.py test"


def sections(markdown: str, heading: str) -> list[str]:
    """The text below each heading of that name, up to the next heading of its level."""
    return re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", markdown, flags=re.MULTILINE | re.DOTALL)


def fenced_blocks(markdown: str) -> list[tuple[str, str]]:
    """Language and text of each block; an odd fence would show as a block too many or too few."""
    return re.findall(r"^```(.*?)\n(.*?)^```$", markdown, flags=re.MULTILINE | re.DOTALL)


def test_the_readme_has_one_command_to_run_and_one_to_test():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for heading, command in (("Run it", RUN_COMMAND), ("Test it", TEST_COMMAND)):
        (section,) = sections(readme, heading)
        assert fenced_blocks(section) == [("sh", command + "\n")]
    assert len(fenced_blocks(readme)) == 2


def test_every_file_the_readme_links_to_exists():
    for document in (ROOT / "README.md", ROOT / "tests" / "README.md"):
        links = re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8"))
        targets = [document.parent / link for link in links if not link.startswith("https://")]
        assert [str(target) for target in targets if not target.exists()] == []


def test_the_checks_end_with_the_test_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    # Of all tests, those that take a minute as well.
    assert f'step {TEST_COMMAND} -m "long or not long"' in script.read_text(encoding="utf-8").splitlines()
    assert os.access(script, os.X_OK)


def test_the_documents_name_no_place_of_one_machine():
    for document in (ROOT / "README.md", ROOT / "tests" / "README.md", ROOT / "resources" / "changelog.md"):
        assert not re.search(r"(^|[\s`(])/(home|root|tmp|work|opt|Users)/", document.read_text(encoding="utf-8"))
