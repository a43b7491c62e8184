from importlib.metadata import PathDistribution
from pathlib import Path

from installer.metadata import keeps_metadata, metadata_files, project_version, required_names

PYPROJECT = """
[project]
name = "petals-volunteer"
version = "7.8.9"
description = "words"
license = "MIT"
requires-python = ">=3.11"
dependencies = ["numpy>=2", "no-such-package>=1"]
"""


def test_the_version_is_the_one_of_this_tree_whatever_is_installed(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(PYPROJECT)

    files = metadata_files(pyproject, tmp_path)

    own = PathDistribution(Path(files[0][0]).parent)
    assert project_version(pyproject) == own.version == "7.8.9"
    assert own.requires == ["numpy>=2", "no-such-package>=1"]
    assert files[0][1] == "petals_volunteer-7.8.9.dist-info"
    assert [Path(file).name for file, _ in files] == ["METADATA"] * len(files)
    assert any(folder.startswith("numpy-") for _, folder in files)


def test_requirements_are_followed_and_those_that_are_not_installed_left_out() -> None:
    assert required_names(["huggingface-hub>=2", "no-such-package", "pytest; extra == 'dev'"]) >= {
        "huggingface-hub",
        "filelock",
    }
    assert not required_names(["no-such-package", "pytest; extra == 'dev'"])


def test_notes_on_this_machine_stay_out(tmp_path: Path) -> None:
    own = "petals_volunteer-0.1.0.dist-info"
    assert keeps_metadata(f"{own}/METADATA", tmp_path / own / "METADATA", tmp_path)
    assert not keeps_metadata(f"{own}/METADATA", Path("/elsewhere") / own / "METADATA", tmp_path)
    assert not keeps_metadata("torch-2.dist-info/direct_url.json", Path("/elsewhere/direct_url.json"), tmp_path)
    assert not keeps_metadata("torch-2.dist-info/licenses/LICENSE", Path("/elsewhere/LICENSE"), tmp_path)
    assert not keeps_metadata("petals_volunteer.egg-info/PKG-INFO", Path("/elsewhere/PKG-INFO"), tmp_path)
    assert keeps_metadata("torch-2.dist-info/METADATA", Path("/elsewhere/METADATA"), tmp_path)
    assert keeps_metadata("libssl.so.3", Path("/usr/lib/libssl.so.3"), tmp_path)
