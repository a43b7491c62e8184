"""What the worker and its clients (window, command line) say to each other: one frozen class per sentence.

Each message is one line of JSON with its `type`. Unknown fields are ignored, so that neighbours of another version are
understood; unknown types are refused.
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from volunteer.control.lifecycle import Mode, State

PROTOCOL_VERSION = 1
"""Counted up when an older neighbour would misunderstand; new fields and new types do not."""

MAX_TEXT = 200_000
"""Characters of a question, or of a system prompt."""

MAX_SECONDS = 1e10
"""Three hundred years: what is added to now is still a date."""

Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
CommandId = Annotated[int, Field(ge=0, lt=2**53)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Name = Annotated[str, Field(max_length=200)]


class BadLine(ValueError):
    """A line that is no message.

    Attributes:
        id: of the command that it may have been meant as, so that whoever waits for its answer gets one.
    """

    id: int | None = None


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


# Client -> worker


class Hello(Message):
    """The first line of every connection."""

    type: Literal["hello"] = "hello"
    token: Name
    version: int
    client: Name = ""


class Command(Message):
    """Answered by exactly one `Done` or `Refused` with the same `id`."""

    id: CommandId = 0


class _Numbered(Message):
    """All that is looked for in a line that is no command."""

    id: CommandId


class GetStatus(Command):
    """Done's result is a `Status`."""

    type: Literal["get_status"] = "get_status"


class Pause(Command):
    """Frees memory at once; for a time, or until resumed."""

    type: Literal["pause"] = "pause"
    for_s: Seconds | None = None


class Resume(Command):
    """Serves when the limits allow it; tries again after a failure."""

    type: Literal["resume"] = "resume"


class Finish(Command):
    """Lets running sessions end, then pauses."""

    type: Literal["finish"] = "finish"


class SetMode(Command):
    """Serves always, never or as the limits say; for a time, or for good."""

    type: Literal["set_mode"] = "set_mode"
    mode: Mode
    for_s: Seconds | None = None


class Quit(Command):
    """Says goodbye, drains within the stop time, ends the process."""

    type: Literal["quit"] = "quit"


class SetSetting(Command):
    """`name` as in `volunteer config`; `text` as typed there, None for the default."""

    type: Literal["set_setting"] = "set_setting"
    name: Name
    text: Text | None


class GetSettings(Command):
    """Done's result is the text of the settings file, for a window on another computer, which cannot read it."""

    type: Literal["get_settings"] = "get_settings"


class GetHistory(Command):
    """Done's result is a `History`; of samples, those after `since_s` (seconds since the epoch)."""

    type: Literal["get_history"] = "get_history"
    since_s: Seconds = 0.0


class Topic(Message):
    """What a client wants to be told without asking again."""

    status: bool = False
    swarm: bool = False
    logs: bool = False
    chats: bool = False
    samples: bool = False


class Subscribe(Command):
    """Replaces what was subscribed before. What there is now comes first."""

    type: Literal["subscribe"] = "subscribe"
    topics: Topic


# Worker -> client


class Welcome(Message):
    """The answer to a good `Hello`."""

    type: Literal["welcome"] = "welcome"
    version: int
    program_version: Name
    pid: int
    """0 for a worker of another computer."""


class Done(Message):
    type: Literal["done"] = "done"
    id: int
    result: Any = None


class Refused(Message):
    """`message` can be shown as it stands; `exit_code` is for a command line."""

    type: Literal["refused"] = "refused"
    id: int | None = None
    message: str
    exit_code: int = 1


class Download(Message):
    done_bytes: int
    total_bytes: int
    bytes_per_s: float
    eta_s: float | None


class GpuReading(Message):
    """What a GPU says of itself now; None where it does not."""

    name: str
    free_bytes: int = 0
    total_bytes: int = 0
    temperature_c: int | None = None
    power_w: float | None = None
    utilisation_percent: int | None = None
    problem: str | None = None


class Points(Message):
    """What the ledger says; `pending` is claimed and not signed for yet. All numbers are points."""

    today: float = 0.0
    total: float = 0.0
    pending: float = 0.0
    spent_today: float = 0.0
    spent: float = 0.0


class Status(Message):
    """All that is shown of a worker, as it is now; a newer one replaces it.

    Attributes:
        reason: why it does not serve, in words; empty while it does.
        until_s: when that ends by itself, seconds since the epoch.
        may_override: the owner may serve against the limits; not while the machine is in danger.
        cannot_tell: the limits whose readings are missing here, in words.
        blocks: [start, end) of those served or being loaded.
        blocks_reason: why those.
        last_request_s: seconds since the epoch.
        tokens_per_s: served, over the last seconds.
        served_tokens_today: by the owner's calendar.
        sent_bytes_per_s, received_bytes_per_s: in calls of the swarm, and downloads; over the last seconds.
        seen_by_others_s: when another peer last showed that it sees this one, seconds since the epoch.
    """

    state: State
    reason: str = ""
    until_s: float | None = None
    may_override: bool = True
    mode: Mode = Mode.AUTO
    mode_until_s: float | None = None
    cannot_tell: tuple[str, ...] = ()
    model: str = ""
    blocks: tuple[int, int] | None = None
    num_blocks: int | None = None
    blocks_reason: str = ""
    peer_id: str | None = None
    maddrs: tuple[str, ...] = ()
    reach: str | None = None
    advice: str = ""
    download: Download | None = None
    tokens_per_s: float = 0.0
    served_tokens: int = 0
    served_tokens_today: int = 0
    served_sessions: int = 0
    open_sessions: int = 0
    sent_bytes_per_s: float = 0.0
    received_bytes_per_s: float = 0.0
    seen_by_others_s: float | None = None
    last_request_s: float | None = None
    gpus: tuple[GpuReading, ...] = ()
    on_battery: bool | None = None
    started_s: float = 0.0
    pid: int = 0
    program_version: str = ""
    data_dir: str = ""
    endpoint: str | None = None
    points: Points | None = None


class StatusChanged(Message):
    type: Literal["status"] = "status"
    status: Status


class GpuSample(Message):
    """What was measured of one GPU; None where it does not tell."""

    used_bytes: int
    temperature_c: int | None = None
    power_w: float | None = None
    utilisation_percent: int | None = None


class Sample(Message):
    """One point of the plots: rates are means over the time since the one before.

    Attributes:
        time_s: seconds since the epoch.
        gpus: in the order of `Status.gpus`.
    """

    time_s: float
    tokens_per_s: float = 0.0
    open_sessions: int = 0
    sent_bytes_per_s: float = 0.0
    received_bytes_per_s: float = 0.0
    gpus: tuple[GpuSample, ...] = ()


class SampleTaken(Message):
    type: Literal["sample"] = "sample"
    sample: Sample


class Day(Message):
    """What one day came to, by the owner's calendar.

    Attributes:
        date: as in 2026-11-27.
        serving_s: how long it was ready to serve.
        sent_bytes, received_bytes: in calls of the swarm, and downloads of blocks.
        earned, spent: points.
    """

    date: str
    served_tokens: int = 0
    served_sessions: int = 0
    serving_s: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    earned: float = 0.0
    spent: float = 0.0


class History(Message):
    """The last 24 hours in samples, the last year in days; oldest first, days on which nothing happened left out."""

    samples: tuple[Sample, ...] = ()
    days: tuple[Day, ...] = ()


class SwarmServer(Message):
    """One server of the swarm, as its record says; `throughput` is its own word."""

    peer_id: str
    start: int
    end: int
    """The end is not part of it."""
    state: str
    throughput: float
    public_name: str | None = None
    using_relay: bool | None = None


class SwarmChanged(Message):
    """Who serves what, as this worker saw it last."""

    type: Literal["swarm"] = "swarm"
    num_blocks: int
    servers: tuple[SwarmServer, ...]


class LogLine(Message):
    """One record of the log, without secrets; a gap in the numbers is what this client was too slow for."""

    type: Literal["log"] = "log"
    number: int = 0
    time_s: float = 0.0
    level: str = ""
    topic: str = ""
    text: str


class ChatEvent(Message):
    """One event of the chat service, under its own `event` name."""

    type: Literal["chat"] = "chat"
    event: str
    data: dict[str, Any]


class ChatCommand(Command):
    """Asks the chat service: list, search, open, create, ask, edit, regenerate, stop, rename, delete, export."""

    type: Literal["chat"] = "chat"
    action: Name
    arguments: dict[str, Any] = {}


AnyCommand = Annotated[
    GetStatus
    | GetHistory
    | GetSettings
    | Pause
    | Resume
    | Finish
    | SetMode
    | Quit
    | SetSetting
    | Subscribe
    | ChatCommand,
    Field(discriminator="type"),
]
AnyReply = Annotated[
    Welcome | Done | Refused | StatusChanged | SwarmChanged | SampleTaken | LogLine | ChatEvent,
    Field(discriminator="type"),
]
Reply = Done | Refused

_COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)
_REPLIES: TypeAdapter[AnyReply] = TypeAdapter(AnyReply)


def encode(message: Message) -> bytes:
    """One line."""
    return message.model_dump_json().encode() + b"\n"


def decode_hello(line: bytes) -> Hello:
    """Raises BadLine."""
    try:
        return Hello.model_validate_json(line)
    except ValidationError as error:
        raise BadLine("The first line is no hello.") from error


def decode_command(line: bytes) -> AnyCommand:
    """Raises BadLine, whose text names what is wrong and repeats nothing of the line."""
    try:
        return _COMMANDS.validate_json(line)
    except ValidationError as error:
        bad = BadLine(_in_words(error))
        with contextlib.suppress(ValidationError):
            bad.id = _Numbered.model_validate_json(line).id
        raise bad from error


def decode_reply(line: bytes) -> AnyReply:
    """Raises BadLine."""
    try:
        return _REPLIES.validate_json(line)
    except ValidationError as error:
        raise BadLine(_in_words(error)) from error


def _in_words(error: ValidationError) -> str:
    return f"This is no message of the control channel ({first_problem(error)})."[:500]


def first_problem(error: ValidationError) -> str:
    """Where, and what, without what was given."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
