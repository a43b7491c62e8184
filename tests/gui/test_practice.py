from __future__ import annotations

from pathlib import Path

import pytest
from fake_link import FakeLink
from PySide6.QtWidgets import QApplication

from gui.practice import Practice
from gui.worker_link import Connection
from volunteer.control.messages import SetSetting
from volunteer.settings import AppSettings, load_settings

HERE = ("/ip4/127.0.0.1/tcp/4001/p2p/Qm1",)


class Links:
    """The two links of a practice, in the order in which they were made."""

    def __init__(self) -> None:
        self.made: list[FakeLink] = []
        self.environments: list[dict[str, str]] = []

    def make(self, data_dir: Path, parent: object, *, environment: dict[str, str]) -> FakeLink:
        self.made.append(FakeLink(data_dir, connection=Connection.OFF))
        self.environments.append(environment)
        return self.made[-1]


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Links:
    links = Links()
    monkeypatch.setattr("gui.practice.WorkerLink", links.make)
    return links


@pytest.fixture
def practice(qapp: QApplication, tmp_path: Path, links: Links) -> Practice:
    made = Practice(tmp_path, AppSettings(theme="dark"), None)
    made.start()
    return made


def test_the_first_worker_starts_a_swarm_on_this_computer_alone(practice: Practice, links: Links) -> None:
    first = links.made[0]
    settings = load_settings(first.data_dir).settings
    assert first.starts == 1
    assert settings == practice.settings
    assert settings.serving.new_swarm
    assert settings.serving.blocks == "0:15"
    assert settings.serving.host_maddrs == ("/ip4/127.0.0.1/tcp/0",)
    assert settings.app.theme == "dark"


def test_settings_that_cannot_be_written_are_a_reason_and_start_nobody(
    qapp: QApplication, tmp_path: Path, links: Links
) -> None:
    (tmp_path / "practice").write_text("a file where the folder should be")
    Practice(tmp_path, AppSettings(), None).start()
    first = links.made[0]
    assert (first.connection, first.starts) == (Connection.GAVE_UP, 0)
    assert first.connection_reason


def test_the_second_follows_once_the_first_can_be_met(practice: Practice, links: Links) -> None:
    first, second = links.made
    first.say(maddrs=())
    assert second.starts == 0
    first.say(maddrs=HERE)
    settings = load_settings(second.data_dir).settings
    assert second.starts == 1
    assert settings.serving.initial_peers == HERE
    assert settings.serving.blocks == "15:30"
    assert not settings.serving.new_swarm


def test_the_model_is_unpacked_once(practice: Practice, links: Links) -> None:
    first, second = links.made
    folder = first.data_dir / "models" / "SmolLM2-135M-Instruct"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()
    first.say(maddrs=HERE, model="SmolLM2-135M-Instruct")
    assert load_settings(second.data_dir).settings.serving.model == str(folder)


def test_a_first_worker_that_was_started_again_is_met_where_it_is_now(practice: Practice, links: Links) -> None:
    first, second = links.made
    first.say(maddrs=HERE)
    second.become(Connection.CONNECTED)
    first.say(maddrs=HERE)
    first.say(maddrs=("/ip4/127.0.0.1/tcp/4002/p2p/Qm1",))
    assert second.sent == [SetSetting(name="serving.initial_peers", text="/ip4/127.0.0.1/tcp/4002/p2p/Qm1")]
    assert second.starts == 1


def test_serving_options_of_the_environment_are_not_for_practice(
    qapp: QApplication, tmp_path: Path, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLUNTEER_MODEL", "bigscience/bloom")
    Practice(tmp_path, AppSettings(), None)
    assert all("VOLUNTEER_MODEL" not in environment for environment in links.environments)


def test_in_the_end_both_are_gone_and_so_is_the_folder(practice: Practice, links: Links, tmp_path: Path) -> None:
    links.made[0].say(maddrs=HERE)
    over: list[bool] = []
    practice.end(lambda: over.append(True))
    assert over == [True]
    assert all(link.has_quit for link in links.made)
    assert not (tmp_path / "practice").exists()


def test_a_practice_that_ends_starts_nobody_any_more(practice: Practice, links: Links) -> None:
    practice.end(lambda: None)
    links.made[0].say(maddrs=HERE)
    assert links.made[1].starts == 0
