"""What the first run says of this computer: its parts, what each model would come to, and what the choice costs."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from gui import words
from gui.worker_words import translated
from volunteer.forecast import ASSUMED_MBIT_PER_S, Forecast, ModelCard
from volunteer.hardware import Gpu, Hardware

_GIB = 2**30
_MOST_NAMED_LANGUAGES = 8

translate = QCoreApplication.translate


@dataclass(frozen=True)
class Device:
    """A part of this computer, and what it is good for."""

    name: str
    detail: str
    verdict: str
    can_hold: bool


@dataclass(frozen=True)
class Option:
    """A model that can be chosen.

    Attributes:
        about: what it is, in which languages, under which licence.
        verdict: how much of it fits here, in a few words.
        problem: why nothing of it does.
    """

    hub_name: str
    name: str
    about: str
    verdict: str
    problem: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the forecast: what it is, how much, and what that means."""

    label: str
    value: str
    note: str = ""


def memory_of(found: Hardware) -> int:
    """Of what will compute: the largest usable GPU, or the processor."""
    if found.usable_gpus:
        return max(gpu.total_bytes for gpu in found.usable_gpus)
    return found.apple_gpu.total_bytes if found.apple_gpu is not None else found.memory.total_bytes


def option_of(card: ModelCard, found: Forecast) -> Option:
    about = " ".join([translated(card.about), _languages(card), _licence(card)])
    if found.problem is not None:
        problem = translated(found.problem)
        return Option(card.hub_name, card.name, about, translate("FirstRun", "does not fit here"), problem)
    verdict = translate("FirstRun", "{own} of {count} blocks fit here").format(
        own=words.count(found.num_blocks), count=words.count(found.of_blocks)
    )
    return Option(card.hub_name, card.name, about, verdict)


def unknown_option(model: str) -> Option:
    """Of a model without a card, which was chosen before there was a window."""
    about = translate("FirstRun", "It was chosen before. What it takes shows when it is served.")
    return Option(model, words.model(model), about, "")


def _languages(card: ModelCard) -> str:
    if len(card.languages) > _MOST_NAMED_LANGUAGES:
        return translate("FirstRun", "It knows {count} languages.").format(count=words.count(len(card.languages)))
    return translate("FirstRun", "Languages: {languages}.").format(languages=", ".join(card.languages))


def _licence(card: ModelCard) -> str:
    return translate("FirstRun", "Licence: {licence}.").format(licence=card.licence)


def devices_of(found: Hardware, card: ModelCard | None, chosen: Forecast | None) -> tuple[Device, ...]:
    """All that could compute, with what it can hold, or why it is not used."""
    used = max(found.usable_gpus, key=lambda gpu: gpu.total_bytes, default=None)
    devices = [_gpu(gpu, _verdict(card, chosen) if gpu == used else None) for gpu in found.gpus]
    if found.apple_gpu is not None:
        detail = _memory(found.apple_gpu.free_bytes, found.apple_gpu.total_bytes)
        devices.append(Device(found.apple_gpu.name, detail, *_verdict(card, chosen)))
    elif not found.gpus and found.gpu_problem is not None:
        devices.append(Device(translate("FirstRun", "Graphics card"), "", translated(found.gpu_problem), False))
    has_gpu = used is not None or found.apple_gpu is not None
    spared = translate("FirstRun", "Not needed: the GPU is faster"), False
    detail = _memory(found.memory.available_bytes, found.memory.total_bytes)
    devices.append(Device(found.processor.name, detail, *(spared if has_gpu else _verdict(card, chosen))))
    return tuple(devices)


def _gpu(gpu: Gpu, verdict: tuple[str, bool] | None) -> Device:
    if gpu.problem is not None:
        return Device(gpu.name, "", translated(gpu.problem), can_hold=False)
    spared = translate("FirstRun", "Not used: a worker computes on one GPU"), False
    return Device(gpu.name, _memory(gpu.free_bytes, gpu.total_bytes), *(verdict or spared))


def _verdict(card: ModelCard | None, chosen: Forecast | None) -> tuple[str, bool]:
    if card is None or chosen is None:
        return translate("FirstRun", "Will be used"), True
    if chosen.problem is not None:
        return translated(chosen.problem), False
    return (
        translate("FirstRun", "Can hold {own} of the {count} blocks of {model}").format(
            own=words.count(chosen.num_blocks), count=words.count(chosen.of_blocks), model=card.name
        ),
        True,
    )


def _memory(free_bytes: int, total_bytes: int) -> str:
    return translate("FirstRun", "{free} of {total} free").format(
        free=words.decimal(free_bytes / _GIB), total=words.memory(total_bytes)
    )


def rows_of(found: Forecast, machine: Hardware) -> tuple[Row, ...]:
    if found.problem is not None:
        return ()
    own = translate("FirstRun", "{own} of {count}").format(
        own=words.count(found.num_blocks), count=words.count(found.of_blocks)
    )
    rows = [
        Row(translate("FirstRun", "Blocks"), own, translate("FirstRun", "those that the swarm needs most")),
        Row(
            translate("FirstRun", "Memory"),
            words.size(found.memory_bytes),
            translate("FirstRun", "with room for chats; a pause gives it back"),
        ),
        Row(translate("FirstRun", "Download"), words.size(found.download_bytes), _download(found)),
        Row(
            translate("FirstRun", "Disk"),
            words.size(found.disk_bytes),
            "" if machine.disk is None else _free(machine.disk.free_bytes),
        ),
    ]
    if found.watts is not None:
        more = translate("FirstRun", "more than now at the most, while it computes for somebody")
        rows.append(Row(translate("FirstRun", "Power"), words.power(found.watts), more))
    else:
        unknown = translate("FirstRun", "this computer does not tell; it computes only while somebody asks")
        rows.append(Row(translate("FirstRun", "Power"), "–", unknown))
    if found.chat_download_bytes:
        once = translate("FirstRun", "once, if you chat with it")
        rows.append(Row(translate("FirstRun", "To chat"), words.size(found.chat_download_bytes), once))
    return tuple(rows)


def _download(found: Forecast) -> str:
    if not found.download_bytes:
        return translate("FirstRun", "nothing: it comes with this program")
    if found.download_minutes is None:
        return translate("FirstRun", "how long it takes depends on your connection")
    return translate("FirstRun", "about {duration} at {rate} Mbit/s").format(
        duration=words.rough_duration(max(1.0, found.download_minutes) * 60),
        rate=words.decimal(ASSUMED_MBIT_PER_S, 0),
    )


def _free(num_bytes: int) -> str:
    return translate("FirstRun", "{size} are free").format(size=words.size(num_bytes))
