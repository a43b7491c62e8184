"""The owner's choices as one frozen value, read forgivingly and saved whole; and where this program keeps its files.

Standard library and platformdirs only. Settings have dotted names, as in `limits.only_when_idle`. The file, the command
line and the settings page all go by the fields below, where each says in one place what it takes.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import difflib
import functools
import json
import logging
import os
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from volunteer.errors import ConfigurationError, UsageError
from volunteer.hours import ALWAYS, WeekHours
from volunteer.setting_fields import SettingField, fields_of, setting
from volunteer.whole_file import write_file

DATA_DIR_VARIABLE = "VOLUNTEER_DATA_DIR"

logger = logging.getLogger(__name__)


# Folders.


def default_data_dir() -> Path:
    """The folder of identity, models and everything else, moved as a whole by one environment variable."""
    moved = os.environ.get(DATA_DIR_VARIABLE)
    return Path(moved).expanduser() if moved else Path(platformdirs.user_data_dir("petals-volunteer", appauthor=False))


def peers_folder(data_dir: Path) -> Path:
    """Where the servers of each swarm that was joined are remembered."""
    return data_dir / "peers"


def peers_file(data_dir: Path, dht_prefix: str) -> Path:
    """For the swarm of one model: `dht_prefix` is any text."""
    return peers_folder(data_dir) / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', dht_prefix)[:100]}.json"


def settings_file(data_dir: Path) -> Path:
    return data_dir / "settings.json"


def model_name(model: str) -> str:
    """Of a model in a folder, without the folder."""
    return Path(model).name if Path(model).is_absolute() else model


# The choices. A field of one group is a setting.


@dataclass(frozen=True)
class ServingSettings:
    """What to serve, and how; the names are those of the worker's options. None: the worker chooses."""

    model: str | None = setting(None, "Hub name or local folder of the model to serve")
    revision: str | None = setting(None, "revision of the Hub repository")
    dht_prefix: str | None = setting(None, "name under which the model's blocks are announced")
    blocks: str | None = setting(None, "serve these blocks, the end not included", is_span=True)
    num_blocks: int | None = setting(
        None, "serve so many blocks, those that the swarm needs most", least=1, most=10_000
    )
    initial_peers: tuple[str, ...] = setting((), "multiaddresses of peers of the swarm to join")
    new_swarm: bool = setting(False, "start a swarm instead of joining one")
    private_swarm: str | None = setting(None, "name of the private swarm to serve, of those this computer is in")
    host_maddrs: tuple[str, ...] = setting((), "multiaddresses to listen on; none for all of this machine's")
    announce_maddrs: tuple[str, ...] = setting((), "multiaddresses at which others reach this machine")
    identity_file: str | None = setting(None, "private key of this peer, made if it is missing")
    device: str | None = setting(None, "cpu, cuda, cuda:1 or mps")
    dtype: str | None = setting(
        None, "number format of activations and weights", choices=("float32", "bfloat16", "float16")
    )
    quantization: str | None = setting(None, "smaller number format of the weights", choices=("int8", "nf4"))
    public_name: str | None = setting(None, "shown to others in lists of servers")
    kv_tokens: int | None = setting(None, "room for so many tokens of all sessions together", least=32, most=2**40)
    session_idle_s: float | None = setting(
        None, "seconds of silence after which a session gives its room back", least=1, most=86_400
    )


@dataclass(frozen=True)
class Limits:
    """When, and with how much of the machine, the worker may serve."""

    only_when_idle: bool = setting(False, "serve only while nobody uses this computer")
    idle_minutes: float = setting(5.0, "minutes without key or mouse until it counts as idle", least=1, most=1440)
    # A film or a full-screen editor needs no graphics memory, and many desktops do not tell: the owner chooses.
    pause_in_full_screen: bool = setting(False, "pause while an app fills the screen")
    exclusive_programs: tuple[str, ...] = setting((), "pause while one of these programs runs")
    hours: WeekHours = setting(ALWAYS, "hours of the week in which to serve, by the clock on the wall")  # noqa: RUF009
    serve_on_battery: bool = setting(False, "serve while a laptop runs on its battery")
    min_charge_percent: float = setting(50.0, "pause on battery below this charge", least=0, most=100)
    max_gpu_temperature_c: float | None = setting(83.0, "pause when a GPU is as hot as this, in °C", least=40, most=110)
    # As a difference, so that no two settings can contradict each other.
    gpu_cooling_c: float = setting(8.0, "degrees that the GPU must cool down before serving goes on", least=1, most=40)
    max_others_cpu_percent: float | None = setting(
        None, "pause while other programs use more of the processor than this", least=1, most=100
    )
    threads: int | None = setting(None, "processor threads to compute with", least=1, most=4096)
    # Between an ordinary program and "only when nothing else runs": others go first, and a chat is still answered.
    nice: int = setting(10, "how far the worker stands back for other programs", least=0, most=19)
    ram_gb: float | None = setting(None, "most memory to take, in GB of 2^30 bytes", least=0.1, most=2**20)
    vram_gb: float | None = setting(None, "most GPU memory to take, in GB of 2^30 bytes", least=0.1, most=2**20)
    disk_gb: float | None = setting(None, "most disk space for blocks, in GB of 10^9 bytes", least=0.1, most=2**20)
    upload_mbit_per_s: float | None = setting(None, "most to send, in Mbit/s", least=0.1, most=10**6)
    upload_gb_per_day: float | None = setting(
        None, "pause for the rest of the day after sending so many GB of 10^9 bytes", least=0.01, most=10**6
    )


@dataclass(frozen=True)
class EndpointSettings:
    """The OpenAI-compatible endpoint."""

    enabled: bool = setting(False, "let other programs on this computer chat through an OpenAI-compatible endpoint")
    host: str = setting("127.0.0.1", "address to listen on")
    # Next to Ollama's 11434, below the ports that systems hand out by themselves (32768 on), no other server's default.
    port: int = setting(11435, "port to listen on; 0 for any free one", least=0, most=65_535)
    require_key: bool = setting(True, "answer only programs that give the API key")


@dataclass(frozen=True)
class SwarmSettings:
    """Whom to have to do with."""

    allow_peers: tuple[str, ...] = setting((), "peer ids or accounts to serve and to ask, no others; none for all")
    deny_peers: tuple[str, ...] = setting((), "peer ids or accounts neither to serve nor to ask")


@dataclass(frozen=True)
class PointsSettings:
    """Points: the swarm's thanks, not money."""

    offered: float = setting(
        1.0, "points offered for each point of work, to go before others where you have earned any", least=1, most=10
    )


@dataclass(frozen=True)
class AppSettings:
    """The window, and what it was told once."""

    consented: bool = setting(False, "this computer may serve: the first run was gone through")
    theme: str = setting("system", "light or dark, or as the desktop", choices=("system", "light", "dark"))
    text_scale: float = setting(1.0, "size of the text beside the desktop's", least=0.8, most=2)
    language: str | None = setting(None, "language of the window; none for that of the desktop")
    close_button: str = setting("ask", "what closing the window does", choices=("ask", "tray", "quit"))
    chat_notice_seen: bool = setting(False, "what a public swarm can read and change was explained")
    notifications: bool = setting(True, "tell of what happens while the window is closed")
    check_for_updates: bool = setting(False, "look for a newer version now and then")


@dataclass(frozen=True)
class Settings:
    """All that the owner chose. Values made in code are not checked; what is read or set by name is."""

    serving: ServingSettings = ServingSettings()
    limits: Limits = Limits()
    endpoint: EndpointSettings = EndpointSettings()
    swarm: SwarmSettings = SwarmSettings()
    points: PointsSettings = PointsSettings()
    app: AppSettings = AppSettings()


@dataclass(frozen=True)
class SettingDescription:
    """One line of `volunteer config`."""

    name: str
    type_in_words: str
    default: str
    help: str


def describe_settings() -> Iterator[SettingDescription]:
    for field in _all_settings().values():
        yield SettingDescription(field.name, field.type_in_words, field.to_text(field.default), field.rule.help)


def get_setting(settings: Settings, name: str) -> Any:
    """Raises UsageError: there is no such setting."""
    field = find_setting(name)
    return getattr(getattr(settings, field.group), field.key)


def get_setting_text(settings: Settings, name: str) -> str:
    """As `set_setting` reads it.

    Raises:
        UsageError: there is no such setting.
    """
    return find_setting(name).to_text(get_setting(settings, name))


def set_setting(settings: Settings, name: str, text: str) -> Settings:
    """The settings with one of them read from `text`.

    Raises:
        UsageError: there is no such setting, or it does not take this.
    """
    field = find_setting(name)
    try:
        value = field.from_text(text.strip())
    except ValueError as error:
        raise UsageError(field.refusal(text, error)) from None
    return _with(settings, field, value)


def reset_setting(settings: Settings, name: str) -> Settings:
    """Raises UsageError: there is no such setting."""
    field = find_setting(name)
    return _with(settings, field, field.default)


# The file.

Migration = Callable[[dict[str, Any]], dict[str, Any]]
"""From one version's file to the next one's; pure, and never sees a file of another version."""

MIGRATIONS: tuple[Migration, ...] = ()
"""The first leads from version 1 to 2. The version that this program writes is one more than there are."""

_MOST_BYTES = 2**20
_MOST_VERSIONS = 1_000_000


@dataclass(frozen=True)
class LoadedSettings:
    settings: Settings
    notes: tuple[str, ...] = ()
    """What could not be taken as it stood, in sentences for the owner."""


def load_settings(data_dir: Path, migrations: Sequence[Migration] = MIGRATIONS) -> LoadedSettings:
    """Defaults where there is no file. A damaged one is put aside, and its new name told in the notes.

    Raises:
        ConfigurationError: the file is there and may not be read.
    """
    file = settings_file(data_dir)
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return LoadedSettings(Settings())
    except OSError as error:
        raise ConfigurationError(f"The settings in {file} cannot be read: {error.strerror}.") from error
    try:
        loaded = parse_settings(content, migrations)
    except ValueError as error:
        aside = _put_aside(file)
        loaded = LoadedSettings(Settings(), (f"The settings were damaged ({error}); they are kept in {aside}.",))
    for note in loaded.notes:
        logger.warning("%s", note)
    return loaded


def parse_settings(content: bytes, migrations: Sequence[Migration] = MIGRATIONS) -> LoadedSettings:
    """Raises ValueError: this is no settings file of any version, not even in part."""
    raw = _parse_object(content)
    notes: list[str] = []
    current = 1 + len(migrations)
    version = raw.pop("version", None)
    if not _is_version(version):
        notes.append(f"The settings do not say of which version they are; they are read as version {current}.")
    elif version > current:
        notes.append(f"The settings were written by a newer version ({version}); what this one knows is read.")
    else:
        for migrate in migrations[version - 1 :]:
            try:
                raw = migrate(copy.deepcopy(raw))
            except (LookupError, TypeError, AttributeError) as error:
                raise ValueError(f"version {version} cannot be brought to {current}: {error!r}") from error
    groups: dict[str, Any] = {}
    for group in dataclasses.fields(Settings):
        values, group_notes = _read_group(group.name, raw.pop(group.name, {}))
        groups[group.name] = dataclasses.replace(group.default, **values)  # type: ignore[type-var]
        notes += group_notes
    for name in raw:
        logger.info("Ignoring the unknown group of settings %.100r", name)
    return LoadedSettings(Settings(**groups), tuple(notes))


def save_settings(data_dir: Path, settings: Settings) -> None:
    """Replaces the file whole: whoever reads it meanwhile, or finds it after a crash, has the old one or the new one.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    file = Path(os.path.realpath(settings_file(data_dir)))  # a link, as dotfile managers make, stays one
    content = settings_text(settings) + "\n"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _keep_newer_version(file)
        write_file(file, content.encode(), is_private=True)
    except OSError as error:
        raise ConfigurationError(f"The settings cannot be saved in {file}: {error.strerror}.") from error


def settings_text(settings: Settings) -> str:
    """As the file has them, and as `parse_settings` reads them."""
    raw: dict[str, Any] = {"version": 1 + len(MIGRATIONS)}
    for field in _all_settings().values():
        value = get_setting(settings, field.name)
        if value != field.default:  # a better default of a later version reaches everybody who chose nothing
            raw.setdefault(field.group, {})[field.key] = field.to_json(value)
    return json.dumps(raw, indent=2, ensure_ascii=False, allow_nan=False)


def _parse_object(content: bytes) -> dict[str, Any]:
    if len(content) > _MOST_BYTES:
        raise ValueError("the file is too long")
    try:
        raw = json.loads(content.decode())
    except RecursionError:
        raise ValueError("the file is nested too deeply") from None
    if not isinstance(raw, dict):
        raise ValueError("the file holds no settings")
    return raw


def _is_version(version: object) -> typing.TypeGuard[int]:
    return isinstance(version, int) and not isinstance(version, bool) and 1 <= version <= _MOST_VERSIONS


def _read_group(group: str, raw: object) -> tuple[dict[str, Any], list[str]]:
    if not isinstance(raw, dict):
        return {}, [f"The settings of {group} cannot be read; defaults are used."]
    values: dict[str, Any] = {}
    notes: list[str] = []
    for key, value in raw.items():
        field = _all_settings().get(f"{group}.{key}")
        if field is None:
            logger.info("Ignoring the unknown setting %.100r", f"{group}.{key}")
            continue
        try:
            values[key] = field.from_json(value)
        except ValueError as error:
            default = field.to_text(field.default)
            notes.append(f"{field.refusal(json.dumps(value), error)} The default is used: {default}.")
    return values, notes


def _put_aside(file: Path) -> Path:
    number = 1
    while (aside := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    try:
        file.replace(aside)
    except FileNotFoundError:
        pass  # another process was as quick
    except OSError as error:
        raise ConfigurationError(f"{file} is damaged and cannot be put aside: {error.strerror}.") from error
    return aside


def _keep_newer_version(file: Path) -> None:
    """A version that knows less must not be the end of what a newer one wrote."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        content = file.read_bytes()
        version = _parse_object(content).get("version")
        if _is_version(version) and version > 1 + len(MIGRATIONS):
            write_file(file.with_name(f"{file.name}.version-{version}"), content, is_private=True)


# By name.


@functools.cache
def _all_settings() -> Mapping[str, SettingField]:
    fields = [field for group in dataclasses.fields(Settings) for field in fields_of(group.name, type(group.default))]
    return types.MappingProxyType({field.name: field for field in fields})


def find_setting(name: str) -> SettingField:
    """What it takes and what it is for. Raises UsageError: there is no such setting."""
    fields = _all_settings()
    if name in fields:
        return fields[name]
    near = difflib.get_close_matches(name, fields, n=1)
    advice = f"did you mean {near[0]}?" if near else "`volunteer config` lists all of them."
    raise UsageError(f"There is no setting {name[:80]!r}; {advice}")


def _with(settings: Settings, field: SettingField, value: Any) -> Settings:
    group = dataclasses.replace(getattr(settings, field.group), **{field.key: value})
    changed: dict[str, Any] = {field.group: group}
    return dataclasses.replace(settings, **changed)
