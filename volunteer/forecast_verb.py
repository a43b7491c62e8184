"""`volunteer forecast`: what this computer could serve of which model, in words or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from volunteer.errors import ExitCode
from volunteer.forecast import ASSUMED_MBIT_PER_S, DeviceKind, Forecast, forecast
from volunteer.hardware import detect
from volunteer.installed_torch import has_cuda, within_reach
from volunteer.model_cards import ModelCard, model_card, model_cards
from volunteer.settings import load_settings

_DEVICES: dict[DeviceKind, str] = {"cuda": "the GPU", "mps": "the GPU", "cpu": "the processor"}


def show_forecast(data_dir: Path, model: str | None, *, as_json: bool, out: Callable[[str], None]) -> int:
    """Of one model, or a line for each that is known. The owner's settings count.

    Raises:
        ConfigurationError: there is no card of this model, or the settings cannot be read.
    """
    settings = load_settings(data_dir).settings
    cards = model_cards() if model is None else (model_card(model),)
    hardware = within_reach(detect(data_dir), has_cuda=has_cuda())
    found = [(card, forecast(card, hardware, settings=settings)) for card in cards]
    if as_json:
        out(json.dumps([{"model": card.hub_name, **dataclasses.asdict(each)} for card, each in found]))
    elif model is None:
        out(describe_forecasts(found))
    else:
        out(describe_forecast(*found[0]))
    return ExitCode.OK


def describe_forecast(card: ModelCard, found: Forecast) -> str:
    """A few lines for people."""
    lines = [f"{card.name} ({card.hub_name}): {_large(card.parameters)} parameters, {card.licence}"]
    if found.problem is not None:
        return "\n".join([*lines, f"  {found.problem}"])
    held = "all" if found.num_blocks == found.of_blocks else f"{found.num_blocks} of"
    lines.append(f"  {held} {found.of_blocks} blocks in {found.number_format} on {_DEVICES[found.device]}")
    lines.append(f"  memory    {_gb(found.memory_bytes)}, with room for chats")
    lines.append(f"  download  {_download(found)}")
    lines.append(f"  disk      {_gb(found.disk_bytes)}")
    if found.chat_download_bytes:
        lines.append(f"  to chat   {_gb(found.chat_download_bytes)} more to download")
    if found.watts is not None:
        lines.append(f"  power     up to {found.watts:.0f} W more while it computes")
    return "\n".join(lines)


def describe_forecasts(found: Sequence[tuple[ModelCard, Forecast]]) -> str:
    """A line for each model."""
    width = max(len(card.hub_name) for card, _ in found)
    lines = [f"{'model':<{width}}  {'blocks':>8}  {'memory':>8}  {'download':>8}"]
    for card, each in found:
        if each.problem is None:
            blocks = f"{each.num_blocks} of {each.of_blocks}"
            columns = f"{blocks:>8}  {_gb(each.memory_bytes):>8}  {_gb(each.download_bytes):>8}"
        else:
            columns = each.problem
        lines.append(f"{card.hub_name:<{width}}  {columns}")
    return "\n".join(lines)


def _download(found: Forecast) -> str:
    if not found.download_bytes:
        return "nothing: it comes with this program"
    if found.download_minutes is None:
        return _gb(found.download_bytes)
    minutes = max(1, round(found.download_minutes))
    time = f"{minutes} min" if minutes < 120 else f"{found.download_minutes / 60:.1f} h"
    return f"{_gb(found.download_bytes)}, {time} at {ASSUMED_MBIT_PER_S:g} Mbit/s"


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB"


def _large(count: int) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.{0 if count >= 1e10 else 1}f} billion"
    return f"{count / 1e6:.0f} million"
