from __future__ import annotations

import pytest
from fake_link import FakeLink

from gui.viewmodels.settings import SettingsViewModel
from gui.worker_link import Connection
from volunteer.control.elsewhere import set_elsewhere
from volunteer.control.messages import GetSettings, SetSetting
from volunteer.settings import Settings, load_settings, save_settings, set_setting, settings_text


@pytest.fixture
def settings(link: FakeLink) -> SettingsViewModel:
    return SettingsViewModel(link, Settings(), None)  # type: ignore[arg-type]


def test_while_a_worker_runs_it_is_the_one_to_be_told(settings: SettingsViewModel, link: FakeLink) -> None:
    changes: list[bool] = []
    settings.changed.connect(lambda: changes.append(True))
    settings.set("app.theme", "dark")
    assert link.sent == [SetSetting(name="app.theme", text="dark")]
    save_settings(link.data_dir, set_setting(Settings(), "app.theme", "dark"))  # as the worker does
    link.answer()
    assert settings.settings.app.theme == "dark"
    assert changes == [True]


def test_without_a_worker_the_file_is_changed(settings: SettingsViewModel, link: FakeLink) -> None:
    link.connection = Connection.OFF
    settings.set("limits.only_when_idle", "yes")
    assert settings.get("limits.only_when_idle") is True
    assert load_settings(link.data_dir).settings.limits.only_when_idle
    settings.set("limits.only_when_idle", None)
    assert settings.get("limits.only_when_idle") is False


def test_a_worker_that_is_starting_hears_what_was_changed_meanwhile(
    settings: SettingsViewModel, link: FakeLink
) -> None:
    link.become(Connection.STARTING)
    settings.set("limits.idle_minutes", "7")
    settings.set("limits.idle_minutes", "8")
    assert load_settings(link.data_dir).settings.limits.idle_minutes == 8
    link.become(Connection.CONNECTED)
    assert link.sent == [SetSetting(name="limits.idle_minutes", text="8")]
    link.become(Connection.RESTARTING)
    link.become(Connection.CONNECTED)
    assert len(link.sent) == 1


def test_those_of_a_worker_elsewhere_are_its_own_but_for_the_window(link: FakeLink) -> None:
    set_elsewhere(link.data_dir, ["ssh", "lab", "volunteer", "bridge"])
    settings = SettingsViewModel(link, Settings(), None)  # type: ignore[arg-type]
    settings.set("limits.idle_minutes", "7")
    link.answer()
    assert link.sent == [SetSetting(name="limits.idle_minutes", text="7"), GetSettings()]
    there = set_setting(set_setting(Settings(), "limits.idle_minutes", "7"), "app.theme", "light")
    link.answer(settings_text(there))
    settings.set("app.theme", "dark")
    assert len(link.sent) == 2  # its owner likes another theme
    assert settings.get("limits.idle_minutes") == 7
    assert settings.get("app.theme") == "dark"
    assert load_settings(link.data_dir).settings == set_setting(Settings(), "app.theme", "dark")


def test_what_a_setting_does_not_take_is_refused_in_words(settings: SettingsViewModel, link: FakeLink) -> None:
    refusals: list[str] = []
    link.connection = Connection.OFF
    settings.set("limits.idle_minutes", "never", refusals.append)
    link.become(Connection.CONNECTED)
    settings.set("limits.idle_minutes", "never", refusals.append)
    link.refuse("That is no number.")
    assert len(refusals) == 2
    assert "never" in refusals[0]
    assert settings.settings == Settings()


def test_a_new_connection_reads_what_the_command_line_changed(settings: SettingsViewModel, link: FakeLink) -> None:
    link.become(Connection.STARTING)
    save_settings(link.data_dir, set_setting(Settings(), "app.text_scale", "1.5"))
    link.become(Connection.CONNECTED)
    assert settings.settings.app.text_scale == 1.5
