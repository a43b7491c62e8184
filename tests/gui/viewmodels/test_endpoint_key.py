import pytest
from PySide6.QtCore import QObject

from gui.viewmodels.endpoint_key import EndpointKeyViewModel
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.worker_link import Connection
from volunteer.control.messages import SetSetting
from volunteer.openai_api.key import KEY_FILE, load_or_create_key
from volunteer.settings import Settings, set_setting

ADDRESS = "http://127.0.0.1:11435/v1"


@pytest.fixture
def owner(qapp):
    parent = QObject()
    yield parent
    parent.deleteLater()


def made(link, owner, enabled=True):
    settings = set_setting(Settings(), "endpoint.enabled", "true") if enabled else Settings()
    return EndpointKeyViewModel(link, WorkerViewModel(link, owner), SettingsViewModel(link, settings, owner), owner)


def test_the_key_is_shown_when_it_is_asked_for_and_no_longer(link, owner):
    key = made(link, owner)
    assert key.key is None and not (link.data_dir / KEY_FILE).exists()
    key.show()
    assert key.key == load_or_create_key(link.data_dir / KEY_FILE)
    key.hide()
    assert key.key is None


def test_the_key_is_copied_without_being_shown(link, owner):
    key = made(link, owner)
    copied = []
    key.with_key(copied.append)
    key.note_copied()
    assert copied == [load_or_create_key(link.data_dir / KEY_FILE)]
    assert key.key is None and "Copied" in key.said


def test_a_key_that_others_can_read_is_not_shown(link, owner):
    load_or_create_key(link.data_dir / KEY_FILE)
    (link.data_dir / KEY_FILE).chmod(0o644)
    key = made(link, owner)
    key.show()
    assert key.key is None and "Others can read" in key.problem
    key.renew()
    key.show()
    assert key.key and not key.problem


def test_a_new_key_is_gone_by_at_once(link, owner):
    key = made(link, owner)
    key.show()
    first = key.key
    key.renew()
    assert key.key == load_or_create_key(link.data_dir / KEY_FILE) != first
    assert "new key" in key.said
    assert link.sent == [
        SetSetting(name="endpoint.enabled", text="false"),
        SetSetting(name="endpoint.enabled", text="true"),
    ]


def test_an_endpoint_that_is_off_is_not_opened_for_a_new_key(link, owner):
    made(link, owner, enabled=False).renew()
    assert link.sent == []


def test_the_address_is_that_of_an_open_endpoint(link, owner):
    key = made(link, owner)
    link.say(endpoint=ADDRESS)
    assert key.address == ADDRESS
    link.say(endpoint=None)
    assert not key.address and "log" in key.why_no_address
    link.become(Connection.ENDED)
    assert "does not run" in key.why_no_address
    assert "switched off" in made(link, owner, enabled=False).why_no_address
