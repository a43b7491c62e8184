from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest

from volunteer.cli import main
from volunteer.control.lifecycle import State
from volunteer.control.messages import Status
from volunteer.errors import ConfigurationError, ExitCode
from volunteer.logs import Redactor
from volunteer.private_swarms import (
    create_swarm,
    join_swarm,
    leave_swarm,
    load_swarm,
    rekey_swarm,
    save_swarm,
    swarm_file,
    with_addresses,
)
from volunteer.settings import Settings, load_settings, set_setting, settings_file
from volunteer.swarm.swarm_key import read_invitation, write_invitation
from volunteer.swarm_verbs import create, invite, join, leave, rekey, serve, served_swarm
from volunteer.worker import serve_options

ADDRESS = "/ip4/192.0.2.7/tcp/31330/p2p/12D3KooWQ2VQXsX6Sk3hJJx6Y2Jv8kTnYx5jUuWcJ8c8hVhQmJ4n"


def volunteer(data_dir: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["--data-dir", str(data_dir), *arguments])
    shown = capsys.readouterr()
    return code, shown.out + shown.err


def invitation_in(text: str) -> str:
    (word,) = [word for word in text.split() if word.startswith("petals-volunteer://")]
    return word


def test_a_swarm_goes_from_one_computer_to_another_and_gets_a_new_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.delenv("VOLUNTEER_DATA_DIR", raising=False)
    code, text = volunteer(first, capsys, "swarm", "create", "lab", "--model", "bigscience/bloom-560m")
    assert code == ExitCode.OK
    invitation = invitation_in(text)
    # The file is the owner's alone; the settings name the swarm and hold nothing of the key.
    file = swarm_file(first, "lab")
    assert file.stat().st_mode & 0o777 == 0o600
    settings = settings_file(first).read_text()
    assert '"private_swarm": "lab"' in settings and invitation[25:60] not in settings
    assert "/ip4/0.0.0.0/tcp/" in settings

    monkeypatch.setattr("sys.stdin", io.StringIO(invitation + "\n"))
    assert volunteer(second, capsys, "swarm", "join")[0] == ExitCode.OK
    assert load_swarm(second, "lab") == load_swarm(first, "lab")
    assert volunteer(second, capsys, "swarm", "list")[1].strip() == "lab (served)"

    code, text = volunteer(first, capsys, "swarm", "rekey", "lab")
    renewed = invitation_in(text)
    assert read_invitation(renewed).key != read_invitation(invitation).key
    assert load_swarm(first, "lab").key != load_swarm(second, "lab").key
    assert volunteer(second, capsys, "swarm", "join", renewed)[0] == ExitCode.OK
    assert load_swarm(second, "lab") == load_swarm(first, "lab")
    assert invitation_in(volunteer(second, capsys, "swarm", "invite")[1]) == renewed

    assert volunteer(second, capsys, "swarm", "leave")[0] == ExitCode.OK
    assert not swarm_file(second, "lab").exists()
    assert load_settings(second).settings.serving.private_swarm is None


def test_what_cannot_be_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("create", "a/b"), ("create",), ("invite", "lab"), ("leave", "lab"), ("rekey",), ("join", "x")):
        code, text = volunteer(tmp_path, capsys, "swarm", *arguments)
        assert code == (ExitCode.USAGE if len(arguments) == 1 else ExitCode.BAD_CONFIGURATION)
        assert text.strip() and "Traceback" not in text
    create_swarm(tmp_path, "lab", model=None, revision=None, dht_prefix=None)
    code, text = volunteer(tmp_path, capsys, "swarm", "create", "lab")
    assert code == ExitCode.BAD_CONFIGURATION and "already" in text


def test_another_swarm_of_the_same_name_takes_no_one_s_place(tmp_path: Path) -> None:
    ours = create_swarm(tmp_path / "a", "lab", model=None, revision=None, dht_prefix=None)
    theirs = create_swarm(tmp_path / "b", "lab", model=None, revision=None, dht_prefix=None)
    with pytest.raises(ConfigurationError, match="another swarm called lab"):
        join_swarm(tmp_path / "a", write_invitation(theirs))
    assert load_swarm(tmp_path / "a", "lab") == ours


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    create_swarm(tmp_path, "lab", model=None, revision=None, dht_prefix=None)
    swarm_file(tmp_path, "lab").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_swarm(tmp_path, "lab")


@pytest.mark.parametrize("content", ["", "nonsense", "petals-volunteer://AAAA", "\x00" * 20_000])
def test_a_damaged_file_is_told(tmp_path: Path, content: str) -> None:
    create_swarm(tmp_path, "lab", model=None, revision=None, dht_prefix=None)
    swarm_file(tmp_path, "lab").write_text(content)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        load_swarm(tmp_path, "lab")
    leave_swarm(tmp_path, "lab")
    assert not swarm_file(tmp_path, "lab").exists()


def test_a_swarm_whose_key_cannot_be_used_can_be_left_and_joined_again(tmp_path: Path) -> None:
    invitation = write_invitation(create_swarm(tmp_path, "lab", model=None, revision=None, dht_prefix=None))
    swarm_file(tmp_path, "lab").write_text("damaged")
    leave_swarm(tmp_path, "lab")
    with pytest.raises(ConfigurationError, match="in no private swarm called lab"):
        leave_swarm(tmp_path, "lab")
    assert join_swarm(tmp_path, invitation) == load_swarm(tmp_path, "lab")


def test_a_worker_serves_the_swarm_that_is_named(tmp_path: Path) -> None:
    swarm = create_swarm(tmp_path, "lab", model="some/model", revision="abc", dht_prefix=None)
    settings = set_setting(Settings(), "serving.model", "other/model")
    assert serve_options(settings, {}, tmp_path).swarm_key is None
    private = set_setting(settings, "serving.private_swarm", "lab")
    options = serve_options(private, {}, tmp_path)
    assert (options.model, options.revision, options.swarm_key) == ("some/model", "abc", swarm.key)
    assert options.new_swarm and options.peers_name == swarm.peers_name
    save_swarm(tmp_path, with_addresses(swarm, (ADDRESS,)))
    joined = serve_options(settings, {"private_swarm": "lab"}, tmp_path)
    assert joined.initial_peers == (ADDRESS,) and not joined.new_swarm
    # a new key is another stay; nothing of it is shown
    rekey_swarm(tmp_path, "lab")
    assert serve_options(private, {}, tmp_path) != options
    assert "secret" not in repr(options) and swarm.key.secret.hex() not in repr(dataclasses.asdict(options))
    with pytest.raises(ConfigurationError, match="no private swarm called club"):
        serve_options(settings, {"private_swarm": "club"}, tmp_path)


def test_nothing_of_an_invitation_is_logged(tmp_path: Path) -> None:
    word = write_invitation(create_swarm(tmp_path, "lab", model=None, revision=None, dht_prefix=None))
    for text in (f"argv: swarm join {word}", f'"{word}"', f"{word}\nnext", f"swarm_key={word[30:70]}"):
        assert word[30:70] not in Redactor().without_secrets(text)


def test_the_window_gets_invitations_as_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = create(tmp_path / "first", "lab", model="some/model")
    assert served_swarm(tmp_path / "first") == "lab" and made.model == "some/model"
    joined = join(tmp_path / "second", write_invitation(made))
    assert joined == made and served_swarm(tmp_path / "second") == "lab"
    serve(tmp_path / "second", None)
    assert served_swarm(tmp_path / "second") is None
    running = Status(state=State.SERVING, maddrs=("/ip4/127.0.0.1/tcp/1/p2p/x", ADDRESS))
    monkeypatch.setattr("volunteer.swarm_verbs.find_worker", lambda _: running)
    assert invite(tmp_path / "first", "lab").addresses == (ADDRESS,)
    renewed = rekey(tmp_path / "first", "lab")
    assert renewed.addresses == (ADDRESS,) and renewed.key != made.key
    leave(tmp_path / "first", "lab")
    assert served_swarm(tmp_path / "first") is None


def test_a_swarm_that_the_worker_goes_on_serving_keeps_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(tmp_path, "lab")

    def refuse(*arguments: object, **options: object) -> None:
        raise ConfigurationError("The settings cannot be written.")

    monkeypatch.setattr("volunteer.swarm_verbs.change_setting", refuse)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        leave(tmp_path, "lab")
    assert served_swarm(tmp_path) == "lab" and load_swarm(tmp_path, "lab").name == "lab"
