"""What the owner chose survives other versions, damage, crashes and typing errors."""

import dataclasses
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunteer.errors import ConfigurationError
from volunteer.hours import WeekHours
from volunteer.setting_fields import SettingField
from volunteer.settings import (
    EndpointSettings,
    Limits,
    ServingSettings,
    Settings,
    describe_settings,
    get_setting,
    get_setting_text,
    load_settings,
    parse_settings,
    reset_setting,
    save_settings,
    set_setting,
    settings_file,
)
from volunteer.settings import _all_settings as all_settings

CHOSEN = Settings(
    ServingSettings(model="bigscience/bloom", blocks="0:12", initial_peers=("/ip4/10.0.0.1/tcp/1/p2p/Qm", "/dns/x")),
    Limits(only_when_idle=True, idle_minutes=2.5, hours=WeekHours.from_text("fri 22-7"), exclusive_programs=("Steam",)),
    EndpointSettings(port=0),
)


def write(data_dir: Path, content: Any) -> None:
    settings_file(data_dir).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def values_of(field: SettingField) -> st.SearchStrategy[Any]:
    """All that a setting takes."""
    rule = field.rule
    text = st.text(st.characters(exclude_characters=",", categories=["L", "N", "P"]), min_size=1, max_size=20)
    strategies: dict[type, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(int(rule.least), int(rule.most)),
        float: st.floats(rule.least, rule.most),
        str: st.sampled_from(rule.choices) if rule.choices else text.filter(lambda value: value.lower() != "none"),
        tuple: st.lists(text).map(tuple).filter(lambda items: [item.lower() for item in items] != ["none"]),
        WeekHours: st.tuples(*[st.integers(0, 2**24 - 1)] * 7).map(WeekHours),
    }
    strategy = st.just("3:12") if rule.is_span else strategies[field.kind]
    return st.none() | strategy if field.optional else strategy


def any_settings() -> st.SearchStrategy[Settings]:
    groups = {
        group.name: st.builds(
            type(group.default),
            **{field.key: values_of(field) for field in all_settings().values() if field.group == group.name},
        )
        for group in dataclasses.fields(Settings)
    }
    return st.builds(Settings, **groups)


# Loading and saving.


def test_without_a_file_there_are_defaults_and_nothing_is_written(tmp_path: Path) -> None:
    loaded = load_settings(tmp_path)
    assert (loaded.settings, loaded.notes) == (Settings(), ())
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_needs_consent_is_on_by_default() -> None:
    assert not Settings().endpoint.enabled
    assert Settings().endpoint.require_key
    assert Settings().endpoint.host == "127.0.0.1"
    assert not Settings().serving.new_swarm


@given(any_settings())
def test_what_is_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> None:
    folder = tmp_path_factory.mktemp("settings")
    save_settings(folder, settings)
    loaded = load_settings(folder)
    assert loaded.settings == settings
    assert loaded.notes == ()


def test_the_file_is_the_owner_s_alone_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    save_settings(tmp_path / "new" / "folder", CHOSEN)
    file = settings_file(tmp_path / "new" / "folder")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_default_is_not_written_so_that_a_later_one_takes_effect(tmp_path: Path) -> None:
    save_settings(tmp_path, Settings(endpoint=EndpointSettings(enabled=True)))
    assert json.loads(settings_file(tmp_path).read_bytes()) == {"version": 1, "endpoint": {"enabled": True}}


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "data").mkdir()
    target = tmp_path / "dotfiles" / "volunteer.json"
    settings_file(tmp_path / "data").symlink_to(target)
    save_settings(tmp_path / "data", CHOSEN)
    assert settings_file(tmp_path / "data").is_symlink()
    assert load_settings(tmp_path / "data").settings == CHOSEN


def test_settings_that_cannot_be_saved_leave_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_settings(tmp_path, CHOSEN)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        save_settings(tmp_path, Settings())
    assert load_settings(tmp_path).settings == CHOSEN
    assert list(tmp_path.iterdir()) == [settings_file(tmp_path)]


def test_a_file_that_may_not_be_read_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    settings_file(tmp_path).mkdir()  # root may read any file, but no folder as one
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path)


SAVE_FOR_EVER = """
import pathlib, sys
from volunteer.settings import Limits, Settings, save_settings
while True:
    save_settings(pathlib.Path(sys.argv[1]), Settings(limits=Limits(nice=1)))
    save_settings(pathlib.Path(sys.argv[1]), Settings())
"""


def test_a_save_that_is_killed_leaves_whole_settings(tmp_path: Path) -> None:
    save_settings(tmp_path, Settings())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(5):
        before = settings_file(tmp_path).stat().st_ino
        with subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, tmp_path], env=environment) as process:
            while settings_file(tmp_path).stat().st_ino == before:
                assert process.poll() is None
            process.kill()
        loaded = load_settings(tmp_path)
        assert loaded.settings in (Settings(), Settings(limits=Limits(nice=1)))
        assert loaded.notes == ()


def test_what_a_killed_save_left_is_cleared_away(tmp_path: Path) -> None:
    old, fresh = tmp_path / "settings.json.new-old", tmp_path / "settings.json.new-fresh"
    old.touch()
    os.utime(old, (0, 0))
    fresh.touch()  # of somebody who is saving now
    save_settings(tmp_path, CHOSEN)
    assert not old.exists()
    assert fresh.exists()


# Files of other versions, and files that others wrote.


def test_unknown_keys_and_groups_are_dropped(tmp_path: Path) -> None:
    write(tmp_path, {"version": 1, "limits": {"only_when_idle": True, "moon_phase": "full"}, "rewards": {"x": 1}})
    loaded = load_settings(tmp_path)
    assert loaded.settings == Settings(limits=Limits(only_when_idle=True))
    assert loaded.notes == ()


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("limits", "only_when_idle", "yes"),
        ("limits", "only_when_idle", 1),
        ("limits", "idle_minutes", True),
        ("limits", "idle_minutes", "5"),
        ("limits", "idle_minutes", 0),
        ("limits", "idle_minutes", float("nan")),
        ("limits", "idle_minutes", float("inf")),
        ("limits", "idle_minutes", 10**400),
        ("limits", "idle_minutes", None),
        ("limits", "threads", 2.0),
        ("limits", "hours", "someday"),
        ("limits", "hours", [1]),
        ("limits", "exclusive_programs", "steam"),
        ("limits", "exclusive_programs", ["a", 1]),
        ("limits", "exclusive_programs", [""]),
        ("serving", "blocks", "12:3"),
        ("serving", "dtype", "float8"),
        ("serving", "model", "a\nb"),
        ("serving", "model", "\ud800"),
        ("serving", "model", ""),
        ("serving", "model", "x" * 1001),
        ("endpoint", "port", 65_536),
        ("endpoint", "host", None),
    ],
)
def test_a_value_that_is_not_taken_costs_only_itself(group: str, key: str, value: object) -> None:
    raw: dict[str, Any] = {"version": 1, "serving": {"device": "cpu"}}
    raw.setdefault(group, {})[key] = value
    loaded = parse_settings(json.dumps(raw).encode())
    assert loaded.settings == Settings(serving=ServingSettings(device="cpu"))
    (note,) = loaded.notes
    assert note.startswith(f"{group}.{key} takes ")
    assert "The default is used: " in note


def test_a_group_that_is_no_group_costs_only_itself() -> None:
    loaded = parse_settings(json.dumps({"version": 1, "limits": [1], "endpoint": {"port": 80}}).encode())
    assert loaded.settings == Settings(endpoint=EndpointSettings(port=80))
    assert "limits" in loaded.notes[0]


def test_a_newer_version_is_read_as_far_as_it_is_known_and_kept(tmp_path: Path) -> None:
    newer = {"version": 7, "limits": {"only_when_idle": True, "noise_db": 30}, "endpoint": {"port": "tcp:1"}}
    write(tmp_path, newer)
    loaded = load_settings(tmp_path)
    assert loaded.settings == Settings(limits=Limits(only_when_idle=True))
    assert "newer version (7)" in loaded.notes[0]
    save_settings(tmp_path, loaded.settings)
    save_settings(tmp_path, loaded.settings)
    assert json.loads((tmp_path / "settings.json.version-7").read_bytes()) == newer
    assert json.loads(settings_file(tmp_path).read_bytes())["version"] == 1


@pytest.mark.parametrize("version", [None, 0, -1, True, "1", 1.0, 10**30])
def test_a_file_without_a_sensible_version_is_read_as_this_one_s(version: object) -> None:
    loaded = parse_settings(json.dumps({"version": version, "limits": {"nice": 3}}).encode())
    assert loaded.settings.limits.nice == 3
    assert "version" in loaded.notes[0]


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe{}",
    b'{"version": 1, "limits": {"nice": ' + b"9" * 5000 + b"}}",
    b"[" * 100_000,
    b" " * (2**20 + 1),
]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_put_aside_and_not_lost(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, content)
    loaded = load_settings(tmp_path)
    assert loaded.settings == Settings()
    assert "settings.json.damaged-1" in loaded.notes[0]
    assert (tmp_path / "settings.json.damaged-1").read_bytes() == content
    assert load_settings(tmp_path).notes == ()
    write(tmp_path, b"again")
    load_settings(tmp_path)
    assert (tmp_path / "settings.json.damaged-2").read_bytes() == b"again"


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(repr).map(str.encode))
def test_no_content_breaks_reading(content: bytes) -> None:
    try:
        parse_settings(content)
    except ValueError:
        return


def test_migrations_lead_from_any_version_to_the_newest() -> None:
    def rename_pause(raw: dict[str, Any]) -> dict[str, Any]:
        raw["limits"]["only_when_idle"] = raw["limits"].pop("pause_when_used")
        return raw

    def seconds_to_minutes(raw: dict[str, Any]) -> dict[str, Any]:
        return {**raw, "limits": {**raw["limits"], "idle_minutes": raw["limits"]["idle_minutes"] / 60}}

    def parse(**raw: Any) -> Any:
        return parse_settings(json.dumps(raw).encode(), [rename_pause, seconds_to_minutes])

    expected = Settings(limits=Limits(only_when_idle=True, idle_minutes=10))
    for raw in (
        {"version": 1, "limits": {"pause_when_used": True, "idle_minutes": 600}},
        {"version": 2, "limits": {"only_when_idle": True, "idle_minutes": 600}},
        {"version": 3, "limits": {"only_when_idle": True, "idle_minutes": 10}},
    ):
        loaded = parse(**raw)
        assert (loaded.settings, loaded.notes) == (expected, ())
    with pytest.raises(ValueError, match="version 1 cannot be brought to 3"):
        parse(version=1, limits=[])


# By name.


@given(st.data())
def test_every_setting_reads_back_what_it_writes(data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(list(all_settings().values())))
    value = data.draw(values_of(field))
    settings = set_setting(Settings(), field.name, field.to_text(value))
    assert get_setting(settings, field.name) == value
    assert get_setting_text(settings, field.name) == field.to_text(value)
    assert reset_setting(settings, field.name) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("limits.only_when_idle", "On", True),
        ("limits.only_when_idle", "no", False),
        ("limits.threads", " 4 ", 4),
        ("limits.threads", "None", None),
        ("limits.idle_minutes", "2.5", 2.5),
        ("limits.max_gpu_temperature_c", "none", None),
        ("limits.exclusive_programs", "Steam, blender,,", ("Steam", "blender")),
        ("limits.exclusive_programs", "", ()),
        ("limits.exclusive_programs", "none", ()),
        ("limits.hours", "mon-fri 22-7", WeekHours.from_text("mon-fri 22-7")),
        ("serving.quantization", "none", None),
        ("endpoint.host", "::1", "::1"),
    ],
)
def test_text_is_read_by_the_setting_s_type(name: str, text: str, value: object) -> None:
    assert get_setting(set_setting(Settings(), name, text), name) == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("limits.only_when_idle", "maybe", "limits.only_when_idle takes true or false, not 'maybe'."),
        ("limits.idle_minutes", "soon", "limits.idle_minutes takes a number from 1 to 1440, not 'soon'."),
        ("limits.idle_minutes", "nan", "a number from 1 to 1440"),
        ("limits.idle_minutes", "none", "a number from 1 to 1440, not"),
        ("limits.threads", "2.5", "a whole number from 1 to 4096, or none"),
        ("limits.hours", "funday 1-2", "funday is not a day"),
        ("serving.blocks", "12:3", "the end is not part of a span"),
        ("serving.dtype", "float8", "one of float32, bfloat16, float16, or none"),
        ("serving.model", "", "text, or none"),
        ("limits.only_if_idle", "1", "did you mean limits.only_when_idle?"),
        ("", "1", "There is no setting ''"),
    ],
)
def test_a_refusal_is_a_sentence_that_helps(name: str, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        set_setting(Settings(), name, text)
    assert words in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


def test_every_setting_is_described() -> None:
    described = {description.name: description for description in describe_settings()}
    assert set(described) == set(all_settings())
    assert described["limits.max_gpu_temperature_c"].type_in_words == "a number from 40 to 110, or none"
    assert described["limits.max_gpu_temperature_c"].default == "83"
    for description in described.values():
        assert description.help
        assert not description.help.endswith(".")


def test_every_default_is_taken_by_its_own_setting() -> None:
    for field in all_settings().values():
        assert field.from_json(field.to_json(field.default) if field.kind is not tuple else []) == field.default


def test_serving_settings_have_the_names_of_the_worker_s_options() -> None:
    from volunteer.serving import ServeOptions

    options = {field.name for field in dataclasses.fields(ServeOptions)}
    assert options - {field.name for field in dataclasses.fields(ServingSettings)} == {
        "data_dir",
        # These come from the limits.
        *("threads", "ram_bytes", "vram_bytes", "disk_bytes", "upload_bytes_per_s"),
        # These from the file of the private swarm that is named, and from the settings of all swarms.
        *("swarm_key", "peers_name", "peers"),
    }
    assert {field.name for field in dataclasses.fields(ServingSettings)} < options
