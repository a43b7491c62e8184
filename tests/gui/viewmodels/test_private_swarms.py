import pytest
from PySide6.QtCore import QObject

from gui.viewmodels.private_swarms import PrivateSwarm, PrivateSwarmsViewModel, Reading, name_problem, read
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.worker_link import Connection
from volunteer.private_swarms import create_swarm, load_swarm, save_swarm, swarm_file, with_addresses
from volunteer.settings import Settings, load_settings
from volunteer.swarm.swarm_key import write_invitation

ADDRESS = "/ip4/192.0.2.7/tcp/31330/p2p/12D3KooWQ2VQXsX6Sk3hJJx6Y2Jv8kTnYx5jUuWcJ8c8hVhQmJ4n"


@pytest.fixture
def owner(qapp):
    parent = QObject()
    yield parent
    parent.deleteLater()


@pytest.fixture
def swarms(link, settings, owner):
    link.become(Connection.OFF)
    return PrivateSwarmsViewModel(link, WorkerViewModel(link, owner), settings, owner)


@pytest.fixture
def settings(link, owner):
    return SettingsViewModel(link, Settings(), owner)


@pytest.fixture
def invitation(tmp_path):
    swarm = create_swarm(tmp_path / "theirs", "lab", model="bigscience/bloom-560m", revision=None, dht_prefix=None)
    return write_invitation(with_addresses(swarm, (ADDRESS,)))


@pytest.mark.parametrize(
    ("text", "reading"),
    [("", Reading.EMPTY), ("  \n", Reading.EMPTY), ("petals-vol", Reading.PARTIAL), ("hello", Reading.BAD)],
)
def test_what_is_typed_is_read_as_it_comes(text, reading):
    assert read(text).reading is reading


def test_a_whole_invitation_says_where_it_leads(invitation):
    found = read(f"  {invitation[:40]}\n{invitation[40:]} ")
    assert found.reading is Reading.GOOD
    assert found.text == "An invitation to lab, for bloom-560m."


def test_an_invitation_that_lost_its_end_is_told_at_once(invitation):
    found = read(invitation[:-3])
    assert found.reading is Reading.BAD
    assert "copy it again" in found.text


def test_an_invitation_without_an_address_is_told(tmp_path):
    swarm = create_swarm(tmp_path, "lab", model=None, revision=None, dht_prefix=None)
    found = read(write_invitation(swarm))
    assert found.reading is Reading.WEAK and "newer one" in found.text


def test_names_are_checked_as_they_are_typed():
    assert name_problem("") == name_problem("my-lab_2") == ""
    assert "begins with a letter" in name_problem("-lab")
    assert name_problem("two words")


def test_a_swarm_is_made_served_and_its_invitation_shown(swarms, tmp_path):
    made = []
    swarms.create("lab", "  bigscience/bloom-560m ", lambda: made.append(True))
    assert made and not swarms.busy and not swarms.problem
    assert swarms.swarms == (PrivateSwarm("lab", is_served=True, model="bigscience/bloom-560m"),)
    assert swarms.invitation.swarm == "lab"
    assert read(swarms.invitation.text).reading is Reading.WEAK
    assert not swarms.invitation.has_ways_in
    swarms.put_away_invitation()
    assert swarms.invitation is None


def test_what_cannot_be_made_is_told_and_nothing_is_done(swarms):
    swarms.create("lab", "", lambda: None)
    swarms.put_away_invitation()
    done = []
    swarms.create("lab", "", lambda: done.append(True))
    assert "already" in swarms.problem
    assert not done and swarms.invitation is None
    swarms.put_away_problem()
    assert not swarms.problem


def test_joining_serves_the_swarm_of_the_invitation(swarms, settings, invitation, tmp_path):
    swarms.join(invitation, lambda: None)
    assert settings.get("serving.private_swarm") == "lab"
    assert [swarm.name for swarm in swarms.swarms] == ["lab"]
    assert load_settings(tmp_path).settings.serving.private_swarm == "lab"


def test_a_new_key_is_another_invitation(swarms):
    swarms.create("lab", "", lambda: None)
    first = swarms.invitation.text
    swarms.invite("lab")
    assert swarms.invitation.text == first
    swarms.rekey("lab")
    assert swarms.invitation.text != first
    assert swarms.invitation.is_new_key


def test_the_public_swarm_can_be_served_again_without_leaving(swarms, tmp_path):
    swarms.create("lab", "", lambda: None)
    swarms.serve(None)
    assert swarms.swarms == (PrivateSwarm("lab", is_served=False),)
    swarms.serve("lab")
    assert swarms.swarms[0].is_served
    swarms.leave("lab")
    assert swarms.swarms == ()
    assert load_settings(tmp_path).settings.serving.private_swarm is None


def test_a_key_that_cannot_be_used_is_listed_with_the_reason(swarms, tmp_path):
    save_swarm(tmp_path, create_swarm(tmp_path, "lab", model=None, revision=None, dht_prefix=None))
    swarm_file(tmp_path, "lab").write_text("nonsense")
    swarms.refresh()
    assert "cannot be used" in swarms.swarms[0].problem
    swarms.leave("lab")
    assert swarms.swarms == ()


def test_the_invitation_of_a_swarm_is_of_its_key(swarms, tmp_path):
    swarms.create("lab", "", lambda: None)
    assert swarms.invitation.text == write_invitation(load_swarm(tmp_path, "lab"))


def test_the_model_that_is_served_is_offered_for_a_new_swarm(swarms, link):
    assert swarms.usual_model == ""
    link.say(model="bigscience/bloom")
    assert swarms.usual_model == "bigscience/bloom"


def test_a_folder_of_this_computer_is_not_offered_to_others(swarms, link, tmp_path):
    link.say(model="/home/anna/my-model")
    assert swarms.usual_model == ""
    link.say(model=str(tmp_path / "models" / "SmolLM2-135M-Instruct"))
    assert swarms.usual_model == "SmolLM2-135M-Instruct"
