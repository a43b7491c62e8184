"""What the command line asks of the running worker, and how it is shown. Knows the control channel and no torch."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from volunteer.control.channel import ControlClient, NotRunning
from volunteer.control.elsewhere import command_elsewhere
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import (
    MAX_SECONDS,
    Command,
    Finish,
    GetSettings,
    GetStatus,
    Message,
    Pause,
    Quit,
    Resume,
    SetMode,
    SetSetting,
    Status,
    StatusChanged,
    Subscribe,
    Topic,
)
from volunteer.errors import ExitCode, UsageError, UserError
from volunteer.settings import (
    Settings,
    describe_settings,
    find_setting,
    get_setting_text,
    load_settings,
    model_name,
    parse_settings,
    reset_setting,
    save_settings,
    set_setting,
)

_SETTLE_S = 15.0
"""How long a verb waits for what it asked to be so."""
_QUIT_S = 40.0
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CLEAR = "\x1b[H\x1b[2J"

Out = Callable[[str], None]


def parse_duration(text: str) -> float:
    """Seconds of "90", "90s", "5m", "1h30m" or "2d".

    Raises:
        UsageError: it is no such text, or longer than anybody waits.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    elif re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    else:
        raise UsageError(f"{text[:80]!r} is no duration; write 90s, 5m, 1h30m or 2d.")
    if seconds > MAX_SECONDS:
        raise UsageError(f"{text[:80]!r} is longer than can be counted here; without a time it has no end.")
    return seconds


def duration_in_words(seconds: float) -> str:
    """As people say it: the two greatest units at most."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def run_verb(verb: str, data_dir: Path, *, for_s: float | None, mode: Mode | None, as_json: bool, out: Out) -> int:
    """Asks the worker and shows how it is afterwards; returns the exit code.

    Args:
        verb: pause, resume, finish, quit or mode.

    Raises:
        NotRunning, CommandRefused.
    """
    command: Command
    wanted: Sequence[State] = ()
    match verb:
        case "pause":
            command, wanted = Pause(for_s=for_s), _RESTING
        case "resume":
            command = Resume()
        case "finish":
            command = Finish()
        case "mode" if mode is not None:
            command = SetMode(mode=mode, for_s=for_s)
        case "quit":
            return asyncio.run(_quit(data_dir, out))
        case _:
            raise ValueError(f"no verb {verb!r}")
    return asyncio.run(_ask(data_dir, command, wanted, as_json, out))


_RESTING = (State.PAUSED, State.FAILED, State.STOPPED)


async def _ask(data_dir: Path, command: Command, wanted: Sequence[State], as_json: bool, out: Out) -> int:
    """Sends the command; waits a while for one of the wanted states, if any."""
    statuses: asyncio.Queue[Status] = asyncio.Queue()

    def see(message: Message) -> None:
        if isinstance(message, StatusChanged):
            statuses.put_nowait(message.status)

    async with ControlClient(data_dir, "volunteer", on_event=see) as client:
        status = Status.model_validate(await client.request(command))
        if wanted:
            await client.request(Subscribe(topics=Topic(status=True)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_S):
                    while status.state not in wanted:
                        status = await statuses.get()
    _show(status, as_json, out)
    return ExitCode.OK


async def _quit(data_dir: Path, out: Out) -> int:
    try:
        async with ControlClient(data_dir, "volunteer") as client:
            await client.request(Quit())
            async with asyncio.timeout(_QUIT_S):
                await client.closed()
    except NotRunning:
        out("No worker is running.")
        return ExitCode.OK
    except TimeoutError:
        out("The worker is still saying goodbye.")
        return ExitCode.TRY_LATER
    out("The worker has ended.")
    return ExitCode.OK


def worker_status(data_dir: Path) -> Status:
    """Raises NotRunning."""

    async def ask() -> Status:
        async with ControlClient(data_dir, "volunteer") as client:
            return Status.model_validate(await client.request(GetStatus()))

    return asyncio.run(ask())


def find_worker(data_dir: Path) -> Status | None:
    """How the worker of this folder is; None where none answers."""
    try:
        return worker_status(data_dir)
    except UserError:
        return None


def show_status(data_dir: Path, *, as_json: bool, out: Out) -> int:
    """Shows the worker once. Raises NotRunning."""
    _show(worker_status(data_dir), as_json, out)
    return ExitCode.OK


def watch_status(data_dir: Path, *, as_json: bool, out: Out) -> int:
    """Shows the worker again whenever it changes, until it ends: a page in a terminal, a line of JSON each otherwise.

    Raises:
        NotRunning: there is none at the beginning.
    """
    is_page = not as_json and sys.stdout.isatty()

    async def watch() -> None:
        changed: asyncio.Queue[Status] = asyncio.Queue()

        def see(message: Message) -> None:
            if isinstance(message, StatusChanged):
                changed.put_nowait(message.status)

        async def show() -> None:
            while True:
                status = await changed.get()
                if is_page:
                    out(_CLEAR + describe(status, time.time()))
                else:
                    _show(status, as_json, out)

        async with ControlClient(data_dir, "volunteer", on_event=see) as client:
            await client.request(Subscribe(topics=Topic(status=True)))
            showing = asyncio.create_task(show())
            await client.closed()
            showing.cancel()

    asyncio.run(watch())
    return ExitCode.OK


def list_settings(data_dir: Path, *, as_json: bool, out: Out) -> int:
    """All settings; in JSON their values alone, for people also what they take and do."""
    settings = _settings(data_dir)
    described = list(describe_settings())
    if as_json:
        out(json.dumps({each.name: get_setting_text(settings, each.name) for each in described}))
        return ExitCode.OK
    for each in described:
        value = get_setting_text(settings, each.name)
        mark = "" if value == each.default else f" (default: {each.default})"
        out(f"{each.name} = {value}{mark}\n    {each.help}: {each.type_in_words}")
    return ExitCode.OK


def show_setting(data_dir: Path, name: str, *, as_json: bool, out: Out) -> int:
    """Raises UsageError: there is no such setting."""
    value = get_setting_text(_settings(data_dir), name)
    out(json.dumps(value) if as_json else value)
    return ExitCode.OK


def _settings(data_dir: Path) -> Settings:
    """Those that the worker goes by; what concerns the window is this computer's, wherever the worker is."""
    own = load_settings(data_dir).settings
    if not command_elsewhere(data_dir):
        return own

    async def ask() -> str:
        async with ControlClient(data_dir, "volunteer") as client:
            return str(await client.request(GetSettings()))

    return dataclasses.replace(parse_settings(asyncio.run(ask()).encode()).settings, app=own.app)


def change_setting(data_dir: Path, name: str, text: str | None, *, out: Out) -> int:
    """Sets it, or resets it with None: through the worker, which goes by it at once, or in the file where none runs.

    A worker of another computer keeps its settings there; those of the app are the ones of this computer all the same.

    Raises:
        ConfigurationError, CommandRefused, Unreachable.
    """

    async def tell_worker() -> None:
        async with ControlClient(data_dir, "volunteer") as client:
            await client.request(SetSetting(name=name, text=text))

    def change_file() -> None:
        settings = load_settings(data_dir).settings
        changed = reset_setting(settings, name) if text is None else set_setting(settings, name, text)
        save_settings(data_dir, changed)

    find_setting(name)  # before the worker is asked: what it is told has to be shown here afterwards
    if command_elsewhere(data_dir) and name.startswith("app."):
        change_file()
    else:
        try:
            asyncio.run(tell_worker())
        except NotRunning:
            change_file()
    return show_setting(data_dir, name, as_json=False, out=out)


def _show(status: Status, as_json: bool, out: Out) -> None:
    out(status.model_dump_json() if as_json else describe(status, time.time()))


def describe(status: Status, now_s: float) -> str:
    """A few lines for people."""
    return "\n".join((_headline(status, now_s), *(f"  {line}" for line in _details(status, now_s))))


def _headline(status: Status, now_s: float) -> str:
    where = f"blocks {status.blocks[0]}-{status.blocks[1] - 1} of {model_name(status.model)}" if status.blocks else ""
    match status.state:
        case State.SERVING:
            return f"Serving {where}"
        case State.DOWNLOADING if status.download is not None:
            done = status.download
            share = done.done_bytes / done.total_bytes if done.total_bytes else 1.0
            left = f", {duration_in_words(done.eta_s)} left" if done.eta_s is not None else ""
            rate = f"{done.bytes_per_s / 1e6:.1f} MB/s"
            return f"Downloading {where}: {share:.0%} of {done.total_bytes / 1e9:.2f} GB, {rate}{left}"
        case State.DOWNLOADING | State.LOADING:
            return f"{status.state.value.capitalize()} {where}"
        case State.STARTING | State.JOINING:
            return f"{status.state.value.capitalize()} ..."
        case State.DRAINING:
            return f"{status.reason}. Saying goodbye; running sessions may end first."
    until = ""
    if status.until_s is not None and status.until_s > now_s:
        until = f", for {duration_in_words(status.until_s - now_s)} more"
    return f"{status.reason.removesuffix('.')}{until}."


def _details(status: Status, now_s: float) -> list[str]:
    lines = []
    if status.blocks and status.blocks_reason:
        lines.append(status.blocks_reason)
    if status.state is State.SERVING:
        last = "none yet"
        if status.last_request_s is not None:
            last = f"{duration_in_words(max(0.0, now_s - status.last_request_s))} ago"
        chats = "1 chat" if status.open_sessions == 1 else f"{status.open_sessions} chats"
        lines.append(f"{status.tokens_per_s:.1f} tokens/s, {chats} open, last request {last}")
    if status.advice:
        lines.append(status.advice)
    if status.mode is not Mode.AUTO and status.state not in _RESTING:
        left = "" if status.mode_until_s is None else f" for {duration_in_words(status.mode_until_s - now_s)} more"
        lines.append(f"mode: {status.mode.value}{left}")
    lines += [f"cannot tell: {each}" for each in status.cannot_tell]
    if status.endpoint:
        lines.append(f"OpenAI-compatible endpoint: {status.endpoint}")
    lines.append(f"served {status.served_tokens} tokens in {status.served_sessions} sessions since it started")
    return lines
