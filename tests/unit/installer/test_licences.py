from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from installer.licences import gather, licence_of


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ("License-Expression: MIT", "MIT"),
        ("License: Apache 2.0", "Apache 2.0"),
        (
            "License: The text\n        of a whole licence\nClassifier: License :: OSI Approved :: BSD License",
            "BSD License",
        ),
        ("Classifier: Typed", "see its text"),
    ],
)
def test_a_licence_is_told_in_the_packages_own_words(tmp_path: Path, fields: str, licence: str) -> None:
    (tmp_path / "METADATA").write_text(f"Metadata-Version: 2.1\nName: a\nVersion: 1\n{fields}\n")
    assert licence_of(PathDistribution(tmp_path)) == licence


def test_texts_of_packages_stand_beside_a_list_of_all(tmp_path: Path) -> None:
    folder = tmp_path / "licences"

    works = gather(["numpy", "varint"], folder, system_libraries=[Path("/nowhere/libodd.so.1")])

    listed = (folder / "README.txt").read_text()
    assert works == 5
    assert "numpy 2" in listed
    assert "libodd.so.1" in listed
    assert list((folder / "numpy").iterdir())
    assert {"LGPL-3.txt", "Apache-2.0.txt", "Python.txt"} <= {path.name for path in folder.iterdir()}
