"""What serving a model would come to on this computer, before anything is downloaded. Loads no torch.

The memory of a block, and how many fit, are worked out as the worker does it (`block_memory`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from volunteer.block_memory import (
    GPU_RESERVE_BYTES,
    KV_TOKENS_PER_BLOCK,
    RAM_RESERVE_BYTES,
    NotEnoughMemory,
    block_needs,
    fitting_blocks,
)
from volunteer.control.limits import budgets
from volunteer.errors import ConfigurationError
from volunteer.hardware import Gpu, Hardware
from volunteer.model_cards import ModelCard as ModelCard
from volunteer.model_cards import model_card as model_card
from volunteer.model_cards import model_cards as model_cards
from volunteer.settings import ServingSettings, Settings

ASSUMED_MBIT_PER_S = 50.0
"""Of a connection that was never measured: nobody is asked to send something for the sake of a forecast."""
DISK_MARGIN_BYTES = 512 * 2**20
"""A download leaves so much free."""

DeviceKind = Literal["cuda", "mps", "cpu"]


@dataclass(frozen=True)
class Forecast:
    """
    Args:
        number_format: of the weights in memory.
        num_blocks: 0 where there is a problem.
        of_blocks: of the whole model.
        memory_bytes: that blocks and room for chats take, on the device.
        download_bytes: 0 of a model that comes with this program.
        chat_download_bytes: more of it, for whoever wants to chat with the model too.
        download_minutes: None where nothing is known of the connection.
        watts: the most that the device may take more than now while it computes; None where it does not tell.
        problem: why it cannot be served, in a sentence.
    """

    device: DeviceKind
    number_format: str
    num_blocks: int
    of_blocks: int
    memory_bytes: int = 0
    download_bytes: int = 0
    disk_bytes: int = 0
    chat_download_bytes: int = 0
    download_minutes: float | None = None
    watts: float | None = None
    problem: str | None = None


def forecast(
    card: ModelCard,
    hardware: Hardware,
    *,
    share: float = 1.0,
    settings: Settings = Settings(),  # noqa: B008 - it is frozen
    mbit_per_s: float | None = ASSUMED_MBIT_PER_S,
) -> Forecast:
    """What would be served of this model.

    Args:
        share: of the device's memory that may be taken, where that is less than what is free; 1 for all that is free.
        settings: number format, blocks and limits are taken from them.
        mbit_per_s: at which it would be downloaded.
    """
    gpu = _gpu(hardware, settings.serving)
    device = _device(hardware, settings.serving, gpu)
    memory = _memory(hardware, gpu if device == "cuda" else None, share, settings)
    dtype = settings.serving.dtype or ("float32" if device == "cpu" else card.dtype)
    number_format = settings.serving.quantization or dtype
    kv_tokens = settings.serving.kv_tokens or KV_TOKENS_PER_BLOCK
    needs = block_needs(card.shape, number_format=number_format, dtype=dtype, kv_tokens=kv_tokens)
    try:
        num_blocks = _named_blocks(settings.serving, card)
        if num_blocks is None:
            num_blocks = fitting_blocks(
                memory.free_bytes,
                needs,
                reserve_bytes=memory.reserve_bytes,
                limit_bytes=memory.limit_bytes,
                of_blocks=card.blocks,
            )
    except (NotEnoughMemory, ConfigurationError) as error:
        return Forecast(device, number_format, 0, card.blocks, problem=str(error))
    disk_bytes = card.file_bytes if card.is_embedded else num_blocks * card.block_file_bytes
    if hardware.disk is not None and disk_bytes + DISK_MARGIN_BYTES > hardware.disk.free_bytes:
        needed, free = (disk_bytes + DISK_MARGIN_BYTES) / 1e9, hardware.disk.free_bytes / 1e9
        problem = f"The blocks need {needed:.1f} GB on the disk, {free:.1f} GB are free."
        return Forecast(device, number_format, 0, card.blocks, problem=problem)
    download_bytes = 0 if card.is_embedded else disk_bytes
    return Forecast(
        device=device,
        number_format=number_format,
        num_blocks=num_blocks,
        of_blocks=card.blocks,
        memory_bytes=num_blocks * needs.bytes,
        download_bytes=download_bytes,
        disk_bytes=disk_bytes,
        chat_download_bytes=0 if card.is_embedded else card.ends_file_bytes,
        download_minutes=None if mbit_per_s is None else download_bytes * 8 / (mbit_per_s * 1e6) / 60,
        watts=_more_watts(gpu) if device == "cuda" else None,
    )


@dataclass(frozen=True)
class _Memory:
    free_bytes: int
    reserve_bytes: int
    limit_bytes: int | None


def _gpu(hardware: Hardware, serving: ServingSettings) -> Gpu | None:
    """The one that is named, or the largest."""
    usable = hardware.usable_gpus
    named = re.fullmatch(r"cuda:([0-9]{1,3})", serving.device or "")
    if named is not None:
        return next((gpu for gpu in usable if gpu.index == int(named[1])), None)
    return max(usable, key=lambda gpu: gpu.total_bytes, default=None)


def _device(hardware: Hardware, serving: ServingSettings, gpu: Gpu | None) -> DeviceKind:
    """As the worker chooses: the best there is, if none is named."""
    named = (serving.device or "").partition(":")[0]
    if gpu is not None and named in ("", "cuda"):
        return "cuda"
    if hardware.apple_gpu is not None and named in ("", "mps"):
        return "mps"
    return "cpu"


def _memory(hardware: Hardware, gpu: Gpu | None, share: float, settings: Settings) -> _Memory:
    limits = budgets(settings.limits)
    if gpu is not None:
        total, free, reserve, limit = gpu.total_bytes, gpu.free_bytes, GPU_RESERVE_BYTES, limits.vram_bytes
    else:
        memory = hardware.memory
        total, free, reserve, limit = memory.total_bytes, memory.available_bytes, RAM_RESERVE_BYTES, limits.ram_bytes
    lent = int(total * share) if share < 1 else None
    found = [each for each in (lent, limit) if each is not None]
    return _Memory(free, reserve, min(found) if found else None)


def _named_blocks(serving: ServingSettings, card: ModelCard) -> int | None:
    """How many the owner wants, whatever fits. Raises ConfigurationError: the model has no such blocks."""
    if serving.blocks is not None:
        start, end = map(int, serving.blocks.split(":"))
        if end > card.blocks:
            raise ConfigurationError(f"You chose blocks {start}-{end - 1}, and this model has {card.blocks} blocks.")
        return end - start
    return None if serving.num_blocks is None else min(serving.num_blocks, card.blocks)


def _more_watts(gpu: Gpu | None) -> float | None:
    if gpu is None or gpu.power_limit_w is None:
        return None
    return max(0.0, gpu.power_limit_w - (gpu.power_w or 0.0))
