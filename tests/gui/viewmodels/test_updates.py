"""News of versions: only with leave, told once, and out of sight when the owner says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from fake_link import FakeLink
from pytestqt.qtbot import QtBot

from gui.viewmodels.notices import Notice
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.updates import UpdatesViewModel
from gui.widgets.update_banner import UpdateBanner
from gui.worker_link import Connection
from volunteer.errors import Unavailable
from volunteer.release_manifest import Archive, Release
from volunteer.settings import AppSettings, Settings


def release(version: str = "9.0.0") -> Release:
    archive = Archive(name=f"petals-volunteer_{version}_amd64.deb", system="linux", bytes=5, sha256="a" * 64)
    return Release(
        version=version, released=date(2026, 11, 27), page=f"https://example.org/{version}", archives=(archive,)
    )


class Publisher:
    """What a look finds; counts the looks."""

    def __init__(self) -> None:
        self.newest: Release | None = release()
        self.looks = 0
        self.is_away = False

    def look(self, data_dir: Path, *, is_allowed: bool) -> Release | None:
        self.looks += 1
        if self.is_away:
            raise Unavailable("Nobody answers.")
        return self.newest if is_allowed else None


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def settings(link: FakeLink) -> SettingsViewModel:
    link.become(Connection.OFF)  # so that choices go into the file
    allowed = AppSettings(consented=True, check_for_updates=True)
    return SettingsViewModel(link, Settings(app=allowed), None)  # type: ignore[arg-type]


@pytest.fixture
def updates(link: FakeLink, settings: SettingsViewModel, publisher: Publisher) -> UpdatesViewModel:
    return UpdatesViewModel(link, settings, None, look=publisher.look)  # type: ignore[arg-type]


def choose(settings: SettingsViewModel, **app: bool) -> None:
    settings.settings = replace(settings.settings, app=replace(settings.settings.app, **app))
    settings.changed.emit()


def test_a_newer_version_is_told_once(updates: UpdatesViewModel, publisher: Publisher) -> None:
    notices: list[Notice] = []
    updates.noticed.connect(notices.append)
    for _ in range(3):
        updates.look()
    assert updates.newer == release()
    assert updates.text.startswith("Version 9.0.0 of Petals Volunteer is out; this is ")
    assert [notice.text for notice in notices] == ["https://example.org/9.0.0"]
    publisher.newest = release("9.1.0")
    updates.look()
    assert len(notices) == 2


@pytest.mark.parametrize("missing", ["consented", "check_for_updates"])
def test_nobody_is_asked_without_leave(
    updates: UpdatesViewModel, settings: SettingsViewModel, publisher: Publisher, missing: str
) -> None:
    choose(settings, **{missing: False})
    updates.look()
    assert publisher.looks == 0 and updates.newer is None


def test_switching_it_on_looks_and_switching_it_off_forgets(
    updates: UpdatesViewModel, settings: SettingsViewModel, publisher: Publisher
) -> None:
    choose(settings, check_for_updates=False)
    choose(settings, check_for_updates=True)
    assert publisher.looks == 1 and updates.newer is not None
    choose(settings, check_for_updates=False)
    assert updates.newer is None


def test_a_publisher_who_is_away_is_asked_again_later(updates: UpdatesViewModel, publisher: Publisher) -> None:
    publisher.is_away = True
    updates.look()
    assert updates.newer is None
    publisher.is_away = False
    updates.look()
    assert updates.newer is not None


def test_what_was_put_aside_stays_away_until_another_version(updates: UpdatesViewModel, publisher: Publisher) -> None:
    updates.look()
    updates.put_aside()
    updates.look()
    assert updates.newer is None
    publisher.newest = release("9.1.0")
    updates.look()
    assert updates.newer is not None and updates.newer.version == "9.1.0"


def test_the_banner_leads_to_the_page_and_can_be_closed(
    qtbot: QtBot, updates: UpdatesViewModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(
        "gui.widgets.update_banner.QDesktopServices.openUrl", lambda address: opened.append(address.toString())
    )
    banner = UpdateBanner(updates)
    qtbot.addWidget(banner)
    assert banner.isHidden()
    updates.look()
    assert not banner.isHidden() and "9.0.0" in banner.text.text()
    banner.action.click()
    assert opened == ["https://example.org/9.0.0"]
    banner.close_button.click()
    assert banner.isHidden()
