import importlib.metadata
from email.message import Message

import pytest
from PySide6.QtCore import QObject

from gui.viewmodels.about import AboutViewModel, licence_of, licences, told


def metadata(**headers):
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return message


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ({"License_Expression": "MIT", "License": "something else"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: Apache Software License"}, "Apache Software"),
        ({"License": "BSD\nwith its whole text"}, "BSD"),
        ({"License": "UNKNOWN"}, "see its package"),
        ({}, "see its package"),
    ],
)
def test_a_licence_is_found_where_the_package_says_it(headers, licence):
    assert licence_of(metadata(**headers)) == licence


def test_all_parts_have_a_licence():
    found = licences()
    assert {"torch", "hivemind", "pydantic"} <= {each.part for each in found}
    assert all(each.licence and each.version for each in found)


def test_a_built_program_without_metadata_lists_none():
    assert licences("no-such-distribution") == []


def test_the_papers_are_read_once(qapp, link, qtbot):
    owner = QObject()
    about = AboutViewModel(link, owner)
    with qtbot.waitSignal(about.changed):
        about.read()
    assert about.papers.changelog.startswith("# What is new")
    assert about.papers.own_licence.startswith("MIT License")
    assert about.papers.parts[-1].licence == "Apache-2.0"
    with qtbot.assertNotEmitted(about.changed):
        about.read()
    assert about.version == importlib.metadata.version("petals-volunteer")
    assert about.data_folder == link.data_dir
    owner.deleteLater()


def test_everybody_who_is_spoken_to_is_named():
    assert [each.who for each in told()][-1] == "Nobody else"
