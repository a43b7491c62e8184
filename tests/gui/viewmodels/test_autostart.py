import pytest
from PySide6.QtCore import QObject

from gui.viewmodels.autostart import AutostartViewModel
from volunteer.service import MARK, NAME, Kind, Places, file_of


@pytest.fixture
def owner(qapp):
    parent = QObject()
    yield parent
    parent.deleteLater()


@pytest.fixture
def places(tmp_path):
    return Places(home=tmp_path / "home", config=tmp_path / "home" / ".config", uid=1000)


def autostart(link, owner, places, system="Linux"):
    model = AutostartViewModel(link, owner, places=places, system=system)
    model.refresh()
    return model


def test_it_is_off_and_says_what_it_would_write(link, owner, places):
    state = autostart(link, owner, places).state
    assert not state.is_on and not state.problem
    assert f"{NAME}.desktop" in state.plan and "--hidden" in state.plan
    assert not (places.config / "autostart").exists()


def test_it_is_switched_on_and_off_again(link, owner, places):
    model = autostart(link, owner, places)
    model.switch(True)
    assert model.state.is_on
    assert MARK in file_of(Kind.AUTOSTART, places).read_text()
    assert "Delete" in model.state.plan
    model.switch(False)
    assert not model.state.is_on
    assert not file_of(Kind.AUTOSTART, places).exists()


def test_a_moved_data_folder_is_named(link, owner, places):
    assert str(link.data_dir) in autostart(link, owner, places).state.plan


def test_a_file_of_somebody_else_stays(link, owner, places):
    file = file_of(Kind.AUTOSTART, places)
    file.parent.mkdir(parents=True)
    file.write_text("theirs")
    model = autostart(link, owner, places)
    assert "was not made by this program" in model.state.problem
    model.switch(False)
    assert file.read_text() == "theirs"
    assert "was not made by this program" in model.problem


def test_a_service_beside_it_is_told(link, owner, places):
    file = file_of(Kind.USER, places)
    file.parent.mkdir(parents=True)
    file.write_text(MARK)
    assert "service of systemd" in autostart(link, owner, places).state.note


def test_a_system_that_cannot_do_it_says_so(link, owner, places):
    assert "Windows" in autostart(link, owner, places, "Windows").state.problem


def test_a_mac_gets_an_agent(link, owner, places):
    assert "LaunchAgents" in autostart(link, owner, places, "Darwin").state.plan
