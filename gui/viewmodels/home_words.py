"""What the first page shows, as values, and how they are made from what the worker says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from gui import words
from gui.viewmodels.worker import served_in_words
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import Day, Download, GpuReading, Status

_WARM_SHARE = 0.95
"""Of the temperature at which a limit pauses: from here on the number is marked."""

translate = QCoreApplication.translate


@dataclass(frozen=True)
class Progress:
    """A download. `share` is None where it is not known how much there will be."""

    share: float | None
    text: str


@dataclass(frozen=True)
class Meter:
    """A part of a whole, as a bar and in words."""

    text: str
    share: float


@dataclass(frozen=True)
class GpuFacts:
    name: str
    problem: str = ""
    facts: tuple[str, ...] = ()
    is_warm: bool = False
    """Near the temperature at which its limit pauses; the words then say so."""
    memory: Meter | None = None


@dataclass(frozen=True)
class Amount:
    """A number to be shown large, its unit, and what belongs to it in small lines."""

    number: str
    unit: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlockFacts:
    """`own` is empty while none are chosen."""

    title: str
    in_words: str
    num_blocks: int
    own: range
    are_served: bool


def facts_of(status: Status, now_s: float) -> tuple[str, ...]:
    if status.state not in (State.SERVING, State.DRAINING):
        return ()
    facts = [
        translate("Home", "no request yet")
        if status.last_request_s is None
        else translate("Home", "last request {ago}").format(ago=words.ago(status.last_request_s, now_s)),
        translate("Home", "not yet seen by others")
        if status.seen_by_others_s is None
        else translate("Home", "seen by others {ago}").format(ago=words.ago(status.seen_by_others_s, now_s)),
    ]
    ways = {
        "direct": translate("Home", "direct connection"),
        "relayed": translate("Home", "reached over a relay"),
        "unreachable": translate("Home", "others cannot reach it"),
    }
    if status.reach in ways:
        facts.append(ways[status.reach])
    if status.mode is Mode.ALWAYS:
        facts.append(
            translate("Home", "limits are put aside")
            if status.mode_until_s is None
            else translate("Home", "limits are put aside until {time}").format(
                time=words.until(status.mode_until_s, now_s)
            )
        )
    return tuple(facts)


def progress_of(download: Download | None) -> Progress:
    if download is None or not download.total_bytes:
        return Progress(None, translate("Home", "Looking up what is needed"))
    parts = [
        translate("Home", "{done} of {total}").format(
            done=words.size(download.done_bytes), total=words.size(download.total_bytes)
        )
    ]
    if download.bytes_per_s > 0:
        parts.append(words.rate(download.bytes_per_s))
    if download.eta_s is not None:
        parts.append(translate("Home", "{duration} left").format(duration=words.rough_duration(download.eta_s)))
    return Progress(min(1.0, download.done_bytes / download.total_bytes), " · ".join(parts))


def now_of(status: Status | None) -> Amount:
    unit = translate("Home", "tokens/s")
    if status is None or status.state not in (State.SERVING, State.DRAINING):
        return Amount("0", unit, (translate("Home", "While this computer serves, its speed shows here."),))
    if status.last_request_s is None:
        waiting = translate("Home", "Waiting for the first request. That can take a while in a small swarm.")
        return Amount("0", unit, (waiting,))
    return Amount(words.decimal(status.tokens_per_s), unit, (chats_in_words(status.open_sessions),))


def chats_in_words(count: int) -> str:
    if count == 0:
        return translate("Home", "no chat at the moment")
    if count == 1:
        return translate("Home", "1 chat")
    return translate("Home", "{count} chats").format(count=words.count(count))


def given_of(status: Status | None) -> Amount:
    unit = translate("Home", "tokens")
    thanks = translate("Home", "Thanks from the swarm. Not money.")
    if status is None:
        return Amount("0", unit, (translate("Home", "What this computer gives is added up here."),))
    lines = []
    points = status.points
    if points is None or points.today == points.total == points.pending == 0:
        lines.append(translate("Home", "Points come as soon as others sign for your work."))
    else:
        today = translate("Home", "{points} points").format(points=words.short_number(points.today))
        if points.pending > 0:
            pending = translate("Home", "(+{points} not signed yet)").format(points=words.short_number(points.pending))
            today = f"{today} {pending}"
        lines += [today, translate("Home", "{points} points in all").format(points=words.short_number(points.total))]
    return Amount(words.count(status.served_tokens_today), unit, (*lines, thanks))


def gpu_facts(gpu: GpuReading, most_c: float | None) -> GpuFacts:
    if gpu.problem is not None:
        return GpuFacts(gpu.name, problem=gpu.problem)
    facts = []
    is_warm = gpu.temperature_c is not None and most_c is not None and gpu.temperature_c >= most_c * _WARM_SHARE
    if gpu.temperature_c is not None:
        facts.append(_temperature(gpu.temperature_c, most_c, is_warm=is_warm))
    if gpu.power_w is not None:
        facts.append(words.power(gpu.power_w))
    if gpu.utilisation_percent is not None:
        busy = words.percent(gpu.utilisation_percent / 100)
        facts.append(translate("Home", "{percent} busy").format(percent=busy))
    memory = None
    if gpu.total_bytes:
        used = gpu.total_bytes - gpu.free_bytes
        memory = memory_meter(translate("Home", "Graphics memory"), used, gpu.total_bytes)
    return GpuFacts(gpu.name, facts=tuple(facts), is_warm=is_warm, memory=memory)


def _temperature(celsius: float, most_c: float | None, *, is_warm: bool) -> str:
    now = words.temperature(celsius)
    if most_c is None:
        return now
    text = translate("Home", "{now} of {most}").format(now=now, most=words.decimal(most_c, 0))
    return translate("Home", "{temperature}, near its limit").format(temperature=text) if is_warm else text


def memory_meter(name: str, used_bytes: int, total_bytes: int) -> Meter:
    used = translate("Home", "{used} of {total}").format(
        used=words.decimal(used_bytes / 2**30), total=words.memory(total_bytes)
    )
    return Meter(f"{name}  {used}", min(1.0, max(0.0, used_bytes / total_bytes)))


def network_of(status: Status | None, today: Day | None) -> Amount:
    sent, received = (status.sent_bytes_per_s, status.received_bytes_per_s) if status is not None else (0.0, 0.0)
    lines = [translate("Home", "{rate} received").format(rate=words.rate(received))]
    if today is not None:
        lines.append(
            translate("Home", "Today {sent} sent, {received} received").format(
                sent=words.size(today.sent_bytes), received=words.size(today.received_bytes)
            )
        )
    number, _, unit = words.rate(sent).rpartition(words.THIN_SPACE)
    return Amount(number, translate("Home", "{unit} sent").format(unit=unit), tuple(lines))


def blocks_of(status: Status) -> BlockFacts | None:
    if status.blocks is None or not status.num_blocks:
        return None
    start, end = status.blocks
    return BlockFacts(
        title=translate("Home", "{own} of the {count} blocks of {model}").format(
            own=words.count(end - start), count=words.count(status.num_blocks), model=words.model(status.model)
        ),
        in_words=served_in_words(status),
        num_blocks=status.num_blocks,
        own=range(start, end),
        are_served=status.state in (State.SERVING, State.DRAINING),
    )


def listed(things: Sequence[str]) -> str:
    """One, two and three."""
    *first, last = things
    if not first:
        return last
    return translate("Home", "{first} and {last}").format(first=", ".join(first), last=last)
